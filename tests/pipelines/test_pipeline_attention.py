"""What the maps of a run of spectra say together, as a page and as numbers."""

import json
import shutil

import astropy.units as u
import numpy as np
import pytest

from pipelines import attention, attribute, ingest, train
from solarxai import blocks
from solarxai.attention import describe_attention
from solarxai.catalog import Catalog
from solarxai.errors import IngestError, QueryError
from solarxai.ingest import open_observation
from solarxai.query import open_store

STEPS = ("synth_iris", "ingest_iris", "train", "attribute", "attention")


def refuse(word):
    raise AssertionError(f"{word} in JSON")


def read(path):
    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.fixture
def no_page(monkeypatch):
    """Leave the pictures out: they are tested where pages are."""
    monkeypatch.setattr(
        attention, "write_attention_page", lambda *args: args[-1].write_text("<html></html>")
    )


def test_a_run_of_spectra_ends_with_a_page_and_its_numbers(spectra):
    out, _, outcomes = spectra
    assert tuple(outcomes) == STEPS
    assert "<html" in (out / "attention" / "index.html").read_text()
    assert (out / "attention" / "index.html").stat().st_size > 10_000
    assert outcomes["attention"].figures["page"] == "attention/index.html"


def test_a_run_of_spectra_repeated_does_nothing(spectra, carry_out):
    out, path, outcomes = spectra
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*") if file.is_file()}
    again = carry_out(path, out)
    assert [one.kept for one in again] == [True] * len(STEPS)
    assert {one.name: one.outcome.figures for one in again} == {
        name: outcome.figures for name, outcome in outcomes.items()
    }
    changed = {file.name for file, at in before.items() if file.stat().st_mtime_ns != at}
    assert changed <= {".lock"}


def test_no_record_of_a_run_holds_a_number_that_is_none(spectra):
    paths = [*spectra[0].glob("*.json"), *spectra[0].glob("*/*.json")]
    names = {path.name for path in paths}
    assert {"attention.json", "training.json", "ingest.json", "attribute.json"} <= names
    for path in paths:
        read(path)


def test_the_numbers_are_those_of_the_library_function(spectra):
    out = spectra[0]
    samples = open_store(out / "store").query().load()
    catalog = Catalog.load(out / "data" / "catalog.yaml").only("iris_sji")
    movies = [open_observation(one) for one in catalog.references]
    alone = describe_attention(
        samples,
        ["gradient"],
        {str(movie.attrs["observation"]): movie for movie in movies},
        within=10 * u.arcsec,
        lasting=8 * u.min,
        n_bootstrap=20,
    )
    assert read(out / "attention" / "attention.json") == json.loads(json.dumps(alone.record()))


def test_observations_are_those_of_the_test_side(spectra):
    out = spectra[0]
    sides = read(out / "split.json")
    samples = blocks.open_samples(out / "samples")
    tested = [sides[name] == "test" for name in samples["sample_id"].values]
    wanted = set(samples["observation"].values[tested])
    rows = read(out / "attention" / "attention.json")["observations"]
    assert {row["observation"] for row in rows} == wanted
    assert sum(row["exposures"] for row in rows) == sum(tested)
    assert {row["label"] for row in rows} == {"active", "preflare"}
    assert all(("-" in row["flare"]) == (row["label"] == "preflare") for row in rows)


def test_flares_of_the_test_side_are_found_in_the_slit_jaw_images(spectra):
    meetings = read(spectra[0] / "attention" / "attention.json")["methods"]["gradient"]["slit"]
    answered = [one for one in meetings["meetings"] if not one["reason"]]
    assert {one["reason"] for one in meetings["meetings"]} == {"", "no flare onset is known"}
    assert answered
    assert all(one["hit"] == (one["distance"] <= 10) for one in answered)


def test_without_slit_jaw_images_the_rest_is_still_told(spectra, tmp_path, no_page):
    shutil.copytree(spectra[0] / "store", tmp_path / "store")
    attention.run(out=tmp_path, n_bootstrap=20)
    made = read(tmp_path / "attention" / "attention.json")
    reasons = {one["reason"] for one in made["methods"]["gradient"]["slit"]["meetings"]}
    assert reasons == {"no flare onset is known", "there are no slit-jaw images"}
    assert made["methods"]["gradient"]["slit"]["fraction"] is None
    assert len(made["features"]["feature"]) > 3


def test_a_channel_without_images_answers_nothing(spectra, tmp_path, no_page):
    attention.run(
        out=tmp_path,
        store=spectra[0] / "store",
        slitjaws=spectra[0] / "data" / "catalog.yaml",
        channel="2796",
        n_bootstrap=20,
    )
    slit = read(tmp_path / "attention" / "attention.json")["methods"]["gradient"]["slit"]
    assert slit["fraction"] is None


def test_the_run_of_the_folder_is_judged_and_no_other(spectra, tmp_path, no_page):
    out = tmp_path / "two"
    shutil.copytree(spectra[0], out, ignore=shutil.ignore_patterns("data", "attention"))
    options = {"explainers": [{"method": "input_x_gradient"}], "split": "validation"}
    attribute.run(out=out, **options)
    outcome = attention.run(out=out, n_bootstrap=20)
    assert outcome.done == 1
    assert any(name.startswith("input_x_gradient on") for name in outcome.figures)
    older = open_store(spectra[0] / "store").runs[0]
    assert any(n.startswith("gradient on") for n in attention.run(out=out, run=older).figures)


def test_whole_spectrograms_are_trained_on_attributed_and_described(spectra_of_its_own):
    out = spectra_of_its_own
    small = {"epochs": 1, "n_bootstrap": 20, "batch_size": 8, "model_options": {"width": 4}}
    fractions = (0.7, 0.15, 0.15)
    train.run(
        out=out, per="spectrogram", split_by="observation", fractions=fractions,
        model="residual_cnn", **small,
    )  # fmt: skip
    attribute.run(out=out, explainers=[{"method": "gradient"}, {"method": "hires_cam"}])
    found = open_store(out / "store").query().load()
    dropped = found["quality"].values != 0
    assert dropped.any()
    for name in ("gradient", "hires_cam"):
        assert (np.isnan(found[name].values).all(axis=2) == dropped).all()
    assert "spectrum_score" not in found
    attention.run(out=out, n_bootstrap=20)
    made = read(out / "attention" / "attention.json")
    assert made["features"] is None
    assert set(made["methods"]) == {"gradient", "hires_cam"}
    page = (out / "attention" / "index.html").read_text()
    assert 'href="#features"' not in page


def test_maps_of_spots_are_refused_with_the_step_that_takes_them(run_of_its_own):
    attribute.run(out=run_of_its_own, explainers=[{"method": "gradient"}], shard_size=8)
    with pytest.raises(QueryError, match=r"its rows are patches, not spectrograms.*`validate`"):
        attention.run(out=run_of_its_own)


def test_images_of_spots_are_not_made_of_rasters(spectra, tmp_path):
    with pytest.raises(IngestError, match="spots are cut from intensity images"):
        ingest.run(out=tmp_path, catalog=spectra[0] / "data" / "catalog.yaml", first=1)
