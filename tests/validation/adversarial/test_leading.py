"""Maps that can be led: smoothed networks, and what leading does to the map of the network."""

import numpy as np
import pytest
import torch
from torch import nn

from solarxai.errors import ExplainerRefusal, ValidationError
from solarxai.explainers.grad_cam import GradCAM
from solarxai.explainers.gradient import Gradient
from solarxai.schema import PENUMBRA, QUIET
from solarxai.validation.adversarial.attacks import Ball, margins
from solarxai.validation.adversarial.leading import lead, quiet_corners
from solarxai.validation.adversarial.movable import MovableMap

SIDE = 16


class Pooled(nn.Module):
    """Two convolutions, strides 2, ReLUs as module and as function, a pooled head."""

    def __init__(self, activation=None):
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, stride=2, padding=1)
        self.activation = activation or nn.ReLU()
        self.second = nn.Conv2d(6, 8, 3, padding=1)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        x = torch.relu(self.second(self.activation(self.first(x))))
        return self.head(x.mean(dim=(2, 3)))


def make(activation=None):
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return Pooled(activation).eval()


@pytest.fixture
def network():
    return make()


@pytest.fixture
def x():
    return torch.randn(5, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def smoothed(network, x, method, sharpness):
    movable = MovableMap(network, x, method=method, sharpness=sharpness)
    found, margin = movable(x.clone().requires_grad_())
    return movable, found.detach(), margin.detach()


def test_sharp_smoothing_gives_the_maps_and_margins_of_the_network(network, x):
    _, cam, margin = smoothed(network, x, "grad_cam", 1e6)
    torch.testing.assert_close(margin, margins(network, x).detach(), rtol=1e-3, atol=1e-3)
    features = GradCAM()(network, x).features
    torch.testing.assert_close(cam, features.values[:, 0], rtol=1e-2, atol=1e-4)
    _, gradient, _ = smoothed(network, x, "gradient", 1e6)
    torch.testing.assert_close(gradient, Gradient()(network, x).values[:, 0], rtol=1e-2, atol=1e-4)


def test_the_gradient_map_has_a_slope_with_softplus_as_it_has_none_with_rectifiers(network, x):
    movable = MovableMap(network, x, method="gradient", sharpness=5.0)
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(movable(leaf)[0].square().sum(), leaf)
    assert float(slope.abs().max()) > 0
    leaf = x.clone().requires_grad_()
    (plain,) = torch.autograd.grad(margins(network, leaf).sum(), leaf, create_graph=True)
    (none,) = torch.autograd.grad(plain.square().sum(), leaf)
    assert float(none.abs().max()) == 0


def test_cells_of_a_place_are_those_whose_centres_lie_in_it(network, x):
    place = torch.zeros(5, SIDE, SIDE, dtype=torch.bool)
    place[:, :4, 8:] = True
    movable = MovableMap(network, x, method="grad_cam")
    cells = movable.cells_in(place)
    assert cells.shape == (5, SIDE // 2, SIDE // 2)
    assert cells[0, :2, 4:].all()
    assert int(cells[0].sum()) == 8
    assert MovableMap(network, x, method="gradient").cells_in(place) is place


def share(maps, place):
    size = np.abs(maps)
    return (size * place).sum(axis=(1, 2)) / size.sum(axis=(1, 2))


@pytest.mark.parametrize(
    ("method", "explainer"), [("grad_cam", GradCAM()), ("gradient", Gradient())]
)
def test_a_led_map_of_the_network_itself_lies_more_in_the_place(network, x, method, explainer):
    place = np.zeros((5, SIDE, SIDE), dtype=bool)
    place[:, :5, :5] = True
    ball = Ball(x=x, radius=0.2)
    made = lead(network, ball, place, method=method, steps=40)
    assert float((made - x).abs().max()) <= 0.2 + 1e-6
    before, after = (explainer(network, one).values[:, 0].numpy() for one in (x, made))
    assert (share(after, place) > 1.2 * share(before, place)).all()


def test_the_score_stays_while_the_map_is_led(network, x):
    place = np.zeros((5, SIDE, SIDE), dtype=bool)
    place[:, :5, :5] = True
    before = margins(network, x).detach()
    made = lead(network, Ball(x=x, radius=0.2), place, steps=40)
    after = margins(network, made).detach()
    assert torch.equal(after > 0, before > 0)
    assert float(((after - before) / before.abs().clamp_min(0.1)).abs().median()) < 0.25


def test_the_quietest_corner_is_chosen_for_each_structure():
    segmentation = np.full((2, 8, 8), PENUMBRA, dtype=np.uint8)
    segmentation[0, -3:, :3] = QUIET
    segmentation[1, :3, -3:] = QUIET
    found = quiet_corners(segmentation, side=3)
    np.testing.assert_array_equal(found, segmentation == QUIET)


@pytest.mark.parametrize("side", [0, 5])
def test_a_corner_that_does_not_fit_is_refused(side):
    with pytest.raises(ValidationError, match=f"a corner of {side} pixels"):
        quiet_corners(np.zeros((1, 8, 8), dtype=np.uint8), side=side)


def test_masks_that_name_no_place_are_refused(network, x):
    with pytest.raises(ValidationError, match="do not name a place"):
        lead(network, Ball(x=x, radius=0.1), np.zeros((5, SIDE, SIDE), dtype=bool))


def test_a_map_that_cannot_be_led_is_refused_with_its_near_name(network, x):
    with pytest.raises(ValidationError, match=r"no attack leads the map 'gradcam'.*'grad_cam'"):
        MovableMap(network, x, method="gradcam")


def test_a_network_of_other_activations_is_refused(x):
    with pytest.raises(ExplainerRefusal, match="an attack on the explanation"):
        MovableMap(make(nn.Tanh()), x, method="grad_cam")
