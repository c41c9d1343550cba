"""Units of work written down, for processes that somebody else starts: a job array, a shell loop.

The order is a file in the folder of the run: a function of `solarxai` and its calls. Part I of N
does the calls I, I + N, I + 2N, ... and writes down which it has done, so that a part started again
goes on. No process needs to know of another.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solarxai.errors import SolarxaiError, WorkflowError
from solarxai.provenance import write_atomically
from solarxai.workflow.locks import together
from solarxai.workflow.memory import bounded, described
from solarxai.workflow.progress import Progress

__all__ = ["UnitsWaiting", "do_part", "failure_of", "forget_order", "in_hand", "write_order"]

_ORDER = "order.pickle"
_WAITING = "waiting"

_NAMES = {
    "functools": {"partial"},
    "numpy": {"ndarray", "dtype", "scalar", "_reconstruct", "_frombuffer"},
    "pathlib": {"PosixPath"},
}
_HOMES = ("solarxai.", "astropy.units.")
"""What an order may name: it is read from disk, and must not run what others slipped into it."""


class UnitsWaiting(WorkflowError):
    """A run cannot go on before units that it has written down are done elsewhere."""

    exit_code = 3


@dataclass(frozen=True, kw_only=True)
class PartDone:
    """What a part came to.

    Parameters
    ----------
    done, skipped, failed
        Units done now, done before, and ended by an error.
    """

    done: int
    skipped: int
    failed: int


def write_order(
    folder: Path, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]
) -> None:
    """Write an order in place of any before it, and the number of its units as text beside it."""
    forget_order(folder)
    folder.mkdir(parents=True)
    write_atomically(folder / _WAITING, f"{len(calls)}\n".encode())
    write_atomically(folder / _ORDER, pickle.dumps((function, list(calls))))


def forget_order(folder: Path) -> None:
    """Remove an order and what its parts wrote, if there is one."""
    shutil.rmtree(folder, ignore_errors=True)


def failure_of(folder: Path) -> SolarxaiError | None:
    """Return the first error that a part of the order wrote down, if any."""
    for path in sorted(folder.glob("failed-*.jsonl")):
        for line in path.read_text().splitlines():
            told = json.loads(line)
            return WorkflowError(told["what"], remedy=told["remedy"])
    return None


def in_hand(folder: Path) -> list[str]:
    """Return the units that parts were doing when they ended without a word."""
    return [path.read_text() for path in sorted(folder.glob("doing-*.txt"))]


def do_part(
    folder: Path, *, part: int, of: int, progress: Progress, memory: int | None = None
) -> PartDone:
    """Do the units I, I + N, I + 2N, ... of an order; return what came of them.

    Parameters
    ----------
    folder
        Where the order is.
    part, of
        I, from 0, and N.
    progress
        Follows the part.
    memory
        Bytes that a unit may hold; see `solarxai.workflow.memory.bounded`.

    Raises
    ------
    WorkflowError
        when there is no such part, no order, or one that this version cannot read; or when the
        driver of the run is at work.
    """
    if not 0 <= part < of:
        raise WorkflowError(
            f"there is no part {part} of {of}", remedy=f"Parts are numbered 0 to {of - 1}."
        )
    function, calls, name = _read_order(folder)
    stem = f"{name}-{part}-of-{of}"
    before = _done_before(folder / f"done-{stem}.txt")
    own = [index for index in range(part, len(calls), of) if index not in before]
    doing, failed = folder / f"doing-{stem}.txt", 0
    with (
        together(folder.parent),
        progress.stage(f"part {part} of {of}", total=len(own) + len(before)) as stage,
        (folder / f"done-{stem}.txt").open("a") as done,
    ):
        stage.skip(len(before))
        for index in own:
            doing.write_text(described(function, calls[index]))
            try:
                bounded(memory, function, *calls[index])
            except SolarxaiError as error:
                failed += 1
                stage.fail(1)
                _note_failure(folder / f"failed-{stem}.jsonl", error)
            else:
                done.write(f"{index}\n")
                done.flush()
                stage.advance(1)
        doing.unlink(missing_ok=True)
    return PartDone(done=len(own) - failed, skipped=len(before), failed=failed)


def _read_order(folder: Path) -> tuple[Callable[..., Any], list[tuple[Any, ...]], str]:
    """Return function, calls, and a name that no other order has."""
    try:
        written = (folder / _ORDER).read_bytes()
        function, calls = _Names(io.BytesIO(written)).load()
    except FileNotFoundError as error:
        raise WorkflowError(
            f"{folder.parent}: no units wait to be done here",
            remedy="Write them down with `solarxai run WORKFLOW --out OUT --cluster array`.",
        ) from error
    except (pickle.UnpicklingError, AttributeError, ImportError, EOFError, ValueError) as error:
        raise WorkflowError(
            f"{folder / _ORDER}: not an order of this version of solarxai ({error})",
            remedy="Write it again with `solarxai run WORKFLOW --out OUT --cluster array`.",
        ) from error
    return function, calls, hashlib.sha256(written).hexdigest()[:12]


class _Names(pickle.Unpickler):
    """Reads orders that name nothing but this library, paths, quantities and bound options."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name stands for, if an order may name it."""
        if name in _NAMES.get(module.split(".")[0], ()):
            return super().find_class(module, name)
        if module.startswith(_HOMES):
            found = super().find_class(module, name)
            if str(getattr(found, "__module__", "")).startswith(_HOMES):
                return found
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def _done_before(path: Path) -> set[int]:
    """Return the units that are written down as done; a line cut off by a kill does not count."""
    if not path.is_file():
        return set()
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        os.truncate(path, len(whole))
    return {int(line) for line in whole.split()}


def _note_failure(path: Path, error: SolarxaiError) -> None:
    with path.open("a") as file:
        file.write(json.dumps({"what": error.what, "remedy": error.remedy}) + "\n")
