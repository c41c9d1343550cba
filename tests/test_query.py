"""Queries give the rows a brute-force scan gives; maps and files carry the patch's coordinates."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
import sunpy.map
import xarray as xr
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from solarxai import patches
from solarxai import query as query_module
from solarxai.catalog import Catalog
from solarxai.errors import QueryError, StoreError
from solarxai.ingest import ingest
from solarxai.query import SaliencyStore, open_store
from solarxai.query.index import Index
from solarxai.schema import mock_samples, sample_wcs_header
from solarxai.store import create_store
from solarxai.store.segment import Segment

START = np.datetime64("2014-03-29T14:00:00", "ns")
FIRST_SECONDS = [0, 0, 0, 10, 20, 20, 45, 60, 61, 90]
EARLIER_SECONDS = [-400, -200, -200, 5, 20, 60]


def rows(seconds: list[int], *, seed: int = 0, size: int = 16) -> xr.Dataset:
    """Return samples at the given seconds after 14:00, with regions, splits and origins."""
    n = len(seconds)
    samples = mock_samples(n, size=size, seed=seed)
    samples["time"] = ("sample", START + np.array(seconds) * np.timedelta64(1, "s"))
    samples["region"] = ("sample", np.array([f"NOAA {r % 3}" for r in range(n)], dtype=object))
    samples["origin"] = ("sample", np.array(["real", "synthetic"] * n, dtype=object)[:n])
    split = np.array(["test", "train", "test"] * n, dtype=object)[:n]
    return samples.assign_coords(split=("sample", split))


def attributed(samples: xr.Dataset, methods: list[str]) -> xr.Dataset:
    image = samples["image"]
    maps = {name: image * np.float32(k + 1) for k, name in enumerate(methods)}
    errors = {f"{name}_stderr": np.abs(image) for name in methods if name != "gradient"}
    score = ("sample", np.round(samples["wcs_crval1"].values, 1))
    predicted = ("sample", samples["label"].values)
    made = samples.assign(**maps, **errors, score=score, predicted=predicted)
    for name in maps | errors:
        made[name].attrs = {"units": "logit"}
    return made


def add(
    path: Path,
    run: str,
    samples: xr.Dataset,
    methods: list[str],
    *,
    shards: list[int] | None = None,
) -> Segment:
    template = attributed(samples.isel(sample=slice(1)), methods)
    segment = create_store(path).begin(
        samples, methods, run_key=run, provenance={}, shard_size=4, variables=template
    )
    for shard in segment.missing() if shards is None else shards:
        segment.write(shard, attributed(segment.samples(shard), methods))
    if shards is None:
        segment.seal()
    return segment


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> SaliencyStore:
    path = tmp_path_factory.mktemp("one") / "store"
    add(path, "bbb1", rows(FIRST_SECONDS), ["expected_gradients", "gradient"])
    return open_store(path)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> SaliencyStore:
    """Return a store that was queried before a second run added earlier observations."""
    path = tmp_path_factory.mktemp("two") / "store"
    add(path, "bbb1", rows(FIRST_SECONDS), ["expected_gradients", "gradient"])
    assert open_store(path).query().sizes["sample"] == len(FIRST_SECONDS)
    add(path, "aaa2", rows(EARLIER_SECONDS, seed=1), ["gradient", "grad_cam"])
    return open_store(path)


@pytest.fixture
def copy(two: SaliencyStore, tmp_path: Path) -> SaliencyStore:
    """Return the two runs in a store that the test may damage."""
    shutil.copytree(two.path, tmp_path / "copy")
    return open_store(tmp_path / "copy")


def instant(seconds: float) -> np.datetime64:
    return START + np.timedelta64(round(seconds * 1e9), "ns")


def seconds_of(ds: xr.Dataset) -> list[float]:
    return ((ds["time"].values - START) / np.timedelta64(1, "s")).tolist()


def brute_force(store: SaliencyStore) -> list[tuple[float, str, str]]:
    """Return (seconds, run, sample_id) of every row, read with xarray alone."""
    found = []
    for segment in store.segments():
        with xr.open_zarr(segment.path, chunks=None) as ds:
            names = [segment.run] * ds.sizes["sample"]
            found += zip(seconds_of(ds), names, ds["sample_id"].values, strict=True)
    return sorted(found)


def identities(ds: xr.Dataset) -> list[tuple[float, str, str]]:
    return list(zip(seconds_of(ds), ds["run"].values, ds["sample_id"].values, strict=True))


ANY_TIME = st.one_of(
    st.sampled_from(sorted({*FIRST_SECONDS, *EARLIER_SECONDS})),
    st.floats(-500, 200).map(lambda seconds: round(seconds, 9)),
)


@pytest.mark.parametrize("which", ["one", "two"])
def test_a_range_gives_what_a_scan_gives(which: str, request: pytest.FixtureRequest) -> None:
    store: SaliencyStore = request.getfixturevalue(which)
    every = brute_force(store)

    @settings(max_examples=40, deadline=None, database=None, derandomize=True)
    @given(st.tuples(ANY_TIME, ANY_TIME).map(sorted))
    def check(ends: list[float]) -> None:
        expected = [row for row in every if ends[0] <= row[0] <= ends[1]]
        if expected:
            found = store.query(time=(instant(ends[0]), instant(ends[1])), methods=["gradient"])
            assert identities(found) == expected
        else:
            with pytest.raises(QueryError, match="no row has a time from"):
                store.query(time=(instant(ends[0]), instant(ends[1])))

    check()


@pytest.mark.parametrize("which", ["one", "two"])
def test_nearest_gives_what_a_scan_gives(which: str, request: pytest.FixtureRequest) -> None:
    store: SaliencyStore = request.getfixturevalue(which)
    every = brute_force(store)

    @settings(max_examples=40, deadline=None, database=None, derandomize=True)
    @given(ANY_TIME)
    def check(goal: float) -> None:
        gaps = [abs(np.int64(instant(row[0]) - instant(goal))) for row in every]
        expected = [row for row, gap in zip(every, gaps, strict=True) if gap == min(gaps)]
        assert identities(store.query(nearest=instant(goal))) == expected

    check()


def test_of_two_times_equally_near_both_come(one: SaliencyStore) -> None:
    assert seconds_of(one.query(nearest=instant(15))) == [10, 20, 20]


def test_nearest_looks_only_among_the_rows_that_match(two: SaliencyStore) -> None:
    found = two.query(nearest=instant(1), methods=["grad_cam"])
    assert identities(found) == [(5.0, "aaa2", "mock-00003")]
    assert seconds_of(two.query(nearest=instant(5), label="pore", run="bbb")) == [0, 10]


def test_every_filter_gives_what_a_scan_gives(two: SaliencyStore) -> None:
    every = two.query().load()
    for asked in (
        {"label": "pore"},
        {"region": "NOAA 1", "origin": "synthetic"},
        {"split": "train", "label": "sunspot"},
        {"run": "aaa"},
    ):
        keep = np.ones(every.sizes["sample"], dtype=bool)
        for column, text in asked.items():
            keep &= [value.startswith(text) for value in every[column].values]
        xr.testing.assert_equal(
            two.query(methods=["gradient"], **asked).load(), every.isel(sample=keep)
        )
    low, high = sorted(every["score"].values)[3:9:5]
    inside = (every["score"] >= low) & (every["score"] <= high)
    assert identities(two.query(score=(low, high))) == identities(every.isel(sample=inside.values))
    assert inside.sum() >= 6


def test_values_are_those_that_were_given(two: SaliencyStore) -> None:
    found = two.query(methods=["gradient"])
    assert (np.diff(found["time"].values) >= np.timedelta64(0)).all()
    for run, given_rows, factor in (
        ("bbb1", rows(FIRST_SECONDS), 2),
        ("aaa2", rows(EARLIER_SECONDS, seed=1), 1),
    ):
        own = found.isel(sample=found["run"].values == run).load()
        assert set(given_rows.variables) < set(own.variables)
        for name in given_rows.variables:
            np.testing.assert_array_equal(own[name].values, given_rows[name].values, str(name))
        np.testing.assert_allclose(own["gradient"], given_rows["image"] * factor, rtol=2**-11)


def test_any_cut_of_the_lazy_rows_equals_the_cut_of_the_loaded_ones(two: SaliencyStore) -> None:
    loaded = two.query().load()
    for cut in (
        {"sample": 3},
        {"sample": slice(2, 14, 3), "y": 5},
        {"sample": [9, 0, 4], "x": slice(None, None, -2)},
        {"sample": slice(0, 0), "y": [1, 2], "x": 3},
        {"sample": np.array([-1, 1])},
    ):
        xr.testing.assert_identical(two.query().isel(cut).load(), loaded.isel(cut))


def test_methods_are_those_that_all_matching_runs_hold(two: SaliencyStore) -> None:
    assert two.methods == ("expected_gradients", "grad_cam", "gradient")
    both = two.query()
    assert both.attrs["methods"] == ["gradient"]
    assert both.attrs["runs"] == ["aaa2", "bbb1"]
    assert not {"expected_gradients", "grad_cam", "grad_cam_stderr"} & set(both)
    later = two.query(time=(instant(70), None))
    assert later.attrs["methods"] == ["expected_gradients", "gradient"]
    assert "expected_gradients_stderr" in later
    chosen = two.query(methods=["grad_cam"])
    assert set(chosen["run"].values) == {"aaa2"}
    assert "gradient" not in chosen
    assert not {"gradient", "grad_cam"} & set(two.query(methods=[]))


def test_columns_that_one_run_lacks_are_named(copy: SaliencyStore) -> None:
    samples = rows([7]).assign(rule_label=("sample", np.array(["pore"], dtype=object)))
    add(copy.path, "ccc3", samples, ["gradient"])
    assert copy.query().attrs["not_in_every_run"] == ["rule_label"]


def test_runs_without_a_common_method_ask_for_a_choice(copy: SaliencyStore) -> None:
    add(copy.path, "ccc3", rows([7]), ["hires_cam"])
    with pytest.raises(QueryError, match="no method in common: aaa2 has gradient, grad_cam"):
        copy.query()


def test_patches_of_two_sizes_are_not_stacked(copy: SaliencyStore) -> None:
    add(copy.path, "ccc3", rows([7], size=8), ["gradient"])
    with pytest.raises(QueryError, match="different sizes in these runs"):
        copy.query()
    assert copy.query(run="ccc3").sizes["y"] == 8


def test_nothing_is_read_before_it_is_used(
    one: SaliencyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = Segment.read

    def noted(self: Segment, name: str, *arguments: Any) -> Any:
        read.append(name)
        return original(self, name, *arguments)

    monkeypatch.setattr(Segment, "read", noted)
    found = one.query(time=(instant(0), instant(50)))
    assert read == ["time"]
    _ = found["gradient"].isel(sample=0).values
    assert read == ["time", "gradient"]


_OPENED: list[str] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("open", "sqlite3.connect") and _OPENED is not None:
        _OPENED.append(str(arguments[0]))


@pytest.fixture
def opened_files() -> Iterator[list[str]]:
    """Give the list of files opened while the test runs."""
    global _OPENED
    if not getattr(sys, "_solarxai_noted", False):
        sys.addaudithook(_note)
        sys._solarxai_noted = True  # type: ignore[attr-defined]
    _OPENED = []
    yield _OPENED
    _OPENED = None


def test_a_range_query_touches_ten_files_at_most(
    one: SaliencyStore, opened_files: list[str]
) -> None:
    one.query()
    opened_files.clear()
    _ = open_store(one.path).query(time=(instant(10), instant(50)))["gradient"].values
    inside = {name for name in opened_files if str(one.path) in name}
    assert {"store.json", "index.sqlite", "zarr.json"} <= {Path(name).name for name in inside}
    assert len(inside) <= 10


def test_only_ledgered_rows_are_returned(tmp_path: Path) -> None:
    path = tmp_path / "store"
    segment = add(path, "run1", rows(FIRST_SECONDS), ["gradient"], shards=[])
    with pytest.raises(QueryError, match="the store has no rows yet"):
        open_store(path).query()
    add(path, "run1", rows(FIRST_SECONDS), ["gradient"], shards=[2])
    assert seconds_of(open_store(path).query()) == FIRST_SECONDS[8:]
    add(path, "run1", rows(FIRST_SECONDS), ["gradient"], shards=[0])
    assert seconds_of(open_store(path).query()) == FIRST_SECONDS[:4] + FIRST_SECONDS[8:]
    (segment.path / "ledger" / "000002.json").unlink()
    assert seconds_of(open_store(path).query()) == FIRST_SECONDS[:4]
    add(path, "run1", rows(FIRST_SECONDS), ["gradient"])
    segment.discard(1)
    assert seconds_of(open_store(path).query()) == FIRST_SECONDS[:4] + FIRST_SECONDS[8:]


def test_a_run_that_is_removed_is_forgotten(copy: SaliencyStore) -> None:
    assert copy.query().sizes["sample"] == 16
    shutil.rmtree(copy.path / "segments" / "bbb1")
    assert copy.query().sizes["sample"] == 6
    add(copy.path, "bbb1", rows([1000]), ["gradient"])
    assert seconds_of(copy.query(run="bbb1")) == [1000]


def test_a_segment_replaced_under_its_key_is_indexed_anew(copy: SaliencyStore) -> None:
    copy.query()
    shutil.rmtree(copy.path / "segments" / "bbb1")
    add(copy.path, "bbb1", rows([1000, 1001]), ["gradient"], shards=[0])
    assert seconds_of(copy.query(run="bbb1")) == [1000, 1001]


@pytest.mark.parametrize("damage", ["absent", "text", "cut", "version"])
def test_a_damaged_index_is_made_anew(copy: SaliencyStore, damage: str) -> None:
    expected = identities(copy.query())
    path = copy.path / "index.sqlite"
    if damage == "absent":
        path.unlink()
    elif damage == "text":
        path.write_text("this is not a database, whatever its name says" * 100)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    assert identities(copy.query()) == expected


def test_an_index_that_lies_is_found_out(copy: SaliencyStore) -> None:
    expected = identities(copy.query())
    for lie in ("UPDATE row SET time = time + 1000", "UPDATE row SET row = row + 100"):
        connection = sqlite3.connect(copy.path / "index.sqlite")
        connection.execute(lie)
        connection.commit()
        connection.close()
        assert identities(copy.query()) == expected


def test_an_index_that_keeps_lying_is_told(
    copy: SaliencyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_module, "_agree", lambda found, segments: False)
    with pytest.raises(StoreError, match="the index and the segments disagree"):
        copy.query()


def test_a_store_that_cannot_be_written_is_searched_in_memory(copy: SaliencyStore) -> None:
    expected = identities(copy.query())
    Index.delete(copy)
    (copy.path / "index.sqlite").mkdir()
    assert identities(copy.query()) == expected


def test_times_are_taken_in_every_form(one: SaliencyStore) -> None:
    zone = timezone(timedelta(hours=2))
    for goal in (
        "2014-03-29T14:00:10",
        "2014-03-29 14:00:10.000",
        "2014-03-29T14:00:10Z",
        "2014-03-29T16:00:10+02:00",
        np.datetime64("2014-03-29T14:00:10"),
        datetime(2014, 3, 29, 14, 0, 10),
        datetime(2014, 3, 29, 16, 0, 10, tzinfo=zone),
        Time("2014-03-29T14:00:45", scale="tai"),
        Time("2014-03-29T14:00:10"),
    ):
        assert seconds_of(one.query(time=(goal, goal))) == [10], goal


def test_both_ends_belong_to_the_range(one: SaliencyStore) -> None:
    assert seconds_of(one.query(time=(instant(10), instant(45)))) == [10, 20, 20, 45]
    assert seconds_of(one.query(time=(None, instant(0)))) == [0, 0, 0]
    assert seconds_of(one.query(time=(instant(61), None))) == [61, 90]


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"time": ("2014-03-29T15", "2014-03-29T14")}, "ends .* before it begins .*earlier"),
        ({"time": ("now", None)}, "'now' is not a time .* Write it as 2014"),
        ({"time": ("2014-13-01", None)}, "'2014-13-01' is not a time"),
        ({"time": (5, None)}, "5 is not a time .a int is not a time"),
        ({"time": ("NaT", None)}, "'NaT' is not a time"),
        ({"time": ("9999-01-01", None)}, "'9999-01-01' is not a time"),
        ({"nearest": np.datetime64("NaT")}, "is not a time"),
        ({"time": ("2014", None), "nearest": "2014"}, "both time and nearest"),
        ({"time": ("2015", "2016")}, "from 2015-01-01T00:00:00 to 2016.*holds 16 rows from 2014"),
        ({"label": "sunspt"}, "no row has the label 'sunspt'.*Did you mean 'sunspot'"),
        ({"region": "NOAA 7"}, "no row has the region 'NOAA 7'; there are NOAA 0, NOAA 1"),
        ({"methods": ["gradeint"]}, "no map of method 'gradeint'.*Did you mean 'gradient'"),
        ({"methods": ["grad_cam", "expected_gradients"]}, "no run holds all of grad_cam, exp"),
        ({"run": "zzz"}, "no run begins with 'zzz'. There are aaa2, bbb1"),
        ({"score": (5.0, 1.0)}, r"score range \(5.0, 1.0\) is not"),
        ({"score": (9e9, 9e10), "label": "pore"}, "label 'pore' and a score from 9e.09 to 9e.10"),
        ({"run": "bbb", "label": "pore", "split": "train", "region": "NOAA 0"}, "no row has label"),
    ],
)
def test_a_question_without_an_answer_says_why(
    two: SaliencyStore, asked: dict[str, Any], match: str
) -> None:
    with pytest.raises(QueryError, match=match):
        two.query(**asked)


def test_what_is_not_a_store_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a store"):
        open_store(tmp_path)


HMI_HEADER = "\n".join(
    [
        "SIMPLE  =                    T",
        "BITPIX  =                   32",
        "NAXIS   =                    2",
        "NAXIS1  =                 4096",
        "NAXIS2  =                 4096",
        "BSCALE  =                  0.1",
        "BZERO   =               3000.0",
        "TELESCOP= 'SDO/HMI '",
        "INSTRUME= 'HMI_SIDE1'",
        "CONTENT = 'CONTINUUM INTENSITY'",
        "DATE-OBS= '2014-03-29T13:59:00'",
        "T_OBS   = '2014.03.29_14:00:35_TAI'",
        "TIMESYS = 'TAI     '",
        "CTYPE1  = 'HPLN-TAN'",
        "CTYPE2  = 'HPLT-TAN'",
        "CRPIX1  =              2048.25",
        "CRPIX2  =              2047.75",
        "CDELT1  =                  0.5",
        "CROTA2  =                180.0",
        "CRLN_OBS=            120.12345",
        "CRLT_OBS=               -6.789",
        "BUNIT   = 'DN/s    '",
        "WAVELNTH=               6173.0",
        "WAVEUNIT= 'Angstrom'",
        f"{'CADENCE =                 45.0 / ' + 'a comment that fills its card':80}",
        f"{'EXACTLY =   1.0E+00 / ' + 'a comment that fills its card' * 2:80}",
        "BROKEN  = 1.0.0",
        "ODD     = 'caf\u00e9    '",
        "!!!",
        "HISTORY calibrated",
        "HISTORY twice",
        "COMMENT a comment that stays",
    ]
)


def solar(coordinates: str) -> xr.Dataset:
    """Return three rows of an image with a rotated helioprojective or a Carrington system."""
    samples = rows([0, 30, 60])
    samples["header"] = ("sample", np.array([HMI_HEADER] * 3, dtype=object))
    samples["region"] = ("sample", np.array(["r\u00e9gion"] * 3, dtype=object))
    turn = np.deg2rad(179.93)
    made: dict[str, Any] = {
        "pc1_1": np.cos(turn), "pc1_2": -np.sin(turn), "pc2_1": np.sin(turn),
        "pc2_2": np.cos(turn), "cdelt1": 0.6893201, "cdelt2": 0.6893201,
        "crpix1": -733.123456789012, "crpix2": 812.98765432101,
        "crval1": 12.3456789012345, "crval2": -3.21098765432109,
        "dsun_obs": 149_417_123_456.7, "hglt_obs": -6.789012345678, "hgln_obs": 0.0123456789,
    }  # fmt: skip
    if coordinates == "carrington":
        made |= {
            "pc1_1": 1.0, "pc1_2": 0.0, "pc2_1": 0.0, "pc2_2": 1.0,
            "cdelt1": 0.041154321, "cdelt2": 0.041154321, "crval1": 283.123456789, "crval2": 0.0,
            "crpix1": 55.54321, "crpix2": 432.1, "lonpole": np.nan, "latpole": np.nan,
        }  # fmt: skip
        words = {"ctype1": "CRLN-CEA", "ctype2": "CRLT-CEA", "cunit1": "deg", "cunit2": "deg"}
        made |= {key: np.array([word] * 3, dtype=object) for key, word in words.items()}
    for key, value in made.items():
        filled = value if isinstance(value, np.ndarray) else np.full(3, value)
        samples[f"wcs_{key}"] = ("sample", filled)
    return samples


@pytest.fixture(scope="module", params=["helioprojective", "carrington"])
def sunlit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("sunlit") / "store"
    samples = solar(request.param)
    add(path, "0123456789abcdef" * 4, samples, ["expected_gradients", "gradient"])
    return open_store(path), samples


def assert_same_sky(made: WCS, samples: xr.Dataset, row: int) -> None:
    """Assert that every pixel stands where the sample's own header puts it, to 1e-9 arcsec."""
    y, x = np.mgrid[:16, :16]
    expected = WCS(sample_wcs_header(samples, row))
    assert list(made.wcs.ctype) == list(expected.wcs.ctype)
    for axis in (0, 1):
        gap = np.asarray(made.wcs_pix2world(x, y, 0)[axis]) - np.asarray(
            expected.wcs_pix2world(x, y, 0)[axis]
        )
        assert np.abs(gap * u.deg).max().to_value(u.arcsec) <= 1e-9


def test_maps_stand_where_the_samples_stood(sunlit: Any) -> None:
    store, samples = sunlit
    found = store.query()
    for method in ("image", "gradient", "expected_gradients_stderr"):
        for row, made in enumerate(store.to_maps(found, method)):
            assert_same_sky(made.wcs, samples, row)
            assert_same_sky(WCS(made.fits_header), samples, row)
            assert made.data.dtype == np.float32
            assert made.unit == u.dimensionless_unscaled
            np.testing.assert_array_equal(made.data, found[method][row])
            assert made.date.isot == str(samples["time"].values[row].astype("datetime64[ms]"))
            np.testing.assert_allclose(
                made.observer_coordinate.radius.to_value(u.m), 149_417_123_456.7
            )


def test_maps_keep_the_original_header(sunlit: Any) -> None:
    store, _ = sunlit
    (made, *_) = store.to_maps(store.query(), "gradient")
    assert made.meta["cadence"] == 45.0
    assert made.meta["crln_obs"] == 120.12345
    assert made.meta["history"] == "calibrated\ntwice"
    assert made.meta["comment"] == "a comment that stays"
    assert made.meta["btype"] == "Attribution, gradient, logit"
    assert made.meta["broken"] == "1.0.0"
    assert made.meta["xailabel"] == "sunspot"
    assert not {"crota2", "bscale", "bzero", "naxis1", "simple", "timesys", "odd", "!!!"} & set(
        made.meta
    )


def test_fits_files_read_back_to_the_same_place_and_pixels(sunlit: Any, tmp_path: Path) -> None:
    store, samples = sunlit
    found = store.query()
    paths = store.to_fits(found, tmp_path / "maps")
    names = ["IMAGE", "EXPECTED_GRADIENTS", "EXPECTED_GRADIENTS_STDERR", "GRADIENT"]
    for row, path in enumerate(paths):
        for name, made in zip(names, sunpy.map.Map(path), strict=True):
            assert_same_sky(made.wcs, samples, row)
            assert made.meta["extname"] == name
            np.testing.assert_array_equal(made.data, found[name.lower()][row])
            time = Time(samples["time"].values[row])
            assert abs((made.reference_date.utc - time).to_value("s")) < 61


def test_fits_files_keep_solarnet_keywords_and_every_original_card(
    sunlit: Any, tmp_path: Path
) -> None:
    store, samples = sunlit
    (path, *_) = store.to_fits(store.query(), tmp_path, ["gradient"])
    assert path.name == "20140329T140000_mock-00000_0123456789ab.fits"
    with fits.open(path) as file:
        assert [hdu.name for hdu in file] == ["PRIMARY", "GRADIENT", "ORIGINAL_HEADER"]
        header = file["GRADIENT"].header
        assert (header["SOLARNET"], header["OBS_HDU"], header["BUNIT"]) == (0.5, 1, "")
        assert header["DATE-BEG"] == header["DATEREF"] == "2014-03-29T14:00:00.000000"
        assert header["FILENAME"] == path.name
        assert (header["XAIRUN"], header["XAIREG"]) == ("0123456789abcdef" * 4, "r?gion")
        assert header["XAISCORE"] == np.round(samples["wcs_crval1"].values[0], 1)
        cards = [card.rstrip() for card in file["ORIGINAL_HEADER"].data["CARD"]]
    assert cards == [line.rstrip().replace("\u00e9", "?") for line in HMI_HEADER.split("\n")]


def test_fits_files_are_the_same_bytes_each_time(sunlit: Any, tmp_path: Path) -> None:
    store, _ = sunlit
    first, second = (
        [path.read_bytes() for path in store.to_fits(store.query(), tmp_path / name)]
        for name in ("a", "b")
    )
    assert first == second
    assert len(first) == 3


def test_a_mask_becomes_a_map_too(one: SaliencyStore) -> None:
    found = one.query(nearest=instant(10))
    for name in ("segmentation", "central"):
        (made,) = one.to_maps(found, name)
        assert made.data.dtype == np.uint8
        np.testing.assert_array_equal(made.data, found[name][0])


def test_a_map_that_is_not_there_is_told(one: SaliencyStore, tmp_path: Path) -> None:
    found = one.query()
    with pytest.raises(QueryError, match=r"no map 'gradeint'.*Did you mean 'gradient'"):
        one.to_maps(found, "gradeint")
    with pytest.raises(QueryError, match="no map 'score'"):
        one.to_fits(found, tmp_path, ["score"])


@pytest.mark.parametrize("name", ["out.nc", "out.zarr"])
def test_an_exported_file_holds_the_same_rows(
    two: SaliencyStore, tmp_path: Path, name: str
) -> None:
    found = two.query(time=(instant(-300), instant(30)))
    path = two.export(found, tmp_path / "new" / name)
    options: dict[str, Any] = {"engine": "zarr"} if path.suffix == ".zarr" else {}
    with xr.open_dataset(path, **options) as again:
        assert again.sizes == found.sizes
        for column in found.variables:
            np.testing.assert_array_equal(again[column].values, found[column].values, str(column))
    assert [p.name for p in path.parent.iterdir()] == [name]


def test_export_to_a_folder_writes_fits(one: SaliencyStore, tmp_path: Path) -> None:
    found = one.query(nearest=instant(20))
    assert one.export(found, tmp_path / "maps") == tmp_path / "maps"
    assert len(list((tmp_path / "maps").glob("*.fits"))) == 2


def test_export_refuses_other_suffixes_and_to_overwrite_a_folder(
    one: SaliencyStore, tmp_path: Path
) -> None:
    found = one.query(nearest=instant(20))
    with pytest.raises(QueryError, match=r"cannot be written as '\.csv'"):
        one.export(found, tmp_path / "out.csv")
    (tmp_path / "out.zarr").mkdir()
    with pytest.raises(QueryError, match="already exists"):
        one.export(found, tmp_path / "out.zarr")


@pytest.mark.real_data
def test_a_real_region_comes_back_as_maps_where_it_was(real_data: Path, tmp_path: Path) -> None:
    catalog = Path(__file__).parents[1] / "data_catalogs" / "ar11158.yaml"
    sharp, _ = Catalog.load(catalog).references
    samples = patches.concatenate([ingest(sharp)])
    add(tmp_path / "store", "run1", samples, ["gradient"])
    store = open_store(tmp_path / "store")
    found = store.query(label="sunspot")
    assert found.sizes["sample"] >= 3
    for row, path in enumerate(store.to_fits(found, tmp_path / "maps", ["gradient"])):
        made = sunpy.map.Map(path)
        y, x = np.mgrid[:64, :64]
        expected = WCS(sample_wcs_header(found, row)).wcs_pix2world(x, y, 0)
        exact = WCS(fits.getheader(path, 1)).wcs_pix2world(x, y, 0)
        np.testing.assert_array_equal(exact, expected)
        gap = np.subtract(made.wcs.wcs_pix2world(x, y, 0), expected)
        assert np.abs(gap * u.deg).max().to_value(u.arcsec) <= 1e-9
        assert made.meta["harpnum"] == 377
        np.testing.assert_array_equal(made.data, found["gradient"][row])
