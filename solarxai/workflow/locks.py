"""Who is at work in the folder of a run: one driver alone, or any number of parts together.

The lock is the system's (`flock` of `OUT/steps/.lock`), which lets go of a killed process's lock.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from solarxai.errors import WorkflowError

__all__ = ["alone", "together"]


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Keep other runs, and parts of this one, out of a folder.

    Raises
    ------
    WorkflowError
        when one is at work there, or the folder cannot be written.
    """
    with _held(out, fcntl.LOCK_EX, "another run is at work in {out}, or a part of this one"):
        yield


@contextmanager
def together(out: Path) -> Iterator[None]:
    """Keep drivers out of a folder while a part does its units.

    Raises
    ------
    WorkflowError
        when one is at work there, or the folder cannot be written.
    """
    (out / "steps").mkdir(exist_ok=True)
    with _held(out, fcntl.LOCK_SH, "a run is at work in {out}, its driver or another"):
        yield


@contextmanager
def _held(out: Path, kind: int, told: str) -> Iterator[None]:
    try:
        file = (out / "steps" / ".lock").open("a")
    except OSError as error:
        raise WorkflowError(
            f"{out}: cannot be written ({error.strerror})", remedy="Give a folder you may write in."
        ) from error
    with file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WorkflowError(
                told.format(out=out), remedy="Wait for it, or give another --out."
            ) from error
        yield
