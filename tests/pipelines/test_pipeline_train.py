"""Training is one task: reproducible to the byte, split by region, written beside the samples."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

from pipelines import train
from solarxai import blocks, splits, training
from solarxai.classifier import Classifier
from solarxai.errors import TrainingError
from solarxai.provenance import file_hash
from solarxai.training import members
from solarxai.workflow import options_of
from solarxai.workflow.progress import Progress


def test_a_training_repeated_elsewhere_gives_the_same_bytes(trained, run_of_its_own):
    (run_of_its_own / "classifier.safetensors").unlink()
    train.run(out=run_of_its_own, epochs=2, n_bootstrap=50)
    for name in ("classifier.safetensors", "training.json", "split.json"):
        assert file_hash(run_of_its_own / name) == file_hash(trained / name)


def said_by(out, **options):
    """Return the lines that a training tells beside its epochs."""
    lines = []
    display = SimpleNamespace(
        say=lines.append, open=lambda _: None, update=lambda _: None, close=lambda _: None
    )
    train.run(out=out, progress=Progress(display=display), **options)
    return lines


def test_a_training_from_blocks_gives_the_same_bytes(trained, run_of_its_own):
    options = {"epochs": 2, "n_bootstrap": 50, "readers": 1}
    (line,) = said_by(run_of_its_own, in_memory="never", **options)
    for name in ("classifier.safetensors", "training.json", "split.json"):
        assert file_hash(run_of_its_own / name) == file_hash(trained / name)
    sizes = [len(xr.open_dataset(p)["time"]) for p in (run_of_its_own / "samples").glob("*.nc")]
    megabytes = sum(sizes) * 64 * 64 * 4 / 1e6
    assert line.startswith(
        f"images stay in {len(sizes)} blocks ({megabytes:.0f} MB), {len(sizes)} at a time: at most "
    )


def test_little_memory_makes_a_window_of_blocks_that_the_classifier_notes(run_of_its_own):
    options = {"epochs": 1, "n_bootstrap": 5, "memory_mb": 1}
    (line,) = said_by(run_of_its_own, **options)
    assert " 1 at a time: at most " in line
    assert Classifier.load(run_of_its_own / "classifier.safetensors").notes["window"] == 1
    assert said_by(run_of_its_own, **options, in_memory="always") == []
    assert "window" not in Classifier.load(run_of_its_own / "classifier.safetensors").notes


@pytest.mark.parametrize(
    ("seconds", "steps", "written"),
    [
        (None, 3, [3, 6, 9, 12]),
        (4.0, None, [4, 8, 12]),
        (4.0, 3, [3, 6, 9, 12]),
        (2.0, 3, [2, 4, 6, 8, 10, 12]),
        (0.0, None, list(range(1, 13))),
    ],
)
def test_a_state_is_due_after_so_many_seconds_or_steps(seconds, steps, written):
    now = 0.0
    due = train._due(seconds, steps, clock=lambda: now)
    found = []
    for now in map(float, range(1, 13)):
        found += [int(now)] if due() else []
    assert found == written


def test_a_training_that_ends_on_a_full_disk_is_not_done_again(
    trained, run_of_its_own, monkeypatch
):
    options = {"epochs": 2, "n_bootstrap": 50}

    def full(path, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(train, "write_atomically", full)
        with pytest.raises(OSError, match="No space left"):
            train.run(out=run_of_its_own, **options)
    assert (run_of_its_own / "training.checkpoint").exists()
    monkeypatch.setattr(members, "descend", lambda *_: pytest.fail("it is trained again"))
    train.run(out=run_of_its_own, **options)
    assert not (run_of_its_own / "training.checkpoint").exists()
    for name in ("classifier.safetensors", "training.json", "split.json"):
        assert file_hash(run_of_its_own / name) == file_hash(trained / name)


def test_a_device_that_is_not_there_is_refused(run_of_its_own, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(TrainingError, match="device cuda was asked for, and this machine has 0"):
        train.run(out=run_of_its_own, device="cuda")


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
    assert {"processes", "in_memory", "window", "readers", "checkpoint_seconds"} <= set(fields)
    assert not {"samples", "threads", "progress", "scale_mm", "team"} & set(fields)


SPECTRAL = {"model": "published_cnn", "epochs": 1, "n_bootstrap": 20, "samples_an_epoch": 64}


def test_spectra_are_split_by_region_and_their_contract_says_the_wavelengths(spectra):
    out = spectra[0]
    contract = Classifier.load(out / "classifier.safetensors").contract
    assert (contract.shape, contract.scale_mm) == ((240,), None)
    assert contract.classes == ("active", "preflare")
    samples = blocks.open_samples(out / "samples")
    np.testing.assert_allclose(contract.wavelength, samples["wavelength"].values[[0, -1]])
    sides = json.loads((out / "split.json").read_text())
    assert set(sides) == set(samples["sample_id"].values)
    by_region = {}
    for name, region in zip(samples["sample_id"].values, samples["region"].values, strict=True):
        by_region.setdefault(region, set()).add(sides[name])
    assert all(len(found) == 1 for found in by_region.values())


def test_every_kept_spectrum_of_a_side_is_learnt_from_or_scored(spectra):
    out = spectra[0]
    record = json.loads((out / "training.json").read_text())
    kept = json.loads((out / "ingest.json").read_text())["counts"]["kept spectra"]
    assert sum(n for found in record["counts"].values() for n in found.values()) == kept


def test_a_training_on_spectra_repeated_gives_the_same_bytes(spectra_of_its_own):
    first = train.run(out=spectra_of_its_own, **SPECTRAL)
    before = [file_hash(path) for path in first.outputs]
    again = train.run(out=spectra_of_its_own, **SPECTRAL)
    assert [file_hash(path) for path in again.outputs] == before


def test_a_training_on_spectra_from_blocks_gives_the_same_bytes(spectra_of_its_own):
    first = train.run(out=spectra_of_its_own, **SPECTRAL)
    before = [file_hash(path) for path in first.outputs]
    again = train.run(out=spectra_of_its_own, in_memory="never", **SPECTRAL)
    assert [file_hash(path) for path in again.outputs] == before


def test_a_split_by_observation_trains_and_says_so_where_a_region_split_refuses_it(
    spectra_of_its_own,
):
    train.run(out=spectra_of_its_own, split_by="observation", **SPECTRAL)
    sides = json.loads((spectra_of_its_own / "split.json").read_text())
    samples = blocks.open_samples(spectra_of_its_own / "samples")
    column = np.array([sides[name] for name in samples["sample_id"].values], dtype=object)
    leaking = samples.assign_coords(split=("sample", column))
    with pytest.raises(TrainingError, match="region"):
        splits.check_split(leaking)
    with pytest.raises(TrainingError):
        training.train(train.shown_to_network(leaking, "spectrum"), **SPECTRAL)


def test_a_gap_does_not_go_with_a_split_that_leaks():
    (told,) = train.complaints({"split_by": "observation", "gap_hours": 24.0})
    assert told == "gap_hours goes with split_by region, and this splits by observation"
    assert train.complaints({"split_by": "region", "gap_hours": 24.0}) == []
    assert train.complaints({"split_by": "observation", "gap_hours": None}) == []
