"""RISE, against its expectation for a linear network, a plain loop and its own spread."""

import networks
import numpy as np
import pytest
import torch
from torch import nn

from solarxai.engine.random_masks import RandomMasks
from solarxai.engine.seeds import image_generator
from solarxai.errors import ContractError
from solarxai.explainers.rise import Rise

SIZE, GRID = 12, 4


def linear(axes: int = 2) -> nn.Module:
    return networks.trained_looking(nn.Sequential(nn.Flatten(), nn.Linear(SIZE**axes, 2)))


def along(size: int = SIZE, cell: int = SIZE // GRID) -> np.ndarray:
    """Return the correlation of two pixels of a mask along one axis, by interpolating impulses."""
    nodes = np.arange(size // cell + 3)
    pixels = np.arange(size)
    total = np.zeros((size, size))
    for shift in range(cell):
        at = (pixels + shift) / cell
        weights = np.stack([np.interp(at, nodes, np.eye(len(nodes))[n]) for n in nodes])
        total += weights.T @ weights
    return total / total[0, 0]


def expectation(model: nn.Module, x: torch.Tensor, axes: int) -> torch.Tensor:
    weights = (model[1].weight[1] - model[1].weight[0]).detach().reshape(x.shape[1:])
    contribution = (weights * (x - x.mean()))[0, 0].double().numpy()
    smoothed = along() @ contribution
    return torch.from_numpy(smoothed @ along().T if axes == 2 else smoothed)


@pytest.mark.parametrize("axes", [1, 2])
def test_for_a_linear_network_it_is_the_contribution_smoothed_by_the_masks(axes, agrees):
    model, x = linear(axes), networks.images(1, axes=axes, size=SIZE)
    found = Rise(samples=20000, grid=GRID)(model, x)
    wanted = expectation(model, x, axes)
    told = ("rise", "linear model: w·(x − x′) with the masks' autocorrelation")
    agrees(*told, found.values[0, 0], wanted, stderr=found.stderr[0, 0])
    pull = (found.values[0, 0] - wanted) / found.stderr[0, 0]
    assert float(pull.abs().max()) < 4.5
    assert float((found.values[0, 0] - wanted).norm() / wanted.norm()) < 0.1
    assert float(found.values.sum()) == pytest.approx(float(wanted.sum()), abs=0.1 * SIZE**axes)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("keep", [0.5, 0.2])
def test_the_standard_error_is_the_spread_over_seeds(centred, keep):
    model, x = linear(), networks.images(1, size=SIZE)
    options = {"samples": 64, "grid": GRID, "keep": keep, "centred": centred}
    found = [Rise(seed=seed, **options)(model, x) for seed in range(150)]
    values = torch.stack([f.values for f in found]).double()
    stderr = torch.stack([f.stderr for f in found]).double()
    truth = Rise(seed=999, **options | {"samples": 40000})(model, x).values
    pull = (values - truth).square().mean() / stderr.square().mean()
    assert float(pull.sqrt()) == pytest.approx(1, abs=0.1)
    assert float((values.mean(dim=0) - truth).norm() / values.std(dim=0).norm()) < 0.15


def test_the_standard_error_is_calibrated_on_a_network_that_is_not_linear():
    model, x = networks.residual(), networks.images(1)
    found = [Rise(samples=100, seed=seed)(model, x) for seed in range(100)]
    truth = torch.stack([f.values for f in found]).mean(dim=0)
    pull = torch.stack([(f.values - truth) / f.stderr for f in found])
    assert float(pull.square().mean().sqrt()) == pytest.approx(1, abs=0.12)


def test_not_centred_it_is_the_published_mean_of_scores_times_masks(agrees):
    model, x = networks.residual(), networks.images(1)
    found = Rise(samples=100, centred=False, keep=0.3, fill="value", batch_size=7)
    generator = image_generator(0, x[0])
    masks = RandomMasks((16, 16), grid=8, keep=0.3, generator=generator).draw(100)
    with torch.no_grad():
        scores = model(x * masks[:, None])[:, 1]
    products = scores[:, None, None] * masks
    answer = found(model, x, target=1)
    wanted = products.mean(dim=0) / 0.3
    told = ("rise", "formula of the paper, by hand")
    agrees(*told, answer.values[0, 0], wanted, tolerance=5e-6)
    stderr = products.std(dim=0) / 10 / 0.3
    torch.testing.assert_close(answer.stderr[0, 0], stderr, rtol=1e-3, atol=1e-6)


def test_centred_it_is_the_sample_covariance_over_the_exact_variance(agrees):
    model, x = networks.residual(), networks.images(1)
    generator = image_generator(3, x[0])
    drawn = RandomMasks((16, 16), grid=4, keep=0.5, generator=generator)
    masks = drawn.draw(50)
    with torch.no_grad():
        scores = model(x * masks[:, None])[:, 0].double()
    excess = (scores - scores.mean())[:, None, None] * masks
    wanted = excess.sum(dim=0) / 49 / drawn.variance
    found = Rise(samples=50, seed=3, grid=4, fill="value")(model, x, target=0).values[0, 0]
    agrees("rise", "sample covariance, by hand", found, wanted)


class OneSpot(nn.Module):
    """Large scores that hardly depend on the image, but on one spot of it."""

    def forward(self, x):
        spot = x[:, 0, 4:6, 8:10].mean(dim=(1, 2))
        return torch.stack([0 * spot, 30 + spot], dim=1)


def test_a_large_constant_score_drowns_the_published_map_and_not_the_centred_one():
    x = networks.images(1)
    x[..., 4:6, 8:10] += 3
    model = OneSpot().eval()
    maps = [Rise(samples=400, centred=c)(model, x).values[0, 0] for c in (True, False)]
    assert [int(m.argmax()) // 16 in (4, 5) and int(m.argmax()) % 16 in (8, 9) for m in maps] == [
        True,
        False,
    ]


def test_the_number_of_images_in_a_pass_does_not_change_the_masks():
    model, x = networks.residual(), networks.images(2)
    small, large = (Rise(samples=50, batch_size=n)(model, x) for n in (3, 32))
    for a, b in ((small.values, large.values), (small.stderr, large.stderr)):
        assert float((a - b).abs().max() / b.abs().max()) < 1e-5


def test_it_goes_on_until_the_standard_error_asked_for_or_the_passes_are_spent():
    model, x = networks.residual(), networks.images(1)
    sure = Rise(samples=100, stop_at_stderr=0.2)(model, x)
    spread = sure.stderr.square().mean().sqrt() / sure.values.square().mean().sqrt()
    assert spread <= 0.2
    assert sure.passes.forward > 201
    short = Rise(samples=100, stop_at_stderr=1e-6, max_passes=250)(model, x)
    assert short.passes.forward - sure.passes.backward == 250


@pytest.mark.parametrize("keep", [0.0, 1.0, -1.0])
def test_a_probability_that_hides_all_or_nothing_is_refused(keep):
    with pytest.raises(ContractError, match=r"keep is .*between 0 and 1"):
        Rise(keep=keep)
