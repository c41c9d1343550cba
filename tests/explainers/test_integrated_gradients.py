"""Integrated Gradients, along straight and guided paths and through noise."""

import networks
import pytest
import torch
from captum.attr import IntegratedGradients as CaptumIntegrated
from captum.attr import NoiseTunnel
from torch import nn

from solarxai.engine.quadrature import RULES
from solarxai.errors import ContractError
from solarxai.explainers.expected_gradients import ExpectedGradients
from solarxai.explainers.guided_integrated_gradients import GuidedIntegratedGradients
from solarxai.explainers.integrated_gradients import IntegratedGradients
from solarxai.explainers.noisy_integrated_gradients import NoisyIntegratedGradients

CAPTUM = {
    "gauss_legendre": ("gausslegendre", 1.0),
    "riemann_left": ("riemann_left", 1.0),
    "riemann_midpoint": ("riemann_middle", 1.0),
    "riemann_right": ("riemann_right", 1.0),
    "trapezoid": ("riemann_trapezoid", 24 / 23),
}
"""captum's trapezoid of n positions has weights that sum to (n − 1)/n."""

COMPARING = [IntegratedGradients, GuidedIntegratedGradients, NoisyIntegratedGradients]


def linear():
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 2)).eval()
    weight = (model[1].weight[1] - model[1].weight[0]).detach().reshape(1, 3, 3)
    return model, networks.images(2, size=3), weight


def relative(found, wanted):
    return float((found - wanted).abs().max() / wanted.abs().max())


def margin(model, z):
    with torch.no_grad():
        scores = model(z).double()
    return scores[:, 1] - scores[:, 0]


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("rule", RULES)
def test_it_equals_captum(rule, axes, agrees):
    model, x = networks.residual(axes=axes), networks.images(3, axes=axes)
    b = networks.images(1, axes=axes, seed=5)
    method, scale = CAPTUM[rule]
    found = IntegratedGradients(steps=24, rule=rule)(model, x, target=1, baselines=b).values
    wanted = CaptumIntegrated(model).attribute(x, b, target=1, n_steps=24, method=method)
    oracle = "captum IntegratedGradients"
    agrees("integrated_gradients", oracle, found, wanted.float() * scale)


@pytest.mark.parametrize("rule", RULES)
def test_a_linear_network_contributes_weight_times_difference_by_every_rule(rule, agrees):
    model, x, weight = linear()
    found = IntegratedGradients(steps=3, rule=rule, baseline_value=0.5)(model, x)
    wanted = weight * (x - 0.5)
    oracle = "linear model: w·(x − x′)"
    agrees("integrated_gradients", oracle, found.values, wanted, tolerance=5e-7)
    assert float(found.completeness_error.abs().max()) < 1e-5


@pytest.mark.parametrize("rule", ["gauss_legendre", "riemann_midpoint", "trapezoid"])
def test_a_quadratic_is_exact_in_two_steps(rule, agrees):
    model, x, curvature = networks.quadratic()
    found = IntegratedGradients(steps=2, rule=rule)(model, x, target=1)
    wanted = curvature * x**2
    oracle = "quadratic score: ax²"
    agrees("integrated_gradients", oracle, found.values, wanted, tolerance=1e-6)
    assert float(found.completeness_error.abs().max()) < 1e-4


def test_several_baselines_are_averaged():
    model, x, b = networks.residual(), networks.images(2), networks.images(3, seed=2)
    found = IntegratedGradients(steps=8)(model, x, baselines=b)
    each = [IntegratedGradients(steps=8)(model, x, baselines=b[i : i + 1]) for i in range(3)]
    mean = torch.stack([one.values for one in each]).mean(dim=0)
    assert relative(found.values, mean) < 1e-5
    gaps = torch.stack([one.completeness_error for one in each]).mean(dim=0)
    torch.testing.assert_close(found.completeness_error, gaps, rtol=1e-3, atol=1e-5)


def test_over_many_baselines_it_is_the_limit_of_expected_gradients():
    model, x, b = networks.residual(seed=3), networks.images(1), networks.images(20, seed=2)
    exact = IntegratedGradients(steps=200)(model, x, baselines=b).values
    found = ExpectedGradients(samples=400)(model, x, baselines=b)
    score = (found.values - exact).abs() / found.stderr
    assert float((score < 3).float().mean()) > 0.98


@pytest.mark.parametrize("method", COMPARING)
def test_the_constant_baseline_is_that_given_as_a_baseline(method):
    model, x = networks.residual(), networks.images(2)
    options = {"steps": 8} if method is not NoisyIntegratedGradients else {"samples": 32}
    found = method(baseline_value=0.3, **options)(model, x)
    wanted = method(**options)(model, x, baselines=torch.full((1, 1, 16, 16), 0.3))
    assert torch.equal(found.values, wanted.values)
    assert not torch.equal(found.values, method(**options)(model, x).values)


@pytest.mark.parametrize("method", COMPARING)
def test_baselines_that_do_not_fit_are_refused(method):
    with pytest.raises(ContractError, match=r"baselines are .* for images of"):
        method()(networks.residual(), networks.images(1), baselines=networks.images(1, size=8))


@pytest.mark.parametrize("method", COMPARING)
def test_a_baseline_value_that_is_not_finite_is_refused(method):
    with pytest.raises(ContractError, match=r"baseline_value is nan.*finite number"):
        method(baseline_value=float("nan"))


@pytest.mark.parametrize("method", [IntegratedGradients, GuidedIntegratedGradients])
def test_the_completeness_error_is_the_rest_and_vanishes_with_more_steps(method):
    model, x, b = networks.residual(), networks.images(3), networks.images(2, seed=2)
    few, many = (method(steps=n)(model, x, baselines=b) for n in (10, 600))
    wanted = few.values.double().sum(dim=(1, 2, 3)) - (margin(model, x) - margin(model, b).mean())
    torch.testing.assert_close(few.completeness_error.double(), wanted, rtol=1e-3, atol=1e-4)
    most = float(many.completeness_error.abs().max())
    assert most < 0.03 * float((margin(model, x) - margin(model, b).mean()).abs().max())
    assert most < float(few.completeness_error.abs().max())


def test_a_pass_is_filled_with_steps_of_one_image():
    model, x, b = networks.residual(), networks.images(3), networks.images(2, seed=2)
    found = IntegratedGradients(steps=10, batch_size=8)(model, x, baselines=b)
    assert found.passes == (2 + 2 + 3 * (20 + 1), 2 + 3 * 20)


def test_rules_and_steps_are_checked_before_anything_runs():
    with pytest.raises(ContractError, match=r"no rule 'simpson'"):
        IntegratedGradients(rule="simpson")
    with pytest.raises(ContractError, match=r"'trapezoid' has 1 steps"):
        IntegratedGradients(rule="trapezoid", steps=1)
    with pytest.raises(ContractError, match=r"steps is 0.*whole number"):
        IntegratedGradients(steps=0)


def published(model, x, baseline, *, steps, fraction, max_distance):
    """Return the guided map by a plain loop: one quantile and one move at a time."""
    way, point = x - baseline, baseline.clone()
    whole, total = way.abs().sum(), torch.zeros_like(x)
    for step in range(1, steps + 1):
        leaf = point.clone().requires_grad_()
        scores = model(leaf[None].float())[0]
        (gradient,) = torch.autograd.grad(scores[1] - scores[0], leaf)
        alpha = step / steps
        low = baseline + max(alpha - max_distance, 0) * way
        high = baseline + min(alpha + max_distance, 1) * way
        before = point.clone()
        behind = (point - baseline) / way < max(alpha - max_distance, 0)
        point = torch.where(behind, low, point)
        slopes = gradient.abs()
        while (left := (x - point).abs().sum() - (1 - alpha) * whole) > 1e-9 * whole:
            slopes = torch.where((high - point).abs() < 1e-12, torch.inf, slopes)
            edge = torch.quantile(slopes.flatten(), fraction, interpolation="lower")
            chosen = (slopes <= edge) & slopes.isfinite()
            share = left / ((high - point).abs() * chosen).sum()
            point = torch.where(chosen, point + min(share, 1.0) * (high - point), point)
        total += (point - before) * gradient
    return total


@pytest.mark.parametrize("max_distance", [0.02, 0.3, 1.0])
def test_the_guided_path_is_that_of_a_plain_loop_over_quantiles(max_distance, agrees):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 2)).eval()
    x, options = networks.images(1, size=8), {"steps": 20, "fraction": 0.25}
    method = GuidedIntegratedGradients(max_distance=max_distance, **options)
    wanted = published(
        model, x[0].double(), torch.zeros(1, 8, 8).double(), max_distance=max_distance, **options
    )
    oracle = "plain loop over quantiles"
    agrees("guided_integrated_gradients", oracle, method(model, x).values[0], wanted)


def test_without_freedom_the_guided_path_is_the_straight_one():
    model, x = networks.residual(), networks.images(2)
    found = GuidedIntegratedGradients(steps=16, max_distance=0.0)(model, x).values
    wanted = IntegratedGradients(steps=16, rule="riemann_left")(model, x).values
    assert relative(found, wanted) < 1e-4


def test_the_guided_map_of_a_linear_network_is_that_of_any_path(agrees):
    model, x, weight = linear()
    found = GuidedIntegratedGradients(steps=5, max_distance=1.0)(model, x)
    given = ("guided_integrated_gradients", "linear model: w·x")
    agrees(*given, found.values, weight * x, tolerance=1e-6)


def test_an_image_that_is_its_own_baseline_gets_nothing():
    found = GuidedIntegratedGradients(steps=3)(networks.residual(), torch.zeros(1, 1, 16, 16))
    assert not found.values.any()


@pytest.mark.parametrize(("option", "value"), [("fraction", 0.0), ("fraction", 1.5)])
def test_a_fraction_out_of_range_is_refused(option, value):
    with pytest.raises(ContractError, match=rf"{option} is {value}.*above 0 and at most 1"):
        GuidedIntegratedGradients(**{option: value})


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_a_max_distance_out_of_range_is_refused(value):
    with pytest.raises(ContractError, match=rf"max_distance is {value}.*from 0 to 1"):
        GuidedIntegratedGradients(max_distance=value)


@pytest.mark.parametrize("axes", [1, 2])
def test_noisy_agrees_with_a_long_run_of_captum_within_three_standard_errors(axes, agrees):
    model = networks.residual(axes=axes)
    x, b = networks.images(1, axes=axes), networks.images(1, axes=axes, seed=2)
    found = NoisyIntegratedGradients(samples=3200)(model, x, target=1, baselines=b)
    tunnel = NoiseTunnel(CaptumIntegrated(model))
    spread = {"stdevs": 0.15 * float(x.max() - x.min()), "nt_samples": 25}
    torch.manual_seed(0)
    runs = [tunnel.attribute(x, baselines=b, target=1, n_steps=25, **spread) for _ in range(20)]
    oracle = torch.stack(runs).float()
    error = (found.stderr**2 + oracle.var(dim=0) / len(runs)).sqrt()
    given = {"stderr": error, "share": 0.985}
    told = ("noisy_integrated_gradients", "long run of captum NoiseTunnel")
    agrees(*told, found.values, oracle.mean(dim=0), **given)


def test_noisy_of_a_quadratic_is_the_square_plus_that_of_the_noise(agrees):
    model, x, curvature = networks.quadratic()
    found = NoisyIntegratedGradients(samples=8000, noise=0.2)(model, x, target=1)
    spread = 0.2 * (x.amax(dim=(1, 2, 3)) - x.amin(dim=(1, 2, 3))).view(-1, 1, 1, 1)
    wanted = curvature * (x**2 + spread**2)
    told = ("noisy_integrated_gradients", "quadratic score: a(x² + σ²)")
    agrees(*told, found.values, wanted, stderr=found.stderr)
    assert float(((found.values - wanted) / found.stderr).abs().max()) < 4.5


def test_noisy_sums_to_the_scores_of_the_noisy_images():
    model, x = networks.residual(), networks.images(1)
    few, many = (
        NoisyIntegratedGradients(samples=n)(model, x).completeness_error.abs() for n in (32, 8000)
    )
    assert float(many) < min(0.05, float(few))


@pytest.mark.parametrize("baselines", [1, 5])
def test_noisy_standard_errors_are_calibrated(baselines):
    model, x = networks.residual(seed=3), networks.images(1)
    b = networks.images(baselines, seed=2)
    truth = NoisyIntegratedGradients(samples=20000, seed=99)(model, x, baselines=b)
    found = [
        NoisyIntegratedGradients(samples=400, seed=s)(model, x, baselines=b) for s in range(20)
    ]
    errors = torch.stack([each.values - truth.values for each in found])
    stderr = torch.stack([(each.stderr**2 + truth.stderr**2).sqrt() for each in found])
    assert 0.9 < float((errors / stderr).square().mean().sqrt()) < 1.15


def test_noisy_draws_do_not_depend_on_the_batch_size():
    model, x, b = networks.residual(), networks.images(2), networks.images(3, seed=2)
    maps = [
        NoisyIntegratedGradients(samples=48, places=3, batch_size=n)(model, x, baselines=b).values
        for n in (1, 5, 32)
    ]
    assert relative(maps[0], maps[2]) < 1e-6
    assert relative(maps[1], maps[2]) < 1e-6


def test_noisy_rounds_end_at_the_standard_error_or_at_max_passes():
    model, x = networks.residual(), networks.images(1)
    found = NoisyIntegratedGradients(samples=40, stop_at_stderr=0.05)(model, x)
    ratio = found.stderr.square().mean().sqrt() / found.values.square().mean().sqrt()
    assert float(ratio) <= 0.05
    found = NoisyIntegratedGradients(samples=40, stop_at_stderr=1e-9, max_passes=83)(model, x)
    assert found.passes.backward == 2 + 80


def test_too_few_samples_for_two_pairs_of_noise_are_refused():
    with pytest.raises(ContractError, match=r"15 samples are too few for 4 places.*16 samples"):
        NoisyIntegratedGradients(samples=15)
    with pytest.raises(ContractError, match=r"8 samples are too few for 4 places"):
        NoisyIntegratedGradients(max_passes=8)
