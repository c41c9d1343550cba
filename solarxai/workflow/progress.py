"""How far a run is: counts a stage, on a terminal, as plain lines, and in a journal of JSON lines.

The clocks are arguments: nothing below the command line reads the time by itself.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

__all__ = ["Bars", "Display", "Journal", "Lines", "Progress", "Stage", "counts", "describe_stage"]


def _unseen(stage: Stage) -> None:
    del stage


@dataclass(kw_only=True)
class Stage:
    """The counts of one stage of a run, as it goes.

    Parameters
    ----------
    name, unit
        What is done, and to what: "attribute", "shards".
    total
        Units in all, or None while unknown.
    clock
        Returns seconds; only differences matter.
    changed
        Called after every change.
    """

    name: str
    unit: str = "units"
    total: int | None = None
    clock: Callable[[], float] = field(default=lambda: 0.0, repr=False)
    changed: Callable[[Stage], None] = field(default=_unseen, repr=False)
    done: int = 0
    skipped: int = 0
    failed: int = 0
    note: str = ""
    started: float = field(init=False)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.started = self.clock()

    def advance(self, n: int = 1) -> None:
        """Count `n` more units done."""
        self.done += n
        self._touch()

    def skip(self, n: int = 1) -> None:
        """Count `n` units that were there already."""
        self.skipped += n
        self._touch()

    def fail(self, n: int = 1) -> None:
        """Count `n` units that gave an error and were left out."""
        self.failed += n
        self._touch()

    def reach(self, done: int, total: int, note: str = "") -> None:
        """Set how many units are done of how many: the callback library functions take."""
        self.done, self.total, self.note = done, total, note
        self._touch()

    @property
    def rate(self) -> float:
        """Return units done a second; skipped ones cost nothing and do not count."""
        return (self.done + self.failed) / self.seconds if self.seconds > 0 else 0.0

    @property
    def remaining(self) -> float | None:
        """Return the seconds left at this rate, or None while they cannot be told."""
        if self.total is None or self.rate == 0:
            return None
        return max(0, self.total - self.done - self.skipped - self.failed) / self.rate

    def _touch(self) -> None:
        self.seconds = self.clock() - self.started
        self.changed(self)


class Display(Protocol):
    """Where the counts are shown."""

    def open(self, stage: Stage) -> None:
        """Show that a stage begins."""

    def update(self, stage: Stage) -> None:
        """Show new counts."""

    def close(self, stage: Stage) -> None:
        """Show that a stage has ended."""

    def say(self, text: str) -> None:
        """Show one line that stays."""


class Journal:
    """Writes one JSON object a line: what happened, and when.

    Parameters
    ----------
    path
        The file, appended to; None keeps no journal.
    now
        Returns the time as ISO 8601 text.
    """

    def __init__(self, path: Path | None, *, now: Callable[[], str]) -> None:
        self._path = path
        self._now = now

    def write(self, event: str, **facts: Any) -> None:
        """Append one event; a line is written whole."""
        if self._path is None:
            return
        line = json.dumps({"time": self._now(), "event": event, **facts}, default=str)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


class Lines:
    """Shows a timestamped line every `interval` seconds, for logs and pipes.

    Parameters
    ----------
    stream
        Where to: standard error.
    now
        Returns the time as text.
    interval
        Seconds between lines of one stage.
    """

    def __init__(self, stream: TextIO, *, now: Callable[[], str], interval: float = 30.0) -> None:
        self._stream = stream
        self._now = now
        self._interval = interval
        self._over: dict[int, threading.Event] = {}

    def open(self, stage: Stage) -> None:
        """Say that a stage begins, and start its clockwork."""
        self.say(
            f"{stage.name}: started" + (f", {stage.total} {stage.unit}" if stage.total else "")
        )
        over = self._over[id(stage)] = threading.Event()
        threading.Thread(target=self._beat, args=(stage, over), daemon=True).start()

    def update(self, stage: Stage) -> None:
        """Leave new counts to the next line."""

    def close(self, stage: Stage) -> None:
        """Stop the clockwork and say how the stage ended."""
        self._over.pop(id(stage)).set()
        self.say(f"{describe_stage(stage)}, {stage.seconds:.1f} s")

    def say(self, text: str) -> None:
        """Write one line with the time before it."""
        print(f"{self._now()} {text}", file=self._stream, flush=True)

    def _beat(self, stage: Stage, over: threading.Event) -> None:
        while not over.wait(self._interval):
            self.say(describe_stage(stage))


class Bars:
    """Shows a bar a stage on a terminal.

    Parameters
    ----------
    stream
        Where to: standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._bars = RichProgress(
            TextColumn("{task.description:<10}"), BarColumn(bar_width=28), MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"), TimeRemainingColumn(),
            console=Console(file=stream), transient=True,
        )  # fmt: skip
        self._tasks: dict[int, Any] = {}

    def open(self, stage: Stage) -> None:
        """Add a bar."""
        if not self._tasks:
            self._bars.start()
        self._tasks[id(stage)] = self._bars.add_task(stage.name, total=stage.total, text="")

    def update(self, stage: Stage) -> None:
        """Move the bar."""
        text = f"{stage.unit}, {stage.rate:.1f}/s" + (
            f", {stage.failed} failed" * bool(stage.failed)
        )
        self._bars.update(
            self._tasks[id(stage)],
            total=stage.total,
            completed=stage.done + stage.skipped + stage.failed,
            text=f"{text} {stage.note}".rstrip(),
        )

    def close(self, stage: Stage) -> None:
        """Replace the bar by one line that stays."""
        self._bars.remove_task(self._tasks.pop(id(stage)))
        self.say(f"{describe_stage(stage)}, {stage.seconds:.1f} s")
        if not self._tasks:
            self._bars.stop()

    def say(self, text: str) -> None:
        """Print one line above the bars."""
        self._bars.console.print(text, highlight=False, markup=False)


class Progress:
    """Follows a run: opens stages, shows them, writes the journal, remembers how long they took.

    Parameters
    ----------
    display
        Where the counts are shown, or None.
    journal
        Where events are written, or None.
    clock
        Returns seconds; only differences matter.
    """

    def __init__(
        self,
        *,
        display: Display | None = None,
        journal: Journal | None = None,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._display = display
        self._journal = journal
        self._clock = clock
        self.stages: list[Stage] = []

    @contextmanager
    def stage(self, name: str, *, total: int | None = None, unit: str = "units") -> Iterator[Stage]:
        """Open a stage; its counts are shown until the block ends, and journalled at its end."""
        display = self._display
        stage = Stage(
            name=name,
            unit=unit,
            total=total,
            clock=self._clock,
            changed=display.update if display else _unseen,
        )
        self.stages.append(stage)
        self.event("stage started", stage=name, total=total, unit=unit)
        if display:
            display.open(stage)
        try:
            yield stage
        finally:
            stage.seconds = self._clock() - stage.started
            if display:
                display.close(stage)
            self.event("stage ended", stage=name, **counts(stage))

    def say(self, text: str) -> None:
        """Show one line that stays, and journal it."""
        if self._display:
            self._display.say(text)
        self.event("said", text=text)

    def event(self, name: str, **facts: Any) -> None:
        """Journal one event without showing it."""
        if self._journal:
            self._journal.write(name, **facts)


def counts(stage: Stage) -> Mapping[str, Any]:
    """Return the counts of a stage as a record."""
    return {
        "done": stage.done,
        "skipped": stage.skipped,
        "failed": stage.failed,
        "seconds": round(stage.seconds, 3),
    }


def describe_stage(stage: Stage) -> str:
    """Return one line: done of total, rate, time left, failures."""
    finished = stage.done + stage.skipped + stage.failed
    parts = [f"{stage.name}: {finished}/{stage.total or '?'} {stage.unit}"]
    if stage.rate:
        parts.append(f"{stage.rate:.2f}/s")
    if stage.remaining:
        parts.append(f"{stage.remaining:.0f} s left")
    if stage.skipped:
        parts.append(f"{stage.skipped} there already")
    if stage.failed:
        parts.append(f"{stage.failed} failed")
    return ", ".join(parts) + (f" ({stage.note})" if stage.note else "")
