"""Ask a store for rows by time, place, label, region, score, method: xarray out, sorted by time."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr
from ndcube import NDCube
from sunpy.map import GenericMap

from solarxai.errors import QueryError, StoreError
from solarxai.query import cubes, export
from solarxai.query.conditions import (
    BoxLike,
    Condition,
    ConeLike,
    TimeLike,
    instant,
    place_of,
    score_range,
    time_range,
    time_text,
)
from solarxai.query.following import segment_folder
from solarxai.query.index import Found, Index, Run, Span
from solarxai.query.joined import Joined
from solarxai.registry import near_name
from solarxai.store import Store
from solarxai.store.segment import Segment

__all__ = ["SaliencyStore", "TimeLike", "open_store"]

_TRIES = 5


def open_store(path: Path | str) -> SaliencyStore:
    """Return the store at `path`, ready to be asked.

    Raises
    ------
    StoreError
        when there is no store, or one of a newer format.
    """
    return SaliencyStore(Path(path))


@dataclass(frozen=True)
class SaliencyStore(Store):
    """A store that answers questions.

    Parameters
    ----------
    path
        Its folder.
    """

    @property
    def methods(self) -> tuple[str, ...]:
        """Return the explainers that any run holds maps of, sorted."""
        with Index.opened(self) as index:
            return tuple(sorted({m for methods in index.methods() for m in methods}))

    def query(
        self,
        *,
        time: tuple[TimeLike | None, TimeLike | None] | None = None,
        nearest: TimeLike | None = None,
        methods: Sequence[str] | None = None,
        label: str | None = None,
        region: str | None = None,
        origin: str | None = None,
        split: str | None = None,
        score: tuple[float, float] | None = None,
        cone: ConeLike | None = None,
        box: BoxLike | None = None,
        run: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> xr.Dataset:
        """Return the rows that fulfil every condition, sorted by time; values are read when used.

        Rows of several runs stand together, told apart by the coordinate `run`: a sample that two
        runs explained is there twice. Only rows whose maps are committed are returned.

        Parameters
        ----------
        time
            First and last time, both inclusive; None leaves an end open. A date without a time is
            its midnight.
        nearest
            Return the rows of the time nearest to this (every structure of that observation; of
            two times when they are equally near).
        methods
            Explainers wanted; only runs that hold all of them answer. None means those that all
            answering runs have in common; an empty list none.
        label, region, origin, split
            Text the column must equal.
        score
            Lowest and highest score, both inclusive.
        cone
            ((x, y), radius), angles as quantities: the columns `solar_x` and `solar_y` lie within
            the radius of the centre, in the plane of these two.
        box
            ((lowest x, highest x), (lowest y, highest y)), angles as quantities, inclusive.
        run
            Run key, or its first characters.
        limit, offset
            Return so many rows at most, leaving out the first `offset`. The attribute
            `rows_that_match` then tells how many there are.

        Raises
        ------
        QueryError
            when nothing matches (saying what there is), a name is unknown, or a time or place
            cannot be read.
        """
        if time is not None and nearest is not None:
            raise QueryError("both time and nearest were given", remedy="Give one of them.")
        start, stop = time_range(time)
        asked = {"label": label, "region": region, "origin": origin, "split": split}
        condition = Condition(
            start=start,
            stop=stop,
            words={column: text for column, text in asked.items() if text is not None},
            score=score_range(score),
            place=place_of(cone, box),
        )
        question = _Question(
            condition=condition,
            goal=None if nearest is None else instant(nearest),
            methods=None if methods is None else tuple(methods),
            run=run,
            page=_page(limit, offset),
        )
        return self._answered(question)

    def _answered(self, question: _Question) -> xr.Dataset:
        for _ in range(_TRIES):
            try:
                with Index.opened(self) as index:
                    answer = self._try(index, question)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                Index.delete(self)
            else:
                if answer is not None:
                    return answer
        raise StoreError(
            f"{self.path}: the index and the segments disagree",
            remedy="Run `solarxai verify` on the store.",
        )

    def _try(self, index: Index, question: _Question) -> xr.Dataset | None:
        """Return the answer, or None when the index was wrong and has been mended."""
        found, total = question.search(index, self.path)
        if undone := index.undone(found):
            index.renew(undone)
            return None
        folder = segment_folder(self)
        joined = Joined.of(found, tuple(Segment(folder / part.run) for part in found))
        if not joined.agree():
            index.renew(anew=True)
            return None
        made = joined.dataset(question.methods)
        if total is not None:
            made.attrs["rows_that_match"] = total
        return made

    def index(self, *, rebuild: bool = False) -> Span:
        """Bring the index up to date, or make it anew from the segments; return what it holds.

        Queries do the first by themselves. The second mends an index that is thought to be wrong,
        and notices a file of an unfinished run that was put back in its place.
        """
        with Index.opened(self) as index:
            if rebuild:
                index.renew(anew=True)
            return index.span()

    def to_maps(self, ds: xr.Dataset, method: str = "image") -> list[GenericMap]:
        """Return one sunpy map a row: see `solarxai.query.export.to_maps`."""
        return export.to_maps(ds, method=method)

    def to_cubes(self, ds: xr.Dataset, method: str = "image") -> list[NDCube]:
        """Return one NDCube a raster of spectra: see `solarxai.query.cubes.to_cubes`."""
        return cubes.to_cubes(ds, method=method)

    def to_fits(
        self, ds: xr.Dataset, folder: Path | str, methods: Sequence[str] | None = None
    ) -> list[Path]:
        """Write FITS files, one a row or raster: see `solarxai.query.export.to_fits`."""
        return export.to_fits(ds, folder, methods)

    def export(self, ds: xr.Dataset, path: Path | str) -> Path:
        """Write rows as .nc, .zarr or a folder of FITS files: see `solarxai.query.export`."""
        return export.export(ds, path)


@dataclass(frozen=True, kw_only=True)
class _Question:
    """What `SaliencyStore.query` was asked.

    Parameters
    ----------
    condition
        What the rows must fulfil, but for the runs that may answer.
    goal
        The time to be near to, in ns since 1970 (UTC).
    methods, run
        As asked.
    page
        Most rows, and how many to leave out; None for all.
    """

    condition: Condition
    goal: int | None
    methods: tuple[str, ...] | None
    run: str | None
    page: tuple[int | None, int] | None

    def search(self, index: Index, path: Path) -> tuple[list[Found], int | None]:
        """Return the rows of this page, by run, and with pages how many rows there are in all."""
        condition = self._narrowed(index, path)
        conditions = [condition]
        if self.goal is not None:
            times = index.nearest(self.goal, condition)
            conditions = [replace(condition, start=t, stop=t) for t in times]
        total = None
        limit, offset = self.page or (None, 0)
        if self.page:
            total = sum(index.count(one) for one in conditions)
        parts: list[Found] = []
        for one in conditions:
            here = index.search(one, limit=limit, offset=offset)
            if self.page:
                offset = max(0, offset - index.count(one))
            limit = None if limit is None else limit - sum(len(part.rows) for part in here)
            parts += here
        if not parts:
            raise self._past_the_end(total) if total else _nothing(index, self.condition)
        return _merged(parts), total

    def _narrowed(self, index: Index, path: Path) -> Condition:
        """Return the condition with the segments that may answer, and the times they span."""
        sets = index.methods()
        wanted = self.methods or ()
        if sets and self.run is None and all(set(wanted) <= set(held) for held in sets):
            return self.condition
        numbers = tuple(run.number for run in _eligible(index, wanted, self.run, path=path))
        span = index.span(numbers)
        start, stop = self.condition.start, self.condition.stop
        return replace(
            self.condition,
            segments=numbers,
            start=span.first if start is None else max(span.first, start),
            stop=span.last if stop is None else min(span.last, stop),
        )

    def _past_the_end(self, total: int) -> QueryError:
        _, offset = self.page or (None, 0)
        return QueryError(
            f"only {total} rows match, and {offset} were to be left out",
            remedy="Give a smaller offset.",
        )


def _page(limit: int | None, offset: int) -> tuple[int | None, int] | None:
    if (limit is not None and limit < 1) or offset < 0:
        raise QueryError(
            f"the limit {limit} or the offset {offset} is out of range",
            remedy="Give a limit of 1 or more and an offset of 0 or more.",
        )
    return None if limit is None and not offset else (limit, offset)


def _eligible(index: Index, wanted: Sequence[str], run: str | None, *, path: Path) -> list[Run]:
    """Return the runs to search: those of the name asked for that hold every method asked for."""
    runs = index.runs(run)
    if not runs:
        known = sorted(one.key for one in index.runs())
        if not known:
            raise QueryError(
                f"{path}: the store has no rows yet", remedy="Run an attribution into it."
            )
        raise QueryError(f"no run begins with {run!r}", remedy=f"There are {_some(known)}.")
    every = sorted({method for one in runs for method in one.methods})
    for method in wanted:
        if method not in every:
            raise QueryError(
                f"no map of method {method!r}; there are {', '.join(every)}",
                remedy=near_name(method, every) or "Name one of these.",
            )
    eligible = [one for one in runs if set(wanted) <= set(one.methods)]
    if not eligible:
        raise QueryError(
            f"no run holds all of {', '.join(wanted)}", remedy="Query them one by one."
        )
    return eligible


def _some(names: Sequence[str]) -> str:
    """Return names in a row; of many, the first ten and how many more there are."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more


def _merged(parts: Sequence[Found]) -> list[Found]:
    """Return one entry a run, though it was found at two times."""
    own: dict[str, list[Found]] = {}
    for part in parts:
        own.setdefault(part.run, []).append(part)
    return [
        same[0]._replace(
            times=np.concatenate([part.times for part in same]),
            rows=np.concatenate([part.rows for part in same]),
        )
        for _, same in sorted(own.items())
    ]


def _nothing(index: Index, condition: Condition) -> QueryError:
    """Return the error that says what was asked and what there is."""
    span = index.span()
    for column, text in condition.words.items():
        known = index.words(column)
        if text not in known:
            return QueryError(
                f"no row has the {column} {text!r}; there are {_some(known) or 'none'}",
                remedy=near_name(text, known) or "Name one of these.",
            )
    return QueryError(
        f"no row has {condition}",
        remedy=f"The store holds {span.rows} rows from {time_text(span.first)} to "
        f"{time_text(span.last)} (UTC).",
    )
