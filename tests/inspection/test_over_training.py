"""A method across checkpoints: each epoch by its own network, one at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import solarxai
from solarxai.classifier import Classifier, InputContract
from solarxai.errors import ContractError, ExplainerRefusal, WorkflowError
from solarxai.inspection.over_training import explain_over_training
from solarxai.models.residual_cnn import ResidualCNN

OPTIONS = {"width": 4, "stride": 4}


def classifier(seed, **contract):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ResidualCNN(**OPTIONS).eval()
    return Classifier(
        network=network,
        contract=InputContract(**{"shape": (16, 16), "offset": 0.9, "scale": 0.2} | contract),
        architecture="solarxai.models.residual_cnn:ResidualCNN",
        options=OPTIONS,
    )


@pytest.fixture
def folder(tmp_path):
    for epoch in (10, 0, 2):
        classifier(epoch).save(tmp_path / f"epoch-{epoch:03d}.safetensors")
    return tmp_path


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(1, 0.2, (3, 16, 16)).astype(np.float32)


def test_each_epoch_is_explained_by_its_own_network_in_order(folder, images):
    found = list(explain_over_training(folder, images, method="gradient"))
    assert [step.epoch for step in found] == [0, 2, 10]
    for step in found:
        own = classifier(step.epoch)
        wanted = solarxai.explain(own.network, own.tensor(images), method="gradient")
        torch.testing.assert_close(step.attribution.values, wanted.values)
        np.testing.assert_allclose(step.scores, own.scores(images), rtol=1e-6)
        assert step.path.name == f"epoch-{step.epoch:03d}.safetensors"


def test_checkpoints_may_be_given_one_by_one_in_any_order(folder, images):
    paths = [folder / "epoch-010.safetensors", folder / "epoch-000.safetensors"]
    found = explain_over_training(iter(paths), images, method="gradient")
    assert [step.epoch for step in found] == [0, 10]


def test_a_network_is_loaded_only_when_its_turn_comes(folder, images, monkeypatch):
    loaded = []
    load = Classifier.load
    monkeypatch.setattr(Classifier, "load", lambda path: loaded.append(path.stem) or load(path))
    steps = explain_over_training(folder, images, method="gradient")
    assert loaded == []
    next(steps)
    assert loaded == ["epoch-000"]


def test_baselines_are_normalised_as_images_are(folder, images):
    step = next(
        explain_over_training(
            folder, images, method="integrated_gradients", baselines=images[:1], steps=8
        )
    )
    assert torch.equal(step.attribution.values[0], torch.zeros(1, 16, 16))
    assert float(step.attribution.values[1].abs().max()) > 0


def test_the_draws_are_the_same_at_every_epoch(tmp_path, images):
    for epoch in (1, 2):
        classifier(5).save(tmp_path / f"epoch-{epoch:03d}.safetensors")
    first, second = explain_over_training(tmp_path, images, method="smoothgrad", samples=8)
    assert torch.equal(first.attribution.values, second.attribution.values)


def test_another_contract_is_refused_when_its_turn_comes(folder, images):
    other = replace(classifier(3), contract=InputContract(shape=(16, 16), offset=0.5))
    other.save(folder / "epoch-003.safetensors")
    steps = explain_over_training(folder, images, method="gradient")
    assert [next(steps).epoch for _ in range(2)] == [0, 2]
    with pytest.raises(ContractError, match=r"epoch-003.safetensors was trained under another"):
        next(steps)


def test_what_is_wrong_with_names_and_options_is_said_before_a_network_runs(folder, images):
    with pytest.raises(ContractError, match="there are no checkpoints"):
        explain_over_training(folder / "nowhere", images, method="gradient")
    with pytest.raises(ContractError, match=r"best\.safetensors does not say of which epoch"):
        explain_over_training([folder / "best.safetensors"], images, method="gradient")
    with pytest.raises(ContractError, match=r"two checkpoints are of the epochs \[2\]"):
        explain_over_training(
            [folder / "epoch-002.safetensors", folder / "epoch-2.safetensors"],
            images,
            method="gradient",
        )
    with pytest.raises(WorkflowError, match="Did you mean 'gradient'"):
        explain_over_training(folder, images, method="gradiant")


def test_a_refusal_of_the_method_is_passed_on(folder, images):
    steps = explain_over_training(folder, images, method="attention_rollout")
    with pytest.raises(ExplainerRefusal, match="no attention"):
        next(steps)
