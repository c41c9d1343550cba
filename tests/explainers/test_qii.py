"""Quantitative input influence of players: by hand, its limits, its error bars."""

import games
import networks
import pytest
import torch

from solarxai.errors import ContractError
from solarxai.explainers.qii import Qii
from solarxai.explainers.shapley_exact import ShapleyExact


def ten():
    """Return a network of ten pixels, an image and twelve baselines."""
    sized = {"axes": 1, "size": 10}
    return games.mingling(10), networks.images(1, **sized), networks.images(12, seed=2, **sized)


def test_a_linear_score_falls_by_weight_times_distance_from_the_mean(agrees):
    model, x, b = games.linear(9), networks.images(2, size=3), networks.images(7, size=3, seed=2)
    found = Qii(players="pixels")(model, x, target=1, baselines=b)
    wanted = model[1].weight[1].view(1, 1, 3, 3) * (x - b.mean(dim=0))
    agrees("qii", "linear model", found.values, wanted)
    assert float(found.stderr.max()) == 0


def test_a_player_alone_is_replaced_in_turn_by_all_baselines():
    model, x, b = ten()
    found = Qii(players="grid", n_players=5, samples=61)(model, x, target=1, baselines=b)
    for player in range(5):
        changed = x.repeat(12, 1, 1)
        changed[..., 2 * player : 2 * player + 2] = b[..., 2 * player : 2 * player + 2]
        wanted = float(model(x)[0, 1] - model(changed)[:, 1].mean())
        here = found.values[0, 0, 2 * player : 2 * player + 2]
        assert float(here.sum()) == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    assert found.passes.forward == 2 + 1 + 12 * 5


def test_an_and_of_two_has_influence_alone_and_an_or_has_none():
    """Of two causes that each suffice, none has an influence alone; together they share it."""
    x, b = torch.ones(1, 1, 2), torch.zeros(1, 1, 2)
    both = games.Pixels(lambda p: torch.minimum(p[:, 0], p[:, 1])).eval()
    either = games.Pixels(lambda p: torch.maximum(p[:, 0], p[:, 1])).eval()
    alone, shared = Qii(players="pixels"), Qii(players="pixels", aggregate="shapley")
    assert alone(both, x, baselines=b).values.tolist() == [[[1.0, 1.0]]]
    assert alone(either, x, baselines=b).values.tolist() == [[[0.0, 0.0]]]
    assert shared(both, x, baselines=b).values.tolist() == [[[0.5, 0.5]]]
    assert shared(either, x, baselines=b).values.tolist() == [[[0.5, 0.5]]]


def test_shapley_influences_tend_to_the_shapley_values_against_each_baseline():
    model, x, b = ten()
    found = Qii(players="pixels", aggregate="shapley", samples=20_000)(model, x, baselines=b)
    exact = ShapleyExact(players="pixels", fill="each_baseline")(model, x, baselines=b).values
    assert float(((found.values - exact) / found.stderr).abs().max()) < 3.5
    assert float((found.values - exact).norm() / exact.norm()) < 0.1


def test_shapley_influences_sum_to_the_difference_within_the_completeness_error():
    model, x, b = ten()
    found = Qii(players="pixels", aggregate="shapley")(model, x, target=1, baselines=b)
    wanted = float(model(x)[0, 1] - model(b)[:, 1].mean())
    gap = float(found.values.double().sum()) - wanted
    assert float(found.completeness_error[0]) == pytest.approx(gap, abs=1e-5)
    assert Qii(players="pixels")(model, x, baselines=b).completeness_error is None


def test_with_one_baseline_shapley_influences_are_complete():
    model, x, b = ten()
    found = Qii(players="pixels", aggregate="shapley")(model, x, baselines=b[:1])
    assert found.completeness_error.abs().max() < 1e-5


@pytest.mark.parametrize("aggregate", ["unary", "shapley"])
def test_standard_errors_are_calibrated_for_the_given_baselines(aggregate):
    model, x = games.mingling(6), networks.images(1, axes=1, size=6)
    b = networks.images(60, axes=1, size=6, seed=2)
    if aggregate == "unary":
        truth = Qii(players="pixels", samples=400)(model, x, baselines=b).values
    else:
        truth = ShapleyExact(players="pixels", fill="each_baseline")(model, x, baselines=b).values
    errors = games.errors_in_stderr(
        lambda seed: Qii(players="pixels", aggregate=aggregate, samples=240, seed=seed),
        truth, seeds=50, model=model, x=x, baselines=b,
    )  # fmt: skip
    assert 0.85 <= float(errors.square().mean().sqrt()) <= 1.2


def test_rounds_stop_when_all_baselines_were_taken():
    model, x, b = ten()
    method = Qii(players="pixels", samples=30, stop_at_stderr=1e-6)
    found = method(model, x, baselines=b)
    assert float(found.stderr.max()) == 0
    assert found.passes.forward == 2 + 1 + 12 * 10


def test_rounds_go_on_until_the_error_is_small_enough():
    model, x, b = ten()
    method = Qii(players="pixels", aggregate="shapley", samples=60, stop_at_stderr=0.2)
    found = method(model, x, baselines=b)
    assert float(found.stderr.norm()) <= 0.2 * float(found.values.norm())


@pytest.mark.parametrize(("aggregate", "needed"), [("unary", 21), ("shapley", 37)])
def test_fewer_samples_than_two_draws_need_are_refused(aggregate, needed):
    model, x, b = ten()
    few = {"players": "pixels", "aggregate": aggregate}
    with pytest.raises(ContractError, match=rf"too few for 10 players. Take {needed} samples"):
        Qii(**few, samples=needed - 1)(model, x, baselines=b)
    Qii(**few, samples=needed)(model, x, baselines=b)


def test_an_aggregate_that_does_not_exist_is_refused():
    with pytest.raises(ContractError, match=r"aggregate is 'banzhaf'.*unary, shapley"):
        Qii(aggregate="banzhaf")


def test_it_needs_baselines():
    with pytest.raises(ContractError, match="needs baselines and got none"):
        Qii()(networks.residual(), networks.images(1))
