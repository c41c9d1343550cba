"""Progress, tables and errors, as the terminal shows them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from solarxai.workflow.progress import Progress

__all__ = ["follow", "print_rows", "tell"]


def follow(out: Path | None) -> Progress:
    """Return what shows progress on standard error, and journals it in the folder of a run."""
    import time
    from datetime import UTC, datetime

    from solarxai.workflow.progress import Bars, Journal, Lines, Progress

    def now() -> str:
        return datetime.now(UTC).isoformat(timespec="seconds")

    display = Bars(sys.stderr) if sys.stderr.isatty() else Lines(sys.stderr, now=now)
    journal = Journal(out / "run.jsonl" if out else None, now=now)
    return Progress(display=display, journal=journal, clock=time.monotonic)


def print_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print records as JSON, or as a table whose columns line up."""
    import json

    from solarxai.workflow.summary import describe_rows

    typer.echo(json.dumps(list(rows), indent=1, default=str) if as_json else describe_rows(rows))


def tell(error: Exception) -> int:
    """Print one sentence and a cure on standard error; return the exit code."""
    from solarxai.errors import SolarxaiError

    kind, said = type(error).__name__, getattr(error, "format_message", None)
    if isinstance(error, SolarxaiError):
        text = str(error)
    elif said is not None:
        if not said():
            return 2
        text = f"{said().rstrip('.')}. See `solarxai --help`."
    elif kind.endswith("ConnectionError"):
        text = f"the network does not answer ({str(error).rstrip('.')}). Try again with a network."
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename or kind}: {error.strerror}. Mend this and try again."
    else:
        text = (
            f"unexpected {kind}: {str(error)[:300]}. "
            "Run again with --debug and report what it prints."
        )
    typer.echo(f"solarxai: {text}", err=True)
    return int(getattr(error, "exit_code", 2))
