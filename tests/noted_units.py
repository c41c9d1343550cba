"""Shards attributed slowly, with a note before and after each: what tests of kills count."""

import os
import time
from functools import partial
from pathlib import Path

from solarxai.workflow import tasks


def attribute_shard(log: Path, seconds: float, *call) -> str:
    """Do what the task of this name does; note its shard in `log` when it begins and ends."""
    _note(log, "begun", call[-1])
    time.sleep(seconds)
    made = tasks.attribute_shard(*call)
    _note(log, "ended", call[-1])
    return made


def slow_down(seconds: float) -> None:
    """Let this process send shards to workers that take so many seconds longer there."""
    tasks.attribute_shard = partial(slow_shard, seconds)


def slow_shard(seconds: float, *call) -> str:
    """Do what the task of this name does, later."""
    time.sleep(seconds)
    return tasks.attribute_shard(*call)


def _note(log: Path, word: str, shard: int) -> None:
    with log.open("a") as file:
        file.write(f"{word} {shard} {os.getpid()}\n")


def noted(log: Path, word: str) -> list[int]:
    """Return the shards noted with a word, in order."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [int(line.split()[1]) for line in lines if line.startswith(f"{word} ")]


class Noting:
    """A cluster whose shards are noted, and take so many seconds longer."""

    def __init__(self, cluster, log: Path, seconds: float) -> None:
        self._cluster, self._log, self._seconds = cluster, log, seconds

    def run(self, function, calls):
        """Run units as the cluster does; those that are shards are noted."""
        if function is tasks.attribute_shard:
            calls = ((self._log, self._seconds, *call) for call in calls)
            function = attribute_shard
        yield from self._cluster.run(function, calls)

    def close(self) -> None:
        """Close the cluster."""
        self._cluster.close()

    def __getattr__(self, name):
        """Return anything else of the cluster."""
        return getattr(self._cluster, name)
