"""What rows are asked for: times, places on the sky, words, scores; and its SQL."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import astropy.units as u
import numpy as np
import numpy.typing as npt
import pandas as pd
from astropy.time import Time

from solarxai.errors import QueryError

__all__ = [
    "BoxLike",
    "Condition",
    "ConeLike",
    "Place",
    "TimeLike",
    "cell_of",
    "instant",
    "place_of",
    "score_range",
    "time_range",
    "time_text",
]

TimeLike: TypeAlias = str | np.datetime64 | datetime | Time
"""A time: text and `datetime64` without a zone are UTC; astropy knows its own scale."""

ConeLike: TypeAlias = tuple[tuple[u.Quantity, u.Quantity] | u.Quantity, u.Quantity]
"""((x, y), radius): angles as astropy quantities."""

BoxLike: TypeAlias = tuple[
    tuple[u.Quantity, u.Quantity] | u.Quantity, tuple[u.Quantity, u.Quantity] | u.Quantity
]
"""((lowest x, highest x), (lowest y, highest y)): angles as astropy quantities."""

_CELL_ARCSEC = 64.0
_CELLS_A_SIDE = 65536
_MOST_CELLS = 100


@dataclass(frozen=True, kw_only=True)
class Place:
    """Part of the sky in helioprojective arcsec: a box, or the circle that it encloses.

    Parameters
    ----------
    x, y
        Lowest and highest, inclusive.
    radius
        Of the circle round the middle of the box, inclusive; None for the whole box.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    radius: float | None = None

    @property
    def centre(self) -> tuple[float, float]:
        """Return the middle of the box."""
        return (self.x[0] + self.x[1]) / 2, (self.y[0] + self.y[1]) / 2

    def cells(self) -> tuple[int, ...]:
        """Return the cells of the sky that it reaches into; none where they are too many."""
        ends = np.array([self.x, self.y]) / _CELL_ARCSEC
        if not (np.abs(ends) < _CELLS_A_SIDE / 4).all():
            return ()
        (left, right), (low, high) = np.floor(ends).astype(int).tolist()
        if (right - left + 1) * (high - low + 1) > _MOST_CELLS:
            return ()
        return tuple(
            _number(column, row)
            for column in range(left, right + 1)
            for row in range(low, high + 1)
            if self.radius is None or self._from(column, row) <= self.radius + 1e-6
        )

    def _from(self, column: int, row: int) -> float:
        """Return how far a cell lies from the centre, arcsec."""
        gaps = (
            max(number * _CELL_ARCSEC - middle, middle - (number + 1) * _CELL_ARCSEC, 0.0)
            for number, middle in zip((column, row), self.centre, strict=True)
        )
        return math.hypot(*gaps)

    def sql(self) -> tuple[str, list[float]]:
        """Return the WHERE clause over `x` and `y`, and its values."""
        clause, values = "x BETWEEN ? AND ? AND y BETWEEN ? AND ?", [*self.x, *self.y]
        if self.radius is None:
            return clause, values
        x, y = self.centre
        near = "(x - ?) * (x - ?) + (y - ?) * (y - ?) <= ?"
        return f"{clause} AND {near}", [*values, x, x, y, y, self.radius**2]

    def __str__(self) -> str:
        if self.radius is None:
            (left, right), (low, high) = self.x, self.y
            return f"a place in x {left:g} to {right:g}, y {low:g} to {high:g} arcsec"
        x, y = self.centre
        return f"a place within {self.radius:g} arcsec of ({x:g}, {y:g})"


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What rows must fulfil; None does not ask.

    Parameters
    ----------
    segments
        Numbers of the segments that may answer; None for all.
    start, stop
        First and last time, inclusive, in ns since 1970 (UTC).
    words
        Column of text to what it must equal.
    score
        Lowest and highest score, inclusive.
    place
        Where on the sky.
    """

    segments: tuple[int, ...] | None = None
    start: int | None = None
    stop: int | None = None
    words: dict[str, str] = field(default_factory=dict)
    score: tuple[float, float] | None = None
    place: Place | None = None

    def cells(self) -> tuple[int, ...]:
        """Return the cells to search one by one; none where another way is shorter."""
        return () if self.place is None or "region" in self.words else self.place.cells()

    def sql(self, *, cells: tuple[int, ...] = ()) -> tuple[str, list[Any]]:
        """Return the WHERE clause over table `row`, and its values.

        A plus sign before a column keeps SQLite from the index over it where a better one is.
        """
        clauses = ["1"]
        values: list[Any] = []
        if self.segments is not None:
            clauses.append(f"+segment IN ({','.join(map(str, self.segments))})")
        if cells:
            clauses.append(f"cell IN ({','.join(map(str, cells))})")
        for clause, value in (("time >= ?", self.start), ("time <= ?", self.stop)):
            if value is not None:
                clauses.append(clause)
                values.append(value)
        best = "" if cells else next((n for n in ("region", "label") if n in self.words), "")
        for column, text in self.words.items():
            plus = "" if column == best else "+"
            clauses.append(f"{plus}{column} = (SELECT id FROM word WHERE text = ?)")
            values.append(text)
        if self.score is not None:
            clauses.append("score BETWEEN ? AND ?")
            values.extend(self.score)
        if self.place is not None:
            clause, more = self.place.sql()
            clauses.append(clause)
            values.extend(more)
        return " AND ".join(clauses), values

    def __str__(self) -> str:
        asked = [f"{column} {text!r}" for column, text in self.words.items()]
        if self.start is not None or self.stop is not None:
            asked.insert(0, f"a time from {time_text(self.start)} to {time_text(self.stop)}")
        if self.score is not None:
            asked.append(f"a score from {self.score[0]:g} to {self.score[1]:g}")
        if self.place is not None:
            asked.append(str(self.place))
        return " and ".join(asked) or "the runs asked for"


def cell_of(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> list[int | None]:
    """Return the cell of the sky of each place (arcsec), or None where there is none."""
    columns, rows = np.floor(x / _CELL_ARCSEC), np.floor(y / _CELL_ARCSEC)
    with np.errstate(invalid="ignore"):
        on_sky = (np.abs(columns) < _CELLS_A_SIDE / 4) & (np.abs(rows) < _CELLS_A_SIDE / 4)
    return [
        _number(int(column), int(row)) if known else None
        for column, row, known in zip(columns.tolist(), rows.tolist(), on_sky.tolist(), strict=True)
    ]


def _number(column: int, row: int) -> int:
    half = _CELLS_A_SIDE // 2
    return (column + half) * _CELLS_A_SIDE + row + half


def place_of(cone: ConeLike | None, box: BoxLike | None) -> Place | None:
    """Return the place that a cone or a box tells.

    Raises
    ------
    QueryError
        when both are given, or one cannot be read.
    """
    if cone is not None and box is not None:
        raise QueryError("both cone and box were given", remedy="Give one of them.")
    if cone is not None:
        (x, y), radius = _pair(_pair(cone, "cone")[0], "cone"), _arcsec(cone[1], "cone")
        x, y = _arcsec(x, "cone"), _arcsec(y, "cone")
        if radius < 0:
            raise QueryError(
                f"the radius of the cone is {radius:g} arcsec", remedy="Give 0 or more."
            )
        return Place(x=(x - radius, x + radius), y=(y - radius, y + radius), radius=radius)
    if box is None:
        return None
    x, y = (_ends(_pair(side, "box")) for side in _pair(box, "box"))
    return Place(x=x, y=y)


def _pair(value: Any, name: str) -> tuple[Any, Any]:
    try:
        first, second = value
    except (TypeError, ValueError) as error:
        shape = {"cone": "((x, y), radius)", "box": "((x, x), (y, y))"}[name]
        raise QueryError(
            f"the {name} {value!r} is not {shape}",
            remedy="Give pairs of angles, such as ((-100, 250) * u.arcsec, 60 * u.arcsec).",
        ) from error
    return first, second


def _ends(side: tuple[Any, Any]) -> tuple[float, float]:
    low, high = (_arcsec(end, "box") for end in side)
    if low > high:
        raise QueryError(
            f"the box ends ({high:g} arcsec) before it begins ({low:g} arcsec)",
            remedy="Give the lower end of each side first.",
        )
    return low, high


def _arcsec(value: Any, name: str) -> float:
    try:
        angle = float(value.to_value(u.arcsec))
    except (AttributeError, TypeError, u.UnitConversionError) as error:
        raise QueryError(
            f"the {name} has {value!r}, which is no angle",
            remedy="Give quantities, such as 100 * u.arcsec.",
        ) from error
    if not math.isfinite(angle):
        raise QueryError(f"the {name} has {value!r}", remedy="Give finite angles.")
    return angle


def time_range(
    time: tuple[TimeLike | None, TimeLike | None] | None,
) -> tuple[int | None, int | None]:
    """Return both ends of a range in ns since 1970 (UTC); None where open.

    Raises
    ------
    QueryError
        when it ends before it begins.
    """
    if time is None:
        return None, None
    start, stop = (None if end is None else instant(end) for end in time)
    if start is not None and stop is not None and start > stop:
        raise QueryError(
            f"the time range ends ({time_text(stop)}) before it begins ({time_text(start)})",
            remedy="Give the earlier time first.",
        )
    return start, stop


def score_range(score: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return (lowest, highest) unchanged.

    Raises
    ------
    QueryError
        when they are not in this order.
    """
    if score is not None and not score[0] <= score[1]:
        raise QueryError(
            f"the score range {score} is not (lowest, highest)",
            remedy="Give the lower score first.",
        )
    return score


def time_text(time: int | None) -> str:
    """Return ns since 1970 as people write them; "any" for None."""
    if time is None:
        return "any"
    return str(np.int64(time).view("datetime64[ns]")).removesuffix(".000000000")


def instant(value: TimeLike) -> int:
    """Return a time in ns since 1970 (UTC).

    Raises
    ------
    QueryError
        when it is none.
    """
    try:
        if isinstance(value, Time):
            value = np.datetime64(value.utc.datetime64, "ns")
        if isinstance(value, str) and not re.match(r"\s*\d{4}", value):
            raise ValueError("it does not begin with a year")
        if not isinstance(value, (str, np.datetime64, datetime)):
            raise TypeError(f"a {type(value).__name__} is not a time")
        stamp = pd.Timestamp(value)
        if pd.isna(stamp):
            raise ValueError("it is empty")
        if stamp.tzinfo is not None:
            stamp = stamp.tz_convert("UTC").tz_localize(None)
        return int(stamp.as_unit("ns").value)
    except (ValueError, TypeError, AttributeError) as error:
        raise QueryError(
            f"{value!r} is not a time ({error})",
            remedy="Write it as 2014-03-29T14:00:00 (UTC).",
        ) from error
