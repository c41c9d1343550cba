"""Time queries of stores of 1e3 to 1e6 observations, in one segment and in a thousand.

    python benchmarks/query_scale.py FOLDER [--rounds 21] [--write]

FOLDER keeps the stores, which are made where absent (minutes). Observations come every 12 minutes,
with maps of 2×2 pixels. The stores of one segment are written by the store's own API. Those of a
thousand segments hold copies of one segment that it wrote, each with its own times and places and
with a ledger and a seal of its own: in *late data*, every tenth segment is written last and has
observations between those of the nine before; in *scattered*, observation n is in segment
n mod 1000. Each round asks all stores in turn for the same question; the table gives medians.
--write puts it into docs/benchmarks/query_scale.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.provenance import canonical_json
from solarxai.query import SaliencyStore, open_store
from solarxai.schema import mock_samples
from solarxai.store import create_store
from solarxai.store.layout import encode_column
from solarxai.store.ledger import file_record
from solarxai.store.segment import Segment

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "query_scale.md"
START = np.datetime64("2000-01-01", "ns")
CADENCE = np.timedelta64(12, "m").astype("timedelta64[ns]")
RANGE = 100 * CADENCE
SEGMENTS = 1000
SMALLEST = "1e3"
Question = Callable[[SaliencyStore, float], xr.Dataset]


def samples(n: int) -> xr.Dataset:
    """Return observations every 12 minutes, each at a place of its own, one region in a hundred."""
    rng = np.random.default_rng(n)
    made = mock_samples(n, size=2)
    made["time"] = ("sample", START + np.arange(n) * CADENCE)
    made["solar_x"] = ("sample", rng.uniform(-700, 700, n), {"units": "arcsec"})
    made["solar_y"] = ("sample", rng.uniform(-700, 700, n), {"units": "arcsec"})
    made["region"] = ("sample", np.array([f"NOAA {k // 100}" for k in range(n)], dtype=object))
    return made


def maps_of(rows: xr.Dataset) -> xr.Dataset:
    """Return something to store as a map, with scores that follow no order."""
    n = rows.sizes["sample"]
    return xr.Dataset(
        {
            "gradient": rows["image"] * 2,
            "score": ("sample", np.sin(np.arange(n, dtype=np.float64) * 12.9898)),
            "predicted": ("sample", rows["label"].values),
        }
    )


def one_segment(path: Path, n: int, *, key: str = "one") -> Segment:
    """Write a store of one segment by the store's own API; return the segment."""
    rows = samples(n)
    segment = create_store(path).begin(
        rows,
        ["gradient"],
        run_key=key,
        provenance={"benchmark": "query_scale"},
        shard_size=min(n, 65536),
        variables=maps_of(rows.isel(sample=slice(1))),
    )
    for shard in segment.missing():
        segment.write(shard, maps_of(segment.samples(shard)))
    segment.seal()
    return segment


def clone(pattern: Segment, key: str, columns: dict[str, npt.NDArray[Any]]) -> Segment:
    """Return a copy of a segment of the same store with other values in some columns."""
    made = Segment(pattern.path.parent / key)
    changed = {f"{name}/c.0": values for name, values in columns.items()}
    for source in sorted(p for p in pattern.path.rglob("*") if p.is_file()):
        name = source.relative_to(pattern.path).as_posix()
        target = made.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if name in changed:
            description = (source.parent / "zarr.json").read_bytes()
            target.write_bytes(encode_column(description, changed[name], start=0))
        elif name == "zarr.json":
            words = json.loads(source.read_bytes())
            words["attributes"] |= {"run": key, "inputs": f"{words['attributes']['inputs']}-{key}"}
            target.write_text(json.dumps(words, sort_keys=True, indent=1))
        elif name not in ("SEALED.json", "ledger/begin.json"):
            os.link(source, target)
    begun = json.loads((pattern.path / "ledger/begin.json").read_bytes())["files"]
    for name in ("zarr.json", *changed):
        begun[name] = file_record(made.path / name)
    (made.path / "ledger/begin.json").write_text(canonical_json({"files": begun}))
    made.seal()
    return made


def thousand_segments(path: Path, times: npt.NDArray[np.datetime64]) -> None:
    """Write a store of segments of a thousand rows at (segment, row) times."""
    rng = np.random.default_rng(0)
    pattern = one_segment(path, times.shape[1], key="pattern")
    for number, own in enumerate(times):
        places = {name: rng.uniform(-700, 700, len(own)) for name in ("solar_x", "solar_y")}
        clone(pattern, f"run{number:04d}", {"time": own.astype(np.int64), **places})
    shutil.rmtree(pattern.path)


def late_times() -> npt.NDArray[np.datetime64]:
    """Return times of which every tenth segment's lie between those of the nine before."""
    times = (START + np.arange(SEGMENTS * 1000) * CADENCE).reshape(SEGMENTS, 1000)
    tens = times.reshape(-1, 10_000)
    late = np.zeros(tens.shape[1], dtype=bool)
    late[5::10] = True
    tidy = [np.concatenate([ten[~late].reshape(9, 1000), ten[late][None]]) for ten in tens]
    return np.concatenate([*(t[:9] for t in tidy), *(t[9:] for t in tidy)])


def scattered_times() -> npt.NDArray[np.datetime64]:
    """Return times of which neighbours are in different segments."""
    return (START + np.arange(SEGMENTS * 1000) * CADENCE).reshape(1000, SEGMENTS).T.copy()


MAKERS: dict[str, tuple[str, int, Callable[[Path], object]]] = {
    "1e3": ("1", 1_000, lambda path: one_segment(path, 1_000)),
    "1e4": ("1", 10_000, lambda path: one_segment(path, 10_000)),
    "1e5": ("1", 100_000, lambda path: one_segment(path, 100_000)),
    "1e6": ("1", 1_000_000, lambda path: one_segment(path, 1_000_000)),
    "1e6-late": ("1000, late data", 1_000_000, lambda p: thousand_segments(p, late_times())),
    "1e6-scattered": (
        "1000, scattered",
        1_000_000,
        lambda p: thousand_segments(p, scattered_times()),
    ),
}


def _moment(store: SaliencyStore, place: float) -> np.datetime64:
    n = ROWS[store.path.name]
    return START + int(place * (n - 200)) * CADENCE


def in_range(store: SaliencyStore, place: float) -> xr.Dataset:
    """Return the 100 observations after a moment."""
    begin = _moment(store, place)
    return store.query(time=(begin, begin + RANGE - np.timedelta64(1, "ns")))


def range_read(store: SaliencyStore, place: float) -> xr.Dataset:
    """Return the same with the maps read."""
    found = in_range(store, place)
    _ = found["gradient"].values
    return found


def nearest(store: SaliencyStore, place: float) -> xr.Dataset:
    """Return the observation nearest to a moment between two."""
    return store.query(nearest=_moment(store, place) + CADENCE // 3)


def nearest_read(store: SaliencyStore, place: float) -> xr.Dataset:
    """Return the same with the map read."""
    found = nearest(store, place)
    _ = found["gradient"].values
    return found


def nearest_in_cone(store: SaliencyStore, place: float) -> xr.Dataset:
    """Return the observation nearest to a moment, of those within 100 arcsec of a place."""
    arcsec = u.arcsec
    return store.query(
        nearest=_moment(store, place), cone=((-200 * arcsec, 150 * arcsec), 100 * arcsec)
    )


def boxed_range(store: SaliencyStore, place: float) -> xr.Dataset:
    """Return those of 100 observations that lie in half of the disk."""
    begin = _moment(store, place)
    return store.query(
        time=(begin, begin + RANGE),
        box=((-700 * u.arcsec, 0 * u.arcsec), (-700 * u.arcsec, 700 * u.arcsec)),
    )  # fmt: skip


def first_page(store: SaliencyStore, place: float) -> xr.Dataset:
    """Return the first 20 sunspots and how many there are."""
    return store.query(label="sunspot", limit=20, offset=int(place * 100))


QUESTIONS: dict[str, Question] = {
    "range of 100": in_range,
    "range of 100, maps read": range_read,
    "nearest": nearest,
    "nearest, map read": nearest_read,
    "nearest in a cone of 100″": nearest_in_cone,
    "range and a box": boxed_range,
    "a page of 20 of all sunspots, and their number": first_page,
}
ROWS = {name: rows for name, (_, rows, _) in MAKERS.items()}
_opened: set[str] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event in ("open", "sqlite3.connect"):
        _opened.add(os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else "")


def files_of(ask: Question, store: SaliencyStore) -> int:
    """Return how many distinct files of the store one question opens, the index one of them."""
    global _opened
    _opened = set()
    ask(open_store(store.path), 0.5)
    touched, _opened = _opened, None
    return len([name for name in touched if str(store.path) in name])


def timed(
    stores: Sequence[SaliencyStore], rounds: int
) -> dict[tuple[str, str], tuple[float, float]]:
    """Return the median processor and elapsed seconds of each question to each store."""
    rng = np.random.default_rng(1)
    spent: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for turn in range(rounds + 1):
        place = rng.uniform()
        for name, ask in QUESTIONS.items():
            for store in stores:
                begun = _clocks()
                ask(open_store(store.path), place)
                if turn:
                    spent.setdefault((name, store.path.name), []).append(_since(begun))
    return {
        key: (statistics.median(t[0] for t in took), statistics.median(t[1] for t in took))
        for key, took in spent.items()
    }


def _clocks() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def _since(begun: tuple[float, float]) -> tuple[float, float]:
    now = _clocks()
    return now[0] - begun[0], now[1] - begun[1]


def built(store: SaliencyStore) -> tuple[float, float]:
    """Return the processor seconds of making the index, and its size in bytes a row.

    What was measured once is kept beside the store.
    """
    note = store.path.with_name(f"{store.path.name}.made.json")
    if not note.exists():
        (store.path / "index.sqlite").unlink(missing_ok=True)
        begun = _clocks()
        span = store.index()
        took = _since(begun)[0]
        size = (store.path / "index.sqlite").stat().st_size / span.rows
        note.write_text(json.dumps([took, size]))
    took, size = json.loads(note.read_text())
    return took, size


def page(stores: Sequence[SaliencyStore], rounds: int) -> str:
    """Return the page of the documentation."""
    made = {store.path.name: built(store) for store in stores}
    time.sleep(11)  # until the folders count as old: see solarxai.query.following
    spent = timed(stores, rounds)
    names = [store.path.name for store in stores]
    titles = [f"{ROWS[name]:.0e} in {MAKERS[name][0]}".replace("e+0", "e") for name in names]
    lines = [
        (__doc__ or "").split("\n")[0].replace("Time queries", "# Queries").rstrip("."),
        "",
        "Written by `benchmarks/query_scale.py`. Observations every 12 minutes, maps of 2×2 "
        "pixels. The stores of one segment were written by the store's own API; those of a "
        "thousand hold copies of a segment that it wrote, each with its own times, places, ledger "
        "and seal. *Late data*: every tenth segment has observations between those of nine others. "
        f"*Scattered*: observation n is in segment n mod {SEGMENTS}, the worst there is.",
        "",
        f"Medians of {rounds} interleaved rounds, every time with a newly opened store: processor "
        "ms, and in brackets the ratio to 1e3 observations in one segment, then elapsed ms and its "
        "ratio. Other programs ran on the machine, so the elapsed times are longer than need be. "
        "Wanted: a range at most 2 times, the nearest at most 3 times, 10 files at most.",
        "",
        "| | " + " | ".join(titles) + " |",
        "| --- |" + " --- |" * len(names),
    ]
    for ask in QUESTIONS:
        cells = [
            "; ".join(
                f"{took * 1e3:.1f} ({took / base:.2f})"
                for took, base in zip(spent[ask, n], spent[ask, SMALLEST], strict=True)
            )
            for n in names
        ]
        lines.append(f"| {ask} | " + " | ".join(cells) + " |")
    lines.append(
        "| making the index, processor s | " + " | ".join(f"{made[n][0]:.1f}" for n in names) + " |"
    )
    lines.append("| index, bytes a row | " + " | ".join(f"{made[n][1]:.0f}" for n in names) + " |")
    lines += [
        "",
        "Distinct files of the store that one question opens (Python's audit events; the index "
        "and `store.json` are two of them):",
        "",
        "| | " + " | ".join(titles) + " |",
        "| --- |" + " --- |" * len(names),
    ]
    for name, ask in QUESTIONS.items():
        cells = [str(files_of(ask, store)) for store in stores]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "What does grow: all sunspots are counted, row by row; and where neighbours in "
        "time are all in different segments, a hundred maps are in a hundred files, and reading "
        "them opens three of each segment.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the stores, time the questions, print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--only", nargs="*", choices=sorted(MAKERS), default=list(MAKERS))
    parser.add_argument("--make", action="store_true", help="make the stores, ask nothing")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    stores = []
    for name in options.only:
        path = options.folder / name
        if not path.exists():
            begun = time.perf_counter()
            MAKERS[name][2](path.with_name(f"{name}.draft"))
            path.with_name(f"{name}.draft").rename(path)
            print(f"{name}: made in {time.perf_counter() - begun:.0f} s", file=sys.stderr)
        stores.append(open_store(path))
    if options.make:
        return
    sys.addaudithook(_note)
    text = page(stores, options.rounds)
    print(text)
    if options.write:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
