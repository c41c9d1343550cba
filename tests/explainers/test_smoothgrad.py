"""SmoothGrad, its square and VarGrad: arithmetic, captum, and how sure they are."""

import networks
import pytest
import torch
from captum.attr import NoiseTunnel, Saliency
from torch import nn

from solarxai.errors import ContractError
from solarxai.explainers.gradient import Gradient
from solarxai.explainers.smoothgrad import SmoothGrad
from solarxai.explainers.smoothgrad_squared import SmoothGradSquared
from solarxai.explainers.vargrad import VarGrad
from solarxai.models.residual_cnn import ResidualCNN

KINDS = {"smoothgrad": SmoothGrad, "smoothgrad_sq": SmoothGradSquared, "vargrad": VarGrad}


def deviation(x, fraction):
    return fraction * (x.amax(dim=(1, 2, 3)) - x.amin(dim=(1, 2, 3))).view(-1, 1, 1, 1)


def test_smoothgrad_of_a_quadratic_is_its_gradient_without_error(agrees):
    model, x, curvature = networks.quadratic()
    found = SmoothGrad(samples=4)(model, x, target=1)
    wanted = 2 * curvature * x
    agrees("smoothgrad", "quadratic score: 2ax", found.values, wanted, tolerance=1e-6)
    assert float(found.stderr.max()) < 1e-5


def test_smoothgrad_squared_of_a_quadratic_is_the_square_and_the_noise(agrees):
    model, x, curvature = networks.quadratic()
    found = SmoothGradSquared(samples=2000, noise=0.3)(model, x, target=1)
    wanted = 4 * curvature**2 * (x**2 + deviation(x, 0.3) ** 2)
    oracle = "quadratic score: 4a²(x² + σ²)"
    agrees("smoothgrad_squared", oracle, found.values, wanted, stderr=found.stderr)
    assert float(((found.values - wanted) / found.stderr).abs().max()) < 4


def test_vargrad_of_a_quadratic_is_the_noise_alone(agrees):
    model, x, curvature = networks.quadratic()
    found = VarGrad(samples=2000, noise=0.3)(model, x, target=1)
    wanted = 4 * curvature**2 * deviation(x, 0.3) ** 2
    given = {"stderr": found.stderr, "share": 0.95}
    agrees("vargrad", "quadratic score: 4a²σ²", found.values, wanted, **given)
    assert float(((found.values - wanted) / found.stderr).abs().max()) < 4
    torch.testing.assert_close(
        found.stderr / found.values, torch.full_like(x, (2 / 2000) ** 0.5), rtol=0.2, atol=0
    )


def test_vargrad_of_a_linear_network_is_zero_and_smoothgrad_its_weights():
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 2)).eval()
    x = networks.images(2, size=3)
    found = VarGrad(samples=50)(model, x)
    assert float(found.values.abs().max()) < 1e-12
    assert float(found.stderr.abs().max()) < 1e-12
    smooth = SmoothGrad(samples=50)(model, x)
    torch.testing.assert_close(smooth.values, Gradient()(model, x).values)


def test_an_even_image_has_no_noise():
    model, x = networks.residual(), torch.full((1, 1, 16, 16), 0.4)
    found = SmoothGrad()(model, x)
    torch.testing.assert_close(found.values, Gradient()(model, x).values, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_they_agree_with_a_long_run_of_captum_within_three_standard_errors(kind, axes, agrees):
    model, x = networks.residual(axes=axes), networks.images(1, axes=axes)
    found = KINDS[kind](samples=2000)(model, x, target=1)
    spread = 0.15 * float(x.max() - x.min())
    tunnel = NoiseTunnel(Saliency(model))
    torch.manual_seed(0)
    runs = [
        tunnel.attribute(x, nt_type=kind, nt_samples=500, stdevs=spread, target=1, abs=False)
        for _ in range(12)
    ]
    oracle = torch.stack(runs)
    if kind == "vargrad":
        oracle = oracle * (500 / 499)
    error = (found.stderr**2 + oracle.var(dim=0) / len(runs)).sqrt()
    given = {"stderr": error, "share": 0.985}
    method = KINDS[kind].__module__.rpartition(".")[2]
    agrees(method, "long run of captum NoiseTunnel", found.values, oracle.mean(dim=0), **given)


def scores(kind, samples, *, seeds):
    """Return (error ÷ standard error) and the errors, of repeated runs of one image."""
    model = networks.trained_looking(ResidualCNN(width=8))
    x = networks.images(1)
    truth = kind(samples=8000, seed=1000)(model, x)
    found = [kind(samples=samples, seed=seed)(model, x) for seed in seeds]
    errors = torch.stack([each.values - truth.values for each in found])
    stderr = torch.stack([(each.stderr**2 + truth.stderr**2).sqrt() for each in found])
    return errors, stderr


@pytest.mark.parametrize(
    ("kind", "samples"), [("smoothgrad", 50), ("smoothgrad_sq", 200), ("vargrad", 200)]
)
def test_standard_errors_are_calibrated(kind, samples):
    errors, stderr = scores(KINDS[kind], samples, seeds=range(20))
    assert 0.85 < float(errors.square().mean().sqrt() / stderr.square().mean().sqrt()) < 1.15
    assert 0.9 < float((errors / stderr).square().mean().sqrt()) < 1.2
    assert 0.92 < float((errors.abs() < 2 * stderr).float().mean()) < 0.97


def test_both_signs_of_a_noise_leave_less_error_than_as_many_noises():
    model, x = networks.trained_looking(ResidualCNN(width=8)), networks.images(1)
    paired = SmoothGrad(samples=1000)(model, x).stderr
    squares = VarGrad(samples=1000)(model, x).values / 1000
    assert float(paired.square().mean()) < 0.9 * float(squares.mean())


@pytest.mark.parametrize("kind", KINDS)
def test_the_batch_size_does_not_change_the_noise(kind):
    model, x = networks.residual(), networks.images(2)
    first, second = (KINDS[kind](samples=21, batch_size=n)(model, x) for n in (1, 32))
    for name in ("values", "stderr"):
        a, b = getattr(first, name), getattr(second, name)
        assert float((a - b).abs().max() / b.abs().max()) < 1e-6


def test_an_odd_number_of_samples_is_rounded_down_to_pairs():
    found = SmoothGrad(samples=7)(networks.residual(), networks.images(3))
    assert found.passes == (2 + 18, 2 + 18)


@pytest.mark.parametrize("kind", KINDS)
def test_rounds_are_added_until_the_standard_error_is_small_enough(kind):
    model, x = networks.residual(seed=3), networks.images(1)
    found = KINDS[kind](samples=20, stop_at_stderr=0.1)(model, x)
    ratio = found.stderr.square().mean().sqrt() / found.values.square().mean().sqrt()
    assert float(ratio) <= 0.1
    assert found.passes.backward > 2 + 20


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_than_max_passes_are_taken(kind):
    model, x = networks.residual(), networks.images(1)
    found = KINDS[kind](samples=20, stop_at_stderr=1e-6, max_passes=50)(model, x)
    assert found.passes.backward == 2 + 50


@pytest.mark.parametrize("noise", [0.0, -0.1, float("nan"), float("inf")])
def test_noise_that_is_no_positive_number_is_refused(noise):
    with pytest.raises(ContractError, match=r"SmoothGrad: noise is .*number above 0"):
        SmoothGrad(noise=noise)


def test_too_few_samples_for_a_standard_error_are_refused():
    with pytest.raises(ContractError, match=r"samples is 3.*whole number of 4"):
        SmoothGrad(samples=3)
    with pytest.raises(ContractError, match=r"max_passes is 3.*whole number of 4"):
        VarGrad(max_passes=3)
