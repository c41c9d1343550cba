"""Expected Gradients: arithmetic, an oracle, its error bars, its memory."""

import networks
import numpy as np
import pytest
import torch
from captum.attr import GradientShap
from torch import nn

from solarxai.errors import ContractError
from solarxai.explainers.expected_gradients import ExpectedGradients


def test_a_linear_network_contributes_weight_times_difference():
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 2)).eval()
    x, b = networks.images(2, size=3), networks.images(5, size=3, seed=4)
    found = ExpectedGradients(samples=5)(model, x, target=1, baselines=b)
    wanted = model[1].weight[1].detach().reshape(1, 3, 3) * (x - b.mean(dim=0))
    torch.testing.assert_close(found.values, wanted, rtol=1e-4, atol=1e-5)
    assert found.completeness_error.abs().max() < 1e-5


def test_a_linear_network_has_no_error_with_two_positions_a_baseline():
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 2)).eval()
    x, b = networks.images(1, size=3), networks.images(5, size=3, seed=4)
    found = ExpectedGradients(samples=10)(model, x, baselines=b)
    assert float(found.stderr.max()) < 1e-6


def test_values_sum_to_the_difference_of_scores_within_the_completeness_error():
    model, x, b = networks.residual(), networks.images(3), networks.images(10, seed=2)
    found = ExpectedGradients(samples=400)(model, x, baselines=b)
    with torch.no_grad():
        margin = lambda z: model(z)[:, 1] - model(z)[:, 0]  # noqa: E731
        wanted = margin(x) - margin(b).mean()
    sums = found.values.sum(dim=(1, 2, 3))
    torch.testing.assert_close(found.completeness_error, sums - wanted, rtol=1e-3, atol=1e-4)
    assert found.completeness_error.abs().max() < 0.1 * wanted.abs().max()


@pytest.mark.parametrize("axes", [1, 2])
def test_it_agrees_with_a_long_run_of_captum_within_three_standard_errors(axes):
    model = networks.residual(axes=axes)
    x, b = networks.images(1, axes=axes), networks.images(8, axes=axes, seed=2)
    found = ExpectedGradients(samples=400)(model, x, target=1, baselines=b)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    runs = [
        GradientShap(model).attribute(x, b, n_samples=500, stdevs=0.0, target=1) for _ in range(12)
    ]
    oracle = torch.stack(runs)
    spread = (found.stderr**2 + oracle.var(dim=0) / len(runs)).sqrt()
    score = ((found.values - oracle.mean(dim=0)) / spread).abs()
    assert float((score < 3).float().mean()) > 0.985


def coverage(model, x, b, samples, *, seeds):
    """Return the share of pixels whose error is within two standard errors of a long-run truth."""
    truth = ExpectedGradients(samples=3200)(model, x, baselines=b).values
    within = []
    for seed in seeds:
        found = ExpectedGradients(samples=samples, seed=seed)(model, x, baselines=b)
        within.append(((found.values - truth).abs() < 2 * found.stderr).float().mean())
    return float(torch.stack(within).mean())


@pytest.mark.parametrize("samples", [100, 150])
def test_the_truth_lies_within_two_standard_errors_in_93_to_97_percent(samples):
    model = networks.residual(seed=3)
    x, b = networks.images(2), networks.images(50, seed=2)
    assert 0.93 <= coverage(model, x, b, samples, seeds=range(10)) <= 0.97


@pytest.mark.parametrize(("samples", "axes"), [(50, 2), (100, 1)])
def test_standard_errors_are_rather_too_large_than_too_small(samples, axes):
    model = networks.residual(axes=axes, seed=3)
    x, b = networks.images(2, axes=axes), networks.images(50, axes=axes, seed=2)
    assert coverage(model, x, b, samples, seeds=range(8)) >= 0.93


def test_a_tour_has_less_error_than_plain_monte_carlo():
    model, x, b = networks.residual(seed=3), networks.images(1), networks.images(50, seed=2)
    truth = ExpectedGradients(samples=3200)(model, x, baselines=b).values
    ours = [ExpectedGradients(samples=100, seed=s)(model, x, baselines=b).values for s in range(10)]
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)

    def margin(z):
        return model(z)[:, 1] - model(z)[:, 0]

    plain = GradientShap(margin)
    theirs = [plain.attribute(x, b, n_samples=100, stdevs=0.0) for _ in range(20)]
    error = [float(((torch.stack(maps) - truth) ** 2).mean()) for maps in (ours, theirs)]
    assert error[1] > 3 * error[0]


def test_another_seed_gives_another_map():
    model, x, b = networks.residual(), networks.images(1), networks.images(8, seed=2)
    first, second = (ExpectedGradients(samples=16, seed=s)(model, x, baselines=b) for s in (0, 1))
    assert not torch.equal(first.values, second.values)


def test_it_takes_at_most_the_samples_asked_for():
    model, x, b = networks.residual(), networks.images(2), networks.images(7, seed=2)
    found = ExpectedGradients(samples=20)(model, x, baselines=b)
    assert found.passes == (2 + 7 + 2 * 14 + 2, 2 + 2 * 14)


def test_with_more_baselines_than_samples_some_are_left_out():
    model, x, b = networks.residual(), networks.images(1), networks.images(40, seed=2)
    found = ExpectedGradients(samples=16)(model, x, baselines=b)
    assert found.passes.backward == 2 + 16
    assert (found.stderr > 0).any()


@pytest.mark.slow
def test_memory_is_that_of_one_part_whatever_the_images_and_samples():
    import subprocess
    import sys

    def peak(images, samples):
        code = (
            "import resource, sys, torch; sys.path.insert(0, 'tests'); import networks\n"
            "torch.set_num_threads(1)\n"
            "from solarxai.explainers.expected_gradients import ExpectedGradients\n"
            f"x, b = networks.images({images}, size=64), networks.images(64, size=64, seed=2)\n"
            f"ExpectedGradients(samples={samples})(networks.residual(), x, baselines=b)\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        return int(subprocess.check_output([sys.executable, "-c", code]))

    assert peak(64, 200) < 1.5 * peak(1, 64)


def test_baselines_are_asked_for():
    with pytest.raises(ContractError, match=r"needs baselines and got none.*training images"):
        ExpectedGradients()(networks.residual(), networks.images(1))


@pytest.mark.parametrize(
    "baselines",
    [networks.images(3, size=8), networks.images(3)[:0], networks.images(3).double()],
)
def test_baselines_of_another_kind_are_refused(baselines):
    with pytest.raises(ContractError, match=r"for images of torch.float32 \(1, 1, 16, 16\)"):
        ExpectedGradients()(networks.residual(), networks.images(1), baselines=baselines)


def test_baselines_that_are_not_finite_are_refused():
    baselines = torch.full((2, 1, 16, 16), torch.nan)
    with pytest.raises(ContractError, match=r"baselines contain values that are not finite"):
        ExpectedGradients()(networks.residual(), networks.images(1), baselines=baselines)


@pytest.mark.parametrize(("option", "value"), [("samples", 1), ("seed", -1), ("n_baselines", 0)])
def test_options_out_of_range_are_refused(option, value):
    with pytest.raises(ContractError, match=rf"{option} is {value}.*whole number"):
        ExpectedGradients(**{option: value})
