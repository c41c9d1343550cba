"""Adversarial and biased-data studies as steps of a run."""

import json

import numpy as np
import pytest

from pipelines import adversarial, subgroups, train
from solarxai import blocks
from solarxai.errors import ValidationError
from solarxai.schema import mock_samples
from solarxai.training.biased import Bias
from solarxai.validation.adversarial.study import Study
from solarxai.workflow import options_of

COLUMN = "area_mm2"

SMALL = {
    "explainers": [{"method": "grad_cam"}, {"method": "gradient"}], "amplitudes": (0.01,),
    "map_amplitudes": (0.02,), "steps": 3, "corner_px": 8, "max_structures": 3, "n_bootstrap": 20,
}  # fmt: skip


def begun(out):
    """Return a run folder with 160 samples whose measurements know nothing of their labels."""
    (out / "samples").mkdir(parents=True)
    samples = mock_samples(160, size=32).assign_attrs(scale_mm=0.5, counts="{}")
    blocks.save_block(samples, out / "samples" / "mock.nc")
    (out / "ingest.json").write_text(json.dumps({"scale_mm": 0.5}))
    return out


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Return a run trained on all its samples."""
    out = begun(tmp_path_factory.mktemp("studies") / "plain")
    train.run(out=out, epochs=2, n_bootstrap=20)
    return out


@pytest.fixture(scope="module")
def biased(tmp_path_factory):
    """Return a run trained on large sunspots and small pores alone."""
    out = begun(tmp_path_factory.mktemp("studies") / "biased")
    train.run(out=out, epochs=2, n_bootstrap=20, bias=Bias(column=COLUMN))
    return out


def test_the_study_of_attacks_leaves_tables_and_pictures(plain):
    outcome = adversarial.run(out=plain, **SMALL)
    names = sorted(path.name for path in outcome.outputs)
    assert names == ["adversarial.json", "adversarial.md", "flips.png", "led.png"]
    record = json.loads((plain / "adversarial" / "adversarial.json").read_text())
    assert len(record["flips"]) == 3 * 2
    assert outcome.done == 1
    assert {row["method"] for row in record["maps"]} == {"", "grad_cam", "gradient"}
    assert len(outcome.sentences) == 3
    table = (plain / "adversarial" / "adversarial.md").read_text()
    for word in ("| PGD | 1 % |", "| grad_cam led | 2 % |", "share in penumbra"):
        assert word in table


def test_only_samples_that_training_did_not_see_are_attacked(plain, monkeypatch):
    seen = []

    def remember(samples, *words, **options):
        seen.append(set(samples["split"].values))
        return Study(flips=(), maps=(), examples=samples)

    monkeypatch.setattr(adversarial, "study", remember)
    monkeypatch.setattr(adversarial, "_written", lambda found, folder: None)
    adversarial.run(out=plain, **SMALL)
    assert seen == [{"test"}]


def test_its_options_are_those_of_the_library_function():
    fields = set(options_of(adversarial.run).model_fields)
    assert {"explainers", "amplitudes", "led", "seed", "corner_px"} <= fields
    assert not {"progress", "baselines", "samples"} & fields


def test_a_biased_training_learns_from_what_the_bias_keeps_and_says_so(biased):
    record = json.loads((biased / "training.json").read_text())
    assert record["bias"]["column"] == COLUMN
    assert sum(record["counts"]["train"].values()) == record["bias"]["kept"]["train"]
    sides = json.loads((biased / "split.json").read_text())
    samples = blocks.open_samples(biased / "samples")
    kept = np.array([sides[name] == "train" for name in samples["sample_id"].values])
    large = samples[COLUMN].values > record["bias"]["cut"]
    spot = samples["label"].values == "sunspot"
    np.testing.assert_array_equal(large[kept], spot[kept])


def test_subgroups_are_those_of_the_bias_of_the_training(biased):
    outcome = subgroups.run(out=biased, n_bootstrap=20)
    record = json.loads((biased / "subgroups" / "subgroups.json").read_text())
    bias = json.loads((biased / "training.json").read_text())["bias"]
    assert (record["column"], record["cut"]) == (bias["column"], bias["cut"])
    words = [row["subgroup"] for row in record["rows"]]
    assert words[-3:] == ["with the bias", "against the bias", "with less against"]
    assert (
        f"on {COLUMN}: the fraction called rightly with the bias less that" in outcome.sentences[0]
    )
    assert "| with the bias |" in (biased / "subgroups" / "subgroups.md").read_text()


def test_another_column_can_be_named(biased):
    subgroups.run(out=biased, n_bootstrap=20, column="penumbra_area_mm2")
    record = json.loads((biased / "subgroups" / "subgroups.json").read_text())
    assert record["column"] == "penumbra_area_mm2"


def test_without_a_bias_a_column_must_be_named(plain):
    with pytest.raises(ValidationError, match="the training had no bias"):
        subgroups.run(out=plain)
