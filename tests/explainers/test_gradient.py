"""The gradient, against arithmetic and captum."""

import networks
import pytest
import torch
from captum.attr import Saliency
from torch import nn

from solarxai.explainers.gradient import Gradient


def test_the_gradient_of_a_linear_network_is_its_weights(agrees):
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 2)).eval()
    found = Gradient()(model, torch.zeros(2, 1, 3, 3))
    weights = (model[1].weight[1] - model[1].weight[0]).detach().reshape(1, 3, 3)
    wanted = weights.expand(2, 1, 3, 3)
    agrees("gradient", "linear model: w", found.values, wanted, tolerance=1e-6)
    assert found.stderr is None
    assert found.completeness_error is None


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("target", [0, 1])
def test_it_equals_captum(axes, target, agrees):
    model, x = networks.residual(axes=axes), networks.images(4, axes=axes)
    found = Gradient()(model, x, target=target).values
    wanted = Saliency(model).attribute(x.clone().requires_grad_(), target=target, abs=False)
    agrees("gradient", "captum Saliency", found, wanted)
