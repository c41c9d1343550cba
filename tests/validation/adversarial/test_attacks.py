"""Attacks on networks whose margins can be written down."""

import pytest
import torch
from torch import nn

from solarxai.classifier import InputContract
from solarxai.errors import ValidationError
from solarxai.validation.adversarial.attacks import (
    Ball,
    climb,
    fast_gradient_sign,
    margins,
    projected_gradient,
    random_signs,
)


class Weighted(nn.Module):
    """Its margin is the sum of the pixels times fixed weights."""

    def __init__(self):
        super().__init__()
        drawn = torch.randn(1, 1, 6, 6, generator=torch.Generator().manual_seed(1))
        self.weight = nn.Parameter(drawn)

    def forward(self, x):
        margin = (x * self.weight).sum(dim=(1, 2, 3))
        return torch.stack([-margin / 2, margin / 2], dim=1)


@pytest.fixture
def network():
    return Weighted().eval()


@pytest.fixture
def x():
    return torch.randn(9, 1, 6, 6, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("attack", [fast_gradient_sign, projected_gradient])
def test_the_margin_of_a_linear_network_falls_by_the_radius_times_its_weights(network, x, attack):
    before = margins(network, x)
    after = margins(network, attack(network, Ball(x=x, radius=0.01)))
    fall = 0.01 * network.weight.abs().sum()
    torch.testing.assert_close(before.sign() * (before - after), fall.expand(9), rtol=1e-3, atol=0)


def test_no_pixel_leaves_the_ball_and_the_given_images_stay(network, x):
    ball, kept = Ball(x=x, radius=0.01), x.clone()
    for made in (fast_gradient_sign(network, ball), projected_gradient(network, ball),
                 random_signs(ball), ball.draw(0)):  # fmt: skip
        assert float((made - x).abs().max()) <= 0.01 + 1e-6
        assert not made.requires_grad
    assert torch.equal(x, kept)
    assert network.weight.grad is None


def test_noise_is_as_large_as_a_fast_gradient_sign_and_differs_between_seeds(network, x):
    ball = Ball(x=x, radius=0.01)
    noise, attack = random_signs(ball, seed=1) - x, fast_gradient_sign(network, ball) - x
    torch.testing.assert_close(noise.norm(), attack.norm(), rtol=1e-4, atol=0)
    assert torch.equal(random_signs(ball, seed=1), random_signs(ball, seed=1))
    assert not torch.equal(random_signs(ball, seed=1), random_signs(ball, seed=2))


def test_an_amplitude_is_a_fraction_of_the_quiet_sun_and_no_pixel_becomes_negative():
    contract = InputContract(shape=(2, 2), scale_mm=0.5, offset=1.0, scale=0.1)
    intensity = torch.tensor([[[[1.0, 0.5], [0.01, 0.0]]]])
    ball = Ball.of((intensity - 1) / 0.1, contract, amplitude=0.02)
    lowest = ball.nearest(torch.full((1, 1, 2, 2), -100.0)) * 0.1 + 1
    torch.testing.assert_close(lowest, torch.tensor([[[[0.98, 0.48], [0.0, 0.0]]]]))


def test_steps_of_the_gradient_find_the_top_of_a_hill_inside_the_ball():
    x = torch.zeros(2, 1, 3, 3)
    made = climb(
        lambda there: -(there - 0.3).square().sum(dim=(1, 2, 3)), Ball(x=x, radius=1.0), steps=60,
        step=0.1, anneal=True,
    )  # fmt: skip
    torch.testing.assert_close(made, torch.full_like(x, 0.3), rtol=0, atol=0.02)


def test_momentum_goes_on_where_the_gradient_turns():
    x = torch.zeros(1, 1, 1, 1)
    ball = Ball(x=x, radius=10.0)

    def hill(there):
        return -(there - 0.1).abs().sum(dim=(1, 2, 3))

    assert float(climb(hill, ball, steps=2, step=0.1)) == pytest.approx(0.0)
    assert float(climb(hill, ball, steps=2, step=0.1, momentum=1.0)) == pytest.approx(1.0)
    assert float(climb(hill, ball, steps=2, step=0.1, momentum=2.0)) == pytest.approx(2.0)


@pytest.mark.parametrize("radius", [0.0, -0.1, float("nan")])
def test_an_amplitude_that_is_not_positive_is_refused(x, radius):
    with pytest.raises(ValidationError, match="a perturbation of amplitude"):
        Ball(x=x, radius=radius)


def test_a_network_of_three_classes_is_refused(x):
    three = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).eval()
    with pytest.raises(ValidationError, match="a network with 3 outputs"):
        fast_gradient_sign(three, Ball(x=x, radius=0.1))
