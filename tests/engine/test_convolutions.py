"""Faster convolutions answer, and send gradients back, as those they replace."""

import copy

import pytest
import torch
from torch import fx, nn

from solarxai.engine.convolutions import gradient_to_input, speed_up_convolutions


def same_with_gradient(layer: nn.Module, x: torch.Tensor) -> nn.Module:
    """Assert that the faster layer gives the same, and return it."""
    wanted_in, found_in = (x.clone().requires_grad_() for _ in range(2))
    network = nn.Sequential(layer)
    graph = speed_up_convolutions(fx.symbolic_trace(nn.Sequential(layer)))
    wanted, found = network(wanted_in), graph(found_in)
    torch.testing.assert_close(found, wanted)
    g = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(2))
    (wanted_back,) = torch.autograd.grad(wanted, wanted_in, g)
    (found_back,) = torch.autograd.grad(found, found_in, g)
    torch.testing.assert_close(found_back, wanted_back, rtol=1e-4, atol=1e-4)
    return graph.get_submodule("0")


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("size", [16, 19, 21])
def test_the_gradient_to_an_image_is_that_of_the_convolution(kernel, stride, padding, size):
    layer = nn.Conv2d(1, 4, kernel, stride, padding)
    same_with_gradient(layer, noise(2, 1, size, size + 3))


@pytest.mark.parametrize("kernel", [1, 3, 4, 9])
@pytest.mark.parametrize("stride", [1, 2, 5])
@pytest.mark.parametrize("padding", [0, 3])
def test_the_gradient_to_a_spectrum_is_that_of_the_convolution(kernel, stride, padding):
    layer = nn.Conv1d(2, 4, kernel, stride, padding)
    same_with_gradient(layer, noise(3, 2, 41))
    same_with_gradient(layer, noise(3, 2, 641))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(2, 4, 3, dilation=2),
        nn.Conv1d(2, 4, 3, groups=2, padding=1),
        nn.Conv1d(2, 4, 5, padding="same"),
        nn.Conv1d(2, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv1d(2, 4, 3, stride=40, padding=1),
    ],
)
def test_odd_convolutions_of_spectra_answer_the_same(layer):
    same_with_gradient(layer, noise(3, 2, 41))
    same_with_gradient(layer, noise(3, 2, 641))


def test_only_convolutions_of_short_spectra_become_matrices():
    layer = nn.Conv1d(1, 2, 5, 2)
    made = same_with_gradient(layer, noise(2, 1, 256))
    assert made.__dict__["matrix 256"][1].kernel.shape == (256, 252)
    made = same_with_gradient(layer, noise(2, 1, 257))
    assert made.__dict__["matrix 257"][1] is None
    made = same_with_gradient(nn.Conv1d(1, 3, 5, 2), noise(2, 1, 256))
    assert made.__dict__["matrix 256"][1] is None


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(2, 4, 5, 3, 1), (2, 41)),
        (nn.Conv1d(2, 4, 5, 3, 1), (2, 641)),
        (nn.Conv1d(2, 4, 5, dilation=3, groups=2), (2, 641)),
        (nn.Conv2d(1, 4, 5, 3, 1), (1, 20, 23)),
        (nn.Conv2d(2, 4, 5, dilation=(2, 1), padding=(1, 0)), (2, 20, 23)),
    ],
)
def test_the_gradient_to_the_input_is_found_without_a_pass(layer, shape):
    made = speed_up_convolutions(fx.symbolic_trace(nn.Sequential(layer))).get_submodule("0")
    x = noise(3, *shape).requires_grad_()
    y = layer(x)
    (wanted,) = torch.autograd.grad(y, x, torch.ones_like(y))
    found = gradient_to_input(made, torch.ones_like(y), x.shape[1:])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_axes_may_differ():
    layer = nn.Conv2d(3, 4, (5, 2), (2, 1), (1, 0), bias=False)
    made = same_with_gradient(layer, noise(2, 3, 17, 12))
    assert isinstance(made, nn.Conv2d)
    assert type(made) is not nn.Conv2d


@pytest.mark.parametrize("layer", [nn.Conv1d(1, 4, 5, 2), nn.Conv2d(1, 4, 5, 2)])
def test_a_copy_with_other_weights_answers_and_differentiates_by_them(layer):
    x = noise(2, 1, *(21,) * (layer.weight.ndim - 2)).requires_grad_()
    made = speed_up_convolutions(fx.symbolic_trace(nn.Sequential(layer))).get_submodule("0")
    torch.autograd.grad(made(x).sum(), x)
    other = copy.copy(made)
    other._parameters = {"weight": nn.Parameter(2 * layer.weight.detach()), "bias": layer.bias}
    (wanted,) = torch.autograd.grad(layer(x).sum(), x)
    (found,) = torch.autograd.grad(other(x).sum(), x)
    torch.testing.assert_close(found, 2 * wanted)
    torch.testing.assert_close(
        other(x) - layer.bias.view(-1, *[1] * (x.ndim - 2)),
        2 * (layer(x) - layer.bias.view(-1, *[1] * (x.ndim - 2))),
    )


def test_later_convolutions_of_images_are_left_alone():
    network = nn.Sequential(nn.Conv2d(1, 2, 3, 2), nn.ReLU(), nn.Conv2d(2, 2, 3, 2))
    graph = speed_up_convolutions(fx.symbolic_trace(network))
    assert type(graph.get_submodule("0")) is not nn.Conv2d
    assert type(graph.get_submodule("2")) is nn.Conv2d
    assert type(network[0]) is nn.Conv2d
