"""Processes that train together: started here, or by torchrun or srun on several machines."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import distributed, multiprocessing

from solarxai.errors import SolarxaiError, TrainingError
from solarxai.training.team import Team

__all__ = ["Device", "Place", "Telling", "joined", "launched_place", "run_together"]

Device = Literal["cpu", "cuda"]

_PATIENCE = timedelta(minutes=30)
"""How long a process waits for one that is alive but does not answer."""

_GRACE = 5.0
"""Seconds that are left to the others to say why, once one has failed."""

_LOOPBACK = "lo"
_BY_ENVIRONMENT = "env://"


class Place(NamedTuple):
    """Which process this is of how many, and which on its machine."""

    rank: int
    size: int
    local: int


class Telling(NamedTuple):
    """What the leading process tells: epochs done of how many and a note; a line that stays."""

    reach: Callable[[int, int, str], None]
    say: Callable[[str], None]


Work = Callable[[Any, Team, Telling], Any]
"""What each process does: (what it is about, its place, whom to tell) -> what came of it."""


def launched_place(environment: Mapping[str, str]) -> Place | None:
    """Return the place that torchrun, or a job script, gave this process; None alone.

    Raises
    ------
    TrainingError
        when only some of RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT are set.
    """
    if int(environment.get("WORLD_SIZE", "1")) == 1:
        return None
    lacking = [w for w in ("RANK", "MASTER_ADDR", "MASTER_PORT") if w not in environment]
    if lacking:
        raise TrainingError(
            f"WORLD_SIZE is {environment['WORLD_SIZE']}, and {', '.join(lacking)} is not set",
            remedy="Start with torchrun, or set all of them as workflows/train_nodes.sbatch does; "
            "unset WORLD_SIZE to train alone.",
        )
    rank = int(environment["RANK"])
    return Place(rank, int(environment["WORLD_SIZE"]), int(environment.get("LOCAL_RANK", rank)))


@contextmanager
def joined(place: Place, *, device: Device, store: str = _BY_ENVIRONMENT) -> Iterator[Team]:
    """Give this process its place among those that train together.

    Parameters
    ----------
    place
        Which one it is.
    device
        "cpu" (gloo), or "cuda" (nccl): the device of its number on this machine, or the only one
        that a job script shows it.
    store
        Where they find each other, as `torch.distributed.init_process_group` takes it.
    """
    shown_one = store == _BY_ENVIRONMENT and torch.cuda.device_count() == 1
    index = 0 if shown_one else place.local
    own = f"cuda:{index}" if device == "cuda" else "cpu"
    team = Team(rank=place.rank, size=place.size, device=own)
    if device == "cuda":
        torch.cuda.set_device(index)
    distributed.init_process_group(
        "nccl" if device == "cuda" else "gloo",
        init_method=store,
        rank=place.rank,
        world_size=place.size,
        timeout=_PATIENCE,
    )
    try:
        yield team
    finally:
        distributed.destroy_process_group()


def run_together(
    work: Work, about: Any, *, processes: int, device: Device, telling: Telling
) -> Any:
    """Return what came of `work` in the first of so many processes of this machine.

    Parameters
    ----------
    work, about
        A function of a module, and its first argument; both are sent to each process.
    processes, device
        How many, and where they compute.
    telling
        Hears what the first process tells.

    Raises
    ------
    SolarxaiError
        that a process raised.
    TrainingError
        when one failed otherwise or died; the others are ended.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="solarxai-") as folder:
        store = (Path(folder) / "store").as_uri()
        ranks = []
        try:
            for rank in range(processes):
                here, there = context.Pipe()
                arguments = (work, about, Place(rank, processes, rank), device, store, there)
                process = context.Process(target=_work, args=arguments, name=f"train-{rank}")
                process.start()
                there.close()
                ranks.append(_Rank(rank=rank, process=process, line=here))
            return _followed(ranks, telling)
        finally:
            for one in ranks:
                one.end()


@dataclass(kw_only=True)
class _Rank:
    """A process that was started, and what it has said."""

    rank: int
    process: Any
    line: Connection
    failure: SolarxaiError | str | None = None
    finished: bool = False
    result: Any = field(default=None, repr=False)

    def hear(self, telling: Telling) -> None:
        """Take one message, or the silence of a process that is gone."""
        try:
            kind, *words = self.line.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            code = self.process.exitcode
            named = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            self.failure = self.failure or TrainingError(
                f"process {self.rank} of those that train together died ({named})",
                remedy="See whether memory ran out; the same command goes on from the last state.",
            )
            return
        if kind == "done":
            self.finished, self.result = True, words[0]
        elif kind == "failed":
            self.failure = words[0]
        else:
            getattr(telling, kind)(*words)

    def end(self) -> None:
        """End the process if it is alive."""
        if self.process.is_alive() and not self.finished:
            self.process.kill()
        self.process.join()
        self.line.close()


def _followed(ranks: list[_Rank], telling: Telling) -> Any:
    """Return the first one's result once all are done, or raise what failed first."""
    failures: list[SolarxaiError | str] = []
    while not all(one.finished for one in ranks):
        waiting = {one.line: one for one in ranks if not one.finished and not one.failure}
        ready = wait(list(waiting), timeout=_GRACE if failures else None) if waiting else []
        if not ready:
            break
        for line in ready:
            one = waiting[line]  # type: ignore[index]
            one.hear(telling)
            failures += [one.failure] if one.failure else []
    if not failures:
        return ranks[0].result
    own = [failure for failure in failures if isinstance(failure, SolarxaiError)]
    if own:
        raise own[0]
    raise TrainingError(
        f"a process that trains failed: {failures[0]}",
        remedy="Mend this; the same command goes on from the last state.",
    )


def _work(
    work: Work, about: Any, place: Place, device: Device, store: str, line: Connection
) -> None:
    """Do the work of one process, and end with the one that started it."""
    threading.Thread(target=_end_with, args=(line,), daemon=True).start()
    if _LOOPBACK in {name for _, name in socket.if_nameindex()}:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", _LOOPBACK)
    telling = Telling(
        reach=lambda *words: line.send(("reach", *words)),
        say=lambda text: line.send(("say", text)),
    )
    try:
        with joined(place, device=device, store=store) as team, _failures_told(place, line):
            found = work(about, team, telling)
            line.send(("done", found if team.leads else None))
    except _Told:
        return
    except BaseException as error:
        _tell_failure(error, place, line)


class _Told(Exception):
    """A failure that has been told."""


@contextmanager
def _failures_told(place: Place, line: Connection) -> Iterator[None]:
    """Tell a failure before the others notice that this process is gone, and fail in turn."""
    try:
        yield
    except BaseException as error:
        _tell_failure(error, place, line)
        raise _Told from error


def _tell_failure(error: BaseException, place: Place, line: Connection) -> None:
    if isinstance(error, SolarxaiError):
        line.send(("failed", error))
    else:
        told = traceback.format_exception_only(error)[-1].strip()
        line.send(("failed", f"{told} (process {place.rank})"))


def _end_with(line: Connection) -> None:
    """End this process when the one at the other end is gone: nothing is ever sent."""
    try:
        line.recv()
    except (EOFError, OSError):
        os._exit(1)
