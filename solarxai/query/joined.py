"""Rows of several segments as one lazy dataset, sorted by time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from solarxai.errors import QueryError, StoreError
from solarxai.query.index import Found
from solarxai.store.segment import Segment

__all__ = ["Joined"]

_CHECKED_AT_ONCE = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Joined:
    """Rows of several segments, in order of time, then run, then row.

    Parameters
    ----------
    found
        What the index says of each segment.
    segments
        The segments, in the same order.
    parts, rows, times
        (sample,): which segment, which row in it, and its time in ns since 1970 (UTC).
    checked
        Segments whose times were compared with the index's.
    """

    found: Sequence[Found]
    segments: tuple[Segment, ...]
    parts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    checked: set[int]

    @classmethod
    def of(cls, found: Sequence[Found], segments: tuple[Segment, ...]) -> Joined:
        """Return the rows found, put in order."""
        parts = np.repeat(np.arange(len(found)), [len(part.rows) for part in found])
        rows = np.concatenate([part.rows for part in found])
        times = np.concatenate([part.times for part in found])
        order = np.lexsort((rows, parts, times))
        return cls(
            found=found, segments=segments, parts=parts[order], rows=rows[order],
            times=times[order], checked=set(),
        )  # fmt: skip

    def agree(self) -> bool:
        """Return whether the index is right about the times of some of these segments.

        The first, the middle and the last are looked at; the others when they are first read, so
        that a search does not open them all.
        """
        last = len(self.found) - 1
        for place in sorted({last * n // (_CHECKED_AT_ONCE - 1) for n in range(_CHECKED_AT_ONCE)}):
            if not self._agrees(place, self.found[place].rows, self.found[place].times):
                return False
        return True

    def _agrees(
        self, place: int, rows: npt.NDArray[np.int64], times: npt.NDArray[np.int64]
    ) -> bool:
        segment = self.segments[place]
        if not 0 <= rows.min() <= rows.max() < segment.n_rows:
            return False
        self.checked.add(place)
        return bool((segment.read("time", rows).astype(np.int64) == times).all())

    def read(
        self, name: str, at: npt.NDArray[np.int64], window: tuple[Any, ...], dtype: np.dtype[Any]
    ) -> npt.NDArray[Any] | None:
        """Return a variable at some of the rows, inside a window of its other axes; None of none.

        Raises
        ------
        StoreError
            when a segment is not the one that the index knew.
        """
        parts, rows = self.parts[at], self.rows[at]
        whole: npt.NDArray[Any] | None = None
        for part in np.unique(parts).tolist():
            own = parts == part
            if part not in self.checked and not self._agrees(part, rows[own], self.times[at][own]):
                raise StoreError(
                    f"{self.segments[part].path}: its times are not those of the index",
                    remedy="Run `solarxai index STORE --rebuild`, and query again.",
                )
            values = self.segments[part].read(name, rows[own], window)
            if whole is None:
                whole = np.empty((len(at), *values.shape[1:]), dtype=dtype)
            whole[own] = values
        return whole

    def dataset(self, methods: Sequence[str] | None) -> xr.Dataset:
        """Return the rows as one lazy dataset.

        Raises
        ------
        QueryError
            when the segments have no method in common, or differ in their sizes or axes.
        """
        kinds = self._kinds()
        chosen = list(methods) if methods is not None else _common_methods(kinds)
        names, left_out = _variables(kinds, chosen)
        made = xr.Dataset(
            {name: self._lazy(name, kinds[0]) for name in names}, coords=_common_axes(kinds)
        )
        coordinates = {"header", *str(kinds[0].attributes["coordinates"]).split()} & set(names)
        made = made.set_coords(sorted(coordinates))
        runs = [part.run for part in self.found]
        made = made.assign_coords(
            time=("sample", self.times.view("datetime64[ns]")),
            run=("sample", np.array(runs, dtype=object)[self.parts]),
        )
        made.attrs = _shared_attrs(self.found) | {"runs": sorted(set(runs)), "methods": chosen}
        if left_out:
            made.attrs["not_in_every_run"] = left_out
        return made

    def _kinds(self) -> tuple[Segment, ...]:
        """Return one segment of each layout: the others hold the same variables."""
        first = {
            part.layout: segment
            for part, segment in reversed(list(zip(self.found, self.segments, strict=True)))
        }
        return tuple(sorted(first.values(), key=lambda segment: segment.run))

    def _lazy(self, name: str, kind: Segment) -> xr.Variable:
        first = kind.describe(name)
        shape = (len(self.rows), *first.shape[1:])
        array = _JoinedVariable(joined=self, name=name, shape=shape, dtype=first.dtype)
        data: Any = indexing.LazilyIndexedArray(array)
        cached: Any = indexing.MemoryCachedArray(data)  # type: ignore[no-untyped-call]
        return xr.Variable(first.dims, cached, first.attrs)


@dataclass(frozen=True, kw_only=True, eq=False)
class _JoinedVariable(BackendArray):
    """One variable over the rows, read when it is indexed.

    Parameters
    ----------
    joined
        The rows.
    name
        The variable.
    shape, dtype
        Of the whole.
    """

    joined: Joined
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        chosen = np.arange(self.shape[0])[key[0]]
        at = np.atleast_1d(chosen)
        whole = self.joined.read(self.name, at, key[1:], self.dtype)
        if whole is None:
            whole = np.empty((0, *_window(self.shape[1:], key[1:])), dtype=self.dtype)
        return whole if np.ndim(chosen) else whole[0]


def _window(shape: tuple[int, ...], key: tuple[Any, ...]) -> tuple[int, ...]:
    """Return the shape of one row inside a window."""
    cuts = [np.arange(size)[cut] for size, cut in zip(shape, key, strict=True)]
    return tuple(len(cut) for cut in cuts if cut.ndim)


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


def _shared_attrs(found: Sequence[Found]) -> dict[str, Any]:
    """Return the attributes that the samples of all segments agree on."""
    distinct = list(dict.fromkeys(part.attrs for part in found))
    first, *others = (json.loads(attrs) for attrs in distinct)
    return {k: v for k, v in first.items() if all(o.get(k) == v for o in others)}
