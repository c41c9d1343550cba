"""Find rows by time, place, label, region, score: a SQLite file derived from the segments.

The segments are the truth. The index is brought up to date before each search, and made anew, as
often as needed, when it is absent, of another version or damaged; where the store cannot be
written, a copy of it lives in memory. Only ledgered rows are in it. A search reads one state of
it, whatever other processes do meanwhile.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from solarxai.query.conditions import Condition
from solarxai.query.following import WORDS, follow, news, seal_of, segment_folder
from solarxai.store import Store

__all__ = ["INDEX_FILE", "Found", "Index", "Run", "Span"]

INDEX_FILE = "index.sqlite"

_PATIENCE_SECONDS = 120
_CACHE_KB = 65536


class Found(NamedTuple):
    """The rows of one segment, in order of time: times in ns since 1970 (UTC), row numbers.

    Segments of one `layout` have the same variables; `attrs` are those of the samples, as JSON.
    """

    run: str
    layout: int
    attrs: str
    seal: str
    times: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]


class Run(NamedTuple):
    """A run that has rows: its number in the index and its methods."""

    number: int
    key: str
    methods: tuple[str, ...]


class Span(NamedTuple):
    """First and last time (ns since 1970, UTC), and how many rows and segments there are."""

    first: int
    last: int
    rows: int
    segments: int


@dataclass
class Index:
    """The index of a store, up to date when it was opened.

    Parameters
    ----------
    store
        The store.
    connection
        An open SQLite database: the store's file, or one in memory.
    """

    store: Store
    connection: sqlite3.Connection

    @classmethod
    @contextmanager
    def opened(cls, store: Store) -> Iterator[Index]:
        """Give the index of a store, brought up to date with its ledgers."""
        index = cls(store, _connection(store))
        try:
            index.connection.execute("BEGIN")
            yield index
        finally:
            index.connection.close()

    def methods(self) -> set[tuple[str, ...]]:
        """Return the sets of methods that runs with rows have."""
        rows = self.connection.execute(
            "SELECT methods FROM layout WHERE id IN "
            "(SELECT layout FROM segment WHERE first IS NOT NULL)"
        )
        return {tuple(json.loads(methods)) for (methods,) in rows}

    def runs(self, key: str | None = None) -> list[Run]:
        """Return the runs that have rows, by key; those whose key begins with the one given."""
        start = key or ""
        rows = self.connection.execute(
            "SELECT segment.id, run, methods FROM segment JOIN layout ON layout.id = layout "
            "WHERE first IS NOT NULL AND substr(run, 1, ?) = ? ORDER BY run",
            [len(start), start],
        )
        return [Run(number, run, tuple(json.loads(methods))) for number, run, methods in rows]

    def words(self, column: str) -> list[str]:
        """Return the distinct texts of a column of `WORDS`, sorted."""
        assert column in WORDS
        rows = self.connection.execute(
            f"SELECT text FROM word WHERE id IN (SELECT {column} FROM row) ORDER BY text"
        )
        return [text for (text,) in rows]

    def span(self, segments: Collection[int] | None = None) -> Span:
        """Return what the index holds, or what these segments hold (then without their rows)."""
        own = "" if segments is None else f" AND id IN ({','.join(map(str, segments))})"
        first, last, count = self.connection.execute(
            f"SELECT MIN(first), MAX(last), COUNT(*) FROM segment WHERE first IS NOT NULL{own}"
        ).fetchone()
        rows = 0
        if segments is None:
            (rows,) = self.connection.execute("SELECT COUNT(*) FROM row").fetchone()
        return Span(int(first or 0), int(last or 0), int(rows), int(count))

    def count(self, condition: Condition) -> int:
        """Return how many rows fulfil a condition."""
        where, values = condition.sql(cells=condition.cells())
        (count,) = self.connection.execute(f"SELECT COUNT(*) FROM row WHERE {where}", values)
        return int(count[0])

    def nearest(self, time: int, condition: Condition) -> list[int]:
        """Return the time nearest to `time` among the rows that fulfil a condition.

        Two times when one before and one after are equally near; none when no row fulfils it.
        """
        near: set[int] = set()
        for cell in condition.cells() or (None,):
            for before in (True, False):
                found = self._next(time, before, _closer(condition, time, near), cell)
                near |= set() if found is None else {found}
        least = min((abs(t - time) for t in near), default=0)
        return sorted(t for t in near if abs(t - time) == least)

    def _next(self, time: int, before: bool, condition: Condition, cell: int | None) -> int | None:
        """Return the last time up to `time`, or the first from it, of rows in a cell of the sky."""
        start, stop = condition.start, condition.stop
        if before:
            condition = replace(condition, stop=time if stop is None else min(time, stop))
        else:
            condition = replace(condition, start=time if start is None else max(time, start))
        where, values = condition.sql(cells=() if cell is None else (cell,))
        order = "DESC" if before else "ASC"
        row = self.connection.execute(
            f"SELECT time FROM row WHERE {where} ORDER BY time {order} LIMIT 1", values
        ).fetchone()
        return None if row is None else int(row[0])

    def search(
        self, condition: Condition, *, limit: int | None = None, offset: int = 0
    ) -> list[Found]:
        """Return the rows that fulfil a condition, by run.

        With a limit, the first so many of them after `offset`, in order of time, then run.
        """
        where, values = condition.sql(cells=condition.cells())
        text = f"SELECT segment, time, row FROM row WHERE {where}"
        if limit is not None or offset:
            run = "(SELECT run FROM segment WHERE id = row.segment)"
            text += f" ORDER BY time, {run}, row.row LIMIT ? OFFSET ?"
            values += [-1 if limit is None else limit, offset]
        return self._found(self.connection.execute(text, values))

    def _found(self, rows: Iterable[tuple[int, int, int]]) -> list[Found]:
        flat = np.fromiter(chain.from_iterable(rows), dtype=np.int64)
        number, times, places = flat.reshape(-1, 3).T
        order = np.lexsort((places, times, number))
        number, times, places = number[order], times[order], places[order]
        starts = np.flatnonzero(np.diff(number, prepend=-1)).tolist()
        found = [
            Found(*self._words_of(int(number[start])), times[start:end], places[start:end])
            for start, end in pairwise([*starts, len(number)])
        ]
        return sorted(found, key=lambda part: part.run)

    def _words_of(self, number: int) -> tuple[str, int, str, str]:
        run, layout, attrs, seal = self.connection.execute(
            "SELECT run, layout, attrs, seal FROM segment WHERE id = ?", [number]
        ).fetchone()
        return run, layout, attrs, seal

    def undone(self, found: Sequence[Found]) -> list[str]:
        """Return the runs among these that were sealed when they were entered, and are not so."""
        folder = segment_folder(self.store)
        return [part.run for part in found if part.seal and seal_of(folder / part.run) != part.seal]

    def renew(self, doubted: Collection[str] = (), *, anew: bool = False) -> None:
        """Look at runs again though nothing seems to have changed, or make the whole index anew."""
        self.connection.execute("ROLLBACK")
        try:
            _written(self.connection, self.store, doubted=doubted, anew=anew)
        except sqlite3.OperationalError:
            self.connection = _in_memory(self.connection)
            _written(self.connection, self.store, doubted=doubted, anew=anew)
        self.connection.execute("BEGIN")

    @staticmethod
    def delete(store: Store) -> None:
        """Remove the index; the next search makes it anew."""
        _remove(store.path / INDEX_FILE)


def _closer(condition: Condition, time: int, near: set[int]) -> Condition:
    """Return a condition that also asks for times as near as the nearest found so far."""
    if not near:
        return condition
    gap = min(abs(found - time) for found in near)
    start, stop = time - gap, time + gap
    return replace(
        condition,
        start=start if condition.start is None else max(start, condition.start),
        stop=stop if condition.stop is None else min(stop, condition.stop),
    )


def _connection(store: Store) -> sqlite3.Connection:
    """Return an up-to-date index: the file's, a new one's, or one in memory, in this order."""
    path = store.path / INDEX_FILE
    for _ in range(2):
        identity = _identity(path)
        try:
            return _up_to_date(str(path), store)
        except sqlite3.OperationalError:
            break  # a place that is read-only or full, or a lock that never ends
        except sqlite3.DatabaseError:
            if identity == _identity(path):
                _remove(path)
    return _beside(path, store)


def _beside(path: Path, store: Store) -> sqlite3.Connection:
    """Return an index in memory: a copy of the file's brought up to date, or a new one."""
    with suppress(sqlite3.DatabaseError):
        connection = _in_memory(_open(f"{path.resolve().as_uri()}?mode=ro", uri=True))
        _written(connection, store)
        return connection
    return _up_to_date(":memory:", store)


def _open(name: str, *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(name, timeout=_PATIENCE_SECONDS, isolation_level=None, uri=uri)
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
    return connection


def _up_to_date(name: str, store: Store) -> sqlite3.Connection:
    connection = _open(name)
    try:
        what = news(connection, store)
        if what == "rows":
            _written(connection, store)
        elif what == "states":
            with suppress(sqlite3.OperationalError):
                _written(connection, store)
    except BaseException:
        connection.close()
        raise
    return connection


def _written(connection: sqlite3.Connection, store: Store, **how: Any) -> None:
    """Follow the ledgers in one transaction: others see all of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        follow(connection, store, **how)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _in_memory(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Return a copy in memory, and close the original."""
    made = _open(":memory:")
    try:
        connection.backup(made)
    except BaseException:
        made.close()
        raise
    finally:
        connection.close()
    return made


def _identity(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _remove(path: Path) -> None:
    """Delete a database, and a killed writer's journal, which would be played into the next."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
