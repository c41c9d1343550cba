"""What Dask costs beside a plain loop, both warm and taking turns: processor time alone.

    python benchmarks/cluster_turns.py RUN [--maps 10000] [--write]

The speed of a machine changes from minute to minute, by more than what is asked for here. So a
plain loop and a Dask with one worker are started, each does one shard, and then they take turns at
four shards each of the segment that benchmarks/cluster.py makes, while the other waits. Counted is
the processor time of all their processes (client, scheduler, nanny, worker). --write puts the
figures into docs/benchmarks/cluster_turns.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
from cluster import ONE_PROCESS, SHARD, calls, linked, prepared

from pipelines.cluster import LocalProcesses, PlainLoop
from solarxai.store.segment import Segment
from solarxai.workflow import tasks

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "cluster_turns.md"
WAYS = ("plain", "Dask")
TURN = 4
"""Shards done at a turn."""


def serve(way: str, segment: Path) -> None:
    """Do the shards that each line of the standard input names."""
    cluster = PlainLoop() if way == "plain" else LocalProcesses(workers=1)
    try:
        for line in sys.stdin:
            for _, result in cluster.run(tasks.attribute_shard, calls(segment, json.loads(line))):
                if isinstance(result, Exception):
                    raise result
            print("done", flush=True)
    finally:
        cluster.close()


class Server:
    """A process that does shards in one of the ways.

    Parameters
    ----------
    way
        One of `WAYS`.
    segment
        Its own copy of the segment.
    """

    def __init__(self, way: str, segment: Path) -> None:
        words = [sys.executable, __file__, "--serve", way, str(segment)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def seconds(self, shards: Sequence[int]) -> float:
        """Return the seconds of the processor that some shards take, of all its processes."""
        before = self._processor()
        given, told = self._process.stdin, self._process.stdout
        assert given is not None
        assert told is not None
        print(json.dumps(list(shards)), file=given, flush=True)
        if told.readline() != "done\n":
            raise SystemExit("a process failed")
        return self._processor() - before

    def end(self) -> None:
        """Let it end."""
        self._process.communicate()

    def _processor(self) -> float:
        first = psutil.Process(self._process.pid)
        return sum(sum(one.cpu_times()[:2]) for one in [first, *first.children(recursive=True)])


def measured(segment: Path, folder: Path) -> np.ndarray:
    """Return seconds of the processor, (turn, way)."""
    copies = {way: linked(segment, folder / way) for way in WAYS}
    servers = {way: Server(way, copy) for way, copy in copies.items()}
    first, *shards = Segment(segment).shards
    for server in servers.values():
        server.seconds([first])
    turns = []
    for number in range(0, len(shards), TURN):
        order = WAYS if number // TURN % 2 else WAYS[::-1]
        took = {way: servers[way].seconds(shards[number : number + TURN]) for way in order}
        turns.append([took[way] for way in WAYS])
    for server in servers.values():
        server.end()
    if len({Segment(copy).seal() for copy in copies.values()}) != 1:
        raise SystemExit("the two ways end with different root hashes")
    return np.array(turns)


def page(maps: int, turns: np.ndarray) -> str:
    """Return the page of the documentation."""
    plain, dask = turns.T
    ratio = dask.sum() / plain.sum()
    n = len(turns)
    error = np.sqrt(n / (n - 1) * ((dask - ratio * plain) ** 2).sum()) / plain.sum()
    each = ", ".join(f"{value:.2f}" for value in dask / plain)
    return (
        "# Dask and a plain loop taking turns\n\n"
        f"Written by `benchmarks/cluster_turns.py`, which says how: {maps} maps (gradient, 64×64) "
        f"in shards of {SHARD}, {n} turns of {TURN} shards; both ways end with one root hash. "
        "Starting is left out; [the other page](cluster.md) has it.\n\n"
        f"Dask with one worker takes **{ratio:.3f} ± {error:.3f}** times the processor time of a "
        f"plain loop (standard error over turns; wanted ≤ {ONE_PROCESS}): {dask.sum():.1f} s "
        f"beside {plain.sum():.1f} s. Turn by turn: {each}.\n\n"
        "It can be less than one, for workers start with the C library's thresholds and arena set "
        "to keep memory, which a plain loop leaves as they are.\n"
    )


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--maps", type=int, default=10000)
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks/")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], Path(options.serve[1]))
        return
    with tempfile.TemporaryDirectory() as place:
        segment = prepared(options.run, Path(place), options.maps)
        text = page(options.maps, measured(segment, Path(place)))
    print(text)
    if options.write:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
