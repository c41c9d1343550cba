"""Training is one task: reproducible to the byte, split by region, written beside the samples."""

import json

import pytest

from pipelines import train
from solarxai.classifier import Classifier
from solarxai.errors import TrainingError
from solarxai.provenance import file_hash
from solarxai.workflow import options_of


def test_a_training_repeated_elsewhere_gives_the_same_bytes(trained, run_of_its_own):
    (run_of_its_own / "classifier.safetensors").unlink()
    train.run(out=run_of_its_own, epochs=2, n_bootstrap=50)
    for name in ("classifier.safetensors", "training.json", "split.json"):
        assert file_hash(run_of_its_own / name) == file_hash(trained / name)


def test_the_split_is_written_sample_by_sample(trained):
    sides = json.loads((trained / "split.json").read_text())
    assert {"train", "validation", "test"} <= set(sides.values())


def test_the_contract_has_the_scale_of_the_samples(trained):
    contract = Classifier.load(trained / "classifier.safetensors").contract
    assert (contract.shape, contract.scale_mm) == ((64, 64), 0.5)


def test_the_scores_stand_beside_those_of_the_shortcuts(run_of_its_own):
    figures = train.run(out=run_of_its_own, epochs=1, n_bootstrap=20).figures
    assert "accuracy (test)" in figures
    assert "accuracy of area_mm2 alone" in figures


def test_every_epoch_is_kept_on_demand(run_of_its_own):
    train.run(out=run_of_its_own, epochs=1, n_bootstrap=20, keep_epochs=True)
    names = sorted(path.name for path in (run_of_its_own / "epochs").iterdir())
    assert names == ["epoch-000.safetensors", "epoch-001.safetensors"]


def test_an_option_out_of_range_is_refused(run_of_its_own):
    with pytest.raises(TrainingError, match="epochs"):
        train.run(out=run_of_its_own, epochs=0)


def test_options_are_those_of_the_library_function():
    fields = options_of(train.run).model_fields
    assert {"epochs", "learning_rate", "augment", "fractions", "keep_epochs"} <= set(fields)
    assert not {"samples", "threads", "progress", "scale_mm"} & set(fields)
