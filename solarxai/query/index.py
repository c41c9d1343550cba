"""Find rows by time, label, region, score: a SQLite file derived from the segments.

The segments are the truth. The index is brought up to date before each search, and made anew, as
often as needed, when it is absent, of another version or damaged; where the store cannot be
written it lives in memory. Only ledgered rows are in it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from solarxai.store import Store
from solarxai.store.segment import Segment

__all__ = ["INDEX_FILE", "WORDS", "Condition", "Found", "Index"]

INDEX_FILE = "index.sqlite"

WORDS = ("label", "region", "origin", "split")
"""Columns of text one can search by."""

_VERSION = 1
_TABLES = (
    "CREATE TABLE segment (id INTEGER PRIMARY KEY, run TEXT UNIQUE, inputs TEXT, sealed INTEGER, "
    "methods TEXT)",
    "CREATE TABLE shard (segment INTEGER, shard INTEGER, PRIMARY KEY (segment, shard)) "
    "WITHOUT ROWID",
    "CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT UNIQUE)",
    "CREATE TABLE row (time INTEGER, segment INTEGER, row INTEGER, label INTEGER, region INTEGER, "
    "origin INTEGER, split INTEGER, score REAL, PRIMARY KEY (time, segment, row)) WITHOUT ROWID",
)


class Found(NamedTuple):
    """The rows of one segment, in order of time: times in ns since 1970 (UTC), row numbers."""

    run: str
    times: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What rows must fulfil; None does not ask.

    Parameters
    ----------
    runs
        Run keys.
    start, stop
        First and last time, inclusive, in ns since 1970 (UTC).
    words
        Column of `WORDS` to the text it must equal.
    score
        Lowest and highest score, inclusive.
    """

    runs: tuple[str, ...]
    start: int | None = None
    stop: int | None = None
    words: tuple[tuple[str, str], ...] = ()
    score: tuple[float, float] | None = None

    def sql(self) -> tuple[str, list[Any]]:
        """Return the WHERE clause over table `row`, and its values."""
        marks = ",".join("?" * len(self.runs))
        clauses = [f"segment IN (SELECT id FROM segment WHERE run IN ({marks}))"]
        values: list[Any] = list(self.runs)
        for clause, value in (("time >= ?", self.start), ("time <= ?", self.stop)):
            if value is not None:
                clauses.append(clause)
                values.append(value)
        for column, text in self.words:
            clauses.append(f"{column} = (SELECT id FROM word WHERE text = ?)")
            values.append(text)
        if self.score is not None:
            clauses.append("score BETWEEN ? AND ?")
            values.extend(self.score)
        return " AND ".join(clauses), values


@dataclass(frozen=True)
class Index:
    """The index of a store, up to date while it is open.

    Parameters
    ----------
    connection
        An open SQLite database that `Index.opened` brought up to date.
    """

    connection: sqlite3.Connection

    @classmethod
    @contextmanager
    def opened(cls, store: Store) -> Iterator[Index]:
        """Give the index of a store, brought up to date with its ledgers."""
        connection = _connect(store)
        with closing(connection):
            yield cls(connection)

    def runs(self) -> dict[str, tuple[str, ...]]:
        """Return the methods of each run that has rows."""
        rows = self.connection.execute(
            "SELECT run, methods FROM segment WHERE id IN (SELECT segment FROM shard)"
        )
        return {run: tuple(json.loads(methods)) for run, methods in rows}

    def words(self, column: str) -> list[str]:
        """Return the distinct texts of a column of `WORDS`, sorted."""
        rows = self.connection.execute(
            f"SELECT text FROM word WHERE id IN (SELECT {_known(column)} FROM row) ORDER BY text"
        )
        return [text for (text,) in rows]

    def span(self) -> tuple[int, int, int]:
        """Return the first time, the last time (ns since 1970, UTC) and the number of rows."""
        count, first, last = self.connection.execute(
            "SELECT COUNT(*), MIN(time), MAX(time) FROM row"
        ).fetchone()
        return int(first or 0), int(last or 0), int(count)

    def nearest(self, time: int, condition: Condition) -> list[int]:
        """Return the time nearest to `time` among the rows that fulfil a condition.

        Two times when one before and one after are equally near; none when no row fulfils it.
        """
        where, values = condition.sql()
        before, after = (
            self.connection.execute(
                f"SELECT time FROM row WHERE time {side} ? AND {where} "
                f"ORDER BY time {order} LIMIT 1",
                [time, *values],
            ).fetchone()
            for side, order in (("<=", "DESC"), (">=", "ASC"))
        )
        near = {int(found[0]) for found in (before, after) if found}
        least = min((abs(t - time) for t in near), default=0)
        return sorted(t for t in near if abs(t - time) == least)

    def search(self, condition: Condition) -> list[Found]:
        """Return the rows that fulfil a condition, by run."""
        where, values = condition.sql()
        names = dict(self.connection.execute("SELECT id, run FROM segment"))
        rows = self.connection.execute(
            f"SELECT segment, time, row FROM row WHERE {where} ORDER BY time, segment, row", values
        ).fetchall()
        table = np.array(rows, dtype=np.int64).reshape(-1, 3)
        found = []
        for number in sorted(set(table[:, 0].tolist()), key=names.__getitem__):
            own = table[table[:, 0] == number]
            found.append(Found(names[number], own[:, 1], own[:, 2]))
        return found

    @staticmethod
    def delete(store: Store) -> None:
        """Remove the index; the next search makes it anew."""
        (store.path / INDEX_FILE).unlink(missing_ok=True)


def _known(column: str) -> str:
    assert column in WORDS
    return column


def _connect(store: Store) -> sqlite3.Connection:
    """Return an up-to-date index: the file's, a new one's, or one in memory, in this order."""
    path = store.path / INDEX_FILE
    for attempt in (path, path, None):
        try:
            return _refreshed(attempt, store)
        except sqlite3.OperationalError:
            continue  # read-only place, or a lock that never ends: next, or in memory
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
    return _refreshed(None, store)


def _refreshed(path: Path | None, store: Store) -> sqlite3.Connection:
    name = ":memory:" if path is None else str(path)
    connection = sqlite3.connect(name, timeout=60, isolation_level=None)
    try:
        if _stale(connection, store):
            connection.execute("BEGIN IMMEDIATE")
            _prepare(connection)
            _refresh(connection, store)
            connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _stale(connection: sqlite3.Connection, store: Store) -> bool:
    """Return whether anything was begun, ledgered, sealed, undone or removed since last time."""
    if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
        return True
    known = dict(connection.execute("SELECT run, sealed FROM segment"))
    segments = store.segments()
    return set(known) != {s.run for s in segments} or not all(
        known[s.run] and s.sealed for s in segments
    )


def _prepare(connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA user_version").fetchone()[0] == _VERSION:
        return
    for name in ("segment", "shard", "word", "row"):
        connection.execute(f"DROP TABLE IF EXISTS {name}")
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {_VERSION}")


def _refresh(connection: sqlite3.Connection, store: Store) -> None:
    known = {
        run: (number, bool(sealed))
        for number, run, sealed in connection.execute("SELECT id, run, sealed FROM segment")
    }
    segments = {segment.run: segment for segment in store.segments()}
    for run in set(known) - set(segments):
        _forget(connection, known[run][0])
    for run, segment in sorted(segments.items()):
        sealed = segment.sealed
        if known.get(run, (0, False))[1] and sealed:
            continue
        number = _enter(connection, segment)
        _follow(connection, segment, number)
        connection.execute("UPDATE segment SET sealed = ? WHERE id = ?", [sealed, number])


def _enter(connection: sqlite3.Connection, segment: Segment) -> int:
    """Return the number of a segment, entered if it is new or was replaced by another."""
    inputs = segment.attributes["inputs"]
    row = connection.execute(
        "SELECT id, inputs FROM segment WHERE run = ?", [segment.run]
    ).fetchone()
    if row and row[1] == inputs:
        return int(row[0])
    if row:
        _forget(connection, row[0])
    cursor = connection.execute(
        "INSERT INTO segment (run, inputs, sealed, methods) VALUES (?, ?, 0, ?)",
        [segment.run, inputs, json.dumps(segment.methods)],
    )
    return int(cursor.lastrowid or 0)


def _forget(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("DELETE FROM row WHERE segment = ?", [number])
    connection.execute("DELETE FROM shard WHERE segment = ?", [number])
    connection.execute("DELETE FROM segment WHERE id = ?", [number])


def _follow(connection: sqlite3.Connection, segment: Segment, number: int) -> None:
    """Enter the rows of newly ledgered shards; take out those whose ledger entry has gone."""
    held = {shard for shard in segment.shards if segment.holds(shard)}
    rows = connection.execute("SELECT shard FROM shard WHERE segment = ?", [number])
    entered = {shard for (shard,) in rows}
    for shard in entered - held:
        own = segment.rows(shard)
        connection.execute(
            "DELETE FROM row WHERE segment = ? AND row >= ? AND row < ?",
            [number, own.start, own.stop],
        )
        connection.execute("DELETE FROM shard WHERE segment = ? AND shard = ?", [number, shard])
    for run in _runs_of(sorted(held - entered)):
        rows_of = np.arange(segment.rows(run[0]).start, segment.rows(run[-1]).stop)
        _insert(connection, segment, number, rows_of)
        connection.executemany("INSERT INTO shard VALUES (?, ?)", [(number, s) for s in run])


def _runs_of(shards: Sequence[int]) -> list[list[int]]:
    """Return sorted numbers as stretches without a gap, at most 256 long."""
    runs: list[list[int]] = []
    for shard in shards:
        if runs and shard == runs[-1][-1] + 1 and len(runs[-1]) < 256:
            runs[-1].append(shard)
        else:
            runs.append([shard])
    return runs


def _insert(
    connection: sqlite3.Connection, segment: Segment, number: int, rows: npt.NDArray[np.int64]
) -> None:
    names = {*segment.sample_variables, *segment.written_variables}
    times = segment.read("time", rows).astype(np.int64).tolist()
    words = [
        _numbers(connection, segment.read(name, rows).tolist())
        if name in names
        else [None] * len(rows)
        for name in WORDS
    ]
    scores = (
        segment.read("score", rows).astype(np.float64).tolist()
        if "score" in names
        else [None] * len(rows)
    )
    columns = [times, [number] * len(rows), rows.tolist(), *words, scores]
    connection.executemany(
        "INSERT INTO row VALUES (?, ?, ?, ?, ?, ?, ?, ?)", zip(*columns, strict=True)
    )


def _numbers(connection: sqlite3.Connection, texts: list[str]) -> list[int | None]:
    distinct = [(text,) for text in sorted(set(texts))]
    connection.executemany("INSERT OR IGNORE INTO word (text) VALUES (?)", distinct)
    numbers = dict(connection.execute("SELECT text, id FROM word"))
    return [numbers[text] for text in texts]
