"""Rasters become blocks of labelled spectrograms, and every spectrum is accounted for."""

import functools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

from pipelines import ingest_iris
from solarxai import blocks
from solarxai.catalog import Catalog
from solarxai.errors import CatalogError, IngestError
from solarxai.ingest import ingest_raster, split
from solarxai.provenance import file_hash
from solarxai.spectra import REASONS

RASTERS, STEPS, SLIT = 12, 2, 12


@pytest.fixture
def rasters(spectra, tmp_path):
    """Return a folder with a `data/` of three rasters, their catalog and their flare list."""
    data = tmp_path / "few" / "data"
    data.mkdir(parents=True)
    whole = Catalog.load(spectra[0] / "data" / "catalog.yaml")
    few = whole.only("iris_raster").prune(3)
    for path in [p for one in few.references for p in (one.path, one.truth)]:
        shutil.copy(path, data)
    shutil.copy(spectra[0] / "data" / "flares.csv", data)
    few.save(data / "catalog.yaml")
    text = (data / "catalog.yaml").read_text()
    (data / "catalog.yaml").write_text(re.sub(r"(?m)^root: .*$", "root: .", text))
    return data.parent


def names_of(out):
    return [one.name for one in Catalog.load(out / "data" / "catalog.yaml").references]


def truncate(out, *, told):
    """Cut the second raster in half; with `told` the catalog knows the new checksum."""
    path = out / "data" / names_of(out)[1]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if told:
        catalog = out / "data" / "catalog.yaml"
        old = Catalog.load(catalog).references[1].sha256
        catalog.write_text(catalog.read_text().replace(old, file_hash(path)))
    return path.name


def check_account(counts, samples):
    """Assert that every spectrum is kept or dropped for a reason, and that samples agree."""
    dropped = sum(n for name, n in counts.items() if name.startswith("dropped, "))
    assert counts["kept spectra"] + dropped == counts["spectra"]
    assert counts["kept spectra"] == int((samples["quality"].values == 0).sum())
    hidden = counts["exposures without a spectrum"]
    assert samples.sizes["sample"] == counts["exposures"] - hidden
    labels = samples["label"].values.tolist()
    for label in ("active", "preflare", "ambiguous"):
        assert counts.get(f"{label} exposures", 0) == labels.count(label)
    return dropped


def test_blocks_hold_what_the_function_gives_file_by_file(rasters):
    outcome = ingest_iris.run(out=rasters)
    found = blocks.open_samples(rasters / "samples")
    flares = rasters / "data" / "flares.csv"
    references = Catalog.load(rasters / "data" / "catalog.yaml").references
    plain = blocks.concatenate([ingest_raster(one, flares=flares) for one in references])
    assert found.identical(plain)
    assert (outcome.done, outcome.figures["rasters"]) == (3, 3)
    assert set(found["label"].values) == {"active", "preflare"}


def test_every_spectrum_of_the_run_is_kept_or_dropped_for_a_reason(spectra):
    out, _, outcomes = spectra
    counts = json.loads((out / "ingest.json").read_text())["counts"]
    assert counts["rasters"] == RASTERS
    assert counts["spectra"] == RASTERS * STEPS * SLIT
    assert check_account(counts, blocks.open_samples(out / "samples")) > 0
    assert outcomes["ingest_iris"].figures["kept spectra"] == counts["kept spectra"]


def test_counts_by_reason_are_those_of_quality(spectra):
    counts = json.loads((spectra[0] / "ingest.json").read_text())["counts"]
    samples = blocks.open_samples(spectra[0] / "samples")
    assert counts["exposures without a spectrum"] == 0
    codes, numbers = np.unique(samples["quality"].values, return_counts=True)
    found = {f"dropped, {REASONS[code]}": n for code, n in zip(codes, numbers, strict=True) if code}
    assert found == {name: n for name, n in counts.items() if name.startswith("dropped, ")}


def test_exposures_of_the_anomaly_are_counted_and_leave_no_sample(rasters):
    """An observation in the anomaly loses all of its spectra, and none of its account."""
    name = names_of(rasters)[0]
    path = rasters / "data" / name
    old = file_hash(path)
    with fits.open(path, mode="update", output_verify="silentfix") as units:
        units[0].header["SAA"] = "           1"
    catalog = rasters / "data" / "catalog.yaml"
    catalog.write_text(catalog.read_text().replace(old, file_hash(path)))
    ingest_iris.run(out=rasters)
    counts = json.loads((rasters / "ingest.json").read_text())["counts"]
    samples = blocks.open_samples(rasters / "samples")
    assert counts["exposures without a spectrum"] == STEPS
    assert counts["dropped, saa"] > 0
    assert counts["spectra"] == 3 * STEPS * SLIT
    assert check_account(counts, samples) >= STEPS * SLIT
    assert not any(one in name for one in samples["observation"].values)


def test_blocks_that_are_there_are_kept(rasters):
    ingest_iris.run(out=rasters)
    again = ingest_iris.run(out=rasters)
    assert (again.done, again.skipped) == (0, 3)


def test_the_number_of_files_a_block_changes_no_sample(rasters, monkeypatch):
    ingest_iris.run(out=rasters)
    whole = blocks.open_samples(rasters / "samples")
    shutil.rmtree(rasters / "samples")
    monkeypatch.setattr(ingest_iris, "FILES_A_BLOCK", 1)
    ingest_iris.run(out=rasters)
    assert len(list((rasters / "samples").glob("*.nc"))) == 3
    assert blocks.open_samples(rasters / "samples").identical(whole)


def in_parts(monkeypatch, folder):
    """Let every raster be two parts of one exposure; remove what an earlier run made."""
    monkeypatch.setattr(ingest_iris, "split", functools.partial(split, size=1))
    shutil.rmtree(folder / "samples", ignore_errors=True)


def test_a_large_raster_is_as_many_units_as_it_has_parts_and_the_samples_are_the_same(
    rasters, monkeypatch
):
    ingest_iris.run(out=rasters)
    whole = blocks.open_samples(rasters / "samples")
    in_parts(monkeypatch, rasters)
    outcome = ingest_iris.run(out=rasters)
    parted = blocks.open_samples(rasters / "samples")
    xr.testing.assert_identical(parted, whole)
    assert outcome.done == 3 * STEPS == len(list((rasters / "samples").glob("*.json")))
    assert outcome.figures["rasters"] == 3


def test_a_raster_of_which_every_part_fails_is_told_once(rasters, monkeypatch):
    in_parts(monkeypatch, rasters)
    path = rasters / "data" / names_of(rasters)[1]
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(changed)
    outcome = ingest_iris.run(out=rasters, on_error="skip")
    assert [failure["file"] for failure in outcome.failures] == [path.name]
    assert outcome.figures["rasters"] == 2


def test_a_raster_of_which_one_part_fails_keeps_the_others(rasters, monkeypatch):
    def spoilt(reference, **options):
        if reference.steps == (0, 1):
            raise IngestError(f"{reference.name}: unreadable", remedy="Fetch it again.")
        return ingest_raster(reference, **options)

    in_parts(monkeypatch, rasters)
    monkeypatch.setattr(ingest_iris, "ingest_raster", spoilt)
    outcome = ingest_iris.run(out=rasters, on_error="skip", first=1)
    assert [failure["error"][-10:] for failure in outcome.failures] == ["unreadable"]
    assert (outcome.done, outcome.failed) == (STEPS - 1, 1)


@pytest.mark.parametrize("told", [False, True], ids=["by its checksum", "by its contents"])
def test_a_truncated_raster_stops_the_run_and_is_named(rasters, told):
    name = truncate(rasters, told=told)
    with pytest.raises(IngestError, match=re.escape(name)) as caught:
        ingest_iris.run(out=rasters)
    assert ("checksum" in caught.value.what) != told
    assert list((rasters / "samples").iterdir()) == []
    assert not (rasters / "ingest.json").exists()


@pytest.mark.parametrize("told", [False, True], ids=["by its checksum", "by its contents"])
def test_a_truncated_raster_is_left_out_and_told_when_asked_to(rasters, told):
    name = truncate(rasters, told=told)
    outcome = ingest_iris.run(out=rasters, on_error="skip")
    assert (outcome.done, outcome.failed) == (2, 1)
    recorded = json.loads((rasters / "ingest.json").read_text())
    (failure,) = recorded["failures"]
    assert failure["file"] == name
    assert name in failure["error"]
    assert failure["remedy"]
    assert recorded["counts"]["spectra"] == 2 * STEPS * SLIT
    observations = blocks.open_samples(rasters / "samples")["observation"].values
    assert not any(one in name for one in observations)
    assert ingest_iris.run(out=rasters, on_error="skip").failures == outcome.failures


def test_of_a_mixed_catalog_only_rasters_are_taken_and_of_them_the_first(spectra, tmp_path):
    catalog = spectra[0] / "data" / "catalog.yaml"
    outcome = ingest_iris.run(out=tmp_path, catalog=catalog, first=1)
    assert outcome.figures["rasters"] == 1
    wanted = Catalog.load(catalog).only("iris_raster").references[0]
    assert blocks.open_samples(tmp_path / "samples")["observation"].values[0] in wanted.name


def test_a_catalog_without_rasters_is_refused(rasters):
    catalog = rasters / "data" / "catalog.yaml"
    catalog.write_text(catalog.read_text().replace("iris_raster", "iris_sji"))
    with pytest.raises(CatalogError, match="no entry of instrument 'iris_raster'"):
        ingest_iris.run(out=rasters)


def test_without_a_flare_list_exposures_are_ambiguous(rasters):
    (rasters / "data" / "flares.csv").unlink()
    assert ingest_iris.run(out=rasters).figures["ambiguous exposures"] == 3 * STEPS


def test_a_catalog_of_ones_own_is_not_labelled_by_the_synthetic_flares(rasters):
    catalog = rasters / "data" / "catalog.yaml"
    outcome = ingest_iris.run(out=rasters, catalog=catalog)
    assert outcome.figures["ambiguous exposures"] == 3 * STEPS


def test_the_window_of_the_labels_is_an_option(rasters):
    assert ingest_iris.run(out=rasters).figures["preflare exposures"] > 0
    shutil.rmtree(rasters / "samples")
    assert "preflare exposures" not in ingest_iris.run(out=rasters, labels={"window": 1}).figures


def test_cleaning_and_grid_are_options(rasters):
    first = ingest_iris.run(out=rasters)
    assert first.figures["dropped, underexposed"] > 0
    shutil.rmtree(rasters / "samples")
    options = {"cleaning": {"underexposed": None}, "grid": "native"}
    second = ingest_iris.run(out=rasters, **options)
    assert "dropped, underexposed" not in second.figures
    assert blocks.open_samples(rasters / "samples").sizes["wavelength"] != 240
    assert json.loads((rasters / "ingest.json").read_text())["grid"] == "native"


@pytest.mark.parametrize(
    ("option", "given", "told"),
    [
        ("cleaning", {"limp": 0.4}, "cleaning: unknown field 'limp' Did you mean 'limb'?"),
        ("cleaning", {"limb": -1.0}, "thresholds of the cleaning: limb = -1.0"),
        ("labels", {"window": "25"}, "labels: window = '25': Input should be a valid number"),
        ("labels", {"threshold": "Z9"}, "Z9"),
    ],
)
def test_fields_of_cleaning_and_labels_are_checked_before_anything_runs(option, given, told):
    options = {"cleaning": None, "labels": None, option: given}
    (complaint,) = ingest_iris.complaints(options)
    assert told in complaint


@pytest.mark.real_data
def test_the_real_rasters_are_accounted_for_and_precede_their_flare(
    real_data, pytestconfig, tmp_path
):
    outcome = ingest_iris.run(
        out=tmp_path,
        catalog=pytestconfig.rootpath / "data_catalogs" / "iris_ar12017.yaml",
        flares=Path(real_data) / "events" / "swpc_flarelist_20100101-20210810.csv",
        labels={"window": 25.0},
    )
    assert (outcome.done, outcome.failed) == (13, 0)
    counts = json.loads((tmp_path / "ingest.json").read_text())["counts"]
    samples = blocks.open_samples(tmp_path / "samples")
    assert counts["spectra"] == 13 * 8 * 109 == 11336
    check_account(counts, samples)
    assert counts["exposures"] == 104
    assert set(samples["label"].values) == {"preflare"}
    onset = np.datetime64("2014-03-29T14:26")
    assert {np.datetime64(word) for word in samples["flare_onset"].values} == {onset}
    before = onset - samples["time"].values
    assert (before > np.timedelta64(0)).all()
    assert (before <= np.timedelta64(25, "m")).all()
    assert set(samples["region"].values) == {"NOAA 12017"}
