"""The first layer apart from the rest: where it is taken apart, and that nothing else changes."""

import networks
import pytest
import torch
from torch import nn

from solarxai.engine.preparation import Snapshot, prepare
from solarxai.engine.stems import Stem, stem_of
from solarxai.explainers.expected_gradients import ExpectedGradients
from solarxai.models.published_cnn import PublishedCNN
from solarxai.models.residual_cnn import ResidualCNN


class Branching(nn.Module):
    """A network whose image is read twice."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(1, 1, 3, 2)
        self.head = nn.Linear(7, 2)

    def forward(self, x):
        return self.head(self.first(x).flatten(1)) + x.mean(dim=2)


def behind(layer: nn.Module, x: torch.Tensor) -> nn.Module:
    """Return a network that begins with a layer."""
    with torch.no_grad():
        values = layer(x).flatten(1).shape[1]
    rest = (nn.ReLU(), nn.Flatten(), nn.Linear(values, 5), nn.Tanh(), nn.Linear(5, 2))
    return networks.trained_looking(nn.Sequential(layer, *rest))


IMAGE, ROW, LONG = (
    networks.images(3),
    networks.images(3, axes=1),
    networks.images(3, axes=1, size=600),
)

TAKEN = {
    "published": (networks.trained_looking(PublishedCNN()), networks.images(3, axes=1, size=240)),
    "short row": (behind(nn.Conv1d(1, 2, 5, 3, 1), ROW), ROW),
    "long row": (behind(nn.Conv1d(1, 2, 5, 3, 1), LONG), LONG),
    "long row of one phase": (behind(nn.Conv1d(1, 1, 5, padding=2), LONG), LONG),
    "normed": (behind(nn.Sequential(nn.Conv1d(1, 2, 5, 3), nn.BatchNorm1d(2)), ROW), ROW),
    "image": (behind(nn.Conv2d(1, 4, 5, 4, 2), IMAGE), IMAGE),
    "dilated image": (behind(nn.Conv2d(1, 4, 3, 4, 2, dilation=2), IMAGE), IMAGE),
    "flattened image": (behind(nn.Sequential(nn.Flatten(), nn.Linear(256, 20)), IMAGE), IMAGE),
    "rows of an image": (behind(nn.Linear(16, 4), IMAGE), IMAGE),
}
"""Networks that are taken apart, and images."""

WHOLE = {
    "a first layer that gives more than it takes": (ResidualCNN(axes=1), ROW),
    "an image that is read twice": (Branching(), ROW),
    "padding that is no zero": (behind(nn.Conv1d(1, 1, 3, 2, 1, padding_mode="reflect"), ROW), ROW),
    "padding by a word": (behind(nn.Conv1d(1, 1, 3, padding="same"), ROW), ROW),
    "something before the first layer": (
        nn.Sequential(nn.ReLU(), behind(nn.Conv1d(1, 1, 3), ROW)),
        ROW,
    ),
    "a flatten that leaves an axis": (
        nn.Sequential(nn.Flatten(2), nn.Linear(256, 2), nn.Flatten(1), nn.Linear(2, 2)),
        IMAGE,
    ),
}
"""Networks that are not taken apart, and images."""


@pytest.mark.parametrize("name", TAKEN)
def test_the_rest_gives_the_scores_of_the_network(name):
    network, x = TAKEN[name]
    stem = stem_of(prepare(network, x))
    assert stem.rest is not None
    torch.testing.assert_close(stem.rest(stem.ahead(x)), network(x))


@pytest.mark.parametrize("name", TAKEN)
def test_the_gradient_comes_back_through_the_first_layer(name):
    network, x = TAKEN[name]
    stem = stem_of(prepare(network, x))
    given = stem.ahead(x).requires_grad_()
    (slope,) = torch.autograd.grad(stem.rest(given)[:, 1].sum(), given)
    leaf = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(network(leaf)[:, 1].sum(), leaf)
    torch.testing.assert_close(stem.back(slope), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", WHOLE)
def test_a_network_stays_whole_for(name):
    network, x = WHOLE[name]
    stem = stem_of(prepare(network.eval(), x))
    assert (stem.layer, stem.rest) == (None, None)
    assert stem.ahead(x) is x
    assert stem.back(x) is x


def test_a_network_that_cannot_be_traced_stays_whole():
    class Odd(PublishedCNN):
        def forward(self, x):
            return super().forward(x if float(x.detach().sum()) > 0 else 2 * x)

    assert stem_of(prepare(Odd().eval(), torch.rand(1, 1, 240))).layer is None


def test_the_first_layer_is_taken_apart_once():
    prepared = prepare(*TAKEN["image"])
    assert stem_of(prepared) is stem_of(prepared)


def both_ways(name, **options):
    """Return the attribution of a network taken apart, and of the same, prepared before, whole."""
    network, x = TAKEN[name]
    baselines = torch.flip(x, dims=[-1]).repeat(3, *[1] * (x.ndim - 1)) * 0.5
    apart, whole = Snapshot(network), Snapshot(network)
    whole.prepared(x).memo["stem"] = Stem()
    method = ExpectedGradients(samples=30, **options)
    return [method(ready, x, baselines=baselines) for ready in (apart, whole)]


@pytest.mark.parametrize("control", ["on", "off"])
@pytest.mark.parametrize("name", TAKEN)
def test_expected_gradients_are_those_of_the_whole_network(name, control):
    apart, whole = both_ways(name, control=control, importance="on")
    scale = float(whole.values.abs().max())
    torch.testing.assert_close(apart.values, whole.values, rtol=0, atol=1e-6 * scale)
    torch.testing.assert_close(apart.stderr, whole.stderr, rtol=1e-3, atol=1e-6 * scale)
    gaps = (apart.completeness_error, whole.completeness_error)
    torch.testing.assert_close(*gaps, rtol=0, atol=1e-5 * scale * apart.values[0].numel() ** 0.5)


def test_a_point_behind_the_first_layer_counts_as_one_pass():
    apart, whole = both_ways("published", importance="off")
    assert apart.passes == (2 + 9 + 3 * 31, 2 + 9 + 3 * 31)
    assert whole.passes == (9 + 3 * 31, 9 + 3 * 31)


def test_a_map_does_not_depend_on_its_neighbours_to_the_last_bit():
    network, x = TAKEN["published"]
    baselines = networks.images(7, axes=1, size=240, seed=4)
    method = ExpectedGradients(samples=30, batch_size=16)
    together = method(network, x, baselines=baselines)
    single = method(network, x[1:2], baselines=baselines)
    assert torch.equal(together.values[1:2], single.values)
    assert torch.equal(together.stderr[1:2], single.stderr)


def test_half_precision_and_its_error_go_through_the_rest_alone():
    half, full = (both_ways("published", precision=p)[0].values for p in ("bfloat16", "float32"))
    assert 0 < float((half - full).norm()) < 0.1 * float(full.norm())
