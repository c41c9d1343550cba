"""The index holds the ledgered rows, spares reading, and is made anew when it is wrong."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stored_runs import FIRST_SECONDS, add, identities, instant, rows, seconds_of

from solarxai.errors import QueryError, StoreError
from solarxai.query import SaliencyStore, open_store, saliency_store
from solarxai.query.index import Index
from solarxai.store.segment import Segment


def test_nothing_is_read_before_it_is_used(
    one: SaliencyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.query()  # makes the index
    read: list[str] = []
    original = Segment.read

    def noted(self: Segment, name: str, *arguments: Any) -> Any:
        read.append(name)
        return original(self, name, *arguments)

    monkeypatch.setattr(Segment, "read", noted)
    found = one.query(time=(instant(0), instant(50)))
    assert read == ["time"]
    _ = found["gradient"].isel(sample=0).values
    assert read == ["time", "gradient"]


_OPENED: list[str] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("open", "sqlite3.connect") and _OPENED is not None:
        _OPENED.append(str(arguments[0]))


@pytest.fixture
def opened_files() -> Iterator[list[str]]:
    """Give the list of files opened while the test runs."""
    global _OPENED
    if not getattr(sys, "_solarxai_noted", False):
        sys.addaudithook(_note)
        sys._solarxai_noted = True  # type: ignore[attr-defined]
    _OPENED = []
    yield _OPENED
    _OPENED = None


def test_a_range_query_touches_ten_files_at_most(
    one: SaliencyStore, opened_files: list[str]
) -> None:
    one.query()
    opened_files.clear()
    _ = open_store(one.path).query(time=(instant(10), instant(50)))["gradient"].values
    inside = {name for name in opened_files if str(one.path) in name}
    assert {"store.json", "index.sqlite", "zarr.json"} <= {Path(name).name for name in inside}
    assert len(inside) <= 10


def test_only_ledgered_rows_are_returned(tmp_path: Path) -> None:
    path = tmp_path / "store"
    segment = add(path, "run1", rows(FIRST_SECONDS), ["gradient"], shards=[])
    with pytest.raises(QueryError, match="the store has no rows yet"):
        open_store(path).query()
    add(path, "run1", rows(FIRST_SECONDS), ["gradient"], shards=[2])
    assert seconds_of(open_store(path).query()) == FIRST_SECONDS[8:]
    add(path, "run1", rows(FIRST_SECONDS), ["gradient"], shards=[0])
    assert seconds_of(open_store(path).query()) == FIRST_SECONDS[:4] + FIRST_SECONDS[8:]
    (segment.path / "ledger" / "000002.json").unlink()
    assert seconds_of(open_store(path).query()) == FIRST_SECONDS[:4]
    add(path, "run1", rows(FIRST_SECONDS), ["gradient"])
    segment.discard(1)
    assert seconds_of(open_store(path).query()) == FIRST_SECONDS[:4] + FIRST_SECONDS[8:]


def test_a_run_that_is_removed_is_forgotten(copy: SaliencyStore) -> None:
    assert copy.query().sizes["sample"] == 16
    shutil.rmtree(copy.path / "segments" / "bbb1")
    assert copy.query().sizes["sample"] == 6
    add(copy.path, "bbb1", rows([1000]), ["gradient"])
    assert seconds_of(copy.query(run="bbb1")) == [1000]


def test_a_segment_replaced_under_its_key_is_indexed_anew(copy: SaliencyStore) -> None:
    copy.query()
    shutil.rmtree(copy.path / "segments" / "bbb1")
    add(copy.path, "bbb1", rows([1000, 1001]), ["gradient"], shards=[0])
    assert seconds_of(copy.query(run="bbb1")) == [1000, 1001]


@pytest.mark.parametrize("damage", ["absent", "text", "cut", "version"])
def test_a_damaged_index_is_made_anew(copy: SaliencyStore, damage: str) -> None:
    expected = identities(copy.query())
    path = copy.path / "index.sqlite"
    if damage == "absent":
        path.unlink()
    elif damage == "text":
        path.write_text("this is not a database, whatever its name says" * 100)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    assert identities(copy.query()) == expected


def test_an_index_that_lies_is_found_out(copy: SaliencyStore) -> None:
    expected = identities(copy.query())
    for lie in ("UPDATE row SET time = time + 1000", "UPDATE row SET row = row + 100"):
        connection = sqlite3.connect(copy.path / "index.sqlite")
        connection.execute(lie)
        connection.commit()
        connection.close()
        assert identities(copy.query()) == expected


def test_an_index_that_keeps_lying_is_told(
    copy: SaliencyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saliency_store, "_agree", lambda found, segments: False)
    with pytest.raises(StoreError, match="the index and the segments disagree"):
        copy.query()


def test_a_store_that_cannot_be_written_is_searched_in_memory(copy: SaliencyStore) -> None:
    expected = identities(copy.query())
    Index.delete(copy)
    (copy.path / "index.sqlite").mkdir()
    assert identities(copy.query()) == expected
