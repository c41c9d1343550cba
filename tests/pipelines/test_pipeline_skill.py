"""The published study run small: its network, its leaking split, its ensemble, its skill."""

import itertools
import json
import shutil

import numpy as np
import pytest

from pipelines import skill
from solarxai import blocks
from solarxai.classifier import Classifier
from solarxai.errors import TrainingError
from solarxai.models.ensemble import Ensemble
from solarxai.query import open_store

PUBLISHED = [
    "synth_iris.regions=6", "synth_iris.observations=2", "synth_iris.rasters=1",
    "synth_iris.steps=2", "synth_iris.slit=12", "train.members=2", "train.epochs=1",
    "train.samples_an_epoch=64", "train.n_bootstrap=20",
    "skill.folds=3", "skill.repeats=1", "skill.n_bootstrap=20",
    "skill.train.epochs=1", "skill.train.samples_an_epoch=64", "attribute.shard_size=3",
    "attribute.explainers=[{method: published_grad_cam, batch_size: 256}, {method: "
    "expected_gradients, samples: 4, n_baselines: 4, batch_size: 256}]",
]  # fmt: skip


def refuse(word):
    raise AssertionError(f"{word} in JSON")


@pytest.fixture(scope="module")
def published(carry_out, spectra, pytestconfig, tmp_path_factory):
    """Return the folder and the results of the published study, made small.

    It begins from a copy of what another workflow made of the same files.
    """
    out = tmp_path_factory.mktemp("published") / "run"
    shutil.copytree(spectra[0], out, ignore=shutil.ignore_patterns("store", "attention"))
    path = pytestconfig.rootpath / "workflows" / "iris_published.yaml"
    made = carry_out(path, out, settings=PUBLISHED, resume=True, until="attribute")
    return out, {one.name: one for one in made}


def test_what_another_workflow_made_of_the_same_files_is_kept(published):
    kept = {name: result.kept for name, result in published[1].items()}
    assert kept == {
        "synth_iris": True, "ingest_iris": True, "train": False, "skill": False, "attribute": False,
    }  # fmt: skip


def test_the_table_has_every_kind_of_split_at_every_level(published):
    table = json.loads((published[0] / "skill" / "skill.json").read_text(), parse_constant=refuse)
    kinds, levels = ("region", "observation", "spectrum"), ("spectrum", "raster", "observation")
    groups = {(one["kind"], one["level"]) for one in table["groups"]}
    assert groups == set(itertools.product(kinds, levels))
    tested = [one["test_regions"] for one in table["splits"] if one["kind"] == "region"]
    assert sum(tested) == 6 * len(levels)
    outcome = published[1]["skill"].outcome
    assert outcome.done == 3 + 2 * 1
    assert [name for name in outcome.figures if "TSS" in name] == list(outcome.figures)
    assert len(outcome.figures) == 3


def test_the_table_is_told_in_words_and_pictures(published):
    folder = published[0] / "skill"
    assert (folder / "skill.md").read_text().startswith("|")
    for name in ("splits", "reliability", "roc"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_by_observation_one_region_stands_on_several_sides(published, spectra):
    def shared(out):
        sides = json.loads((out / "split.json").read_text())
        samples = blocks.open_samples(out / "samples")
        column = np.array([sides[name] for name in samples["sample_id"].values])
        regions = {side: set(samples["region"].values[column == side]) for side in set(column)}
        observations = {
            side: set(samples["observation"].values[column == side]) for side in set(column)
        }
        assert not observations["train"] & observations["test"]
        return regions["train"] & regions["test"]

    assert shared(published[0])
    assert not shared(spectra[0])


def test_an_ensemble_gives_the_spread_of_its_maps(published):
    assert isinstance(Classifier.load(published[0] / "classifier.safetensors").network, Ensemble)
    found = open_store(published[0] / "store").query().load()
    kept = found["quality"].values == 0
    for name in ("published_grad_cam", "expected_gradients"):
        spread = found[f"{name}_spread"]
        assert spread.dims == ("sample", "slit", "wavelength")
        assert (spread.values[kept] >= 0).all()
        assert spread.values[kept].max() > 0
        assert np.isnan(spread.values[~kept]).all()


def test_unknown_options_of_the_trainings_are_told_before_anything_runs():
    (told,) = skill.complaints({"train": {"epoch": 3, "batch_size": "4"}})
    assert "epoch: Extra inputs are not permitted" in told
    assert "batch_size: Input should be a valid integer" in told
    assert skill.complaints({"train": None}) == []


def test_too_few_regions_for_the_folds_are_refused(spectra_of_its_own):
    with pytest.raises(TrainingError, match="6 regions with unambiguous samples cannot make 7"):
        skill.run(out=spectra_of_its_own, folds=7, repeats=1)
