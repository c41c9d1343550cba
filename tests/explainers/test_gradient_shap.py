"""GradientSHAP: arithmetic, captum, and Expected Gradients as its limit."""

import networks
import numpy as np
import pytest
import torch
from captum.attr import GradientShap as CaptumShap
from torch import nn

from solarxai.errors import ContractError
from solarxai.explainers.expected_gradients import ExpectedGradients
from solarxai.explainers.gradient_shap import GradientShap


def margin(model, z):
    with torch.no_grad():
        scores = model(z).double()
    return scores[:, 1] - scores[:, 0]


def close(found, values, stderr):
    score = (found.values - values).abs() / (found.stderr**2 + stderr**2).sqrt()
    return float((score < 3).float().mean()) > 0.985


def test_one_baseline_and_a_linear_network_have_no_error(agrees):
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 2)).eval()
    x, b = networks.images(2, size=3), networks.images(1, size=3, seed=4)
    found = GradientShap(samples=8)(model, x, target=1, baselines=b)
    wanted = model[1].weight[1].detach().reshape(1, 3, 3) * (x - b)
    told = ("gradient_shap", "linear model: w·(x − x′)")
    agrees(*told, found.values, wanted, tolerance=1e-6)
    assert float(found.stderr.max()) < 1e-6
    assert float(found.completeness_error.abs().max()) < 1e-5


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_it_agrees_with_a_long_run_of_captum_within_three_standard_errors(axes, noise, agrees):
    model = networks.residual(axes=axes)
    x, b = networks.images(1, axes=axes), networks.images(8, axes=axes, seed=2)
    found = GradientShap(samples=2000, noise=noise)(model, x, target=1, baselines=b)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    spread = noise * float(x.max() - x.min())
    runs = [
        CaptumShap(model).attribute(x, b, n_samples=500, stdevs=spread, target=1) for _ in range(12)
    ]
    oracle = torch.stack(runs)
    error = (found.stderr**2 + oracle.var(dim=0) / len(runs)).sqrt()
    told = ("gradient_shap", "long run of captum GradientShap")
    agrees(*told, found.values, oracle.mean(dim=0), stderr=error, share=0.985)


def test_without_noise_its_limit_is_expected_gradients():
    model, x, b = networks.residual(), networks.images(2), networks.images(8, seed=2)
    wanted = ExpectedGradients(samples=1600)(model, x, baselines=b)
    found = GradientShap(samples=2000)(model, x, baselines=b)
    assert close(found, wanted.values, wanted.stderr)


def test_standard_errors_are_calibrated():
    model, x, b = networks.residual(seed=3), networks.images(1), networks.images(20, seed=2)
    truth = ExpectedGradients(samples=6000)(model, x, baselines=b).values
    found = [GradientShap(samples=200, seed=s)(model, x, baselines=b) for s in range(20)]
    score = torch.stack([(each.values - truth) / each.stderr for each in found])
    assert 0.9 < float(score.square().mean().sqrt()) < 1.15
    assert 0.93 < float((score.abs() < 2).float().mean()) < 0.97


def test_completeness_compares_with_the_mean_over_all_baselines():
    model, x, b = networks.residual(), networks.images(2), networks.images(8, seed=2)
    found = GradientShap(samples=64)(model, x, baselines=b)
    wanted = found.values.double().sum(dim=(1, 2, 3)) - (margin(model, x) - margin(model, b).mean())
    torch.testing.assert_close(found.completeness_error.double(), wanted, rtol=1e-3, atol=1e-4)


def test_with_noise_it_sums_to_the_scores_of_the_noisy_images_in_the_limit():
    model, x, b = networks.residual(), networks.images(1), networks.images(4, seed=2)
    few, many = (
        GradientShap(samples=n, noise=0.3)(model, x, baselines=b).completeness_error.abs()
        for n in (50, 8000)
    )
    assert float(many) < 0.2
    assert float(many) < float(few)


def test_passes_without_noise_are_the_samples_and_one_score_an_image():
    model, x, b = networks.residual(), networks.images(3), networks.images(5, seed=2)
    found = GradientShap(samples=10)(model, x, baselines=b)
    assert found.passes == (2 + 5 + 3 * 11, 2 + 3 * 10)
    found = GradientShap(samples=10, noise=0.1)(model, x, baselines=b)
    assert found.passes == (2 + 5 + 3 * 20, 2 + 3 * 10)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_the_batch_size_does_not_change_the_draws(noise):
    model, x, b = networks.residual(), networks.images(2), networks.images(5, seed=2)
    first, second = (
        GradientShap(samples=50, noise=noise, batch_size=n)(model, x, baselines=b).values
        for n in (3, 32)
    )
    assert float((first - second).abs().max() / second.abs().max()) < 1e-6


def test_rounds_end_at_the_standard_error_or_at_max_passes():
    model, x, b = networks.residual(), networks.images(1), networks.images(5, seed=2)
    found = GradientShap(samples=20, stop_at_stderr=0.2)(model, x, baselines=b)
    ratio = found.stderr.square().mean().sqrt() / found.values.square().mean().sqrt()
    assert float(ratio) <= 0.2
    assert found.passes.backward > 2 + 20
    found = GradientShap(samples=20, stop_at_stderr=1e-9, max_passes=50)(model, x, baselines=b)
    assert found.passes.backward == 2 + 50


def test_baselines_are_asked_for():
    with pytest.raises(ContractError, match=r"needs baselines and got none.*training images"):
        GradientShap()(networks.residual(), networks.images(1))


def test_negative_noise_is_refused():
    with pytest.raises(ContractError, match=r"GradientShap: noise is -0.1.*number of 0 or more"):
        GradientShap(noise=-0.1)
