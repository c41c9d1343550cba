"""What an archive costs, item by item, and what breaks first: measured small, counted up.

    python benchmarks/cost.py RUN [--rows 4000] [--write]

RUN is the folder of a finished demo (`make demo`). A small IRIS is made, ingested and attributed
here, too (a minute). What grows with the archive is measured at two sizes and drawn on as a line.
Nothing in the page is typed by hand but the assumptions below and the limits it is held against.
--write puts it into docs/benchmarks/cost.md, and the figures beside it into cost.json.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import xarray as xr

from pipelines.cluster import PlainLoop
from solarxai import attribution, blocks
from solarxai.catalog import Catalog, Reference
from solarxai.classifier import Classifier
from solarxai.provenance import file_hash
from solarxai.query import open_store
from solarxai.schema import mock_samples
from solarxai.store import Store, create_store
from solarxai.store.segment import Segment
from solarxai.workflow import load, tasks
from solarxai.workflow.execution import execute
from solarxai.workflow.progress import Progress

HERE = Path(__file__).parents[1] / "docs" / "benchmarks"
PAGE, FIGURES, THROUGHPUT = (HERE / n for n in ("cost.md", "cost.json", "iris_throughput.json"))
IRIS = """
synth_iris: {regions: 6, observations: 2, rasters: 1, steps: 4, slit: 60}
ingest_iris:
train: {model: published_cnn, epochs: 1, samples_an_epoch: 64, n_bootstrap: 20}
attribute:
  split: all
  explainers:
    - {method: gradient, batch_size: 256}
    - {method: expected_gradients, samples: 64, n_baselines: 16, batch_size: 256}
  batch_size: 256
"""
CHEAP = ("gradient", "grad_cam", "hires_cam", "integrated_gradients", "expected_gradients")

SPECTRA = 10**9
LARGE = 1.5e8
CORES = 64
NODES = (1, 10, 100)
A_RUN = 10**6
"""Spectra of one run, where the archive is made as many runs that share a store."""

LIMITS = {
    "driver's samples": (64e9, "bytes", "64 GB of memory"),
    "files": (1e7, "files", "a quota of ten million files"),
    "seal": (600, "s", "ten minutes at the end of a run"),
    "missing": (600, "s", "ten minutes before the first unit"),
    "order": (2e9, "bytes", "2 GB read by every part of an array"),
    "catalog": (600, "s", "ten minutes to read the catalogue"),
    "index": (100e9, "bytes", "an index of 100 GB"),
    "following": (3600, "s", "an hour for the first query after it"),
    "dispatch": (1.0, "cores", "one core of the driver"),
}
"""What a thing is held against: a choice, stated in the page."""


def seconds(work: Callable[[], Any]) -> float:
    """Return the processor seconds of a piece of work, the least of three."""
    took = []
    for _ in range(3):
        begun = time.process_time()
        work()
        took.append(time.process_time() - begun)
    return min(took)


def rise(small: tuple[float, float], large: tuple[float, float]) -> float:
    """Return what one more item adds: a line through (items, amount) at two sizes."""
    return (large[1] - small[1]) / (large[0] - small[0])


def sizes(segment: Segment, per_row: float) -> dict[str, float]:
    """Return bytes a row of a segment by kind, and files a shard and a segment."""
    folder = segment.path
    of = {
        name: sum(f.stat().st_size for f in (folder / name).glob("c.*"))
        for name in (*segment.written_variables, *segment.sample_variables)
        if (folder / name).is_dir()
    }
    count = segment.n_rows * per_row
    written, held = segment.written_variables, segment.attributes["blocks"]
    columns = [name for name in of if name not in written and name not in held]
    files = [f for f in folder.rglob("*") if f.is_file()]
    a_shard = len(written) + 1 + len(held)
    return {
        **{name: of[name] / count for name in (*segment.methods, *held)},
        "standard errors": sum(of[n] for n in of if n.endswith(("_stderr", "_spread"))) / count,
        "columns": sum(of[name] for name in columns) / count,
        "ledger": sum(f.stat().st_size for f in folder.glob("ledger/0*")) / len(segment.shards),
        "files a shard": a_shard,
        "files a segment": len(files) - a_shard * len(segment.shards),
        "whole": sum(f.stat().st_size for f in files) / count,
    }


def attribution_ms(run: Path) -> dict[str, float]:
    """Return the processor milliseconds of a map of the demo's classifier, by method."""
    samples = blocks.open_samples(run / "samples").isel(sample=slice(32))
    classifier = Classifier.load(run / "classifier.safetensors")
    baselines = attribution.draw_baselines(samples, classifier, n=16, split=None)
    found = {}
    for method in CHEAP:
        explainers = attribution.parse_explainers([{"method": method}])
        work = lambda e=explainers: attribution.attribute(  # noqa: E731
            samples, classifier, e, baselines=baselines
        )
        work()
        found[method] = seconds(work) / samples.sizes["sample"] * 1e3
    return found


def iris(folder: Path) -> dict[str, Any]:
    """Return what a small IRIS takes: ingest a raster and a spectrum, store bytes a spectrum."""
    (folder / "iris.yaml").write_text(IRIS)
    workflow, out, took = load(folder / "iris.yaml"), folder / "iris", {}
    for name in ("synth_iris", "ingest_iris", "train", "attribute"):
        begun = time.process_time()
        execute(workflow, out=out, cluster=PlainLoop(), progress=Progress(), until=name)
        took[name] = time.process_time() - begun
    (segment,) = Store(out / "store").segments()
    samples = blocks.open_samples(out / "samples")
    positions = samples.sizes["slit"]
    rasters = len(list((out / "data").glob("*.fits")))
    return {
        "ingest, s a file": took["ingest_iris"] / rasters,
        "ingest, ms a spectrum": took["ingest_iris"] / (len(samples["sample"]) * positions) * 1e3,
        "store": sizes(segment, positions),
        "driver, bytes a spectrum": held(out / "samples", folder) / positions,
    }


def ingest(folder: Path, number: int = 6) -> float:
    """Return the processor seconds of a synthetic HMI cutout, from FITS to samples."""
    (folder / "images.yaml").write_text(f"synth: {{n: {number}}}\ningest:\n")
    workflow, out = load(folder / "images.yaml"), folder / "images"
    execute(workflow, out=out, cluster=PlainLoop(), progress=Progress(), until="synth")
    begun = time.process_time()
    execute(workflow, out=out, cluster=PlainLoop(), progress=Progress())
    return (time.process_time() - begun) / number


def held(samples: Path, folder: Path) -> float:
    """Return the bytes that a process needs at its peak for one more sample that it opens.

    It opens the samples of a run so many times over that they are `LARGE` bytes, and half of
    them; every step of a driver begins so.
    """
    once = blocks.open_samples(samples)
    words = "import resource, sys; from pathlib import Path; from solarxai import blocks; "
    words += "blocks.open_samples(Path(sys.argv[1])); "
    words += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
    peaks = []
    whole = 2 * math.ceil(LARGE / once.nbytes / 2)
    for copies in (whole // 2, whole):
        place = folder / f"{samples.parent.name}-{copies}"
        place.mkdir()
        for number in range(copies):
            names = [f"{name}-{number}" for name in once["sample_id"].values]
            again = once.assign_coords(sample_id=("sample", np.array(names, dtype=object)))
            blocks.save_block(again, place / f"{number}.nc")
        told = subprocess.run(
            [sys.executable, "-c", words, str(place)], capture_output=True, text=True, check=True
        )
        peaks.append((copies * once.sizes["sample"], float(told.stdout)))
    return rise(*peaks)


def mock_segment(folder: Path, rows: int, shard_size: int) -> Segment:
    """Return a segment of small rows, every shard written, not sealed."""
    samples = mock_samples(rows, size=2)
    start = np.datetime64("2014-01-01", "ns")
    samples["time"] = ("sample", start + np.arange(rows) * np.timedelta64(10, "s"))
    maps = xr.Dataset(
        {
            "gradient": samples["image"] * 2,
            "score": ("sample", np.linspace(-1, 1, rows)),
            "predicted": ("sample", samples["label"].values),
        }
    )
    segment = create_store(folder).begin(
        samples, ["gradient"], run_key=f"run{rows}", provenance={}, shard_size=shard_size,
        variables=maps.isel(sample=slice(1)),
    )  # fmt: skip
    for shard in segment.shards:
        segment.write(shard, maps.isel(sample=segment.rows(shard)))
    return segment


def growth(folder: Path, rows: int) -> dict[str, float]:
    """Return what one more shard, row, unit or file adds, each at two sizes."""
    found: dict[str, float] = {}
    sealed: list[dict[str, float]] = []
    for number in (rows // 4, rows):
        segment = mock_segment(folder / f"shards{number}", number, 1)
        missing = seconds(lambda s=segment: s.missing())
        begun = time.process_time()
        segment.seal()
        seal = time.process_time() - begun
        size = (segment.path / "SEALED.json").stat().st_size
        sealed.append({"n": number, "missing": missing, "seal": seal, "bytes": size})
    for name in ("missing", "seal", "bytes"):
        found[f"{name} a shard"] = rise(*((one["n"], one[name]) for one in sealed))  # type: ignore[arg-type]
    followed = []
    for number in (5 * rows, 20 * rows):
        place = folder / f"rows{number}"
        mock_segment(place, number, number).seal()
        store = open_store(place)
        begun = time.process_time()
        store.index()
        took = time.process_time() - begun
        followed.append((number, took, (place / "index.sqlite").stat().st_size))
    found["following a row"] = rise(*((n, took) for n, took, _ in followed))
    found["index a row"] = rise(*((n, size) for n, _, size in followed))
    call = (folder / "store" / "segments" / ("a" * 64), [{"method": "gradient"}], None, 32)
    orders = [
        len(pickle.dumps((tasks.attribute_shard, [(*call, shard) for shard in range(n)])))
        for n in (1000, 10000)
    ]
    found["order a unit"] = rise((1000, orders[0]), (10000, orders[1]))
    found |= catalogues(folder, rows)
    found["hashing a byte"] = hashing(folder)
    return found


def catalogues(folder: Path, rows: int) -> dict[str, float]:
    """Return what one more reference adds to a catalogue, bytes and seconds of reading."""
    read = []
    for number in (rows // 8, rows // 2):
        path = folder / f"catalog{number}.yaml"
        lines = [
            "name: many", "description: many", "licence: BSD-3-Clause", "source: here",
            "origin: synthetic", "root: .", "entries:",
        ]  # fmt: skip
        for index in range(number):
            lines.append(f"  - path: scene_{index:07d}.fits\n    sha256: f{index:063x}")
            lines.append(f"    instrument: hmi\n    region: HARP {index}")
        path.write_text("\n".join(lines) + "\n")
        begun = time.process_time()
        loaded = Catalog.load(path)
        assert isinstance(loaded.references[0], Reference)
        read.append((number, time.process_time() - begun, path.stat().st_size))
    return {
        "catalog a file": rise(*((n, took) for n, took, _ in read)),
        "catalog bytes a file": rise(*((n, size) for n, _, size in read)),
    }


def hashing(folder: Path) -> float:
    """Return the seconds of sha256 of one byte."""
    path = folder / "bytes"
    path.write_bytes(bytes(64 * 2**20))
    return seconds(lambda: file_hash(path)) / path.stat().st_size


def dispatch() -> float:
    """Return the processor seconds of the driver for one unit that does nothing."""
    script = Path(__file__).with_name("cluster.py")
    told = subprocess.run(
        [sys.executable, str(script), "--grow", "2000"], capture_output=True, text=True, check=True
    )
    return float(json.loads(told.stdout.splitlines()[-1])["seconds"])


def measured(run: Path, rows: int) -> dict[str, Any]:
    """Return every figure of the page."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        sets = json.loads(THROUGHPUT.read_text())["sets"]
        return {
            "attribution, ms a 64×64 map": attribution_ms(run),
            "attribution, ms a spectrum": min(one["ours, ms"] for one in sets),
            "ingest, s a cutout": ingest(folder),
            "images": sizes(Store(run / "store").segments()[0], 1),
            "driver, bytes a patch": held(run / "samples", folder),
            "iris": iris(folder),
            "growth": growth(folder, rows),
            "dispatch, s a unit": dispatch(),
        }


def archive(found: dict[str, Any], slit: int = 200, shard: int = 256) -> list[dict[str, Any]]:
    """Return what grows with an archive of spectra: an item each, where it breaks, and what then.

    Parameters
    ----------
    found
        The figures.
    slit, shard
        Spectra of an exposure, exposures of a shard.
    """
    growth, iris_, store = found["growth"], found["iris"], found["iris"]["store"]
    a_shard = slit * shard
    busy = found["attribution, ms a spectrum"] * 1e-3 * a_shard
    rows = [
        ("driver's samples", "one run", iris_["driver, bytes a spectrum"],
         "the driver opens all samples of a run; make runs smaller, gather them in one store"),
        ("files", "the store", store["files a shard"] / a_shard,
         "larger shards (`shard_size`), fewer methods a run"),
        ("seal", "one run", growth["seal a shard"] / a_shard, "smaller runs, larger shards"),
        ("missing", "one run", growth["missing a shard"] / a_shard,
         "smaller runs, larger shards"),
        ("order", "one run", growth["order a unit"] / a_shard, "smaller runs, larger shards"),
        ("catalog", "one run", growth["catalog a file"] / (slit * 400),
         "a catalogue a run (files of 400 exposures assumed)"),
        ("index", "the store", growth["index a row"] / slit, "stores by year"),
        ("following", "the store", growth["following a row"] / slit,
         "`solarxai index STORE` after each run"),
    ]  # fmt: skip
    made = [
        {
            "what": what,
            "of": of,
            "each": each,
            "at": each * SPECTRA,
            "breaks": LIMITS[what][0] / each,
            "limit": LIMITS[what][2],
            "unit": LIMITS[what][1],
            "remedy": remedy,
        }
        for what, of, each, remedy in rows
    ]
    made.append(
        {
            "what": "dispatch",
            "of": "workers of one driver",
            "each": found["dispatch, s a unit"] / busy,
            "at": math.nan,
            "breaks": busy / found["dispatch, s a unit"],
            "limit": LIMITS["dispatch"][2],
            "unit": "cores",
            "remedy": "several drivers, each with a run of its own; or the job array",
        }
    )
    return made


def short(value: float, unit: str = "") -> str:
    """Return a number of three digits with its unit."""
    if math.isnan(value):
        return "–"
    for factor, sign in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if unit == "bytes" and value >= factor:
            return f"{value / factor:.3g} {sign}B"
    if unit == "s" and value >= 3600:
        return f"{value / 3600:.3g} h"
    text = f"{value:.3g}" if value < 1e4 else f"{value:.2e}".replace("e+0", "e").replace("e+", "e")
    return f"{text} {'B' if unit == 'bytes' else unit}".strip()


def page(found: dict[str, Any]) -> str:
    """Return the page of the documentation."""
    store, growth = found["iris"]["store"], found["growth"]
    spectrum = found["attribution, ms a spectrum"]
    core_hours = SPECTRA * spectrum * 1e-3 / 3600
    ingest_hours = SPECTRA * found["iris"]["ingest, ms a spectrum"] * 1e-3 / 3600
    items = sorted(archive(found), key=lambda one: one["breaks"])
    spectra_items = [one for one in items if one["what"] != "dispatch"]
    (dispatched,) = [one for one in items if one["what"] == "dispatch"]
    kinds = ("image", "gradient", "expected_gradients", "standard errors", "columns", "whole")
    lines = [
        "# What an archive costs, and what breaks first",
        "",
        "Written by `benchmarks/cost.py` from measurements of one core; nothing below is typed by "
        "hand but the assumptions named as such.",
        "",
        "## An item",
        "",
        "| | a 64×64 patch | a spectrum of 240 points |",
        "| --- | --- | --- |",
        f"| ingest, processor | {found['ingest, s a cutout']:.2f} s a cutout | "
        f"{found['iris']['ingest, ms a spectrum']:.2f} ms "
        f"({found['iris']['ingest, s a file']:.2f} s a file of this small IRIS) |",
    ]
    for method, took in found["attribution, ms a 64×64 map"].items():
        beside = f"{spectrum:.2f} ms (500 gradients)" if method == "expected_gradients" else ""
        lines.append(f"| {method}, processor | {took:.1f} ms | {beside} |")
    for kind in kinds:
        cells = [
            short(place[kind], "bytes") if kind in place else ""
            for place in (found["images"], store)
        ]
        name = {"whole": "everything in the store", "image": "the image, as given"}.get(kind, kind)
        lines.append(f"| store: {name} | {cells[0]} | {cells[1]} |")
    lines += [
        f"| the driver's memory at its peak | {short(found['driver, bytes a patch'], 'bytes')} | "
        f"{short(found['iris']['driver, bytes a spectrum'], 'bytes')} |",
        "",
        f"A shard costs {store['files a shard']:.0f} files (here: two methods), "
        f"{short(store['ledger'], 'bytes')} of ledger and "
        f"{short(growth['bytes a shard'], 'bytes')} of seal; a segment "
        f"{store['files a segment']:.0f} files more. A unit costs the driver "
        f"{found['dispatch, s a unit'] * 1e3:.1f} ms. sha256 reads "
        f"{1e-9 / growth['hashing a byte']:.2f} GB a second: `verify` of the whole archive below "
        f"takes {SPECTRA * store['whole'] * growth['hashing a byte'] / 3600:.1f} core hours.",
        "",
        f"## {SPECTRA:.0e} spectra".replace("e+0", "e"),
        "",
        f"Assumed: Expected Gradients with 500 gradients, nodes of {CORES} cores like the one "
        "measured, exposures of 200 spectra, shards of 256 exposures, nothing waiting for a disk.",
        "",
        "| nodes | attribution | ingest |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| {n} | {core_hours / (n * CORES):.2g} h | {ingest_hours / (n * CORES):.2g} h |"
        for n in NODES
    ]
    lines += [
        "",
        f"That is {core_hours:.0f} and {ingest_hours:.0f} core hours, and a store of "
        f"{short(SPECTRA * store['whole'], 'bytes')}.",
        "",
        "## What breaks first",
        "",
        "In the order in which it breaks, for a run or a store that goes on growing. The limits "
        "are choices; the growth is measured.",
        "",
        f"| what | of | a spectrum | at {SPECTRA:.0e} | held against | breaks at spectra | "
        "then |".replace("e+0", "e"),
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {one['what']} | {one['of']} | {short(one['each'], one['unit'])} | "
        f"{short(one['at'], one['unit'])} | {one['limit']} | {short(one['breaks'])} | "
        f"{one['remedy']} |"
        for one in spectra_items
    ]
    first = spectra_items[0]
    lines += [
        "",
        f"First: **{first['what']}**, at {short(first['breaks'])} spectra in {first['of']}. "
        f"So an archive of {SPECTRA:.0e} spectra is made in runs of {A_RUN:.0e}, ".replace(
            "e+0", "e"
        )
        + f"{SPECTRA // A_RUN} segments of one store (`attribute.store`), each with "
        f"{short(A_RUN * found['iris']['driver, bytes a spectrum'], 'bytes')} in its driver; "
        "of the others, those of one run are then out of reach, those of the store stand as in the "
        "table.",
        "",
        f"One driver keeps {dispatched['breaks']:.0f} workers busy with such shards before "
        f"{dispatched['limit']} is full; beyond that, {dispatched['remedy']}.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    found = measured(options.run, options.rows)
    gc.collect()
    print(f"{psutil.Process().memory_info().rss / 1e6:.0f} MB held in the end", file=sys.stderr)
    text = page(found)
    print(text)
    if options.write:
        FIGURES.write_text(json.dumps(found, indent=1) + "\n")
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
