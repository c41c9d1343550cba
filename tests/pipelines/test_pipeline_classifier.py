"""A classifier comes from one place: a checkpoint, one's own module, or another workflow."""

from pathlib import Path

import pytest
import torch
from torch import nn

from pipelines import classifier
from solarxai.classifier import Classifier
from solarxai.provenance import file_hash


class Mean(nn.Module):
    """Scores an image by its mean."""

    def __init__(self, gain: float = 1.0):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor([gain, -gain]))

    def forward(self, x):
        return x.mean(dim=(1, 2, 3))[:, None] * self.gain


NONE = dict.fromkeys(("checkpoint", "network", "weights", "contract", "options", "workflow"))


def test_a_checkpoint_is_taken_as_it_is(trained, tmp_path):
    checkpoint = trained / "classifier.safetensors"
    outcome = classifier.run(out=tmp_path, checkpoint=checkpoint)
    assert file_hash(tmp_path / "classifier.safetensors") == file_hash(checkpoint)
    assert outcome.figures["classifier"] == Classifier.load(checkpoint).hash[:16]


def test_an_own_module_becomes_a_checkpoint(tmp_path, monkeypatch):
    torch.save(Mean(2.0).state_dict(), tmp_path / "mean.pt")
    classifier.run(
        out=tmp_path,
        network=f"{__name__}:Mean",
        weights=tmp_path / "mean.pt",
        contract={"shape": [8, 8], "scale_mm": 1.0},
        options={"gain": 3.0},
    )
    loaded = Classifier.load(tmp_path / "classifier.safetensors")
    assert loaded.network.gain[0] == 2.0
    assert loaded.contract.shape == (8, 8)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "give one of checkpoint, network and workflow, not none"),
        ({"checkpoint": Path("a"), "network": "b:C"}, "not checkpoint and network"),
        ({"network": "b:C"}, "a network needs weights and contract beside it"),
    ],
)
def test_sources_that_do_not_agree_are_complained_about(given, told):
    assert told in classifier.complaints({**NONE, **given})[0]


def test_a_workflow_that_trains_nothing_is_complained_about(tmp_path):
    path = tmp_path / "other.yaml"
    path.write_text("synth: {n: 1}")
    (told,) = classifier.complaints({**NONE, "workflow": path})
    assert told == "the workflow other.yaml does not train a classifier"


def test_a_classifier_is_trained_by_another_workflow_once(tmp_path):
    path = tmp_path / "other.yaml"
    path.write_text(
        "synth: {n: 40, mode: matched, size: 96, clutter: false}\n"
        "ingest: {patch_size: 32}\n"
        "train: {epochs: 1, n_bootstrap: 10, fractions: [0.8, 0.1, 0.1]}\n"
    )
    out = tmp_path / "run"
    out.mkdir()
    first = classifier.run(out=out, workflow=path)
    made = out / "classifier" / "classifier.safetensors"
    changed = made.stat().st_mtime_ns
    again = classifier.run(out=out, workflow=path)
    assert made.stat().st_mtime_ns == changed
    assert first.figures == again.figures
    assert "accuracy (test)" in first.figures
    assert file_hash(out / "classifier.safetensors") == file_hash(made)
