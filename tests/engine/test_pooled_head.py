"""A pooled head is found in the graph, with its weights, or refused with the step in the way."""

import networks
import pytest
import torch
from torch import nn

from solarxai.engine.features import watch_layer
from solarxai.engine.pooled_head import PooledHead, pooled_head
from solarxai.engine.preparation import prepare
from solarxai.errors import ExplainerRefusal


def head_of(model: nn.Module) -> PooledHead:
    layer = watch_layer(prepare(model.eval(), networks.images(1)), None)
    return pooled_head(layer.traced, layer.node)


def test_the_head_has_the_weights_of_the_linear_layer():
    model = networks.residual(classes=3)
    found = head_of(model)
    assert torch.equal(found.weight, model.head[2].weight)
    assert torch.equal(found.bias, model.head[2].bias)


def test_a_linear_layer_without_bias_has_a_bias_of_zero():
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2, bias=False))
    assert torch.equal(head_of(nn.Sequential(nn.Conv2d(1, 3, 3), head)).bias, torch.zeros(2))


def test_channels_that_are_the_scores_have_the_identity_as_weights():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Dropout2d(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert torch.equal(head_of(model).weight, torch.eye(4))


def test_a_head_that_flattens_is_refused():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(588, 2))
    with pytest.raises(ExplainerRefusal, match=r"no global average pooling.*Flatten \(at _1\)"):
        head_of(model)


def test_a_pooling_that_leaves_more_than_one_cell_is_refused():
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(ExplainerRefusal, match=r"AdaptiveAvgPool2d \(at .*\) follows"):
        head_of(nn.Sequential(nn.Conv2d(1, 3, 3), pool))


def test_a_layer_that_nothing_averages_is_refused():
    class Corner(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 2, 8)

        def forward(self, x):
            return self.conv(x).flatten(2).flatten(1)

    with pytest.raises(ExplainerRefusal, match=r"flatten \(at flatten_1\) follows"):
        head_of(Corner())
