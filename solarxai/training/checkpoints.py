"""The state of a training on its way, so that it goes on where it was stopped, to the bit."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from solarxai.provenance import write_atomically

__all__ = ["Checkpointing", "Checkpoints"]

State = dict[str, Any]


def _silent(text: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, kw_only=True)
class Checkpointing:
    """Where the state of a training is kept, and when.

    Parameters
    ----------
    path
        The file. It is replaced whole or not at all.
    due
        Asked after each step whether the state is to be written.
    say
        Told what becomes of a state that is found.
    left
        Whether the file is left when training has ended, for one that first writes what it came
        to; otherwise it is removed.
    """

    path: Path
    due: Callable[[], bool]
    say: Callable[[str], None] = _silent
    left: bool = False


class Checkpoints:
    """What is kept of a training: members that are finished, and where the one at work stands.

    Parameters
    ----------
    where
        None keeps nothing.
    belongs
        Hash of all that the training's bits depend on; a file of another one is not used.
    leads
        Whether this process reads and writes the file.
    """

    def __init__(self, where: Checkpointing | None, *, belongs: str, leads: bool = True) -> None:
        self._where = where
        self._belongs = belongs
        self._leads = leads
        self.finished: list[State] = []
        self.current: State | None = None
        if where is not None and leads:
            self._open(where)

    def due(self) -> bool:
        """Return whether the state is to be written after this step."""
        return self._leads and self._where is not None and self._where.due()

    def say(self, text: str) -> None:
        """Tell what becomes of the state that was found."""
        if self._where is not None and self._leads:
            self._where.say(text)

    def keep(self, state: State) -> None:
        """Write the state of the member at work."""
        self._write({"finished": self.finished, "current": state})

    def finish(self, member: State) -> None:
        """Write that a member is finished."""
        self.finished.append(member)
        self.current = None
        self._write({"finished": self.finished, "current": None})

    def close(self) -> None:
        """Remove the file, unless it is to be left: training has ended."""
        if self._where is not None and self._leads and not self._where.left:
            self._where.path.unlink(missing_ok=True)

    def held(self) -> State:
        """Return what a process that joins needs to go on from the same place."""
        return {"finished": self.finished, "current": self.current}

    def take(self, held: State) -> None:
        """Go on from where the leading process does."""
        self.finished, self.current = list(held["finished"]), held["current"]

    def _write(self, state: State) -> None:
        if self._where is None or not self._leads:
            return
        buffer = io.BytesIO()
        torch.save({"belongs": self._belongs, **state}, buffer)
        data = buffer.getvalue()
        write_atomically(self._where.path, hashlib.sha256(data).digest() + data)

    def _open(self, where: Checkpointing) -> None:
        if not where.path.is_file():
            return
        found = _read(where.path)
        if found is None:
            where.say(f"{where.path.name} is damaged: training starts anew")
        elif found["belongs"] != self._belongs:
            where.say(
                f"{where.path.name} is of another training (other options, samples, code or "
                "versions): training starts anew"
            )
        else:
            self.take(found)


def _read(path: Path) -> State | None:
    """Return the state in a file, or None if its bytes are not those that were written."""
    data = path.read_bytes()
    digest, rest = data[:32], data[32:]
    if hashlib.sha256(rest).digest() != digest:
        return None
    found: State = torch.load(io.BytesIO(rest), map_location="cpu", weights_only=True)
    return found
