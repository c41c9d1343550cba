"""The penalty of attribution priors against sums done by hand."""

import networks
import pytest
import torch
from torch import nn

from solarxai.models.residual_cnn import ResidualCNN
from solarxai.training.prior import roughness


def linear(weights: torch.Tensor) -> nn.Module:
    """Return a network whose margin is the sum of weights times pixels."""
    layer = nn.Linear(weights.numel(), 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.stack([torch.zeros_like(weights), weights]).flatten(1))
    return nn.Sequential(nn.Flatten(), layer)


def test_of_a_linear_network_it_is_the_total_variation_of_weight_times_difference():
    weights, x = (
        torch.tensor([1.0, -2.0, 0.5]),
        torch.tensor([[[1.0, 0.0, 2.0]], [[0.0, 1.0, 0.0]]]),
    )
    found = {
        float(roughness(linear(weights), x, torch.Generator().manual_seed(seed)).detach())
        for seed in range(8)
    }
    ways = (x[0, 0] - x[1, 0]) * weights
    swapped = float(ways.diff().abs().sum())
    assert {round(value, 5) for value in found} == {0.0, round(swapped, 5)}


def test_its_gradient_reaches_the_weights():
    model = networks.residual()
    roughness(model, networks.images(4), torch.Generator().manual_seed(0)).backward()
    assert all(p.grad is not None for p in model.stem.parameters())


def test_it_leaves_running_statistics_and_mode_alone():
    model = networks.residual().train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    roughness(model, networks.images(4), torch.Generator().manual_seed(0))
    assert model.training
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


@pytest.mark.parametrize("axes", [1, 2])
def test_descending_it_makes_maps_smoother(axes):
    model, x = networks.residual(axes=axes), networks.images(16, axes=axes)
    optimiser = torch.optim.SGD(model.parameters(), 1e-2)
    values = []
    for _ in range(20):
        penalty = roughness(model, x, torch.Generator().manual_seed(1))
        optimiser.zero_grad()
        penalty.backward()
        optimiser.step()
        values.append(float(penalty.detach()))
    assert values[-1] < 0.9 * values[0]


def test_of_spectrograms_it_can_be_the_variation_along_wavelength_alone():
    weights = torch.tensor([[1.0, -2.0, 0.5], [0.5, 3.0, -1.0]])
    x = torch.stack([torch.eye(3)[:2], 1 - torch.eye(3)[:2]])[:, None]
    seeds = range(8)

    def found(axes):
        maps = (torch.Generator().manual_seed(seed) for seed in seeds)
        return {round(float(roughness(linear(weights), x, g, axes=axes).detach()), 5) for g in maps}

    ways = (x[0, 0] - x[1, 0]) * weights
    along = round(float(ways.diff(dim=1).abs().sum()), 5)
    across = round(float(ways.diff(dim=0).abs().sum()), 5)
    assert found((-1,)) == found((3,)) == {0.0, along}
    assert found(None) == {0.0, round(along + across, 5)}


@pytest.mark.parametrize("shape", [(6, 1, 64), (6, 1, 5, 64)])
def test_it_takes_spectra_and_spectrograms(shape):
    model = ResidualCNN(axes=len(shape) - 2, width=2).eval()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    penalty = roughness(model, x, torch.Generator().manual_seed(0), axes=(-1,))
    penalty.backward()
    assert float(penalty.detach()) > 0
    assert all(p.grad is not None for p in model.stem.parameters())
