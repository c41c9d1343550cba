"""The network of the 2023 study: its parameters, its modules, its cells, what it refuses."""

import pytest
import torch
from torch import fx, nn

from solarxai import registry
from solarxai.engine.features import watch_layer
from solarxai.engine.preparation import prepare
from solarxai.errors import ContractError
from solarxai.models.published_cnn import PublishedCNN


@pytest.fixture
def spectra():
    return torch.rand(3, 1, 240, generator=torch.Generator().manual_seed(0))


def test_the_registry_finds_it_by_its_file_name():
    assert registry.load("solarxai.models", "published_cnn") is PublishedCNN


def test_it_has_the_363_parameters_of_the_study():
    shapes = [tuple(p.shape) for p in PublishedCNN().parameters()]
    assert shapes == [(2, 1, 20), (2,), (4, 2, 10), (4,), (5, 44), (5,), (2, 5), (2,)]
    assert sum(p.numel() for p in PublishedCNN().parameters()) == 363


def test_its_scores_are_those_of_the_study_written_out(spectra):
    network = PublishedCNN().eval()
    one, two, three, four = (m for m in network.modules() if isinstance(m, nn.Conv1d | nn.Linear))
    hidden = nn.functional.max_pool1d(torch.relu(two(torch.relu(one(spectra)))), 2)
    torch.testing.assert_close(network(spectra), four(torch.relu(three(hidden.flatten(1)))))


def test_no_module_is_used_twice():
    nodes = list(fx.symbolic_trace(PublishedCNN()).graph.nodes)
    called = [node.target for node in nodes if node.op == "call_module"]
    assert {node.op for node in nodes} == {"placeholder", "call_module", "output"}
    assert len(called) == len(set(called)) == 9


def test_the_engine_takes_its_fast_form_and_finds_its_cells(spectra):
    prepared = prepare(PublishedCNN().eval(), spectra)
    assert (prepared.form, prepared.reason) == ("folded", "")
    (centres,) = watch_layer(prepared, "convolutions.3").centres((22,))
    torch.testing.assert_close(centres, 23.0 + 9 * torch.arange(22))
    (pooled,) = watch_layer(prepared, "convolutions.4").centres((11,))
    torch.testing.assert_close(pooled, 27.5 + 18 * torch.arange(11))


@pytest.mark.parametrize("length", [56, 73, 74, 239, 241, 480])
def test_other_lengths_have_a_head_of_their_own(length):
    network = PublishedCNN(classes=3, length=length)
    assert network(torch.zeros(2, 1, length)).shape == (2, 3)


def test_the_shortest_spectrum_has_one_cell():
    assert PublishedCNN(length=56).head[0].in_features == 4
    with pytest.raises(ContractError, match="no cell of fewer than 56 points"):
        PublishedCNN(length=55)


@pytest.mark.parametrize("options", [{"classes": 0}, {"length": 0}, {"length": -240}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ContractError, match="cannot have classes"):
        PublishedCNN(**options)


@pytest.mark.parametrize("shape", [(3, 1, 241), (3, 2, 240), (3, 240)])
def test_spectra_of_another_shape_are_refused(shape):
    with pytest.raises(ContractError, match=r"takes spectra \(batch, 1, 240\) and was shown"):
        PublishedCNN()(torch.zeros(shape))
