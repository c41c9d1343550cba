"""Layers are found, told whether they are pooled, and read with their gradients."""

import networks
import pytest
import torch
from torch import nn

from solarxai.engine.features import watch_layer
from solarxai.engine.gradients import Stream
from solarxai.engine.preparation import prepare
from solarxai.errors import ExplainerRefusal
from solarxai.models.residual_cnn import ResidualCNN


def watched(model: nn.Module, x: torch.Tensor, layer: str | None = None):
    return watch_layer(prepare(model, x, fold=layer is None), layer)


def test_the_last_feature_map_is_what_follows_the_last_convolution():
    found = watched(networks.residual(), networks.images(1))
    assert found.name == "relu"
    assert found.pooled
    assert [grid.stride for grid in found.grids] == [4, 4]


@pytest.mark.parametrize(
    ("layer", "stride", "cells"),
    [("stem", 2, 32), ("stages.0", 2, 32), ("stages.1", 4, 16), ("stages.2", 8, 8)],
)
def test_an_early_layer_is_located_by_its_own_stride(layer, stride, cells):
    model, x = ResidualCNN().eval(), torch.zeros(1, 1, 64, 64)
    found = watched(model, x, layer)
    assert [(grid.start, grid.stride) for grid in found.grids] == [(0, stride)] * 2
    features, scores = found.activations(Stream(prepare(model, x), batch_size=1), x)
    assert features.shape[2:] == (cells, cells)
    assert scores.shape == (1, 2)
    assert [len(along) for along in found.centres(features.shape[2:])] == [cells, cells]


def test_a_pass_without_gradient_gives_what_a_pass_with_gradient_gives():
    model, x = networks.residual(), networks.images(3)
    found = watched(model, x, "first")
    stream = Stream(prepare(model, x, fold=False), batch_size=3)
    before = (stream.forward, stream.backward)
    features, scores = found.activations(stream, x)
    assert (stream.forward, stream.backward) == (before[0] + 3, before[1])
    assert not features.requires_grad
    torch.testing.assert_close(scores, model(x).detach())
    ((again, _),) = found.read(stream, x, torch.ones(3, 2))
    assert torch.equal(features, again)


@pytest.mark.parametrize(
    ("average", "pooled"),
    [
        (lambda x: x.mean(dim=(2, 3)), True),
        (lambda x: x.mean((-1, -2), keepdim=True).flatten(1), True),
        (lambda x: x.flatten(2).mean(2), True),
        (lambda x: x.flatten(2).transpose(1, 2).mean(1), False),
        (lambda x: x.mean(dim=(1, 2)), False),
        (lambda x: x.amax(dim=(2, 3)), False),
    ],
)
def test_only_a_mean_over_all_cells_is_a_global_average(average, pooled):
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.linear = nn.Conv2d(1, 4, 1, 8), nn.LazyLinear(2)

        def forward(self, x):
            return self.linear(average(self.conv(x)))

    model, x = Head(), networks.images(1)
    model(x)
    assert watched(model.eval(), x).pooled == pooled


def test_an_operation_without_a_feature_map_is_no_layer():
    with pytest.raises(ExplainerRefusal, match=r"cannot be located: it is not a feature map"):
        watched(networks.residual(), networks.images(1), "head")


def test_a_layer_of_one_prepared_network_is_made_once():
    prepared = prepare(networks.residual(), networks.images(1))
    assert watch_layer(prepared, None) is watch_layer(prepared, None)
