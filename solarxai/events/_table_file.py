"""Rows of a comma-separated table: each is read, or told with its line; none is lost."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from solarxai.errors import IngestError

__all__ = ["parsed_rows"]

Parsed = TypeVar("Parsed")


def parsed_rows(
    path: Path, needed: Sequence[str], parse: Callable[[Mapping[str, str]], Parsed]
) -> tuple[list[Parsed], tuple[str, ...]]:
    """Return what `parse` makes of the rows, and a sentence for each row it refuses.

    A first field that the header does not name (the number of the row, as pandas writes it) is
    left out.

    Raises
    ------
    IngestError
        if the file cannot be read, lacks a needed column, or no row of it is sound.
    """
    header, *rows = _lines(path)
    if missing := [name for name in needed if name not in header]:
        raise IngestError(
            f"{path.name}: has no column {', '.join(missing)}, only {', '.join(header)}",
            remedy="Give a table with these columns.",
        )
    sound: list[Parsed] = []
    malformed: list[str] = []
    for line, fields in enumerate(rows, start=2):
        try:
            sound.append(parse(_named(header, fields)))
        except ValueError as error:
            malformed.append(f"{path.name}, line {line}: {error} in {','.join(fields)!r}")
    if not sound:
        raise IngestError(
            f"{path.name}: none of its {len(rows)} rows can be read: {'; '.join(malformed[:3])}",
            remedy="Give a table of this kind.",
        )
    return sound, tuple(malformed)


def _lines(path: Path) -> list[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise IngestError(
            f"{path.name}: cannot be read as a table: {error}",
            remedy="Give the path of a text file (*.csv).",
        ) from None


def _named(header: Sequence[str], fields: Sequence[str]) -> Mapping[str, str]:
    extra = len(fields) - len(header)
    if extra not in (0, 1):
        raise ValueError(f"{len(fields)} fields, not {len(header)}")
    values = (field.strip() for field in fields[extra:])
    return dict(zip(header, values, strict=True))
