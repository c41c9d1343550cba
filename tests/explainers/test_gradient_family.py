"""Functions of one gradient, against arithmetic and captum."""

import networks
import pytest
import torch
from captum.attr import InputXGradient as CaptumProduct
from captum.attr import Saliency
from torch import nn

from solarxai.explainers.absolute_gradient import AbsoluteGradient
from solarxai.explainers.gradient import Gradient
from solarxai.explainers.input_x_gradient import InputXGradient
from solarxai.explainers.squared_gradient import SquaredGradient


def relative(found, wanted):
    return float((found - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("target", [0, 1])
def test_they_equal_captum(axes, target, agrees):
    model, x = networks.residual(axes=axes), networks.images(4, axes=axes)
    wanted = Saliency(model).attribute(x.clone().requires_grad_(), target=target)
    found = AbsoluteGradient()(model, x, target=target).values
    agrees("absolute_gradient", "captum Saliency", found, wanted)
    found = SquaredGradient()(model, x, target=target).values
    agrees("squared_gradient", "captum Saliency, squared", found, wanted**2)
    wanted = CaptumProduct(model).attribute(x.clone().requires_grad_(), target=target).detach()
    found = InputXGradient()(model, x, target=target).values
    agrees("input_x_gradient", "captum InputXGradient", found, wanted)


def test_a_linear_network_gives_its_weights(agrees):
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval()
    x = networks.images(4, size=3).reshape(2, 2, 3, 3)[:, :, :, :2]
    weights = model[1].weight[2].detach().reshape(2, 3, 2).expand(2, 2, 3, 2)
    for method, kind, oracle, wanted in (
        ("absolute_gradient", AbsoluteGradient, "linear model: |w|", weights.abs()),
        ("squared_gradient", SquaredGradient, "linear model: w²", weights**2),
        ("input_x_gradient", InputXGradient, "linear model: w·x", weights * x),
    ):
        agrees(method, oracle, kind()(model, x, target=2).values, wanted, tolerance=1e-6)


def test_the_magnitude_is_taken_of_the_difference_not_of_each_class():
    model, x = networks.residual(), networks.images(2)
    both = [AbsoluteGradient()(model, x, target=k).values for k in (0, 1)]
    found = AbsoluteGradient()(model, x).values
    assert torch.equal(found, Gradient()(model, x).values.abs())
    assert relative(found, both[1] - both[0]) > 0.5


def test_squares_sum_to_the_variance_of_the_score_under_small_noise():
    model, x = networks.residual(seed=3), networks.images(1)
    noise = 1e-3 * torch.randn(4000, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        variance = float(model(x + noise)[:, 1].double().var()) / 1e-6
    found = SquaredGradient()(model, x, target=1).values
    assert float(found.sum()) == pytest.approx(variance, rel=0.1)


def test_products_sum_to_the_score_of_a_network_without_bias():
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 4, 3, bias=False), nn.ReLU(), nn.Flatten())
    model = nn.Sequential(*layers, nn.Linear(4 * 36, 2, bias=False)).eval()
    x = networks.images(3, size=8)
    found = InputXGradient()(model, x, target=1)
    torch.testing.assert_close(found.values.sum(dim=(1, 2, 3)), model(x)[:, 1].detach())
    assert found.completeness_error is None


def test_products_do_not_sum_to_the_score_of_a_network_with_bias():
    model, x = networks.residual(), networks.images(1)
    gap = InputXGradient()(model, x, target=1).values.sum() - model(x)[0, 1]
    assert float(gap.abs().detach()) > 0.1
