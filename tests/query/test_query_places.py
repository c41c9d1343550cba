"""Cones and boxes on the disk, late data and pages give what a scan of all rows gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import astropy.units as u
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_runs import add, identities, instant, rows, seconds_of

from solarxai.errors import QueryError
from solarxai.query import SaliencyStore, open_store
from solarxai.query.conditions import Place, cell_of

SECONDS = st.integers(-50, 50)
SPOT = st.tuples(st.integers(-200, 200), st.integers(-200, 200))


def placed(seconds: list[int], spots: list[tuple[float, float]], *, seed: int = 0) -> xr.Dataset:
    made = rows(seconds, seed=seed, size=4)
    for column, name in enumerate(("solar_x", "solar_y")):
        values = np.array([spot[column] for spot in spots], dtype=np.float64)
        made[name] = ("sample", values, {"units": "arcsec"})
    return made


class Row(NamedTuple):
    """What a scan knows of a row."""

    seconds: float
    run: str
    sample: str
    x: float
    y: float
    label: str
    region: str


def scan(store: SaliencyStore) -> list[Row]:
    """Return every row, read with xarray alone, in order of time, run, place in the run."""
    found = []
    for segment in store.segments():
        with xr.open_zarr(segment.path, chunks=None) as ds:
            names = ("sample_id", "solar_x", "solar_y", "label", "region")
            columns = (ds[name].values.tolist() for name in names)
            runs = [segment.run] * ds.sizes["sample"]
            found += [Row(*row) for row in zip(seconds_of(ds), runs, *columns, strict=True)]
    return sorted(found, key=lambda row: row[:2])


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> SaliencyStore:
    """Return a store of four runs, each queried before the next came with earlier times."""
    path = tmp_path_factory.mktemp("late") / "store"
    rng = np.random.default_rng(3)
    for number, run in enumerate(("dd", "bb", "cc", "aa")):
        seconds = sorted(rng.integers(-50, 50 - 12 * number, 24).tolist())
        spots = [tuple(spot) for spot in rng.integers(-200, 200, (24, 2)).tolist()]
        add(path, run, placed(seconds, spots, seed=number), ["gradient"])
        assert open_store(path).query().sizes["sample"] == 24 * (number + 1)
    return open_store(path)


ASKED = st.fixed_dictionaries(
    {},
    optional={
        "time": st.tuples(SECONDS, SECONDS).map(sorted),
        "cone": st.tuples(SPOT, st.sampled_from([0, 5, 40, 90, 150, 400])),
        "label": st.sampled_from(["pore", "sunspot"]),
        "region": st.sampled_from(["NOAA 0", "NOAA 1", "NOAA 2"]),
        "run": st.sampled_from(["a", "bb", "d"]),
    },
)


def fits(row: Row, asked: dict[str, Any]) -> bool:
    low, high = asked.get("time", (-np.inf, np.inf))
    (x, y), radius = asked.get("cone", ((0, 0), np.inf))
    (left, right), (bottom, top) = asked.get("box", ((-np.inf, np.inf),) * 2)
    return (
        low <= row.seconds <= high
        and (row.x - x) ** 2 + (row.y - y) ** 2 <= radius**2
        and left <= row.x <= right
        and bottom <= row.y <= top
        and row.label == asked.get("label", row.label)
        and row.region == asked.get("region", row.region)
        and row.run.startswith(asked.get("run", ""))
    )


def as_options(asked: dict[str, Any]) -> dict[str, Any]:
    options = dict(asked)
    if "time" in asked:
        options["time"] = tuple(instant(end) for end in asked["time"])
    if "cone" in asked:
        centre, radius = asked["cone"]
        options["cone"] = (centre * u.arcsec, radius * u.arcsec)
    if "box" in asked:
        options["box"] = tuple(side * u.arcsec for side in asked["box"])
    return options


@settings(max_examples=25, deadline=None, database=None, derandomize=True)
@given(asked=ASKED)
def test_any_question_gives_what_a_scan_gives(late: SaliencyStore, asked: dict[str, Any]) -> None:
    expected = [tuple(row[:3]) for row in scan_of(late) if fits(row, asked)]
    if expected:
        assert identities(late.query(**as_options(asked))) == expected
    else:
        with pytest.raises(QueryError, match="no row has"):
            late.query(**as_options(asked))


@settings(max_examples=15, deadline=None, database=None, derandomize=True)
@given(sides=st.tuples(SPOT.map(sorted), SPOT.map(sorted)))
def test_any_box_gives_what_a_scan_gives(late: SaliencyStore, sides: Any) -> None:
    asked = {"box": sides}
    expected = [tuple(row[:3]) for row in scan_of(late) if fits(row, asked)]
    if expected:
        assert identities(late.query(**as_options(asked))) == expected
    else:
        with pytest.raises(QueryError, match=r"no row has a place in x .* arcsec"):
            late.query(**as_options(asked))


@settings(max_examples=25, deadline=None, database=None, derandomize=True)
@given(goal=st.floats(-80, 80), asked=ASKED)
def test_the_nearest_of_any_question_is_that_of_a_scan(
    late: SaliencyStore, goal: float, asked: dict[str, Any]
) -> None:
    asked = {name: value for name, value in asked.items() if name != "time"}
    own = [row for row in scan_of(late) if fits(row, asked)]
    gaps = [abs(np.int64(instant(row.seconds) - instant(goal))) for row in own]
    expected = [tuple(r[:3]) for r, gap in zip(own, gaps, strict=True) if gap == min(gaps)]
    if expected:
        assert identities(late.query(nearest=instant(goal), **as_options(asked))) == expected
    else:
        with pytest.raises(QueryError, match="no row has"):
            late.query(nearest=instant(goal), **as_options(asked))


_SCANS: dict[Path, list[Row]] = {}


def scan_of(store: SaliencyStore) -> list[Row]:
    return _SCANS.setdefault(store.path, scan(store))


@settings(max_examples=3, deadline=None, database=None, derandomize=True)
@given(
    arrivals=st.lists(
        st.lists(st.tuples(SECONDS, SPOT), min_size=1, max_size=6), min_size=2, max_size=3
    )
)
def test_whatever_arrives_when_stands_in_order_of_time(
    tmp_path_factory: pytest.TempPathFactory, arrivals: list[list[tuple[int, Any]]]
) -> None:
    path = tmp_path_factory.mktemp("arrivals") / "store"
    for number, arrival in enumerate(arrivals):
        seconds, spots = zip(*sorted(arrival), strict=True)
        samples = placed(list(seconds), list(spots))
        add(path, f"run{9 - number}", samples, ["gradient"])
        store = open_store(path)
        assert identities(store.query()) == [tuple(row[:3]) for row in scan(store)]
        asked = {"cone": ((0, 0), 150)}
        near = [tuple(row[:3]) for row in scan(store) if fits(row, asked)]
        if near:
            assert identities(store.query(**as_options(asked))) == near


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(
    x=st.floats(-1300, 1300), y=st.floats(-1300, 1300), radius=st.floats(0, 280),
    angle=st.floats(0, 7), part=st.floats(0, 1),
)  # fmt: skip
def test_every_point_of_a_place_is_in_one_of_its_cells(
    x: float, y: float, radius: float, angle: float, part: float
) -> None:
    place = Place(x=(x - radius, x + radius), y=(y - radius, y + radius), radius=radius)
    point = np.clip(x + part * radius * np.cos(angle), *place.x)
    other = np.clip(y + part * radius * np.sin(angle), *place.y)
    (cell,) = cell_of(np.array([point]), np.array([other]))
    assert cell in place.cells()


def test_what_has_no_place_is_found_by_no_place(tmp_path: Path) -> None:
    samples = placed([0, 1], [(np.nan, 5), (3, 4)])
    add(tmp_path / "store", "run", samples, ["gradient"])
    store = open_store(tmp_path / "store")
    whole_sky = ((-1e9, 1e9) * u.arcsec,) * 2
    assert seconds_of(store.query(box=whole_sky)) == [1]
    assert seconds_of(store.query()) == [0, 1]
    assert cell_of(np.array([np.nan, 1e9]), np.array([0.0, 0.0])) == [None, None]


def test_angles_are_taken_in_any_unit_of_angle(late: SaliencyStore) -> None:
    wide = late.query(cone=((0 * u.deg, 0 * u.arcmin), 2 * u.arcmin))
    assert identities(wide) == identities(late.query(cone=((0, 0) * u.arcsec, 120 * u.arcsec)))


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"cone": ((1, 2), 3)}, "the cone has 3, which is no angle"),
        ({"cone": ((1, 2) * u.km, 3 * u.arcsec)}, "km.*, which is no angle"),
        ({"cone": 3 * u.arcsec}, r"the cone .* is not \(\(x, y\), radius\)"),
        ({"cone": ((1, 2) * u.arcsec, -3 * u.arcsec)}, "radius of the cone is -3 arcsec"),
        ({"cone": ((1, np.nan) * u.arcsec, 3 * u.arcsec)}, "the cone has .*Give finite"),
        ({"box": ((1, 0) * u.arcsec, (0, 1) * u.arcsec)}, "the box ends .0 arcsec. before"),
        ({"box": ((1, 2, 3) * u.arcsec, (0, 1) * u.arcsec)}, "the box .* is not .*x, x"),
        ({"box": ((0, 1) * u.deg,) * 2, "cone": 1}, "both cone and box"),
        ({"cone": ((900, 900) * u.arcsec, 1 * u.arcsec)}, r"within 1 arcsec of \(900, 900\)"),
        ({"limit": 0}, "the limit 0 or the offset 0 is out of range"),
        ({"offset": -1}, "the limit None or the offset -1 is out of range"),
        ({"offset": 96}, "only 96 rows match, and 96 were to be left out"),
    ],
)
def test_a_place_or_page_that_cannot_be_is_told(
    late: SaliencyStore, asked: dict[str, Any], match: str
) -> None:
    with pytest.raises(QueryError, match=match):
        late.query(**asked)


@pytest.mark.parametrize("asked", [{}, {"label": "pore"}, {"nearest": None}])
def test_pages_laid_together_are_the_whole(late: SaliencyStore, asked: dict[str, Any]) -> None:
    if "nearest" in asked:
        seconds = [row.seconds for row in scan_of(late)]
        pairs = zip(seconds, seconds[1:], seconds[2:], strict=False)
        middle = next((a + c) / 2 for a, b, c in pairs if a == b != c)
        asked = {"nearest": instant(middle)}
    whole = identities(late.query(**asked))
    assert len(whole) > 1
    for size in (1, 7):
        paged = []
        for offset in range(0, len(whole), size):
            found = late.query(limit=size, offset=offset, **asked)
            assert found.attrs["rows_that_match"] == len(whole)
            paged += identities(found)
            if offset > 20:
                break
        assert paged == whole[: len(paged)]
        assert len(paged) >= min(len(whole), 21)


def test_a_place_of_too_many_cells_names_none_and_is_found_all_the_same(
    late: SaliencyStore,
) -> None:
    assert Place(x=(-400, 400), y=(-400, 400)).cells() == ()
    assert late.query(box=((-400, 400) * u.arcsec,) * 2).sizes["sample"] == len(scan_of(late))
