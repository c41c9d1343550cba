"""What Dask costs beside a plain loop: processor time, elapsed time, memory of the scheduler.

    python benchmarks/cluster.py RUN [--maps 10000] [--rounds 3] [--units 100000] [--write]

RUN is the folder of a finished demo (`make demo`). Its samples are repeated to so many maps, the
gradient method is asked for them in shards of 256, and every way of running them writes a segment
of its own, in processes of its own, whose processor time the system adds up when they have ended
(client, scheduler, nannies, workers). The fixed start (imports, processes) is what the same way
takes for one shard a process. Ways follow each other within each round; the table gives medians,
ratios are taken within a round. All segments must end with one root hash. --write puts the page
into docs/benchmarks/cluster.md.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import xarray as xr
from dask.utils import key_split

from pipelines.cluster import LocalProcesses, PlainLoop, window
from solarxai import attribution, blocks
from solarxai.classifier import Classifier
from solarxai.store import create_store
from solarxai.store.segment import Segment
from solarxai.workflow import tasks

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "cluster.md"
METHODS = [{"method": "gradient"}]
SHARD = 256
BATCH = 32
ONE_PROCESS, TWO_WORKERS, GROWTH = 1.05, 1.1, 2000
"""What is wanted: ratio of processor time, ratio of elapsed time, bytes a unit."""

PROFILER, TICK = "distributed.worker.profile.enabled", "distributed.admin.tick.interval"
WAITING = {
    "as Dask comes": (PROFILER, TICK),
    "no profiler": (TICK,),
    "no profiler, loops looked at twice a second (ours)": (),
}
"""Settings of ours that are left out, by what is then tried."""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Seconds of processor and of the clock."""

    processor: float
    elapsed: float

    def __sub__(self, other: Spent) -> Spent:
        return Spent(
            processor=self.processor - other.processor, elapsed=self.elapsed - other.elapsed
        )


def prepared(run: Path, folder: Path, maps: int) -> Path:
    """Return a segment of so many rows, begun, from the samples of a run repeated."""
    samples = blocks.open_samples(run / "samples")
    classifier = Classifier.load(run / "classifier.safetensors")
    times = -(-maps // samples.sizes["sample"])
    rows = xr.concat([_again(samples, number) for number in range(times)], dim="sample")
    rows = rows.isel(sample=slice(maps))
    rows.attrs = samples.attrs
    explainers = attribution.parse_explainers(METHODS)
    segment = create_store(folder / "store").begin(
        rows,
        list(explainers),
        run_key="benchmark",
        provenance={"device": "cpu"},
        shard_size=SHARD,
        checkpoint=(run / "classifier.safetensors").read_bytes(),
        variables=attribution.layout(rows, classifier, explainers, batch_size=BATCH),
    )
    return segment.path


def _again(samples: xr.Dataset, number: int) -> xr.Dataset:
    span = np.ptp(samples["time"].values) + np.timedelta64(1, "s")
    names = np.array([f"{name}-{number}" for name in samples["sample_id"].values], dtype=object)
    return samples.assign_coords(time=samples["time"] + number * span, sample_id=("sample", names))


def calls(segment: Path, shards: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    """Yield the units of some shards."""
    return ((segment, METHODS, None, BATCH, shard) for shard in shards)


def do(way: str, segment: Path, shards: Sequence[int]) -> None:
    """Do some shards in one of the ways; what a process of its own is for."""
    workers = {"plain": 0, "one worker": 1, "two workers": 2}[way]
    cluster = LocalProcesses(workers=workers) if workers else PlainLoop()
    try:
        for _, result in cluster.run(tasks.attribute_shard, calls(segment, shards)):
            if isinstance(result, Exception):
                raise result
    finally:
        cluster.close()


def spent(ways: Sequence[str], segment: Path, shards: Sequence[int]) -> Spent:
    """Return what processes took that did the shards between them, all started at once."""
    begun = time.perf_counter()
    children = []
    for number, way in enumerate(ways):
        own = ",".join(map(str, shards[number :: len(ways)]))
        words = [sys.executable, __file__, "--do", way, str(segment), own]
        children.append(subprocess.Popen(words))
    used = [os.wait4(child.pid, 0) for child in children]
    if any(status for _, status, _ in used):
        raise SystemExit(f"{ways}: a process failed")
    return Spent(
        processor=sum(usage.ru_utime + usage.ru_stime for _, _, usage in used),
        elapsed=time.perf_counter() - begun,
    )


WAYS = {
    "plain loop": ["plain"],
    "Dask, one worker": ["one worker"],
    "two plain loops at once": ["plain", "plain"],
    "Dask, two workers": ["two workers"],
}
STARTS = {
    "plain loop": 1,
    "Dask, one worker": 1,
    "two plain loops at once": 2,
    "Dask, two workers": 2,
}
"""Shards of the run that shows what the start takes: one for each process that computes."""


def measured(segment: Path, folder: Path, rounds: int) -> list[dict[str, tuple[Spent, Spent]]]:
    """Return, by round and way, what the whole took and what its start took."""
    shards = list(Segment(segment).shards)
    roots, found = set(), []
    for turn in range(rounds):
        made: dict[str, tuple[Spent, Spent]] = {}
        for name, ways in WAYS.items():
            starting = linked(segment, folder / "starting")
            start = spent(ways, starting, shards[: STARTS[name]])
            own = linked(segment, folder / "own")
            made[name] = spent(ways, own, shards), start
            roots.add(Segment(own).seal())
            print(f"round {turn}: {name}: {made[name]}", file=sys.stderr, flush=True)
        found.append(made)
    if len(roots) != 1:
        raise SystemExit(f"not one root hash but {len(roots)}: {roots}")
    return found


def linked(segment: Path, target: Path) -> Path:
    """Return a copy whose files are links: a segment's files are replaced, never changed."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(segment, target / segment.name, copy_function=os.link)
    return target / segment.name


def grown(units: int) -> dict[str, Any]:
    """Return what many units that do nothing cost the driver: memory on the way, and seconds.

    *marks* are (units done, resident bytes of client and scheduler), *seconds* of processor a unit,
    *names* how many keys Dask still knows, in a cache of bounded length.
    """
    cluster = LocalProcesses(workers=2)
    wanted = {1, *(units * part // 10 for part in range(1, 11))}
    marks = []
    try:
        begun = time.process_time()
        for done, _ in enumerate(cluster.run(abs, ((-1,) for _ in range(units))), 1):
            if done in wanted:
                gc.collect()
                marks.append((done, psutil.Process().memory_info().rss))
        took = (time.process_time() - begun) / units
    finally:
        cluster.close()
    return {"marks": marks, "seconds": took, "names": key_split.cache_info().currsize}


def waiting(name: str) -> tuple[float, float]:
    """Return what driver and worker take of a core while a unit only sleeps."""
    for setting in WAITING[name]:
        del window.SETTINGS[setting]
    cluster = LocalProcesses(workers=1)
    try:
        list(cluster.run(time.sleep, [(1,)]))
        (child,) = [p for p in psutil.Process().children(recursive=True) if "spawn" in _line(p)]
        begun = time.perf_counter(), time.process_time(), sum(child.cpu_times()[:2])
        list(cluster.run(time.sleep, [(2,)] * 5))
        took = time.perf_counter() - begun[0]
        return (
            (time.process_time() - begun[1]) / took,
            (sum(child.cpu_times()[:2]) - begun[2]) / took,
        )
    finally:
        cluster.close()


def _line(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


def in_a_process(*words: str) -> Any:
    """Return what this script prints, called with these words, as JSON."""
    told = subprocess.run(
        [sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(told.stdout.splitlines()[-1])


def slope(marks: Sequence[tuple[int, int]]) -> float:
    """Return bytes a unit: a line through the marks after the first tenth."""
    done, held = np.array(marks[1:], dtype=np.float64).T
    return float(np.polyfit(done, held, 1)[0])


def ratio(
    rounds: Sequence[dict[str, tuple[Spent, Spent]]], one: str, other: str, what: str, *, net: bool
) -> float:
    """Return the median over rounds of one way's seconds over another's, start taken off or not."""
    parts = []
    for made in rounds:
        pair = [made[name][0] - made[name][1] if net else made[name][0] for name in (one, other)]
        parts.append(getattr(pair[0], what) / getattr(pair[1], what))
    return statistics.median(parts)


def page(
    maps: int,
    rounds: Sequence[dict[str, tuple[Spent, Spent]]],
    grown: dict[str, Any],
    waits: dict[str, tuple[float, float]],
    loads: Sequence[float],
) -> str:
    """Return the page of the documentation."""
    marks = grown["marks"]
    units, growth = marks[-1][0], slope(marks)
    one = [
        ratio(rounds, "Dask, one worker", "plain loop", "processor", net=n) for n in (True, False)
    ]
    two = [
        ratio(rounds, "Dask, two workers", "two plain loops at once", "elapsed", net=n)
        for n in (True, False)
    ]
    lines = [
        "# Dask beside a plain loop",
        "",
        f"Written by `benchmarks/cluster.py`: {maps} maps of the demo's classifier (gradient, "
        f"64×64), {-(-maps // SHARD)} shards of {SHARD}, medians of {len(rounds)} interleaved "
        f"rounds on {os.cpu_count()} cores. Every way ended with the same root hash. Processor "
        "time is that of all processes: client, scheduler, nannies, workers. *Start* is what one "
        "shard a process takes: imports, worker processes, one shard. Processes that waited for a "
        f"core, those of others included: {min(loads):.1f} to {max(loads):.1f} in the mean of a "
        "minute; with more than there are cores, elapsed times say little.",
        "",
        "| | processor s | of which start | elapsed s | of which start |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in WAYS:
        cells = [
            statistics.median(getattr(made[name][part], what) for made in rounds)
            for what in ("processor", "elapsed")
            for part in (0, 1)
        ]
        lines.append(f"| {name} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |")
    lines += [
        "",
        "| | start taken off | start included | wanted |",
        "| --- | --- | --- | --- |",
        "| processor time, Dask with one worker ÷ plain loop | "
        f"{one[0]:.3f} | {one[1]:.3f} | ≤ {ONE_PROCESS} |",
        "| elapsed time, Dask with two workers ÷ two plain loops | "
        f"{two[0]:.3f} | {two[1]:.3f} | ≤ {TWO_WORKERS} |",
        "",
        "The start is paid once a run, whatever its length; a run of a few shards is for the plain "
        "loop.",
        "",
        "## A unit that does nothing",
        "",
        f"{units} units that do nothing, two workers: {grown['seconds'] * 1e6:.0f} µs of the "
        "driver's processor time a unit. Its memory (client, scheduler, nannies) grows by "
        f"{growth:.0f} bytes a unit, a line through the last nine of these (wanted ≤ {GROWTH}):",
        "",
        "| units | " + " | ".join(f"{done}" for done, _ in marks) + " |",
        "| --- |" + " --- |" * len(marks),
        "| MB | " + " | ".join(f"{held / 1e6:.1f}" for _, held in marks) + " |",
        "",
        "The scheduler forgets a unit when its result has been taken. What still grows ends: Dask "
        f"keeps the names of the last 100,000 units (`dask.utils.key_split`; {grown['names']} in "
        "the end), and an hour of its own statistics. No setting was needed for that beyond the "
        "window: what is in flight is all that a scheduler has to know.",
        "",
        "## What waiting costs",
        "",
        "Part of a core while a unit only sleeps, driver and worker, by the settings of Dask that "
        "are ours:",
        "",
        "| | driver | worker |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {n} | {100 * d:.1f} % | {100 * w:.1f} % |" for n, (d, w) in waits.items()]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--maps", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--units", type=int, default=100_000)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--do", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--grow", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--wait", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    loads = [os.getloadavg()[0]]
    if options.do:
        way, segment, shards = options.do
        do(way, Path(segment), [int(number) for number in shards.split(",")])
    elif options.grow:
        print(json.dumps(grown(options.grow)))
    elif options.wait:
        print(json.dumps(waiting(options.wait)))
    else:
        with tempfile.TemporaryDirectory() as place:
            segment = prepared(options.run, Path(place), options.maps)
            rounds = measured(segment, Path(place), options.rounds)
        loads.append(os.getloadavg()[0])
        waits = {name: tuple(in_a_process("--wait", name)) for name in WAITING}
        many = in_a_process("--grow", str(options.units))
        text = page(options.maps, rounds, many, waits, loads)
        print(text)
        if options.write:
            PAGE.write_text(text)


if __name__ == "__main__":
    main()
