"""Words that several commands take, and what stands on the line turned into values."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Out = Annotated[Path, typer.Argument(help="Folder of the run, made if absent.")]
OutOption = Annotated[Path | None, typer.Option(help="Folder of the run [runs/NAME].")]
WorkflowPath = Annotated[
    Path, typer.Argument(help="A workflow, such as workflows/quickstart.yaml.")
]
StorePath = Annotated[Path, typer.Argument(help="A store, such as runs/demo/store.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
ClusterName = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        help="Where units of work run: none, local, slurm or array; or, with options, "
        "'{kind: slurm, partition: long}'.",
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes or jobs of the cluster.")]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on in a folder made with other options or other code: make again what differs. "
        "An interrupted run of the same workflow goes on without it.",
    ),
]
Methods = Annotated[
    list[str] | None, typer.Option("--method", help="A method [all]; may be repeated.")
]
RunKey = Annotated[str | None, typer.Option("--run", help="First letters of a run's key.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one option, as step.option=value; may be repeated."),
]


def between(text: str | None, name: str, kind: Callable[[str], Any]) -> tuple[Any, Any] | None:
    """Return (A, B) of "A/B"; an end left open is None."""
    from solarxai.errors import QueryError

    if text is None:
        return None
    low, slash, high = text.partition("/")
    try:
        if not slash:
            raise ValueError
        return (kind(low) if low else None, kind(high) if high else None)
    except ValueError as error:
        raise QueryError(
            f"{name} {text!r} is not a range", remedy=f"Write it as {name} FROM/TO."
        ) from error


def angles(text: str | None, name: str, form: str) -> list[Any] | None:
    """Return the angles of "1,2,3" or "1/2,3/4" as quantities in arcsec, as many as in `form`."""
    import re

    import astropy.units as u

    from solarxai.errors import QueryError

    if text is None:
        return None
    marks = [re.sub(r"[^,/]", "", words) for words in (text, form)]
    try:
        if marks[0] != marks[1]:
            raise ValueError
        return [float(word) * u.arcsec for word in re.split("[,/]", text)]
    except ValueError as error:
        raise QueryError(
            f"{name} {text!r} is not {form}", remedy="Give numbers in arcsec, without spaces."
        ) from error


def scores(text: str | None) -> tuple[float, float] | None:
    """Return (lowest, highest) of "LOW/HIGH", infinite where an end is open."""
    ends = between(text, "--score", float)
    if ends is None:
        return None
    low, high = ends
    return (-math.inf if low is None else low, math.inf if high is None else high)


def fraction(text: str, name: str) -> tuple[int, int]:
    """Return (I, N) of "I/N"."""
    from solarxai.errors import WorkflowError

    low, _, high = text.partition("/")
    if not (low.isdecimal() and high.isdecimal()):
        raise WorkflowError(f"{name} {text!r} is not I/N", remedy=f"Write it as {name} 0/8.")
    return int(low), int(high)


def typed_options(words: Sequence[str]) -> dict[str, Any]:
    """Return {batch_size: 32} for --batch-size 32 or --batch-size=32; values are YAML."""
    from solarxai.errors import WorkflowError
    from solarxai.workflow.file import read_value

    found = {}
    rest = list(words)
    while rest:
        word, equals, text = rest.pop(0).partition("=")
        if not word.startswith("--") or (not equals and not rest):
            raise WorkflowError(
                f"{word!r} is not an option with a value", remedy="Write it as --name value."
            )
        found[word[2:].replace("-", "_")] = read_value(text if equals else rest.pop(0))
    return found
