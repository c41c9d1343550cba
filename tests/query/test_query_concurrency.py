"""Readers of a store that is being written see whole, ledgered states of it, and no errors."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from pathlib import Path
from queue import Queue
from typing import Any

from stored_runs import add, identities, instant, rows

from solarxai.errors import QueryError
from solarxai.query import open_store

RUNS = {"bbb1": [0, 0, 0, 10, 20, 20, 45, 60, 61, 90], "aaa2": [-400, -200, -200, 5, 20, 60]}
SHARD = 4
SECONDS_AT_MOST = 240


def write(path: Path, steps: Any) -> None:
    """Write each run shard by shard, a rest after each; then undo a shard and write it again."""
    try:
        for run, seconds in RUNS.items():
            for shard in range(-(-len(seconds) // SHARD)):
                segment = add(path, run, rows(seconds), ["gradient"], shards=[shard])
                time.sleep(0.2)
            segment.seal()
        segment.discard(0)
        time.sleep(0.5)
        add(path, run, rows(seconds), ["gradient"])
    finally:
        steps.set()


def read(path: Path, finished: Any, told: Queue[Any]) -> None:
    """Ask until the writer has finished, and once more; tell every state seen, or the error."""
    try:
        states = []
        last = False
        while not last:
            last = finished.is_set()
            states.append(_state(path))
        told.put(states)
    except BaseException as error:
        told.put(f"{type(error).__name__}: {error}")
        raise


def _state(path: Path) -> list[tuple[float, str, str]]:
    """Return the rows of one query, once it has also answered a nearest one."""
    try:
        store = open_store(path)
        found = store.query(methods=["gradient"])
        near = store.query(nearest=instant(19), methods=["gradient"]).load()
    except QueryError as error:
        if "no rows yet" not in str(error):
            raise
        return []
    assert near["gradient"].notnull().all()
    return identities(found)


def shards_of(state: list[tuple[float, str, str]]) -> set[tuple[str, int]]:
    """Return the shards that a state holds, each of them whole and in order of time."""
    assert state == sorted(state, key=lambda row: row[:2])
    held = Counter((run, int(sample.rsplit("-", 1)[1]) // SHARD) for _, run, sample in state)
    for (run, shard), count in held.items():
        assert count == min(SHARD, len(RUNS[run]) - shard * SHARD), (run, shard, count)
    return set(held)


def test_two_readers_see_whole_states_while_a_run_writes(tmp_path: Path) -> None:
    path = tmp_path / "store"
    add(path, "bbb1", rows(RUNS["bbb1"]), ["gradient"], shards=[])
    context = multiprocessing.get_context("spawn")
    finished, told = context.Event(), context.Queue()
    readers = [context.Process(target=read, args=(path, finished, told)) for _ in range(2)]
    writer = context.Process(target=write, args=(path, finished))
    for process in (*readers, writer):
        process.start()
    seen = [told.get(timeout=SECONDS_AT_MOST) for _ in readers]
    for process in (*readers, writer):
        process.join(SECONDS_AT_MOST)
        assert process.exitcode == 0, seen
    ledger = [
        ("bbb1", 0), ("bbb1", 1), ("bbb1", 2), ("aaa2", 0), ("aaa2", 1),
    ]  # fmt: skip
    ever_ledgered = [set(ledger[:n]) for n in range(len(ledger) + 1)]
    ever_ledgered.append(set(ledger) - {("aaa2", 0)})
    for states in seen:
        distinct = [shards_of(state) for state in states]
        assert all(shards in ever_ledgered for shards in distinct)
        assert distinct[-1] == set(ledger)
