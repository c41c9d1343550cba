"""The residual network: its shapes, its modules, and what tracing sees of it."""

import pytest
import torch
from torch import fx, nn

from solarxai import registry
from solarxai.errors import ContractError
from solarxai.models.residual_cnn import ResidualCNN, Sum


@pytest.fixture
def images():
    return torch.randn(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))


def test_the_registry_finds_it_by_its_file_name():
    assert registry.load("solarxai.models", "residual_cnn") is ResidualCNN


@pytest.mark.parametrize(("stride", "cells"), [(4, 16), (8, 8)])
def test_the_last_feature_map_has_the_stated_stride(images, stride, cells):
    network = ResidualCNN(stride=stride).eval()
    features = network.stages(network.stem(images))
    assert features.shape == (3, 64, cells, cells)
    assert network(images).shape == (3, 2)


def test_width_depth_and_classes_are_options(images):
    network = ResidualCNN(width=8, depth=2, classes=5).eval()
    assert network(images).shape == (3, 5)
    assert sum(isinstance(m, Sum) for m in network.modules()) == 6


def test_one_axis_takes_spectra():
    network = ResidualCNN(axes=1).eval()
    spectra = torch.randn(3, 1, 240, generator=torch.Generator().manual_seed(0))
    assert network.stages(network.stem(spectra)).shape == (3, 64, 30)
    assert network(spectra).shape == (3, 2)


def test_scores_are_the_head_of_the_mean_feature(images):
    network = ResidualCNN().eval()
    mean = network.stages(network.stem(images)).mean(dim=(2, 3))
    torch.testing.assert_close(network(images), network.head(mean))


def test_every_relu_is_its_own_module_and_every_addition_a_sum():
    network = ResidualCNN(depth=2)

    class Leaves(fx.Tracer):
        def is_leaf_module(self, module, name):
            return isinstance(module, Sum) or super().is_leaf_module(module, name)

    nodes = list(Leaves().trace(network).nodes)
    assert {node.op for node in nodes} == {"placeholder", "call_module", "output"}
    called = [node.target for node in nodes if node.op == "call_module"]
    assert len(called) == len(set(called))
    assert sum(isinstance(network.get_submodule(name), nn.ReLU) for name in called) == 1 + 2 * 6


def test_a_plain_trace_gives_the_same_scores(images):
    network = ResidualCNN().eval()
    torch.testing.assert_close(fx.symbolic_trace(network)(images), network(images))


def test_scores_at_birth_are_of_order_one():
    torch.manual_seed(0)
    network = ResidualCNN(depth=2).train()
    assert 0.05 < float(network(torch.randn(16, 1, 64, 64)).detach().std()) < 5


@pytest.mark.parametrize("options", [{"stride": 2}, {"width": 0}, {"depth": 0}, {"classes": 0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ContractError, match="cannot have classes"):
        ResidualCNN(**options)
