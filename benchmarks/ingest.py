"""Measure ingest of a synthetic archive of images beside astropy alone reading the same bytes.

    python benchmarks/ingest.py [--files 2000] [--disks 32] [--folder DIR] [--write]

Half of the cutouts are Rice-compressed as JSOC's are, half float32; so are the full disks. The
floor hashes each file and has astropy read its arrays; stages and pipelines take turns with it over
the same files (see ingest_floor.py). Peak memory is that of a new process which ingests a whole
block of files. --write puts the figures into docs/benchmarks/ingest.md. The files lie in a
temporary folder below --folder, 2 GB at a time for 2000. Rasters have ingest_rasters.py.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from ingest_cutouts import CUTOUTS, DISKS
from ingest_floor import Kind, how_busy, measured, peak_bytes, table

from solarxai.catalog import Catalog

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "ingest.md"
GOAL = 1.5
MEBIBYTE = 2**20


def main() -> None:
    """Measure, print, and write on request."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=2000, help="cutouts in all")
    parser.add_argument("--disks", type=int, default=32, help="full disks in all")
    parser.add_argument("--folder", type=Path, help="where the archive is written for a while")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks/")
    options = parser.parse_args()
    number = dict.fromkeys(CUTOUTS, options.files // 2) | dict.fromkeys(DISKS, options.disks // 2)
    found = {kind.name: _figures(kind, files, options.folder) for kind, files in number.items()}
    print(page(found))
    if options.write:
        PAGE.write_text(page(found))


def _figures(kind: Kind, files: int, parent: Path | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder = Path(name)
        times = measured(kind, folder, files)
        block = _block(kind, folder / "archive" / "part_0.yaml")
        found = times.record() | {"memory": peak_bytes(kind, block)}
        found["steps"] = kind.steps(Catalog.load(block).references, folder)
    print(json.dumps({kind.name: found}), flush=True)
    return found


def _block(kind: Kind, catalog: Path) -> Path:
    """Return a catalog of the first files, as many as a block holds."""
    path = catalog.with_name("block.yaml")
    Catalog.load(catalog).prune(kind.files_a_block).save(path)
    return path


def page(found: dict[str, Any]) -> str:
    """Return the page."""
    speed = table(SPEED, [_speed(name, one) for name, one in found.items()])
    whole = table(WHOLE, [_whole(name, one) for name, one in found.items()])
    memory = table(MEMORY, [_memory(name, one) for name, one in found.items()])
    titles = "; ".join(["ms of the processor a file", *next(iter(found.values()))["steps"]])
    steps = table(titles, [_steps(name, one) for name, one in found.items()])
    return f"""# Ingest beside the floor

Written by `benchmarks/ingest.py`, which says how, on {os.cpu_count()} cores ({platform.machine()}).
The floor hashes a file (sha256, which ingest must) and has astropy read its arrays as float32.
*Opened* is an Observation: hash, values, every card of the header, units, time, world coordinates
and checks. *Ingested* is its Samples: μ, limb darkening, the quiet Sun, structures, patches. The
pipeline writes them in blocks. Stages are compared by the processor time of one thread, pipelines
by elapsed time, each with the floor in turn over the same files, which lie in the page cache; two
workers are compared with two bare readers. The goal is {GOAL} times the floor.

{speed}

{whole}

{how_busy()}

{_verdict(found)}

{steps}

To reading, opening adds 190 cards checked one by one, units, time, world coordinates and an xarray
Dataset, whatever the size of a file, and a pass over its values. Rice-compressed files, as archives
hold them, take astropy several times as long to decode; a plain float32 file is one copy of its
bytes. Ingest goes over all pixels several times (μ, limb darkening, a Gaussian twice, means of
quiet blocks twice), which no reading of a small file hides.

## Memory of a worker

{memory}

Samples are all that is kept of a file. [The photosphere](../photosphere.md) says what a full disk
needs, and tests hold it to that.
"""


SPEED = (
    "files; number; MB each; floor, ms; opened, ms; opened ÷ floor; ingested, ms; ingested ÷ floor"
)
WHOLE = (
    "pipeline; 1 worker, files/s; MB/s; ÷ floor; 2 workers, files/s; MB/s; ÷ 2 bare readers; "
    "2 workers ÷ 1"
)
MEMORY = "files of one block; process at start, MiB; at most, MiB; more, MiB; Samples kept, MiB"


def _speed(name: str, one: dict[str, Any]) -> list[str]:
    files, busy = one["files"], one["processor"]
    each = {stage: 1e3 * busy[stage] / files for stage in ("floor", "open", "ingest")}
    opened, ingested = (each[stage] / each["floor"] for stage in ("open", "ingest"))
    return [
        name, str(files), f"{one['size'] / files / 1e6:.2f}", f"{each['floor']:.1f}",
        f"{each['open']:.1f}", f"{opened:.2f}", f"{each['ingest']:.1f}", f"{ingested:.2f}",
    ]  # fmt: skip


def _whole(name: str, one: dict[str, Any]) -> list[str]:
    row = [name]
    for workers in ("1 worker", "2 workers"):
        seconds = one["elapsed"][f"pipeline, {workers}"]
        ratio = _ratio(one, f"pipeline, {workers}", f"floor, {workers}")
        rates = (one["files"] / seconds, one["size"] / seconds / 1e6, ratio)
        row += [f"{rate:.2f}" if rate < 10 else f"{rate:.1f}" for rate in rates]
    gain = one["elapsed"]["pipeline, 1 worker"] / one["elapsed"]["pipeline, 2 workers"]
    return [*row, f"{gain:.2f}"]


def _memory(name: str, one: dict[str, Any]) -> list[str]:
    told = one["memory"]
    numbers = (told["ready"], told["peak"], told["peak"] - told["ready"], told["kept"])
    return [name, *(f"{number / MEBIBYTE:.0f}" for number in numbers)]


def _ratio(one: dict[str, Any], stage: str, floor: str) -> float:
    """Return a stage's time over its floor's: of the processor, for pipelines elapsed."""
    clock = one["elapsed" if stage.startswith("pipeline") else "processor"]
    return float(clock[stage] / clock[floor])


def _steps(name: str, one: dict[str, Any]) -> list[str]:
    return [name, *(f"{ms:.1f}" for ms in one["steps"].values())]


def _verdict(found: dict[str, Any]) -> str:
    """Return which stages keep to the goal for which files."""
    stages = {"Opening": ("open", "floor"), "Ingesting": ("ingest", "floor")}
    stages["The pipeline"] = ("pipeline, 1 worker", "floor, 1 worker")
    lines = []
    for word, (stage, floor) in stages.items():
        kept = [name for name, one in found.items() if _ratio(one, stage, floor) <= GOAL]
        over = [name for name in found if name not in kept]
        lines.append(f"* {word} keeps to {GOAL} times the floor: {_listed(kept)}; does not: ")
        lines[-1] += f"{_listed(over)}."
    return "\n".join(lines)


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


if __name__ == "__main__":
    main()
