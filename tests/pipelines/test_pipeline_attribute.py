"""Shards are units: the plain loop, processes, and a run killed half-way write the same bytes."""

import json
import shutil

import numpy as np
import pytest
import torch
import xarray as xr

from pipelines import attribute, ingest_iris
from pipelines.cluster import LocalProcesses, PlainLoop
from solarxai import blocks
from solarxai.errors import ContractError, SolarxaiError, WorkflowError
from solarxai.provenance import file_hash
from solarxai.query import open_store
from solarxai.query.cubes import to_cubes
from solarxai.schema import mock_spectrograms
from solarxai.store import Store

METHODS = [{"method": "gradient"}, {"method": "expected_gradients", "samples": 8, "n_baselines": 8}]
SMALL = {"explainers": METHODS[:1], "shard_size": 3}


class Killed(PlainLoop):
    """A loop that ends after some units, as a killed run does."""

    def __init__(self, units):
        self._units = units

    def run(self, function, calls):
        for unit, result in super().run(function, calls):
            if unit == self._units:
                raise KeyboardInterrupt
            yield unit, result


def hashes(store):
    return {
        path.relative_to(store).as_posix(): file_hash(path)
        for path in store.rglob("*")
        if path.is_file() and path.name != "index.sqlite" and path.parent.name != "records"
    }


def test_a_loop_and_processes_write_the_same_bytes(run_of_its_own, tmp_path):
    twin = tmp_path / "twin"
    shutil.copytree(run_of_its_own, twin)
    both = {**SMALL, "explainers": METHODS}
    alone = attribute.run(out=run_of_its_own, **both)
    cluster = LocalProcesses(workers=2)
    together = attribute.run(out=twin, cluster=cluster, **both)
    cluster.close()
    assert alone.figures == together.figures
    assert hashes(run_of_its_own / "store") == hashes(twin / "store")
    assert Store(twin / "store").root_hash() == alone.figures["root hash"]


def test_an_interrupted_run_goes_on_and_ends_with_the_same_root_hash(run_of_its_own, tmp_path):
    whole = tmp_path / "whole"
    shutil.copytree(run_of_its_own, whole)
    expected = attribute.run(out=whole, split="all", **SMALL)
    with pytest.raises(KeyboardInterrupt):
        attribute.run(out=run_of_its_own, split="all", cluster=Killed(2), **SMALL)
    assert not Store(run_of_its_own / "store").segments()[0].sealed
    resumed = attribute.run(out=run_of_its_own, split="all", **SMALL)
    assert resumed.skipped == 9
    assert resumed.done + resumed.skipped == expected.done
    assert resumed.figures["root hash"] == expected.figures["root hash"]


def test_what_a_killed_run_left_in_the_store_is_swept(run_of_its_own):
    attribute.run(out=run_of_its_own, **SMALL)
    left = run_of_its_own / "store" / "segments" / ".begin-half"
    left.mkdir()
    attribute.run(out=run_of_its_own, **SMALL)
    assert not left.exists()


def test_by_default_the_test_split_of_a_training_is_attributed(run_of_its_own):
    attribute.run(out=run_of_its_own, **SMALL)
    found = open_store(run_of_its_own / "store").query()
    sides = json.loads((run_of_its_own / "split.json").read_text())
    assert set(found["split"].values) == {"test"}
    assert found.sizes["sample"] == sum(side == "test" for side in sides.values())


def test_without_a_training_all_samples_are_attributed_and_the_baselines_say_so(run_of_its_own):
    (run_of_its_own / "split.json").unlink()
    attribute.run(out=run_of_its_own, explainers=METHODS[1:])
    store = open_store(run_of_its_own / "store")
    samples = blocks.open_samples(run_of_its_own / "samples")
    assert store.query().sizes["sample"] == samples.sizes["sample"]
    told = store.segments()[0].provenance["baselines"]
    assert told == {
        "number": 8,
        "seed": 0,
        "drawn from": "the samples of the run itself",
        "sha256": file_hash(run_of_its_own / "baselines.npy"),
    }


def test_baselines_come_from_the_workflow_that_trained_the_classifier(run_of_its_own):
    elsewhere = run_of_its_own / "classifier"
    elsewhere.mkdir()
    shutil.copytree(run_of_its_own / "samples", elsewhere / "samples")
    (run_of_its_own / "split.json").rename(elsewhere / "split.json")
    attribute.run(out=run_of_its_own, explainers=METHODS[1:])
    told = open_store(run_of_its_own / "store").segments()[0].provenance["baselines"]
    assert told["drawn from"] == "training split of the classifier's workflow"


def test_no_baselines_are_drawn_for_methods_without_them(run_of_its_own):
    attribute.run(out=run_of_its_own, explainers=[{"method": "gradient"}], shard_size=8)
    assert not (run_of_its_own / "baselines.npy").exists()
    told = open_store(run_of_its_own / "store").segments()[0].provenance["baselines"]
    assert told["drawn from"] == "none needed"


def test_maps_are_those_of_the_library_function(run_of_its_own):
    from solarxai.attribution import attribute as plain
    from solarxai.attribution import parse_explainers
    from solarxai.classifier import Classifier

    attribute.run(out=run_of_its_own, explainers=METHODS, shard_size=3)
    found = open_store(run_of_its_own / "store").query().load()
    maps = plain(
        found,
        Classifier.load(run_of_its_own / "classifier.safetensors"),
        parse_explainers(METHODS),
        baselines=torch.from_numpy(np.load(run_of_its_own / "baselines.npy")),
        batch_size=32,
    )
    largest = np.abs(maps["gradient"].values).max()
    np.testing.assert_allclose(
        found["gradient"], maps["gradient"], rtol=2**-10, atol=1e-6 * largest
    )
    np.testing.assert_array_equal(found["score"], maps["score"])


def test_runs_are_gathered_in_a_store_elsewhere(run_of_its_own, tmp_path):
    shared = tmp_path / "archive"
    attribute.run(out=run_of_its_own, store=shared, **SMALL)
    attribute.run(out=run_of_its_own, store=shared, **{**SMALL, "shard_size": 5})
    assert len(open_store(shared).segments()) == 2
    assert not (run_of_its_own / "store").exists()


def test_a_finished_run_stays_beside_another_and_an_unfinished_one_goes(run_of_its_own):
    attribute.run(out=run_of_its_own, **SMALL)
    with pytest.raises(KeyboardInterrupt):
        attribute.run(out=run_of_its_own, cluster=Killed(0), **{**SMALL, "shard_size": 4})
    assert len(Store(run_of_its_own / "store").segments()) == 2
    attribute.run(out=run_of_its_own, **{**SMALL, "shard_size": 5})
    segments = Store(run_of_its_own / "store").segments()
    assert sorted(segment.shard_size for segment in segments) == [3, 5]
    told = json.loads((run_of_its_own / "attribute.json").read_text())
    assert told["run"] in [segment.run for segment in segments if segment.shard_size == 5]


def test_samples_of_another_scale_are_refused(run_of_its_own):
    classifier = run_of_its_own / "classifier.safetensors"
    data = classifier.read_bytes().replace(b'\\"scale_mm\\": 0.5', b'\\"scale_mm\\": 0.7')
    classifier.write_bytes(data)
    with pytest.raises(ContractError, match=r"Set ingest\.patch_size to 64"):
        attribute.run(out=run_of_its_own, **SMALL)


def test_a_split_without_samples_is_refused(run_of_its_own):
    sides = json.loads((run_of_its_own / "split.json").read_text())
    told = json.dumps(dict.fromkeys(sides, "train"))
    (run_of_its_own / "split.json").write_text(told)
    with pytest.raises(ContractError, match="is in the split 'test'"):
        attribute.run(out=run_of_its_own, **SMALL)


def test_a_store_in_the_way_is_not_touched(run_of_its_own):
    (run_of_its_own / "store").mkdir()
    (run_of_its_own / "store" / "thesis.txt").write_text("mine")
    with pytest.raises(SolarxaiError, match="cannot become a store"):
        attribute.run(out=run_of_its_own, **SMALL)
    assert (run_of_its_own / "store" / "thesis.txt").read_text() == "mine"


class WithGpus(PlainLoop):
    """A loop that says that its workers have a GPU, as jobs of Slurm with `gpus: 1` do."""

    gpus = 1


no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


@no_gpu
def test_auto_without_a_gpu_is_the_same_run_as_cpu(run_of_its_own):
    made = attribute.run(out=run_of_its_own, **SMALL)
    again = attribute.run(out=run_of_its_own, device="auto", **SMALL)
    assert again.figures == made.figures
    assert again.done == 0
    assert Store(run_of_its_own / "store").segments()[0].provenance["device"] == "cpu"


@no_gpu
@pytest.mark.parametrize("how", [{"device": "cuda"}, {"device": "auto", "cluster": WithGpus()}])
def test_a_run_on_gpus_is_another_run_and_never_computes_elsewhere(run_of_its_own, how):
    here = attribute.run(out=run_of_its_own, **SMALL)
    with pytest.raises(WorkflowError, match="the run computes on cuda, and this worker sees no"):
        attribute.run(out=run_of_its_own, **how, **SMALL)
    by_device = {s.provenance["device"]: s for s in Store(run_of_its_own / "store").segments()}
    assert set(by_device) == {"cpu", "cuda"}
    assert by_device["cpu"].run.startswith(here.figures["run"])
    assert by_device["cuda"].missing() == list(by_device["cuda"].shards)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpu_gives_the_maps_of_the_cpu_and_the_same_bytes_twice(run_of_its_own, tmp_path):
    twin = shutil.copytree(run_of_its_own, tmp_path / "twin")
    both = {**SMALL, "explainers": [*METHODS, {"method": "hires_cam"}]}
    attribute.run(out=run_of_its_own, **both)
    there = attribute.run(out=run_of_its_own, device="auto", **both)
    again = attribute.run(out=twin, device="cuda", **both)
    stored = {s.provenance["device"]: s for s in Store(run_of_its_own / "store").segments()}
    assert stored["cuda"].root_hash == Store(twin / "store").segments()[0].root_hash
    assert again.figures["run"] == there.figures["run"]
    rows = np.arange(stored["cpu"].n_rows)
    assert (stored["cpu"].read("score", rows) == stored["cuda"].read("score", rows)).all()
    for name in stored["cpu"].methods:
        maps = [stored[device].read(name, rows) for device in ("cpu", "cuda")]
        np.testing.assert_allclose(*maps, rtol=2**-9, atol=1e-4 * np.abs(maps[0]).max())


SPECTRAL = {"explainers": [{"method": "gradient", "batch_size": 256}], "shard_size": 3,
            "split": "test", "batch_size": 256}  # fmt: skip


def test_maps_of_spectra_are_missing_exactly_where_a_spectrum_was_dropped(spectra):
    found = open_store(spectra[0] / "store").query().load()
    dropped = found["quality"].values != 0
    assert dropped.any()
    assert not dropped.all(axis=1).any()
    assert (np.isnan(found["gradient"].values).all(axis=2) == dropped).all()
    assert (np.isnan(found["gradient"].values).any(axis=2) == dropped).all()
    for name in ("spectrum_score", "peak"):
        assert (np.isnan(found[name].values) == dropped).all()
    margins = found["spectrum_score"].values
    np.testing.assert_allclose(found["score"], np.nanmean(margins, axis=1), rtol=1e-5, atol=1e-6)


def test_spectra_of_a_loop_and_of_processes_have_the_same_root_hash(
    spectra, spectra_of_its_own, tmp_path
):
    """Rasters are ingested, and shards attributed, by two processes."""
    twin = tmp_path / "twin"
    unneeded = shutil.ignore_patterns("samples", "store", "attention")
    shutil.copytree(spectra[0], twin, ignore=unneeded)
    cluster = LocalProcesses(workers=2)
    try:
        ingest_iris.run(out=twin, cluster=cluster)
        alone = attribute.run(out=spectra_of_its_own, **SPECTRAL)
        together = attribute.run(out=twin, cluster=cluster, **SPECTRAL)
    finally:
        cluster.close()
    assert together.figures["root hash"] == alone.figures["root hash"]
    assert hashes(twin / "samples") == hashes(spectra[0] / "samples")
    assert hashes(twin / "store") == hashes(spectra_of_its_own / "store")


def test_cubes_of_a_range_of_time_are_those_of_the_samples(spectra):
    """Brute force: every exposure of the range, found in the blocks, set side by side."""
    out = spectra[0]
    store = open_store(out / "store")
    whole = store.query().load()
    times = np.sort(whole["time"].values)
    first, last = times[1], times[-2]
    cubes = to_cubes(store.query(time=(str(first), str(last)), methods=["gradient"]))
    samples = blocks.open_samples(out / "samples")
    shown = np.isin(samples["sample_id"].values, whole["sample_id"].values)
    inside = (samples["time"].values >= first) & (samples["time"].values <= last)
    rows = samples.isel(sample=np.flatnonzero(shown & inside))
    assert len(cubes) == len(set(rows["observation"].values.tolist()))
    for cube in cubes:
        mine = rows.isel(
            sample=np.flatnonzero(rows["observation"].values == cube.meta["observation"])
        )
        wanted = np.full(cube.data.shape, np.nan, np.float32)
        wanted[mine["step"].values] = mine["image"].values
        np.testing.assert_array_equal(cube.data, wanted)
        assert (cube.mask == np.isnan(wanted)).all()
    assert sum(cube.data.shape[0] - cube.mask.all(axis=(1, 2)).sum() for cube in cubes) == len(
        rows["sample"]
    )


def test_an_exposure_keeps_its_own_time(spectra):
    samples = blocks.open_samples(spectra[0] / "samples")
    store = open_store(spectra[0] / "store")
    for name in store.query().load()["sample_id"].values[:3]:
        row = int(np.flatnonzero(samples["sample_id"].values == name)[0])
        found = store.query(nearest=str(samples["time"].values[row]))
        assert found["sample_id"].values.tolist() == [name]


def test_anyone_reads_a_segment_of_spectra_without_this_library(spectra):
    (segment,) = open_store(spectra[0] / "store").segments()
    plain = xr.open_zarr(segment.path, consolidated=True)
    assert plain["gradient"].dims == ("sample", "slit", "wavelength")
    assert plain["quality"].attrs["flag_meanings"].split()[0] == "kept"
    assert plain["wavelength"].attrs["units"] == "Angstrom"


def test_spectra_on_another_grid_are_refused(spectra_of_its_own, spectra):
    out = spectra_of_its_own
    shutil.rmtree(out / "samples")
    catalog = spectra[0] / "data" / "catalog.yaml"
    flares = spectra[0] / "data" / "flares.csv"
    ingest_iris.run(out=out, catalog=catalog, flares=flares, grid="native")
    with pytest.raises(ContractError, match=r"values over \[279.*the classifier takes \(240,\)"):
        attribute.run(out=out, **SPECTRAL)


def test_spectra_whose_scale_is_shifted_are_refused(spectra_of_its_own):
    path = spectra_of_its_own / "classifier.safetensors"
    header = path.read_bytes()
    assert header.count(b"2794.14") == 1
    path.write_bytes(header.replace(b"2794.14", b"2794.16"))
    with pytest.raises(ContractError, match=r"the classifier takes \(240,\) over \[2794\.16"):
        attribute.run(out=spectra_of_its_own, **SPECTRAL)


def test_images_are_refused_by_a_classifier_of_spectra(run_of_its_own, spectra):
    shutil.copy(spectra[0] / "classifier.safetensors", run_of_its_own)
    with pytest.raises(ContractError, match=r"the samples are \(64,\) values over no Angstrom"):
        attribute.run(out=run_of_its_own, **SMALL)


@pytest.mark.parametrize(("slits", "rows"), [(12, 256), (109, 256), (1096, 63)])
def test_a_shard_has_fewer_rows_where_slits_are_long(slits, rows):
    samples = mock_spectrograms(1, slits=slits)
    assert attribute._rows_of_a_shard(samples) == rows
