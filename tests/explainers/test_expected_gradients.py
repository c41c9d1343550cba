"""Expected Gradients: arithmetic, an oracle, its error bars, its memory."""

import networks
import numpy as np
import pytest
import torch
from captum.attr import GradientShap
from peak_memory import peak_bytes
from torch import nn

from solarxai.errors import ContractError
from solarxai.explainers.expected_gradients import ExpectedGradients


def test_a_linear_network_contributes_weight_times_difference(agrees):
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 2)).eval()
    x, b = networks.images(2, size=3), networks.images(5, size=3, seed=4)
    found = ExpectedGradients(samples=5)(model, x, target=1, baselines=b)
    wanted = model[1].weight[1].detach().reshape(1, 3, 3) * (x - b.mean(dim=0))
    told = ("expected_gradients", "linear model: w·(x − x′)")
    agrees(*told, found.values, wanted, tolerance=2e-6)
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
def test_it_agrees_with_a_long_run_of_captum_within_three_standard_errors(axes, agrees):
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
    told = ("expected_gradients", "long run of captum GradientShap")
    agrees(*told, found.values, oracle.mean(dim=0), stderr=spread, share=0.985)


def long_run(model, x, b, positions=64):
    """Return the mean over all baselines of even positions on each path, by plain autograd."""
    alphas = ((torch.arange(positions) + 0.5) / positions).view(-1, *[1] * (x.ndim - 1))
    total = torch.zeros_like(x)
    for image, of_image in zip(x, total, strict=True):
        for baseline in b:
            points = (baseline + alphas * (image - baseline)).requires_grad_()
            scores = model(points)
            (slope,) = torch.autograd.grad((scores[:, 1] - scores[:, 0]).sum(), points)
            of_image += (image - baseline) * slope.mean(dim=0) / len(b)
    return total


def coverage(model, x, b, samples, *, seeds, **options):
    """Return the share of pixels whose error is within two standard errors."""
    truth, within = long_run(model, x, b), []
    for seed in seeds:
        method = ExpectedGradients(samples=samples, seed=seed, **options)
        found = method(model, x, baselines=b)
        within.append(((found.values - truth).abs() < 2 * found.stderr).float().mean())
    return float(torch.stack(within).mean())


@pytest.mark.parametrize("samples", [50, 75, 100, 150])
@pytest.mark.parametrize("axes", [1, 2])
def test_the_truth_lies_within_two_standard_errors_in_93_to_97_percent(samples, axes):
    model = networks.residual(axes=axes, seed=3)
    x, b = networks.images(3, axes=axes, size=32), networks.images(50, axes=axes, size=32, seed=2)
    assert 0.93 <= coverage(model, x, b, samples, seeds=range(10)) <= 0.97


@pytest.mark.parametrize("control", ["on", "off"])
def test_standard_errors_hold_where_baselines_are_left_out(control):
    model = networks.residual(seed=3)
    x, b = networks.images(2, size=32), networks.images(80, size=32, seed=2)
    assert 0.92 <= coverage(model, x, b, 40, seeds=range(8), control=control) <= 0.98


def spread(model, x, b, truth, **options):
    """Return the mean square error of ten maps."""
    found = [ExpectedGradients(seed=s, **options)(model, x, baselines=b).values for s in range(10)]
    return float((torch.stack(found) - truth).square().mean())


def test_the_mean_of_many_seeds_is_the_truth():
    model, x, b = networks.residual(seed=3), networks.images(1), networks.images(12, seed=2)
    truth = long_run(model, x, b, positions=512)
    for samples, control in ((8, "on"), (8, "off"), (17, "auto")):
        found = torch.stack(
            [
                ExpectedGradients(samples=samples, seed=s, control=control)(
                    model, x, baselines=b
                ).values
                for s in range(100)
            ]
        )
        score = (found.mean(dim=0) - truth) / (found.std(dim=0) / 10)
        assert float(score.square().mean().sqrt()) < 1.3


def test_the_control_takes_variance_away():
    model, x, b = networks.residual(seed=3), networks.images(2), networks.images(40, seed=2)
    truth = long_run(model, x, b)
    on, off = (spread(model, x, b, truth, samples=80, control=c) for c in ("on", "off"))
    assert on < 0.8 * off


class Switch(nn.Module):
    """A score that changes in a narrow part of every path, and nowhere else."""

    def forward(self, x):
        level = torch.tanh(60 * (x.flatten(1).mean(dim=1, keepdim=True) - 0.3))
        return torch.cat([-level, level], dim=1)


def test_importance_finds_where_a_saturated_score_changes():
    model = Switch().eval()
    noise = networks.images(20, size=4, seed=2) * 0.1
    x, b = noise[:1] + 1, noise[2:] + torch.arange(18).view(-1, 1, 1, 1) % 2 * 1.0
    truth = long_run(model, x, b, positions=4096)
    options = {"samples": 16, "control": "off"}
    off, auto, on = (
        spread(model, x, b, truth, importance=i, **options) for i in ("off", "auto", "on")
    )
    assert on < 0.6 * off
    assert auto == on


def test_importance_is_left_off_where_gradients_are_spread_evenly():
    model, x, b = networks.residual(), networks.images(1), networks.images(8, seed=2)
    auto, off = (ExpectedGradients(importance=i)(model, x, baselines=b) for i in ("auto", "off"))
    assert torch.equal(auto.values, off.values)
    assert auto.passes.backward == off.passes.backward + 64


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


def test_it_takes_the_samples_asked_for_and_a_few_once_a_call():
    model, x, b = networks.residual(), networks.images(2), networks.images(7, seed=2)
    found = ExpectedGradients(samples=20, importance="off")(model, x, baselines=b)
    assert found.passes == (2 + 7 + 2 * 21, 2 + 7 + 2 * 21)
    found = ExpectedGradients(samples=20, control="off")(model, x, baselines=b)
    assert found.passes == (2 + 7 + 48 + 2 * 21, 2 + 48 + 2 * 21)


def test_with_more_baselines_than_samples_some_are_left_out():
    model, x, b = networks.residual(), networks.images(1), networks.images(40, seed=2)
    found = ExpectedGradients(samples=16, importance="off")(model, x, baselines=b)
    assert found.passes.backward == 2 + 16 + 1
    assert (found.stderr > 0).any()


def test_rounds_are_added_until_the_standard_error_is_small_enough():
    model, x, b = networks.residual(), networks.images(2), networks.images(10, seed=2)
    rough = ExpectedGradients(samples=10, importance="off")(model, x, baselines=b)
    sure = ExpectedGradients(samples=10, importance="off", stop_at_stderr=0.02)(
        model, x, baselines=b
    )
    assert sure.passes.backward > rough.passes.backward
    for row in range(2):
        assert sure.stderr[row].square().mean() <= (0.02 * sure.values[row]).square().mean()
    truth = long_run(model, x, b)
    assert (sure.values - truth).square().mean() < (rough.values - truth).square().mean() / 4


def test_rounds_end_at_the_most_passes():
    model, x, b = networks.residual(), networks.images(1), networks.images(4, seed=2)
    options = {"samples": 10, "stop_at_stderr": 1e-9, "max_passes": 25, "importance": "off"}
    found = ExpectedGradients(**options)(model, x, baselines=b)
    assert found.passes.backward == 2 + 4 + 1 + 25


def test_the_error_of_rounds_is_that_of_their_mean():
    model = networks.residual(seed=3)
    x, b = networks.images(2, size=32), networks.images(25, size=32, seed=2)
    options = {"stop_at_stderr": 1e-9, "max_passes": 100}
    assert 0.92 <= coverage(model, x, b, 25, seeds=range(8), **options) <= 0.98


def test_one_baseline_is_a_path_like_any_other():
    model, x, b = networks.residual(), networks.images(2), networks.images(1, seed=2)
    found = ExpectedGradients(samples=64)(model, x, baselines=b)
    truth = long_run(model, x, b, positions=512)
    assert float((found.values - truth).norm() / truth.norm()) < 0.02


@pytest.mark.slow
def test_memory_is_that_of_one_part_and_the_maps_whatever_the_images_and_samples():
    model, b = networks.residual(), networks.images(64, seed=2)

    def peak(images, samples):
        x = networks.images(images)
        method = ExpectedGradients(samples=samples)
        maps_twice = 4 * x.nbytes
        return peak_bytes(lambda: method(model, x, baselines=b)) - maps_twice

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


@pytest.mark.parametrize("option", ["control", "importance"])
def test_an_option_that_is_no_choice_is_refused(option):
    with pytest.raises(ContractError, match=rf"{option} is 'maybe'.*auto, on, off"):
        ExpectedGradients(**{option: "maybe"})
