"""A unit of work kept to the memory that its worker has: one error instead of a killed worker.

The system ends a process that takes too much, and whoever watches starts another, which takes too
much again. So a unit computes below a limit of the process itself (`RLIMIT_DATA`): the allocation
that goes beyond it fails, in the unit, where it can be told which unit it was.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from solarxai.errors import WorkflowError

__all__ = ["bounded", "described", "memory_of_job"]

_STATM = Path("/proc/self/statm")
_RESIDENT, _DATA = 1, 5
"""Places in `statm`, in pages: what is in memory; what the process may write to (proc(5))."""

_REFUSED = ("can't allocate memory", "Cannot allocate memory", "bad_alloc", "Unable to allocate")
"""How PyTorch, the C library and HDF5 say that an allocation failed, as a RuntimeError."""

_WORDS = 200


def bounded(memory: int | None, function: Callable[..., Any], *call: Any) -> Any:
    """Return `function(*call)`, computed in at most so many bytes of memory.

    Parameters
    ----------
    memory
        Bytes that the whole process may hold; None for no limit of ours.
    function, call
        The unit.

    Raises
    ------
    WorkflowError
        naming the unit and the limit, when it needs more.

    Notes
    -----
    Linux alone has such a limit of what a process writes to, and with a GPU, whose driver claims
    address space beyond measure, none is set. What the process held before, freed memory that the C
    library keeps included, counts towards `memory` and can be used again.
    """
    try:
        with _at_most(memory):
            return function(*call)
    except (MemoryError, RuntimeError, OSError) as error:
        if not _is_refusal(error):
            raise
        raise WorkflowError(
            f"{described(function, call)} needs more memory than {_told(memory)} "
            f"({str(error).splitlines()[0][:_WORDS] if str(error) else type(error).__name__})",
            remedy="Give workers more memory (cluster.memory, or --mem of the array), or units "
            "less to do (attribute.shard_size, attribute.batch_size).",
        ) from error


def memory_of_job() -> int | None:
    """Return the bytes that Slurm gave the job that this process is, None outside a job.

    Slurm tells MB of the node (`--mem`), or of each core (`--mem-per-cpu`).
    """
    whole = int(os.environ.get("SLURM_MEM_PER_NODE", 0))
    cores = int(os.environ.get("SLURM_CPUS_PER_TASK", 1))
    told = whole or int(os.environ.get("SLURM_MEM_PER_CPU", 0)) * cores
    return told * 2**20 or None


def described(function: Callable[..., Any], call: Sequence[Any]) -> str:
    """Return the name of a unit: its function and those arguments that are short."""
    words = [word for word in map(_word, call) if word]
    return f"the unit {getattr(function, '__name__', function)}({', '.join(words)})"[:_WORDS]


def _word(argument: Any) -> str:
    if isinstance(argument, Path):
        name = argument.name if len(argument.name) <= 40 else f"{argument.name[:16]}…"
        return f"{argument.parent.name}/{name}"
    if isinstance(argument, str | int | float):
        return repr(argument)[:40]
    return ""


def _has_gpu() -> bool:
    """Return whether this process may use a GPU; one that has not imported torch uses none."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_available()


def _told(memory: int | None) -> str:
    return "there is" if memory is None else f"the {memory / 1e9:.2f} GB of its worker"


def _is_refusal(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, MemoryError) or any(words in str(error) for words in _REFUSED)


@contextmanager
def _at_most(memory: int | None) -> Iterator[None]:
    """Let this process grow until it holds so many bytes, and restore its limit."""
    if memory is None or sys.platform != "linux" or _has_gpu():
        yield
        return
    import resource

    pages = [int(word) for word in _STATM.read_text().split()]
    room = max(memory - pages[_RESIDENT] * mmap.PAGESIZE, 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = pages[_DATA] * mmap.PAGESIZE + room
    bounds = [limit for limit in (wanted, soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(bounds), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
