"""Keep the index in step with the ledgers: what is begun, committed, sealed, undone or removed.

What has not changed is not read again. A sealed segment is taken at its word; a folder whose time
of change is the noted one holds what it held. A folder changed in the last seconds is listed each
time, for the clock of a file system may be too coarse, or too slow, to tell two changes apart.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from solarxai.provenance import array_hash, canonical_json, content_hash
from solarxai.query.conditions import cell_of
from solarxai.store import Store
from solarxai.store.ledger import SEALED
from solarxai.store.segment import Segment

__all__ = ["WORDS", "follow", "news", "seal_of", "segment_folder"]

WORDS = ("label", "region", "origin", "split")
"""Columns of text one can search by."""

_VERSION = 2
_YOUNG_SECONDS = 10.0
_DESCRIBED = ("dimension_names", "data_type", "attributes")
_TABLES = (
    "CREATE TABLE state (folder TEXT)",
    "CREATE TABLE layout (id INTEGER PRIMARY KEY, methods TEXT, hash TEXT UNIQUE)",
    "CREATE TABLE segment (id INTEGER PRIMARY KEY, run TEXT UNIQUE, inputs TEXT, layout INTEGER, "
    "attrs TEXT, seal TEXT, ledger TEXT, first INTEGER, last INTEGER)",
    "CREATE TABLE shard (segment INTEGER, shard INTEGER, PRIMARY KEY (segment, shard)) "
    "WITHOUT ROWID",
    "CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT UNIQUE)",
    "CREATE TABLE row (time INTEGER, segment INTEGER, row INTEGER, label INTEGER, region INTEGER, "
    "origin INTEGER, split INTEGER, score REAL, x REAL, y REAL, cell INTEGER, "
    "PRIMARY KEY (time, segment, row)) WITHOUT ROWID",
)
_SHORT_WAYS = (
    "CREATE INDEX IF NOT EXISTS row_label ON row (label, time)",
    "CREATE INDEX IF NOT EXISTS row_region ON row (region, time)",
    "CREATE INDEX IF NOT EXISTS row_cell ON row (cell, time) WHERE cell IS NOT NULL",
)


class _Known(NamedTuple):
    """What the index noted of a segment."""

    number: int
    seal: str
    ledger: str


def segment_folder(store: Store) -> Path:
    """Return the folder that holds the segments."""
    return store.path / "segments"


def news(connection: sqlite3.Connection, store: Store) -> Literal["rows", "states", "none"]:
    """Return what has changed since the last `follow`: rows, only the times of folders, nothing."""
    if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
        return "rows"
    folder = segment_folder(store)
    state = _state(folder)
    known = connection.execute("SELECT folder FROM state").fetchone()[0]
    aged = bool(state) and state != known
    if not state or aged:
        runs = {run for (run,) in connection.execute("SELECT run FROM segment")}
        if runs != set(store.runs):
            return "rows"
    open_ones = connection.execute("SELECT run, id, ledger FROM segment WHERE seal = ''")
    for run, number, noted in open_ones.fetchall():
        if seal_of(folder / run):
            return "rows"
        ledger = _state(folder / run / "ledger")
        if ledger and ledger == noted:
            continue
        if _entries(folder / run) != _entered(connection, number):
            return "rows"
        aged |= bool(ledger)
    return "states" if aged else "none"


def follow(
    connection: sqlite3.Connection,
    store: Store,
    *,
    doubted: Collection[str] = (),
    anew: bool = False,
) -> None:
    """Bring the tables up to date, inside the caller's transaction.

    Parameters
    ----------
    connection
        The database.
    store
        The store that it is an index of.
    doubted
        Runs to look at though nothing seems to have changed.
    anew
        Forget everything first.
    """
    _prepare(connection, anew=anew)
    connection.executemany(
        "UPDATE segment SET seal = '', ledger = '' WHERE run = ?", [(run,) for run in doubted]
    )
    folder = segment_folder(store)
    state = _state(folder)
    known = {
        run: _Known(*rest)
        for run, *rest in connection.execute("SELECT run, id, seal, ledger FROM segment")
    }
    noted = connection.execute("SELECT folder FROM state").fetchone()[0]
    if state and state == noted:
        runs = {run for run, segment in known.items() if not segment.seal}
    else:
        runs = set(store.runs)
        for run in set(known) - runs:
            _forget(connection, known[run].number)
    numbers = dict(connection.execute("SELECT text, id FROM word"))
    for run in sorted(runs):
        _look(connection, Segment(folder / run), known.get(run), numbers)
    connection.execute("UPDATE state SET folder = ?", [state])
    for statement in _SHORT_WAYS:
        connection.execute(statement)


def seal_of(segment: Path) -> str:
    """Return a text that changes with the seal of a segment; empty when it has none."""
    try:
        found = (segment / SEALED).stat()
    except OSError:
        return ""
    return f"{found.st_mtime_ns}.{found.st_size}"


def _state(folder: Path) -> str:
    """Return a text that changes with the entries of a folder; empty while it is young."""
    try:
        found = folder.stat()
    except OSError:
        return ""
    if time.time() - found.st_mtime < _YOUNG_SECONDS:
        return ""
    return f"{found.st_mtime_ns}.{found.st_nlink}.{found.st_size}"


def _entries(segment: Path) -> set[int]:
    """Return the shards that have a ledger entry, whatever is in it."""
    try:
        with os.scandir(segment / "ledger") as found:
            names = [entry.name for entry in found]
    except OSError:
        return set()
    return {int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit()}


def _entered(connection: sqlite3.Connection, number: int) -> set[int]:
    rows = connection.execute("SELECT shard FROM shard WHERE segment = ?", [number])
    return {shard for (shard,) in rows}


def _prepare(connection: sqlite3.Connection, *, anew: bool) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == _VERSION and not anew:
        return
    for name in ("state", "layout", "segment", "shard", "word", "row"):
        connection.execute(f"DROP TABLE IF EXISTS {name}")
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute("INSERT INTO state VALUES ('')")
    connection.execute(f"PRAGMA user_version = {_VERSION}")


def _look(
    connection: sqlite3.Connection,
    segment: Segment,
    known: _Known | None,
    numbers: dict[str, int],
) -> None:
    """Enter what is new in a segment; note its seal and the state of its ledger."""
    seal, ledger = seal_of(segment.path), _state(segment.path / "ledger")
    if known and known.seal == seal and (seal or (ledger and known.ledger == ledger)):
        return
    number = _enter(connection, segment)
    if not _follow_ledger(connection, segment, number, numbers):
        seal = ledger = ""  # an entry that does not hold: look again the next time
    connection.execute(
        "UPDATE segment SET seal = ?, ledger = ? WHERE id = ?", [seal, ledger, number]
    )


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
    methods, layout = canonical_json(list(segment.methods)), _layout(segment)
    connection.execute(
        "INSERT OR IGNORE INTO layout (methods, hash) VALUES (?, ?)", [methods, layout]
    )
    cursor = connection.execute(
        "INSERT INTO segment (run, inputs, layout, attrs, seal, ledger) "
        "VALUES (?, ?, (SELECT id FROM layout WHERE hash = ?), ?, '', '')",
        [segment.run, inputs, layout, canonical_json(segment.attributes["samples"])],
    )
    return int(cursor.lastrowid or 0)


def _layout(segment: Segment) -> str:
    """Return a hash of what a segment's variables are, but for how many rows they have."""
    words = segment.attributes
    arrays = segment.metadata["consolidated_metadata"]["metadata"]
    variables = {
        name: [
            array["dimension_names"],
            array["shape"][1:],
            array["data_type"],
            array["attributes"],
        ]
        for name, array in arrays.items()
        if name != "wcs"
    }
    axes = {name: array_hash(np.asarray(axis.values)) for name, axis in segment.axes.items()}
    named = [words[name] for name in ("methods", "columns", "blocks", "written", "coordinates")]
    return content_hash([variables, axes, *named])


def _forget(connection: sqlite3.Connection, number: int) -> None:
    _take_out(connection, number, 0, 2**62)
    connection.execute("DELETE FROM shard WHERE segment = ?", [number])
    connection.execute("DELETE FROM segment WHERE id = ?", [number])


def _take_out(connection: sqlite3.Connection, number: int, start: int, stop: int) -> None:
    """Delete rows of a segment; its first and last time spare a look at all others."""
    first, last = connection.execute(
        "SELECT first, last FROM segment WHERE id = ?", [number]
    ).fetchone()
    connection.execute(
        "DELETE FROM row WHERE time BETWEEN ? AND ? AND segment = ? AND row >= ? AND row < ?",
        [first, last, number, start, stop],
    )


def _follow_ledger(
    connection: sqlite3.Connection, segment: Segment, number: int, numbers: dict[str, int]
) -> bool:
    """Enter newly ledgered shards, take out those undone; return whether all entries hold."""
    entries, entered = _entries(segment.path), _entered(connection, number)
    for shard in entered - entries:
        own = segment.rows(shard)
        _take_out(connection, number, own.start, own.stop)
        connection.execute("DELETE FROM shard WHERE segment = ? AND shard = ?", [number, shard])
    new = [shard for shard in sorted(entries - entered) if shard in segment.shards]
    held = [shard for shard in new if segment.holds(shard)]
    for run in _stretches(held):
        rows = np.arange(segment.rows(run[0]).start, segment.rows(run[-1]).stop)
        _insert(connection, segment, number, rows, numbers)
        connection.executemany("INSERT INTO shard VALUES (?, ?)", [(number, s) for s in run])
    return len(held) == len(new)


def _stretches(shards: Sequence[int]) -> list[list[int]]:
    """Return sorted numbers as stretches without a gap, at most 256 long."""
    runs: list[list[int]] = []
    for shard in shards:
        if runs and shard == runs[-1][-1] + 1 and len(runs[-1]) < 256:
            runs[-1].append(shard)
        else:
            runs.append([shard])
    return runs


def _insert(
    connection: sqlite3.Connection,
    segment: Segment,
    number: int,
    rows: npt.NDArray[np.int64],
    numbers: dict[str, int],
) -> None:
    names = {*segment.sample_variables, *segment.written_variables}
    none = [None] * len(rows)
    times = segment.read("time", rows).astype(np.int64)
    words = [
        _numbers(connection, segment.read(name, rows).tolist(), numbers) if name in names else none
        for name in WORDS
    ]
    score, x, y = (
        segment.read(name, rows).astype(np.float64) if name in names else np.full(len(rows), np.nan)
        for name in ("score", "solar_x", "solar_y")
    )
    connection.executemany(
        "INSERT INTO row VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        zip(
            times.tolist(), [number] * len(rows), rows.tolist(), *words,
            score.tolist(), x.tolist(), y.tolist(), cell_of(x, y), strict=True,
        ),
    )  # fmt: skip
    connection.execute(
        "UPDATE segment SET first = MIN(IFNULL(first, ?1), ?1), last = MAX(IFNULL(last, ?2), ?2) "
        "WHERE id = ?3",
        [int(times.min()), int(times.max()), number],
    )


def _numbers(
    connection: sqlite3.Connection, texts: list[str], numbers: dict[str, int]
) -> list[int]:
    for text in sorted(set(texts) - set(numbers)):
        cursor = connection.execute("INSERT INTO word (text) VALUES (?)", [text])
        numbers[text] = int(cursor.lastrowid or 0)
    return [numbers[text] for text in texts]
