"""Rules share what they are given: each against its equation, written out for one layer."""

import networks
import pytest
import rule_networks
import torch
from torch import Tensor, nn

from solarxai.engine.gradients import Stream
from solarxai.engine.preparation import prepare
from solarxai.engine.relevance import Relevant
from solarxai.engine.rules import (
    Composite,
    alpha_beta,
    gamma_rule,
    stabilised,
    w_square,
    z_box,
    z_plus,
    z_signed,
)

WEIGHT = torch.tensor([[1.0, -2.0, 3.0], [-1.0, 0.5, 2.0]], dtype=torch.float64)
BIAS = torch.tensor([0.5, -0.25], dtype=torch.float64)
X = torch.tensor([2.0, 1.0, -0.5], dtype=torch.float64)
R = torch.tensor([1.5, -0.7], dtype=torch.float64)
"""A dense layer that gives −1.5 + 0.5 and −2.5 − 0.25, and what its outputs hold."""


def shared(rule, *, weight: Tensor = WEIGHT, bias: Tensor | None = BIAS, x: Tensor = X) -> Tensor:
    layer = nn.Linear(3, 2, bias=bias is not None).double()
    layer.weight.data = weight.clone()
    if bias is not None:
        layer.bias.data = bias.clone()
    network = nn.Sequential(nn.Flatten(), layer).eval()
    image = x.reshape(1, 1, 3)
    stream = Stream(prepare(network, image), batch_size=1)
    composite = Composite(convolution=rule, dense=rule, epsilon=1e-12, stabiliser=1e-12)
    relevant = Relevant(stream.prepared, composite, rule="test")
    found = relevant.relevance(stream, image, lambda scores, weights: weights, R[None])
    return next(iter(found))[0].flatten()


def share(numerators: Tensor, bias: Tensor | float = 0.0) -> Tensor:
    """Return numerators (output, input) divided by their sums, times what the outputs hold."""
    return (numerators / (numerators.sum(dim=1) + bias)[:, None] * R[:, None]).sum(dim=0)


def test_the_epsilon_rule_shares_by_contributions():
    torch.testing.assert_close(shared(None), share(WEIGHT * X, BIAS))


@pytest.mark.parametrize(("bias", "positive"), [(True, BIAS.clamp_min(0)), (False, 0.0)])
def test_z_plus_shares_by_positive_contributions(bias, positive):
    wanted = share((WEIGHT * X).clamp_min(0), positive)
    torch.testing.assert_close(shared(z_plus(bias=bias)), wanted)


def test_alpha_beta_weighs_both_signs():
    raising = share((WEIGHT * X).clamp_min(0), BIAS.clamp_min(0))
    lowering = share((WEIGHT * X).clamp_max(0), BIAS.clamp_max(0))
    torch.testing.assert_close(shared(alpha_beta(2.0, 1.0)), 2 * raising - lowering)


def test_gamma_favours_what_agrees_with_the_output():
    parts = WEIGHT * X
    agreeing = torch.where(parts * (parts.sum(1) + BIAS)[:, None] > 0, 1.25 * parts, parts)
    same = torch.where(BIAS * (parts.sum(1) + BIAS) > 0, 1.25 * BIAS, BIAS)
    torch.testing.assert_close(shared(gamma_rule(0.25)), share(agreeing, same))


def test_a_signed_output_is_shared_by_what_made_its_sign():
    x = torch.tensor([1.0, 0.2, 1.0], dtype=torch.float64)
    weight = WEIGHT * torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    raised, lowered = (weight * x).clamp_min(0)[:1], (weight * x).clamp_max(0)[1:]
    wanted = share(torch.cat([raised, lowered]))
    torch.testing.assert_close(shared(z_signed(), weight=weight, x=x), wanted)


def test_the_box_measures_from_its_ends():
    low, high = WEIGHT.clamp_min(0) * -1.0, WEIGHT.clamp_max(0) * 3.0
    torch.testing.assert_close(shared(z_box(-1.0, 3.0)), share(WEIGHT * X - low - high))


def test_squared_weights_share_whatever_the_input():
    torch.testing.assert_close(shared(w_square()), share(WEIGHT**2))
    torch.testing.assert_close(shared(w_square(), x=torch.zeros_like(X)), share(WEIGHT**2))


def test_a_denominator_keeps_its_sign_and_zero_is_positive():
    found = stabilised(torch.tensor([-2.0, 0.0, 2.0]), 0.5)
    assert found.tolist() == [-2.5, 0.5, 2.5]


RULES = (None, z_plus(bias=False), gamma_rule(0.5), w_square(), z_box(-9.0, 9.0))


class Functional(nn.Module):
    """Layers as functions of parameters, one of them transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.zeros(4, 1, 3, 3))
        self.up = nn.Parameter(torch.zeros(4, 3, 2, 2))
        self.out = nn.Parameter(torch.zeros(2, 3))
        self.shift = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.conv2d(x, self.down, stride=2, padding=1).relu()
        x = nn.functional.conv_transpose2d(x, self.up, self.shift, stride=2).relu()
        return nn.functional.linear(x.mean((2, 3)), self.out)


class Modular(nn.Module):
    """The same with modules."""

    def __init__(self, parts: Functional) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, 2, 1, bias=False)
        self.up = nn.ConvTranspose2d(4, 3, 2, 2)
        self.out = nn.Linear(3, 2, bias=False)
        for name in ("down", "up", "out"):
            getattr(self, name).weight.data = getattr(parts, name).data
        self.up.bias.data = parts.shift.data

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(self.down(x).relu()).relu()
        return self.out(x.mean((2, 3)))


@pytest.mark.parametrize("rule", RULES)
def test_a_layer_has_its_rule_as_a_module_and_as_a_function(rule):
    parts = networks.trained_looking(Functional())
    maps = []
    for network in (parts, Modular(parts).eval()):
        x = networks.images(3)
        stream = Stream(prepare(network, x), batch_size=3)
        relevant = Relevant(stream.prepared, Composite(convolution=rule, dense=rule), rule="test")
        weights = torch.tensor([[0.0, 1.0]]).expand(3, 2)
        maps.append(next(relevant.relevance(stream, x, torch.mul, weights))[0])
    torch.testing.assert_close(maps[1], maps[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("axes", [1, 2])
def test_no_relevance_is_lost_without_biases(rule, axes):
    network = rule_networks.without_bias(networks.residual(axes=axes))
    x = networks.images(4, axes=axes).double()
    stream = Stream(prepare(network, x), batch_size=4)
    first = rule if rule in RULES[3:] else "same"
    above = z_plus(bias=False) if first is rule else rule
    composite = Composite(
        convolution=above, dense=None, first=first, positive_sums=above is not None, epsilon=1e-12
    )
    relevant = Relevant(stream.prepared, composite, rule="test")
    weights = torch.tensor([[0.0, 1.0]]).expand(4, 2)
    found, gaps = next(relevant.relevance(stream, x, torch.mul, weights))
    assert float((gaps / network(x)[:, 1].detach()).abs().max()) < 1e-6
    assert found.dtype == torch.float64
