"""Ask a store for rows by time, label, region, score, method: xarray out, in order of time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from astropy.time import Time
from ndcube import NDCube
from sunpy.map import GenericMap
from xarray.backends import BackendArray
from xarray.core import indexing

from solarxai.errors import QueryError, StoreError
from solarxai.query import cubes, export
from solarxai.query.index import Condition, Found, Index
from solarxai.registry import near_name
from solarxai.store import Store
from solarxai.store.segment import Segment

__all__ = ["SaliencyStore", "TimeLike", "open_store"]

TimeLike: TypeAlias = str | np.datetime64 | datetime | Time
"""A time: text and `datetime64` without a zone are UTC; astropy knows its own scale."""


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
            return tuple(sorted({m for methods in index.runs().values() for m in methods}))

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
        run: str | None = None,
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
        run
            Run key, or its first characters.

        Raises
        ------
        QueryError
            when nothing matches (saying what there is), a name is unknown, or a time cannot be
            read.
        """
        asked = {"label": label, "region": region, "origin": origin, "split": split}
        words = tuple((column, text) for column, text in asked.items() if text is not None)
        start, stop = _range(time)
        if time is not None and nearest is not None:
            raise QueryError("both time and nearest were given", remedy="Give one of them.")
        goal = None if nearest is None else _instant(nearest)
        for last_try in (False, True):
            with Index.opened(self) as index:
                runs = _eligible(index.runs(), methods, run, path=self.path)
                condition = Condition(
                    runs=runs, start=start, stop=stop, words=words, score=_ordered(score)
                )
                found = _search(index, condition, goal)
                if not found:
                    raise _nothing(index, condition)
            segments = tuple(self.segment(part.run) for part in found)
            if _agree(found, segments):
                return _dataset(found, segments, methods)
            if last_try:
                break
            Index.delete(self)
        raise StoreError(
            f"{self.path}: the index and the segments disagree",
            remedy="Run `solarxai verify` on the store.",
        )

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


def _agree(found: Sequence[Found], segments: Sequence[Segment]) -> bool:
    """Return whether the segments have, at the rows found, the times the index says."""
    for part, segment in zip(found, segments, strict=True):
        if not 0 <= part.rows.min() <= part.rows.max() < segment.n_rows:
            return False
        if (segment.read("time", part.rows).astype(np.int64) != part.times).any():
            return False
    return True


def _dataset(
    found: Sequence[Found], segments: tuple[Segment, ...], methods: Sequence[str] | None
) -> xr.Dataset:
    """Return the rows found as one lazy dataset, sorted by time, then run, then row."""
    chosen = list(methods) if methods is not None else _common_methods(segments)
    parts = np.repeat(np.arange(len(found)), [len(part.rows) for part in found])
    rows = np.concatenate([part.rows for part in found])
    times = np.concatenate([part.times for part in found])
    order = np.lexsort((rows, parts, times))
    names, left_out = _variables(segments, chosen)
    made = xr.Dataset(
        {name: _lazy(name, segments, parts[order], rows[order]) for name in names},
        coords=_common_axes(segments),
    )
    coordinates = {"header", *str(segments[0].attributes["coordinates"]).split()} & set(names)
    made = made.set_coords(sorted(coordinates))
    runs = np.array([part.run for part in found], dtype=object)[parts[order]]
    made = made.assign_coords(
        time=("sample", times[order].view("datetime64[ns]")), run=("sample", runs)
    )
    made.attrs = _shared_attrs(segments) | {"runs": sorted(set(runs)), "methods": chosen}
    if left_out:
        made.attrs["not_in_every_run"] = left_out
    return made


@dataclass(frozen=True, kw_only=True, eq=False)
class _JoinedRows(BackendArray):
    """One variable over rows of several segments, read when it is indexed.

    Parameters
    ----------
    name
        The variable.
    segments
        Where the rows are.
    parts, rows
        (sample,): which segment, and which row in it.
    shape, dtype
        Of the whole.
    """

    name: str
    segments: tuple[Segment, ...]
    parts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        chosen = np.arange(self.shape[0])[key[0]]
        at = np.atleast_1d(chosen)
        parts, rows = self.parts[at], self.rows[at]
        whole: npt.NDArray[Any] | None = None
        for part in np.unique(parts).tolist():
            own = parts == part
            values = self.segments[part].read(self.name, rows[own], key[1:])
            if whole is None:
                whole = np.empty((len(at), *values.shape[1:]), dtype=self.dtype)
            whole[own] = values
        if whole is None:
            whole = np.empty((0, *_window(self.shape[1:], key[1:])), dtype=self.dtype)
        return whole if np.ndim(chosen) else whole[0]


def _window(shape: tuple[int, ...], key: tuple[Any, ...]) -> tuple[int, ...]:
    """Return the shape of one row inside a window."""
    cuts = [np.arange(size)[cut] for size, cut in zip(shape, key, strict=True)]
    return tuple(len(cut) for cut in cuts if cut.ndim)


def _lazy(
    name: str, segments: tuple[Segment, ...], parts: npt.NDArray[Any], rows: npt.NDArray[Any]
) -> xr.Variable:
    first = segments[0].describe(name)
    joined = _JoinedRows(
        name=name,
        segments=segments,
        parts=parts,
        rows=rows,
        shape=(len(rows), *first.shape[1:]),
        dtype=first.dtype,
    )
    data: Any = indexing.LazilyIndexedArray(joined)
    cached: Any = indexing.MemoryCachedArray(data)  # type: ignore[no-untyped-call]
    return xr.Variable(first.dims, cached, first.attrs)


def _variables(segments: Sequence[Segment], methods: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the variables that every segment has, less other methods' maps; and what is left out.

    Raises
    ------
    QueryError
        when the segments hold patches of different sizes.
    """
    held = [{*s.sample_variables, *s.written_variables} for s in segments]
    common = set.intersection(*held)
    left_out = sorted(set.union(*held) - common)
    owners = {name: segments[0].describe(name).attrs.get("method") for name in common}
    names = sorted(n for n in common if owners[n] is None or owners[n] in methods)
    for name in names:
        shapes = {segment.describe(name).shape[1:] for segment in segments}
        if len(shapes) > 1:
            raise QueryError(
                f"{name} has different sizes in these runs: {sorted(shapes)}",
                remedy=f"Choose one run of {', '.join(s.run[:12] for s in segments)}.",
            )
    return names, [name for name in left_out if not _is_map(name, segments)]


def _common_axes(segments: Sequence[Segment]) -> Mapping[str, xr.Variable]:
    """Return the values of dimensions, such as wavelength, that all segments agree on.

    Raises
    ------
    QueryError
        when they do not.
    """
    first, *others = (segment.axes for segment in segments)
    for other in others:
        if set(other) != set(first) or not all(
            np.array_equal(first[name], other[name]) for name in first
        ):
            raise QueryError(
                f"the runs that match differ in {', '.join(sorted({*first, *other}))}",
                remedy=f"Choose one run of {', '.join(s.run[:12] for s in segments)}.",
            )
    return first


def _is_map(name: str, segments: Sequence[Segment]) -> bool:
    return any("method" in s.describe(name).attrs for s in segments if name in s.written_variables)


def _common_methods(segments: Sequence[Segment]) -> list[str]:
    common = set.intersection(*(set(s.methods) for s in segments))
    if not common:
        raise QueryError(
            "the runs that match have no method in common: "
            + "; ".join(f"{s.run[:12]} has {', '.join(s.methods)}" for s in segments),
            remedy="Name the methods, or a run.",
        )
    return sorted(common)


def _shared_attrs(segments: Sequence[Segment]) -> dict[str, Any]:
    """Return the attributes that the samples of all segments agree on."""
    first, *others = (dict(segment.attributes["samples"]) for segment in segments)
    return {k: v for k, v in first.items() if all(o.get(k) == v for o in others)}


def _eligible(
    known: Mapping[str, tuple[str, ...]],
    methods: Sequence[str] | None,
    run: str | None,
    *,
    path: Path,
) -> tuple[str, ...]:
    """Return the runs to search: those of the name asked for that hold every method asked for."""
    if not known:
        raise QueryError(f"{path}: the store has no rows yet", remedy="Run an attribution into it.")
    runs = {key: held for key, held in known.items() if run is None or key.startswith(run)}
    if not runs:
        raise QueryError(
            f"no run begins with {run!r}", remedy=f"There are {', '.join(sorted(known))}."
        )
    every = sorted({method for held in runs.values() for method in held})
    for method in methods or ():
        if method not in every:
            raise QueryError(
                f"no map of method {method!r}; there are {', '.join(every)}",
                remedy=near_name(method, every) or "Name one of these.",
            )
    eligible = tuple(sorted(key for key, held in runs.items() if set(methods or ()) <= set(held)))
    if not eligible:
        raise QueryError(
            f"no run holds all of {', '.join(methods or ())}", remedy="Query them one by one."
        )
    return eligible


def _search(index: Index, condition: Condition, goal: int | None) -> list[Found]:
    if goal is None:
        return index.search(condition)
    times = index.nearest(goal, condition)
    found = [index.search(replace(condition, start=t, stop=t)) for t in times]
    return _merged([part for parts in found for part in parts])


def _merged(parts: Sequence[Found]) -> list[Found]:
    """Return one entry a run, though it was found at two times."""
    runs = sorted({part.run for part in parts})
    own = {run: [part for part in parts if part.run == run] for run in runs}
    return [
        Found(
            run,
            np.concatenate([part.times for part in own[run]]),
            np.concatenate([part.rows for part in own[run]]),
        )
        for run in runs
    ]


def _nothing(index: Index, condition: Condition) -> QueryError:
    """Return the error that says what was asked and what there is."""
    first, last, count = index.span()
    for column, text in condition.words:
        known = index.words(column)
        if text not in known:
            return QueryError(
                f"no row has the {column} {text!r}; there are {', '.join(known) or 'none'}",
                remedy=near_name(text, known) or "Name one of these.",
            )
    asked = [f"{column} {text!r}" for column, text in condition.words]
    if condition.start is not None or condition.stop is not None:
        asked.insert(0, f"a time from {_text(condition.start)} to {_text(condition.stop)}")
    if condition.score is not None:
        asked.append(f"a score from {condition.score[0]:g} to {condition.score[1]:g}")
    return QueryError(
        f"no row has {' and '.join(asked) or 'the runs asked for'}",
        remedy=f"The store holds {count} rows from {_text(first)} to {_text(last)} (UTC).",
    )


def _text(time: int | None) -> str:
    return (
        "any"
        if time is None
        else str(np.int64(time).view("datetime64[ns]")).removesuffix(".000000000")
    )


def _range(
    time: tuple[TimeLike | None, TimeLike | None] | None,
) -> tuple[int | None, int | None]:
    if time is None:
        return None, None
    start, stop = (None if end is None else _instant(end) for end in time)
    if start is not None and stop is not None and start > stop:
        raise QueryError(
            f"the time range ends ({_text(stop)}) before it begins ({_text(start)})",
            remedy="Give the earlier time first.",
        )
    return start, stop


def _ordered(score: tuple[float, float] | None) -> tuple[float, float] | None:
    if score is not None and not score[0] <= score[1]:
        raise QueryError(
            f"the score range {score} is not (lowest, highest)",
            remedy="Give the lower score first.",
        )
    return score


def _instant(value: TimeLike) -> int:
    """Return a time in ns since 1970 (UTC)."""
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
