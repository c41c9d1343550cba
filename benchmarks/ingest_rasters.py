"""Measure ingest of IRIS rasters beside astropy reading the same bytes, and the memory it takes.

    python benchmarks/ingest_rasters.py [--files 216] [--large 4] [--exposures 400]
        [--folder DIR] [--write]

Rasters of the study's size (8 exposures of 109 positions, binned as the real ones are) are drawn by
the synthetic IRIS. Large ones are a synthetic raster repeated to the detector's 1096 positions and
0.02546 Angstrom, with noise of its own in every exposure and two other windows in the file, which
nobody wants. Floors, opening, sha256 and ingest take turns over the same files; so do pipelines and
bare readers (see ingest_floor.py). Peak memory is that of new processes which ingest one large
raster of a quarter of `--exposures`, and of all of them, whole and by the parts that the pipeline
makes units of. --write puts the figures into docs/benchmarks/ingest_rasters.md.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import platform
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from astropy.io import fits
from ingest_floor import Kind, Times, how_busy, measured, resident, table

import pipelines.ingest_iris
from solarxai.catalog import Catalog, Reference
from solarxai.ingest import ingest_raster, open_observation, split
from solarxai.instruments import open_instrument
from solarxai.provenance import file_hash
from solarxai.synthetic.iris_archive import write_iris

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "ingest_rasters.md"
GOAL = 1.5
MEGABYTE = 1e6
SLIT, LARGE = 1096, 64
"""Positions of the detector's slit; exposures of a large raster."""

OTHERS, WIDTH = 2, 200
"""Windows in a large file that nobody wants, and their wavelengths."""

STUDY: dict[str, Any] = {
    "steps": 8, "slit": 109, "sampling": 0.2595, "shortest": 2790.49, "longest": 2806.58,
}  # fmt: skip
FULL: dict[str, Any] = {
    "steps": 8, "slit": 137, "sampling": 0.02546, "shortest": 2792.9, "longest": 2806.6,
}  # fmt: skip
RASTERS = 18
"""Rasters of one observation of the study's size."""


def main() -> None:
    """Measure, print, and write on request."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=216, help="rasters of the study's size")
    parser.add_argument("--large", type=int, default=4, help=f"rasters of {LARGE} exposures")
    parser.add_argument("--exposures", type=int, default=400, help="of the largest raster")
    parser.add_argument("--folder", type=Path, help="where the archive is written for a while")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks/")
    options = parser.parse_args()
    speeds = {}
    for kind, files in ((STUDIED, options.files), (LONG, options.large)):
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            speeds[kind.name] = speed(kind, Path(name), files)
        print(json.dumps({kind.name: speeds[kind.name]}), flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        peaks = memory(Path(name), options.exposures)
    text = page(speeds, peaks)
    print(text)
    if options.write:
        PAGE.write_text(text)


def write_studied(folder: Path, files: int) -> Path:
    """Write so many rasters of the study's size, or a few more; return their catalog."""
    observations = min(6, -(-files // RASTERS))
    regions = -(-files // (RASTERS * observations))
    return write_iris(
        folder, regions=regions, observations=observations, rasters=min(RASTERS, files),
        slitjaw=False, **STUDY,
    )  # fmt: skip


def write_large(folder: Path, files: int, *, exposures: int = LARGE) -> Path:
    """Write so many rasters of the detector's size; return their catalog."""
    seed = write_iris(folder / "seed", regions=1, observations=1, rasters=1, slitjaw=False, **FULL)
    told = Catalog.load(seed).references[0]
    paths = [told.path.with_name(f"large_r{number:05d}.fits") for number in range(files)]
    for number, path in enumerate(paths):
        _enlarge(told.path, path, exposures=exposures, seed=number)
    entries = [
        {"path": path.name, "instrument": "iris_raster", "region": told.region} for path in paths
    ]
    catalog = folder / "seed" / "large.yaml"
    words = {"name": "large", "origin": "synthetic", "root": ".", "entries": entries}
    catalog.write_text(json.dumps(words))
    Catalog.load(catalog).with_checksums().save(catalog)
    return catalog


def _enlarge(small: Path, path: Path, *, exposures: int, seed: int) -> None:
    """Write a raster's window repeated in both directions, with noise of its own."""
    with fits.open(small, do_not_scale_image_data=True) as units:
        primary, window = units[0].header.copy(), units[1].header.copy()
        counts, table, legend = np.array(units[1].data), units[2].data, units[2].header.copy()
    number = OTHERS + 1
    for word in ("TDESC", "TDET", "TWAVE", "TWMIN", "TWMAX", "TSR", "TER", "TSC", "TEC"):
        primary[f"{word}{number}"] = primary[f"{word}1"]
    for other in range(1, number):
        primary.update({f"TDESC{other}": f"C II {1330 + other}", f"TDET{other}": "FUV1"})
    primary.update({"NWIN": number, "NRASTERP": exposures, "FOVY": window["CDELT2"] * SLIT})
    window.update({"CRPIX3": (exposures + 1) / 2, "CRPIX2": (SLIT + 1) / 2})
    others = [
        fits.ImageHDU(np.full((exposures, SLIT, WIDTH), k, np.int16)) for k in range(1, number)
    ]
    rows = np.resize(table, (exposures, table.shape[1]))
    rows[:, legend["TIME"]] = np.arange(exposures) * 5.0
    wanted = fits.ImageHDU(_noisy(counts, exposures, seed), header=window)
    wanted.header.update({"BSCALE": 0.25, "BZERO": 7992.0})
    made = [
        fits.PrimaryHDU(header=primary), *others, wanted,
        fits.ImageHDU(rows, header=legend),
        fits.TableHDU.from_columns(
            [fits.Column(name="FRMID", format="A10", array=["1"] * exposures)]
        ),
    ]  # fmt: skip
    fits.HDUList(made).writeto(path)


def _noisy(counts: npt.NDArray[Any], exposures: int, seed: int) -> npt.NDArray[np.int16]:
    """Return integers (exposure, slit, wavelength) repeated, each exposure with other noise."""
    rng = np.random.default_rng(seed)
    made = np.empty((exposures, SLIT, counts.shape[2]), dtype=np.int16)
    for number, plane in enumerate(made):
        plane[...] = np.resize(counts[number % len(counts)], plane.shape)
        lit = plane > np.iinfo(np.int16).min
        plane[lit] += rng.integers(-3, 4, size=np.count_nonzero(lit), dtype=np.int16)
    return made


def read_file(path: Path) -> list[Any]:
    """Return all arrays of a file as astropy alone reads them, hashed before."""
    file_hash(path)
    return _arrays(path)


def _arrays(path: Path) -> list[Any]:
    with fits.open(path, memmap=False) as units:
        return [unit.data for unit in units]


def _window(path: Path) -> Any:
    """Return the window of Mg II, the last before the two tables."""
    with fits.open(path, memmap=False) as units:
        return units[-3].data


STUDIED, LONG = (
    Kind(
        name=name, write=write, read=read_file, ingest=ingest_raster, steps=lambda *_: {},
        pipeline=pipelines.ingest_iris.run, files_a_block=pipelines.ingest_iris.FILES_A_BLOCK,
    )
    for name, write in (
        ("study size, 8 × 109", write_studied), (f"full slit, {LARGE} × {SLIT}", write_large),
    )
)  # fmt: skip


def speed(kind: Kind, folder: Path, files: int) -> dict[str, Any]:
    """Return the times of the pipelines, and of one process that does one thing at a time."""
    whole = measured(kind, folder, files)
    listed = sorted((folder / "archive").glob("part_*.yaml"))
    references = [one for path in listed for one in Catalog.load(path).references]
    single = Times(files=whole.files, size=whole.size)
    reader = open_instrument("iris_raster")
    calls: dict[str, Callable[[Reference], object]] = {
        "window": lambda one: _window(one.path),
        "file": lambda one: _arrays(one.path),
        "sha256": lambda one: file_hash(one.path),
        "read": reader.read,
        "opened": open_observation,
    }
    for turn, reference in enumerate(references):
        names = list(calls)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            single.clock(name, functools.partial(calls[name], reference))
    spectra = sum(_spectra(one) for one in references)
    return {"whole": whole.record(), "single": single.record(), "spectra": spectra}


def _spectra(reference: Reference) -> int:
    with fits.open(reference.path) as units:
        steps, slits = units[-3].shape[:2]
    return int(steps * slits)


def memory(folder: Path, exposures: int) -> dict[str, dict[str, int]]:
    """Return the peak memory of new processes, by what they ingest."""
    found = {}
    for number in (exposures // 4, exposures):
        catalog = write_large(folder / str(number), 1, exposures=number)
        window = number * SLIT * 539 * 4
        for word, parted in (("whole", False), ("in parts", True)):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                ready, peak, kept = pool.apply(_ingest_one, (catalog, parted))
            told = {"window": window, "ready": ready, "peak": peak, "kept": kept}
            found[f"{number} exposures, {word}"] = told
    return found


def _ingest_one(catalog: Path, parted: bool) -> tuple[int, int, int]:
    """Return resident bytes, ready and at most, and those of the largest Samples."""
    (reference,) = Catalog.load(catalog).references
    small = Catalog.load(catalog.with_name("catalog.yaml")).references[0]
    ingest_raster(small)
    ready = resident("VmRSS")
    made: Iterable[xr.Dataset] = map(ingest_raster, split(reference) if parted else (reference,))
    kept = max(one.nbytes for one in made)
    return ready, resident("VmHWM"), kept


def page(speeds: dict[str, dict[str, Any]], peaks: dict[str, dict[str, int]]) -> str:
    """Return the page."""
    return f"""# Ingest of rasters beside the floor

Written by `benchmarks/ingest_rasters.py`, which says how, on {os.cpu_count()} cores \
({platform.machine()}).
Two floors: astropy reads the wanted window alone, or every array of the file. *Read* is an
Observation with its coordinates and all cards of the header; its uncertainty is computed when it is
asked for. *Opened* adds sha256, in neither floor, and the checks. *Ingested* adds cleaning, the
study's grid, features and labels; *pipeline* also blocks on disk. Milliseconds a file, and their
ratios, are time of one processor on files in the cache; rates of pipelines, and their ratio to bare
readers of file and sha256, are of elapsed time. All take turns over the same files. The goal for
reading is {GOAL} times the floor.

{table(READING, [_reading(name, one) for name, one in speeds.items()])}

{table(INGEST, [_ingesting(name, one) for name, one in speeds.items()])}

{how_busy()}

{_verdict(speeds)}

Memory: a new process ingests one raster of {SLIT} positions and 539 wavelengths.

{table(MEMORY, [_peak(name, one) for name, one in peaks.items()])}
"""


READING = (
    "files; number; MB each; window, ms; file, ms; sha256, ms; read, ms; read ÷ window; "
    "read ÷ file; opened, ms; opened ÷ (file + sha256)"
)
INGEST = (
    "files; ingested, ms; µs a spectrum; pipeline, 1 worker: files/s; MB/s; ÷ (file + sha256); "
    "2 workers: files/s; MB/s; 2 workers ÷ 1"
)
MEMORY = "raster; window as float32, MB; process ready, MB; more at most, MB; Samples kept, MB"


def _reading(name: str, one: dict[str, Any]) -> list[str]:
    single, files = one["single"], one["single"]["files"]
    busy = {stage: f"{1e3 * each / files:.1f}" for stage, each in single["processor"].items()}
    took = single["processor"]
    return [
        name, str(files), f"{single['size'] / files / MEGABYTE:.2f}",
        busy["window"], busy["file"], busy["sha256"], busy["read"],
        f"{took['read'] / took['window']:.2f}", f"{took['read'] / took['file']:.2f}",
        busy["opened"], f"{took['opened'] / (took['file'] + took['sha256']):.2f}",
    ]  # fmt: skip


def _ingesting(name: str, one: dict[str, Any]) -> list[str]:
    whole = one["whole"]
    files, size, took = whole["files"], whole["size"], whole["elapsed"]
    alone, both = took["pipeline, 1 worker"], took["pipeline, 2 workers"]
    busy = whole["processor"]["ingest"]
    return [
        name, f"{1e3 * busy / files:.0f}", f"{1e6 * busy / one['spectra']:.0f}",
        f"{files / alone:.2f}", f"{size / alone / MEGABYTE:.1f}",
        f"{alone / took['floor, 1 worker']:.1f}",
        f"{files / both:.2f}", f"{size / both / MEGABYTE:.1f}", f"{alone / both:.2f}",
    ]  # fmt: skip


def _peak(name: str, one: dict[str, int]) -> list[str]:
    numbers = (one["window"], one["ready"], one["peak"] - one["ready"], one["kept"])
    return [name, *(f"{number / MEGABYTE:.0f}" for number in numbers)]


def _verdict(speeds: dict[str, dict[str, Any]]) -> str:
    """Return for which files, and beside which floor, reading keeps to the goal."""
    kept: list[str] = []
    over: list[str] = []
    for name, one in speeds.items():
        took = one["single"]["processor"]
        for floor in ("window", "file"):
            told = f"{name} beside the {floor} ({took['read'] / took[floor]:.2f})"
            (kept if took["read"] <= GOAL * took[floor] else over).append(told)
    return (
        f"Reading keeps to {GOAL} times the floor: {'; '.join(kept) or 'none'}.\n"
        f"It does not: {'; '.join(over) or 'none'}."
    )


if __name__ == "__main__":
    main()
