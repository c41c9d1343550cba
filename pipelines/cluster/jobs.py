"""Which jobs of a queue will never bring a worker, and what their logs say."""

from __future__ import annotations

import re
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from solarxai.errors import WorkflowError

__all__ = ["LOOK", "JobWatch"]

LOOK = 2.0
"""Seconds between two looks at the jobs."""

TRIES = 3
"""Looks that find jobs newly dead, with no worker arriving between, until a run is given up."""

_LINES = 15
"""Lines of a log that an error quotes."""


class JobWatch:
    """Replaces jobs that ended before their worker reported, and gives up when that is no use.

    The queue is asked only while a job is awaited.

    Parameters
    ----------
    cluster
        A `dask_jobqueue.SLURMCluster` that adapts.
    name
        Name of all its jobs.
    logs
        Folder of their logs.
    start_timeout
        Seconds from the start of a job to the report of its worker.
    patience
        Workers that may come and go without one unit being done.
    clock
        Seconds from any moment on.
    """

    def __init__(
        self,
        cluster: Any,
        *,
        name: str,
        logs: Path,
        start_timeout: float,
        patience: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._name = name
        self._logs = logs
        self._start_timeout = start_timeout
        self._patience = patience
        self._clock = clock
        self._looked = clock()
        self._rounds = 0
        self._arrived: set[str] = set()
        self._fruitless: set[str] = set()
        self._dead: set[str] = set()
        self._since: dict[str, float] = {}

    def look(self, a_unit_ended: bool) -> None:
        """Look at the jobs, unless that was done a moment ago.

        Raises
        ------
        WorkflowError
            when jobs end before their workers report and none is left, or when workers come and go
            without one unit being done.
        """
        if a_unit_ended:
            self._fruitless.clear()
        if self._clock() - self._looked < LOOK:
            return
        self._looked = self._clock()
        jobs = {name: str(job.job_id) for name, job in list(self._cluster.workers.items())}
        self._greet({jobs[name] for name in self._cluster.observed if name in jobs})
        awaited = {name: job for name, job in jobs.items() if job not in self._arrived}
        states = _states(self._name) if awaited else None
        if states is not None:
            self._bury(awaited, states, all_awaited=len(awaited) == len(jobs))

    def _greet(self, here: set[str]) -> None:
        if here - self._arrived:
            self._rounds = 0
        self._fruitless |= here - self._arrived
        self._arrived |= here
        if len(self._fruitless) > self._patience:
            raise WorkflowError(
                f"{len(self._fruitless)} jobs came and went without ending one unit of work; "
                f"{self._told(max(self._fruitless, key=int))}",
                remedy="Give jobs a longer walltime or more memory, or units fewer rows "
                "(attribute.shard_size).",
            )

    def _bury(
        self, awaited: Mapping[str, str], states: Mapping[str, str], *, all_awaited: bool
    ) -> None:
        dead = {name: job for name, job in awaited.items() if self._is_dead(job, states)}
        fresh = set(dead.values()) - self._dead
        self._dead |= fresh
        self._rounds += bool(fresh)
        if self._rounds < TRIES:
            self._cluster.loop.add_callback(_drop, self._cluster, dead)
        elif all_awaited and len(dead) == len(awaited):
            raise WorkflowError(
                f"{len(self._dead)} jobs of Slurm ended before their worker reported, and none is "
                f"left; {self._told(max(self._dead, key=int))}",
                remedy=f"Correct `prologue` or `python` of the cluster, or what the log names "
                f"({self._logs / 'worker.sh'} is what was submitted); then run again.",
            )

    def _is_dead(self, job: str, states: Mapping[str, str]) -> bool:
        """Return whether a job has left the queue, or runs too long without a worker."""
        if states.get(job) != "RUNNING":
            return job not in states
        started = self._since.setdefault(job, self._clock())
        return self._clock() - started > self._start_timeout

    def _told(self, job: str) -> str:
        """Return the end of a job and the last lines of its log."""
        logs = [path for path in sorted(self._logs.glob(f"*-{job}.*")) if path.stat().st_size]
        ended = f"job {job} {_ending(job)}"
        if not logs:
            return f"{ended} and left no log in {self._logs}"
        with logs[0].open(errors="replace") as log:
            lines = "".join(f"\n  | {line.rstrip()}" for line in deque(log, maxlen=_LINES))
        return f"{ended}; the last lines of {logs[0]}:{lines}\nWhat is done is kept"


async def _drop(cluster: Any, names: Mapping[str, str]) -> None:
    """Cancel jobs and forget them; `adapt` then submits others of the same names."""
    for name, number in names.items():
        job = cluster.workers.get(name)
        if job is not None and str(job.job_id) == number:
            del cluster.workers[name]
            await job.close()


def _states(name: str) -> dict[str, str] | None:
    """Return the state of each queued job of a name, or None where the queue does not answer."""
    asked = _called("squeue", "--noheader", "--me", f"--name={name}", "--format=%i %T")
    if asked is None:
        return None
    return dict(line.split() for line in asked.splitlines() if line.strip())


def _ending(job: str) -> str:
    shown = _called("scontrol", "--oneliner", "show", "job", job) or ""
    facts = dict(re.findall(r"\b(JobState|Reason|ExitCode|NodeList)=(\S+)", shown))
    return f"({', '.join(f'{name} {value}' for name, value in facts.items()) or 'state unknown'})"


def _called(*words: str) -> str | None:
    try:
        ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    except subprocess.TimeoutExpired:
        return None
    return None if ended.returncode else ended.stdout
