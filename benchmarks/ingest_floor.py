"""Time what ingest does to the files of an archive beside the floor: the same bytes read alone.

The floor hashes a file and has astropy read its arrays as float32. Files are taken in groups of as
many as a block holds; each stage goes over a group in turn, and the order of stages turns from
group to group, so that all stages share whatever else the machine does.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import xarray as xr

from pipelines.cluster.local import LocalProcesses
from pipelines.cluster.plain import PlainLoop
from solarxai.catalog import Catalog, Reference
from solarxai.ingest import open_observation
from solarxai.workflow import Outcome

__all__ = ["Kind", "Times", "how_busy", "measured", "peak_bytes", "resident", "table"]

CHUNK = 256
"""Files given to a pipeline at once, so that floor and pipeline take turns."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of file, and what is done with it.

    Parameters
    ----------
    name
        As tables call it.
    write
        Writes so many files to a folder and returns the path of their catalog.
    read
        The floor: reads the arrays of a file, hash and all.
    ingest
        Makes the Samples of a file.
    steps
        Returns what ingest of some files spends on each of its steps, milliseconds of the
        processor a file; it may write to the folder given.
    pipeline
        The `run` of its pipeline.
    files_a_block
        Files that pipeline makes into one block.
    """

    name: str
    write: Callable[[Path, int], Path]
    read: Callable[[Path], Any]
    ingest: Callable[[Reference], xr.Dataset]
    steps: Callable[[Sequence[Reference], Path], dict[str, float]]
    pipeline: Callable[..., Outcome]
    files_a_block: int


@dataclass(kw_only=True)
class Times:
    """Seconds, elapsed and of the processor, that each stage took over all files.

    Parameters
    ----------
    files, size
        How many, and their bytes.
    elapsed, processor
        By stage; of the pipelines the elapsed time alone counts.
    """

    files: int
    size: int
    elapsed: dict[str, float] = dataclasses.field(default_factory=lambda: defaultdict(float))
    processor: dict[str, float] = dataclasses.field(default_factory=lambda: defaultdict(float))

    def clock(self, stage: str, call: Callable[[], object]) -> None:
        """Add the time of a call to a stage."""
        start, busy = time.perf_counter(), time.process_time()
        call()
        self.elapsed[stage] += time.perf_counter() - start
        self.processor[stage] += time.process_time() - busy

    def record(self) -> dict[str, Any]:
        """Return all numbers, for JSON."""
        times = {"elapsed": dict(self.elapsed), "processor": dict(self.processor)}
        return {"files": self.files, "size": self.size, **times}


def how_busy() -> str:
    """Return a sentence on how busy the machine was in the last five minutes."""
    return (
        "Processes that computed or waited for a core, those of others included, in the mean of "
        f"five minutes: {os.getloadavg()[1]:.1f}; with more than two, figures of two workers say "
        "little."
    )


def table(titles: str, rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a Markdown table; semicolons part its titles."""
    names = titles.split("; ")
    return "\n".join(f"| {' | '.join(row)} |" for row in [names, ["---"] * len(names), *rows])


def measured(kind: Kind, folder: Path, files: int) -> Times:
    """Return the times of all stages over so many files of a kind, written to a folder first."""
    catalog = Catalog.load(kind.write(folder / "archive", files))
    references = catalog.references
    times = Times(files=len(references), size=sum(r.path.stat().st_size for r in references))
    _warm(kind, references[0])
    _stages(kind, references, times)
    _pipelines(kind, catalog, folder, times)
    return times


def peak_bytes(kind: Kind, catalog: Path) -> dict[str, int]:
    """Return the resident bytes of a new process: ready, and at most while it ingests a catalog.

    Each file is ingested in turn and its Samples are kept until the last, as a block does.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        ready, peak, kept = pool.apply(_ingest_all, (kind, catalog))
    return {"ready": ready, "peak": peak, "kept": kept}


def _ingest_all(kind: Kind, catalog: Path) -> tuple[int, int, int]:
    references = Catalog.load(catalog).references
    ready = resident("VmRSS")
    made = [kind.ingest(reference) for reference in references]
    return ready, resident("VmHWM"), sum(one.nbytes for one in made)


def resident(word: str) -> int:
    """Return the bytes that Linux tells of this process: VmRSS now, VmHWM at most so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{word}:")[1].split()[0]) * 1024


def _warm(kind: Kind, reference: Reference) -> None:
    """Do everything once: imports and tables read once a process are no cost of a file."""
    kind.read(reference.path)
    kind.ingest(reference)


def _stages(kind: Kind, references: Sequence[Reference], times: Times) -> None:
    stages: dict[str, Callable[[Reference], object]] = {
        "floor": partial(_read, kind),
        "open": open_observation,
        "ingest": kind.ingest,
    }
    for turn, group in enumerate(_groups(references, kind.files_a_block)):
        for name in _turned(list(stages), turn):
            times.clock(name, partial(_each, stages[name], group))


def _read(kind: Kind, reference: Reference) -> None:
    kind.read(reference.path)


def _each(call: Callable[[Any], object], given: Sequence[Any]) -> None:
    for one in given:
        call(one)


def _pipelines(kind: Kind, catalog: Catalog, folder: Path, times: Times) -> None:
    """Give the catalog, some files at a time, to one and to two workers, and to bare readers."""
    one, two = PlainLoop(), LocalProcesses(workers=2)
    pool = multiprocessing.get_context("spawn").Pool(2)
    try:
        for turn, part in enumerate(_parts(catalog, folder)):
            if not turn:
                _ready(kind, part, folder / "ready", two, pool)
            paths = [reference.path for reference in Catalog.load(part).references]
            out = folder / str(turn)
            calls: dict[str, Callable[[], object]] = {
                "floor, 1 worker": partial(_each, kind.read, paths),
                "pipeline, 1 worker": partial(_run, kind, out / "one", one, part),
                "floor, 2 workers": partial(pool.map, kind.read, paths, chunksize=8),
                "pipeline, 2 workers": partial(_run, kind, out / "two", two, part),
            }
            for name in _turned(list(calls), turn):
                times.clock(name, calls[name])
    finally:
        two.close()
        pool.terminate()


def _ready(kind: Kind, part: Path, out: Path, two: LocalProcesses, pool: Any) -> None:
    """Start all processes, and have each do its work once."""
    first = 4 * kind.files_a_block
    kind.pipeline(out=_made(out), cluster=two, catalog=part, first=first)
    pool.map(kind.read, [one.path for one in Catalog.load(part).references[:first]], chunksize=1)


def _run(kind: Kind, out: Path, cluster: Any, catalog: Path) -> None:
    outcome = kind.pipeline(out=_made(out), cluster=cluster, catalog=catalog)
    if outcome.failed:
        raise RuntimeError(f"{outcome.failed} files could not be ingested")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _parts(catalog: Catalog, folder: Path) -> Iterator[Path]:
    """Yield catalogs of some files each, together all of a catalog."""
    for number, group in enumerate(_groups(catalog.references, CHUNK)):
        path = folder / "archive" / f"part_{number}.yaml"
        dataclasses.replace(catalog, references=tuple(group)).save(path)
        yield path


def _groups(references: Sequence[Reference], size: int) -> Iterator[tuple[Reference, ...]]:
    left = iter(references)
    while group := tuple(islice(left, size)):
        yield group


def _turned(names: list[str], turn: int) -> list[str]:
    place = turn % len(names)
    return names[place:] + names[:place]
