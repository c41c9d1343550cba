"""Rasters larger than memory: ingested by some exposures at a time, with the same result."""

import dataclasses
import gzip
import json
import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from iris_files import profile, spectra, wavelengths, write_raster, write_sji
from irispy.io.spectrograph import read_spectrograph_lvl2
from solar_files import hmi_cards, refer, write_image

from solarxai import blocks, spectrograms
from solarxai import ingest as module
from solarxai.catalog import Catalog
from solarxai.errors import IngestError
from solarxai.ingest import ingest_raster, open_observation, split
from solarxai.spectra import Cleaning

STEPS, SLITS = 9, 23
AN_EXPOSURE = SLITS * 633 * 5


@pytest.fixture(scope="module")
def counts():
    """Return noisy DN with fill, saturation, a lost exposure and spectra of little light."""
    rng = np.random.default_rng(0)
    bright = rng.uniform(0.02, 1.5, (STEPS, SLITS, 1)) * spectra(STEPS, SLITS)
    made = (rng.poisson(18 * bright) / 18).astype(np.float32)
    made[2, 3, 100:120], made[5, 7], made[6] = -200, 16183.75, -200
    return made


@pytest.fixture
def raster(tmp_path, counts):
    return refer(write_raster(tmp_path / "a.fits", counts, scaled=True), "iris_raster")


def whole(reference, **options):
    """Return the Samples of an Observation read and cut at once."""
    return spectrograms.cut(open_observation(reference), **options)


def exposures_at_once(monkeypatch, number, size=AN_EXPOSURE):
    monkeypatch.setattr(module, "SLAB", number * size)


@pytest.mark.parametrize("number", [1, 2, 4, STEPS])
def test_samples_do_not_depend_on_how_many_exposures_are_in_memory(raster, monkeypatch, number):
    exposures_at_once(monkeypatch, number)
    xr.testing.assert_identical(ingest_raster(raster), whole(raster))


@pytest.mark.parametrize(
    "changes",
    [
        {"stepping": -2.0},
        {"stepping": 0.0},
        {"columns": {"EXPTIMEN": np.where(np.arange(STEPS) == 4, 0.0, 3.7)}},
        {"window": {"CDELT1": 0.002546}},
    ],
    ids=["flipped", "sit and stare", "lost exposure", "resampled"],
)
def test_rasters_of_every_kind_are_the_same_in_parts(tmp_path, counts, monkeypatch, changes):
    path = write_raster(tmp_path / "a.fits", counts, scaled=True, **changes)
    reference, options = refer(path, "iris_raster"), {"cleaning": Cleaning(limb=None)}
    exposures_at_once(monkeypatch, 2)
    found = ingest_raster(reference, grid="native", **options)
    xr.testing.assert_identical(found, whole(reference, grid="native", **options))
    assert found.sizes["sample"] > 4


@settings(max_examples=15, deadline=None)
@given(slits=st.integers(1, 7), size=st.integers(1, 10), seed=st.integers(0, 99))
def test_a_spectrum_does_not_depend_on_those_beside_it(slits, size, seed):
    rng = np.random.default_rng(seed)
    rate = (rng.uniform(0.2, 2, (10, slits, 1)) * spectra(10, slits)).astype(np.float32) / 8
    made = xr.Dataset(
        {"intensity": (("step", "slit", "wavelength"), rate)}, {"wavelength": wavelengths()}
    )
    given_ = {"exposure": np.full(10 * slits, 8.0), "saa": np.zeros(10 * slits, bool)}
    measured = _measured(made, given_)
    parts = [
        _measured(
            made.isel(step=slice(i, i + size)),
            {k: v[i * slits : (i + size) * slits] for k, v in given_.items()},
        )
        for i in range(0, 10, size)
    ]
    for name, values in measured.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), values)


def _measured(raster, columns):
    grid = spectrograms.spectra.study_grid()
    found = spectrograms.spectra.measure(
        raster["intensity"].values.reshape(-1, 633),
        raster["wavelength"].values * grid.unit,
        grid,
        cleaning=Cleaning(quiet_sun=(0.0, 4.0)),
        **columns,
    )
    return {"image": found.image, "quality": found.quality, "peak": found.peak, **found.features}


def test_parts_of_a_raster_joined_are_the_raster(raster):
    parts = split(raster, size=2 * AN_EXPOSURE)
    assert [part.steps for part in parts] == [(0, 1), (1, 3), (3, 5), (5, 7), (7, 9)]
    assert len({part.key for part in parts} | {raster.key}) == 6
    made = [ingest_raster(part) for part in parts]
    expected = blocks.concatenate([whole(raster)])
    xr.testing.assert_identical(blocks.concatenate(made), expected)
    tally = Counter()
    for one in made:
        tally.update(json.loads(one.attrs["counts"]))
    assert tally == json.loads(expected.attrs["counts"])
    assert tally["rasters"] == 1


def test_a_small_raster_is_one_part_and_a_middling_one_a_unit_of_its_own(raster):
    assert split(raster) == (raster,)
    (alone,) = split(raster, size=STEPS * AN_EXPOSURE)
    assert alone.steps == (0, STEPS)


def test_what_cannot_be_opened_is_not_split(tmp_path):
    broken = tmp_path / "a.fits"
    broken.write_bytes(b"SIMPLE  =" + bytes(9000))
    image = write_image(tmp_path / "b.fits", np.ones((90, 90), np.float32), hmi_cards())
    for reference in (
        refer(broken, "iris_raster"),
        refer(tmp_path / "absent.fits", "iris_raster"),
        refer(image),
    ):
        assert split(reference, size=1) == (reference,)


def test_some_exposures_open_as_they_are_in_the_whole(raster):
    some = open_observation(dataclasses.replace(raster, steps=(3, 6)))
    complete = open_observation(raster).isel(step=slice(3, 6))
    assert some["step"].values.tolist() == [3, 4, 5]
    some.attrs = complete.attrs
    xr.testing.assert_identical(some, complete)


@pytest.mark.parametrize("steps", [(0, 10), (4, 4), (-1, 3)])
def test_steps_that_are_not_there_are_refused(raster, steps):
    with pytest.raises(IngestError, match="are not among its 9 exposures"):
        ingest_raster(dataclasses.replace(raster, steps=steps))


def test_only_rasters_have_exposures_to_take_some_of(tmp_path):
    movie = dataclasses.replace(refer(write_sji(tmp_path / "m.fits"), "iris_sji"), steps=(0, 1))
    with pytest.raises(IngestError, match="iris_sji has no exposures to take some of"):
        open_observation(movie)


def test_a_part_without_a_value_is_no_error_where_the_raster_has_some(raster, monkeypatch):
    exposures_at_once(monkeypatch, 2)
    lost = ingest_raster(dataclasses.replace(raster, steps=(6, 7)))
    assert lost.sizes["sample"] == 0
    assert json.loads(lost.attrs["counts"])["dropped, missing"] == SLITS


@pytest.mark.parametrize(
    ("value", "said"), [(-200.0, "every pixel is NaN"), (50.0, "every pixel has the value 6.25")]
)
@pytest.mark.parametrize("steps", [None, (2, 3)])
def test_a_raster_of_one_value_is_refused_whole_and_in_parts(
    tmp_path, monkeypatch, value, said, steps
):
    path = write_raster(tmp_path / "a.fits", np.full((5, 4, 633), value, np.float32))
    monkeypatch.setattr(module, "SLAB", 1)
    with pytest.raises(IngestError, match=rf"a\.fits: {said}"):
        ingest_raster(dataclasses.replace(refer(path, "iris_raster"), steps=steps))


def test_exposures_of_one_value_each_are_no_error_when_the_values_differ(tmp_path, monkeypatch):
    values = np.ones((5, 4, 633), np.float32) * np.arange(50, 55)[:, None, None]
    monkeypatch.setattr(module, "SLAB", 1)
    path = write_raster(tmp_path / "a.fits", values)
    assert ingest_raster(refer(path, "iris_raster")).sizes["sample"] == 0


def test_a_compressed_file_gives_the_same(raster, tmp_path, monkeypatch):
    packed = tmp_path / "a.fits.gz"
    with raster.path.open("rb") as plain, gzip.open(packed, "wb") as out:
        shutil.copyfileobj(plain, out)
    exposures_at_once(monkeypatch, 4)
    found = ingest_raster(refer(packed, "iris_raster"))
    np.testing.assert_array_equal(found["image"], whole(raster)["image"])


@pytest.mark.real_data
def test_counts_are_those_irispy_reads(real_data, pytestconfig):
    catalog = Catalog.load(
        pytestconfig.rootpath / "data_catalogs" / "iris_ar12017.yaml",
        variables={"SOLARXAI_REAL_DATA": str(real_data)},
    )
    reference = next(one for one in catalog.references if one.instrument == "iris_raster")
    found = open_observation(reference)
    told = read_spectrograph_lvl2([str(reference.path)], spectral_windows=["Mg II k 2796"])
    read = found["intensity"] * found["exposure_time"]
    valid = found["valid"].values
    np.testing.assert_allclose(read.values[valid], told["Mg II k 2796"][0].data[valid], rtol=2e-7)


UNDER_A_LIMIT = """
import resource, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, {tests!r})
from iris_files import write_raster
from solar_files import refer
from solarxai import ingest
ingest.SLAB = {slab}
ingest.ingest_raster(refer(Path({small!r}), "iris_raster"))
reference = refer(Path({large!r}), "iris_raster")
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {allowed},) * 2)
rows = [ingest.ingest_raster(part).sizes["sample"] for part in ingest.split(reference, size={part})]
print(sum(rows))
try:
    ingest.open_observation(reference)
except MemoryError:
    print("too large to be opened whole")
"""


def raster_much_larger_than(folder, *, steps, slits):
    """Write a raster of int16 of which one exposure in sixteen has light; return its path."""
    lit = np.broadcast_to((profile(wavelengths()) - 7992) / 0.25, (slits, 633)).astype(np.int16)
    values = np.full((steps, slits, 633), -32768, np.int16)
    values[::16] = lit
    scale = {"BSCALE": 0.25, "BZERO": 7992.0}
    return write_raster(folder / "large.fits", values, window=scale)


def ingested_under_a_limit(folder, pytestconfig, *, allowed, slab, part, steps, slits):
    """Return what a process with so many bytes to spare says."""
    large = raster_much_larger_than(folder, steps=steps, slits=slits)
    assert steps * slits * 633 * 4 >= 8 * allowed
    code = UNDER_A_LIMIT.format(
        tests=str(pytestconfig.rootpath / "tests"), small=str(write_raster(folder / "small.fits")),
        large=str(large), allowed=allowed, slab=slab, part=part,
    )  # fmt: skip
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are those of Linux")
def test_a_raster_eight_times_larger_than_memory_is_ingested(tmp_path, pytestconfig):
    said = ingested_under_a_limit(
        tmp_path, pytestconfig, allowed=32 << 20, slab=4 << 20, part=24 << 20, steps=416, slits=256
    )
    assert said == ["26", "too large to be opened whole"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are those of Linux")
def test_a_raster_of_true_size_is_ingested_in_an_eighth_of_it(tmp_path, pytestconfig):
    said = ingested_under_a_limit(
        tmp_path, pytestconfig, allowed=128 << 20, slab=1 << 24, part=1 << 26, steps=400, slits=1096
    )
    assert said == ["25", "too large to be opened whole"]
