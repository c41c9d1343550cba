"""Shapley values, exact and sampled: games by hand, axioms, oracles."""

import games
import networks
import numpy as np
import pytest
import torch
from captum.attr import ShapleyValues, ShapleyValueSampling
from torch import nn

from solarxai.errors import ContractError, ExplainerRefusal
from solarxai.explainers.kernel_shap import KernelShap
from solarxai.explainers.qii import Qii
from solarxai.explainers.shapley_exact import ShapleyExact
from solarxai.explainers.shapley_sampling import ShapleySampling

PIXELS = {"players": "pixels", "fill": "value"}
ALL = [
    ShapleyExact(**PIXELS),
    ShapleySampling(**PIXELS, samples=4000),
    KernelShap(**PIXELS),
    Qii(players="pixels", aggregate="shapley", samples=4000),
]

every = pytest.mark.parametrize("method", ALL, ids=lambda method: type(method).__name__)


def explained(method, score, pixels):
    x = torch.tensor([[pixels]])
    model = games.Pixels(score).eval()
    return method(model, x, baselines=torch.zeros_like(x))


def frames(number, axes=2, size=8):
    """Return `number` blocks of an image and their labels (size[, size])."""
    edges = torch.arange(size) * number // size
    return edges if axes == 1 else (edges[:, None] + torch.zeros(size, dtype=torch.int64))


# Games by hand


@every
def test_the_glove_game_is_two_thirds_and_two_sixths(method):
    x = torch.ones(1, 1, 3)
    found = method(games.Gloves().eval(), x, baselines=torch.zeros_like(x))
    wanted = torch.tensor([2 / 3, 1 / 6, 1 / 6])
    spread = 0.0 if found.stderr is None else found.stderr
    assert ((found.values[0, 0] - wanted).abs() <= 3 * spread + 1e-5).all()
    assert found.completeness_error.abs().max() < 1e-5


@every
def test_a_product_of_two_players_is_shared_in_halves(method):
    found = explained(method, lambda p: p[:, 0] * p[:, 1] + 3 * p[:, 0], [2.0, 5.0])
    torch.testing.assert_close(found.values, torch.tensor([[[11.0, 5.0]]]), rtol=1e-5, atol=1e-5)


@every
@pytest.mark.parametrize("axes", [1, 2])
def test_a_linear_score_gives_weight_times_difference(method, axes):
    model, x = games.linear(9), networks.images(2, axes=2, size=3)
    if axes == 1:
        x = x.flatten(2)
    found = method(model, x, target=1, baselines=torch.zeros_like(x))
    wanted = model[1].weight[1].view(1, *x.shape[1:]) * x
    torch.testing.assert_close(found.values, wanted, rtol=1e-4, atol=1e-5)


# Axioms


@every
def test_players_that_can_change_places_have_one_value(method):
    found = explained(method, lambda p: torch.tanh(p[:, 0] + p[:, 1]) * p[:, 2], [0.7, 0.7, 1.5])
    first, second = found.values[0, 0, :2]
    spread = 0.0 if found.stderr is None else float(found.stderr[0, 0, :2].max())
    assert abs(float(first - second)) <= 4 * spread + 1e-6


@every
def test_a_player_that_changes_nothing_has_nothing(method):
    found = explained(method, lambda p: torch.tanh(p[:, 0] * p[:, 2]), [0.7, 9.0, 1.5, 0.0])
    assert found.values[0, 0, 1].abs() < 1e-6
    assert found.values[0, 0, 3].abs() < 1e-6


@every
def test_an_image_that_equals_its_fill_has_no_contributions(method):
    found = explained(method, lambda p: (p - 1).square().sum(dim=1), [0.0, 0.0, 0.0])
    assert found.values.abs().max() < 1e-6


@every
def test_values_sum_to_the_difference_of_scores(method):
    model, x = games.mingling(9), networks.images(3, size=3)
    found = method(model, x, baselines=torch.zeros_like(x[:1]))
    margin = lambda z: model(z)[:, 1] - model(z)[:, 0]  # noqa: E731
    wanted = margin(x) - margin(torch.zeros_like(x))
    torch.testing.assert_close(found.values.sum(dim=(1, 2, 3)), wanted, rtol=1e-5, atol=1e-5)
    assert found.completeness_error.abs().max() < 1e-5


@every
def test_one_segment_takes_all(method):
    model, x = games.mingling(9), networks.images(1, size=3)
    zeros = torch.zeros_like(x)
    method = type(method)(**({} if isinstance(method, Qii) else {"fill": "value"}))
    if isinstance(method, Qii):
        method = Qii(aggregate="shapley")
    found = method(model, x, target=1, baselines=zeros, segments=torch.full((1, 3, 3), 7))
    wanted = (model(x) - model(zeros))[0, 1] / 9
    torch.testing.assert_close(found.values, wanted.expand_as(x), rtol=1e-4, atol=1e-6)


# Segments


def test_a_segment_of_many_pixels_has_the_sum_of_their_linear_contributions():
    """Umbra, penumbra and quiet of unequal size: the map's sum over each is its own part."""
    model, x = games.linear(64), networks.images(1, size=8)
    segments = torch.full((1, 8, 8), 1)
    segments[0, 2:6, 2:6], segments[0, 3:5, 3:5] = 2, 40
    found = ShapleyExact(fill="value")(model, x, target=1, segments=segments).values
    parts = model[1].weight[1].view(1, 1, 8, 8) * x
    for segment in (1, 2, 40):
        here = segments[:, None] == segment
        assert float(found[here].sum()) == pytest.approx(float(parts[here].sum()), rel=1e-4)
        assert float(found[here].max() - found[here].min()) < 1e-6


def test_two_channels_share_what_their_player_does():
    model, x = games.linear(18), networks.images(1, size=3).expand(1, 2, 3, 3) + 0.5
    found = ShapleyExact(**PIXELS)(model, x, target=1).values
    parts = (model[1].weight[1].view(1, 2, 3, 3) * x).sum(dim=1, keepdim=True)
    torch.testing.assert_close(found, (parts / 2).expand_as(found), rtol=1e-4, atol=1e-5)


# Oracles


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("seed", [0, 3])
def test_exact_values_are_those_of_captum(axes, seed, agrees):
    model, x = networks.residual(axes=axes, seed=seed), networks.images(2, axes=axes, size=8)
    mask = frames(5, axes)
    fill = x.mean(dim=tuple(range(2, x.ndim)), keepdim=True).expand_as(x)
    oracle = ShapleyValues(model).attribute(x, baselines=fill, target=1, feature_mask=mask[None])
    sizes = torch.bincount(mask.flatten())[mask]
    found = ShapleyExact()(model, x, target=1, segments=mask.expand(2, *mask.shape))
    agrees("shapley_exact", "captum ShapleyValues", found.values * sizes, oracle)


def test_every_fill_is_a_game_of_its_own_and_complete():
    model, x, b = networks.residual(), networks.images(1), networks.images(5, seed=2)
    found = {
        fill: ShapleyExact(fill=fill)(model, x, baselines=b)
        for fill in ("mean", "blur", "baselines", "each_baseline")
    }
    assert all(f.completeness_error.abs().max() < 1e-4 for f in found.values())
    maps = [f.values for f in found.values()]
    assert all(not torch.allclose(maps[0], other, rtol=0.01) for other in maps[1:])


def test_each_baseline_in_turn_is_the_mean_over_games():
    model, x, b = networks.residual(), networks.images(1), networks.images(3, seed=2)
    found = ShapleyExact(fill="each_baseline")(model, x, baselines=b).values
    one = [
        ShapleyExact(fill="baselines")(model, x, baselines=b[k : k + 1]).values for k in range(3)
    ]
    torch.testing.assert_close(found, torch.stack(one).mean(dim=0), rtol=1e-4, atol=1e-6)


def test_sampled_values_are_within_three_standard_errors_of_captum(agrees):
    model, x = games.mingling(10), networks.images(1, axes=1, size=10)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    sampler = ShapleyValueSampling(lambda z: model(z)[:, 1])
    runs = torch.stack([sampler.attribute(x, n_samples=50) for _ in range(10)])
    found = ShapleySampling(**PIXELS, samples=2000)(model, x, target=1)
    spread = (found.stderr**2 + runs.var(dim=0) / len(runs)).sqrt()
    agrees(
        "shapley_sampling",
        "captum ShapleyValueSampling",
        found.values,
        runs.mean(dim=0),
        stderr=spread,
    )


# Error bars


@pytest.mark.parametrize("samples", [400, 1200])
def test_standard_errors_are_calibrated(samples):
    model, x = games.mingling(10), networks.images(1, axes=1, size=10)
    truth = ShapleyExact(**PIXELS)(model, x).values
    errors = games.errors_in_stderr(
        lambda seed: ShapleySampling(**PIXELS, samples=samples, seed=seed),
        truth, seeds=40, model=model, x=x,
    )  # fmt: skip
    assert 0.85 <= float(errors.square().mean().sqrt()) <= 1.2


def test_reversed_orders_have_less_error_than_as_many_plain_ones():
    model, x = games.mingling(10), networks.images(1, axes=1, size=10)
    truth = ShapleyExact(**PIXELS)(model, x, target=1).values
    ours = [
        ShapleySampling(**PIXELS, samples=182, seed=seed)(model, x, target=1).values
        for seed in range(30)
    ]
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    sampler = ShapleyValueSampling(lambda z: model(z)[:, 1])
    theirs = [sampler.attribute(x, n_samples=20) for _ in range(30)]
    error = [float(((torch.stack(maps) - truth) ** 2).mean()) for maps in (ours, theirs)]
    assert error[1] > 1.5 * error[0]


def test_more_rounds_come_until_the_error_is_small_enough():
    model, x = games.mingling(10), networks.images(1, axes=1, size=10)
    found = ShapleySampling(**PIXELS, samples=100, stop_at_stderr=0.05)(model, x)
    size = [float(t.square().mean().sqrt()) for t in (found.stderr, found.values)]
    assert size[0] <= 0.05 * size[1]
    short = ShapleySampling(**PIXELS, samples=100, stop_at_stderr=0.05, max_passes=150)(model, x)
    assert short.passes.forward <= 152 < found.passes.forward


def test_it_asks_for_no_more_scores_than_samples():
    model, x = networks.residual(), networks.images(2)
    found = ShapleySampling(players="grid", n_players=4, samples=33)(model, x)
    assert found.passes.forward == 2 + 2 * (2 + 5 * 6)


# Refusals


def test_more_than_sixteen_players_are_refused():
    with pytest.raises(ExplainerRefusal, match=r"17 players.*16 players or fewer.*kernel_shap"):
        ShapleyExact(players="pixels")(games.linear(17), torch.ones(1, 1, 17))


@pytest.mark.parametrize(("samples", "n"), [(3, 4), (13, 4), (61, 16)])
def test_fewer_samples_than_two_pairs_of_orders_are_refused(samples, n):
    method = ShapleySampling(players="grid", n_players=n, samples=samples)
    needed = 4 * (n - 1) + 2
    with pytest.raises(ContractError, match=rf"{samples} samples .* {n} players. Take {needed}"):
        method(networks.residual(), networks.images(1))


def test_players_and_fills_that_do_not_exist_are_refused():
    with pytest.raises(ContractError, match=r"no players 'teams'.*segments, superpixels"):
        ShapleyExact(players="teams")
    with pytest.raises(ContractError, match=r"fill is 'black'.*mean, value.*each_baseline"):
        ShapleyExact(fill="black")
    with pytest.raises(ContractError, match=r"value nan.*finite value"):
        ShapleyExact(fill="value", fill_value=float("nan"))


@pytest.mark.parametrize("fill", ["baselines", "each_baseline"])
def test_a_fill_by_baselines_needs_some(fill):
    with pytest.raises(ContractError, match="needs baselines and got none"):
        ShapleyExact(fill=fill)(networks.residual(), networks.images(1))


def test_blocks_of_a_network_with_a_fixed_size_play_too():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    found = ShapleyExact(players="grid", n_players=4)(model, networks.images(1, size=8), target=2)
    assert len(found.values.unique()) == 4
