"""LIME: a weighted ridge regression on coalitions."""

import games
import networks
import numpy as np
import pytest
import torch
from captum._utils.models.linear_model import SkLearnLinearRegression
from captum.attr import Lime as CaptumLime
from torch import nn

from solarxai.errors import ContractError
from solarxai.explainers.lime import Lime
from solarxai.explainers.shapley_exact import ShapleyExact

PIXELS = {"players": "pixels", "fill": "value"}


def test_a_linear_score_has_its_own_slopes():
    model, x = games.linear(9), networks.images(1, size=3)
    found = Lime(**PIXELS, ridge=0.0, samples=40)(model, x, target=1)
    wanted = model[1].weight[1].view(1, 1, 3, 3) * x
    torch.testing.assert_close(found.values, wanted, rtol=1e-4, atol=1e-5)
    assert float(found.stderr.max()) < 1e-4
    assert found.completeness_error is None


def test_a_ridge_shrinks_the_slopes_of_a_linear_score_as_it_does_by_hand():
    """Players vary by 1/4: λ on top of it leaves 1/4 ÷ (1/4 + λ) of a slope."""
    model, x = games.linear(4), networks.images(1, axes=1, size=4)
    found = Lime(**PIXELS, ridge=0.25, kernel_width=1e3, samples=20000)(model, x, target=1)
    wanted = model[1].weight[1:2] * x[0] / 2
    assert ((found.values[0] - wanted).abs() < 4 * found.stderr[0] + 1e-4).all()


@pytest.mark.parametrize(("distance", "width"), [("cosine", 0.25), ("l2", 0.5)])
def test_it_is_within_three_standard_errors_of_captum(distance, width, agrees):
    model, x = games.mingling(8), networks.images(1, axes=1, size=8)

    def similarity(original, changed, present, **_):
        share = float(present.double().mean())
        far = 1 - share**0.5 if distance == "cosine" else (1 - share) ** 0.5
        return float(np.exp(-0.5 * (far / width) ** 2))

    torch.manual_seed(0)
    oracle = CaptumLime(
        lambda z: model(z)[:, 1],
        interpretable_model=SkLearnLinearRegression(),
        similarity_func=similarity,
    )
    runs = torch.stack([oracle.attribute(x, n_samples=500) for _ in range(12)])
    method = Lime(**PIXELS, samples=2000, distance=distance, kernel_width=width, ridge=0.0)
    found = method(model, x, target=1)
    spread = (found.stderr**2 + runs.var(dim=0) / len(runs)).sqrt()
    agrees("lime", "captum Lime", found.values, runs.mean(dim=0), stderr=spread)


@pytest.mark.parametrize("options", [{}, {"distance": "l2", "ridge": 0.1}])
@pytest.mark.parametrize("samples", [60, 400])
def test_standard_errors_are_calibrated(samples, options):
    model, x = games.mingling(8), networks.images(1, axes=1, size=8)
    truth = Lime(**PIXELS, **options, samples=100_000)(model, x, target=1).values
    errors = games.errors_in_stderr(
        lambda seed: Lime(**PIXELS, **options, samples=samples, seed=seed),
        truth, seeds=60, model=model, x=x, target=1,
    )  # fmt: skip
    assert 0.8 <= float(errors.square().mean().sqrt()) <= 1.2
    assert 0.92 <= float((errors.abs() < 2).float().mean()) <= 0.99


def test_it_is_no_shapley_value():
    """Its slopes need not sum to the difference of scores: here only all three together count."""
    model = games.Pixels(lambda p: p[:, 0] * p[:, 1] * p[:, 2]).eval()
    x = torch.ones(1, 1, 3)
    lime = Lime(**PIXELS, samples=4000)(model, x).values
    shapley = ShapleyExact(**PIXELS)(model, x).values
    assert float(shapley.sum()) == pytest.approx(1, abs=1e-5)
    assert abs(float(lime.sum()) - 1) > 0.1


def test_a_wide_kernel_is_the_plain_regression_of_all_coalitions():
    """With even weights the slope of a product of two is 1/2 each: 1 present, 0 or 1 beside it."""
    model = games.Pixels(lambda p: p[:, 0] * p[:, 1]).eval()
    x = torch.ones(1, 1, 2)
    found = Lime(**PIXELS, ridge=0.0, kernel_width=1e3, samples=4000)(model, x)
    assert ((found.values - 0.5).abs() < 4 * found.stderr).all()


def test_a_segment_of_many_pixels_has_its_slope_divided_among_them():
    model, x = games.linear(16), networks.images(1, size=4)
    segments = torch.zeros(1, 4, 4, dtype=torch.uint8)
    segments[0, 1:3, 1:3] = 5
    found = Lime(fill="value", ridge=0.0)(model, x, target=1, segments=segments).values
    parts = model[1].weight[1].view(1, 1, 4, 4) * x
    here = segments[:, None] == 5
    assert float(found[here].sum()) == pytest.approx(float(parts[here].sum()), rel=1e-3)


def test_rounds_go_on_until_the_error_is_small_enough():
    model, x = games.mingling(8), networks.images(1, axes=1, size=8)
    found = Lime(**PIXELS, samples=50, stop_at_stderr=0.1)(model, x)
    assert float(found.stderr.norm()) <= 0.1 * float(found.values.norm())
    short = Lime(**PIXELS, samples=50, stop_at_stderr=0.1, max_passes=60)(model, x)
    assert short.passes.forward == 2 + 60 < found.passes.forward


def test_fewer_samples_than_players_are_refused():
    with pytest.raises(ContractError, match=r"12 samples are too few for 16 players. Take 18"):
        Lime(players="grid", samples=12)(networks.residual(), networks.images(1))


def test_a_kernel_so_narrow_that_no_player_varies_is_refused():
    model, x = games.linear(9), networks.images(1, size=3)
    with pytest.raises(ContractError, match=r"do not vary enough.*a wider kernel"):
        Lime(**PIXELS, ridge=0.0, kernel_width=1e-3, samples=40)(model, x)


@pytest.mark.parametrize(
    "options", [{"kernel_width": 0.0}, {"kernel_width": -1.0}, {"ridge": -0.1},
                {"ridge": float("inf")}, {"ridge": float("nan")}],
)  # fmt: skip
def test_a_width_or_ridge_out_of_range_is_refused(options):
    with pytest.raises(ContractError, match=r"width above 0 and a ridge of 0 or more"):
        Lime(**options)


def test_a_distance_that_does_not_exist_is_refused():
    with pytest.raises(ContractError, match=r"distance is 'city'.*cosine, l2"):
        Lime(distance="city")


def test_one_segment_has_one_slope():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval().requires_grad_(False)
    x, one = networks.images(1, size=2), torch.ones(1, 2, 2, dtype=torch.int64)
    found = Lime(fill="value", ridge=0.0)(model, x, target=1, segments=one).values
    wanted = float(model(x)[0, 1] - model(torch.zeros_like(x))[0, 1]) / 4
    torch.testing.assert_close(found, torch.full_like(x, wanted), rtol=1e-4, atol=1e-6)
