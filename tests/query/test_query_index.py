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
from solarxai.query import SaliencyStore, following, index, open_store
from solarxai.query.index import Index
from solarxai.query.joined import Joined
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
    monkeypatch.setattr(Joined, "agree", lambda self: False)
    with pytest.raises(StoreError, match="the index and the segments disagree"):
        copy.query()


def test_a_store_that_cannot_be_written_is_searched_in_memory(copy: SaliencyStore) -> None:
    expected = identities(copy.query())
    Index.delete(copy)
    (copy.path / "index.sqlite").mkdir()
    assert identities(copy.query()) == expected


def test_segments_that_hold_no_answer_are_not_opened(
    two: SaliencyStore, opened_files: list[str]
) -> None:
    two.query()
    opened_files.clear()
    found = open_store(two.path).query(time=(instant(70), None))
    _ = found["gradient"].values
    assert found.attrs["runs"] == ["bbb1"]
    assert any("segments/bbb1" in name for name in opened_files)
    assert not any("segments/aaa2" in name for name in opened_files)


def test_only_one_segment_of_each_layout_is_opened_to_describe_the_rows(
    tmp_path: Path, opened_files: list[str]
) -> None:
    path = tmp_path / "store"
    for number in range(6):
        add(path, f"run{number}", rows([number, number + 50]), ["gradient"])
    open_store(path).query()
    opened_files.clear()
    found = open_store(path).query(time=(instant(0), instant(10)))
    assert seconds_of(found) == [0, 1, 2, 3, 4, 5]
    touched = {run for run in open_store(path).runs if any(f"/{run}/" in n for n in opened_files)}
    assert len(touched) == 3
    opened_files.clear()
    assert found["gradient"].shape[0] == 6
    assert not any("segments" in name for name in opened_files)


def test_a_segment_with_other_times_than_the_index_is_told_when_it_is_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store"
    for number in range(5):
        add(path, f"run{number}", rows([number]), ["gradient"])
    found = open_store(path).query()
    connection = sqlite3.connect(path / "index.sqlite")
    connection.execute("UPDATE row SET time = time + 1 WHERE segment = 2")
    connection.commit()
    connection.close()
    found = open_store(path).query()
    with pytest.raises(StoreError, match=r"run1: its times are not those of the index.*--rebuild"):
        _ = found["gradient"].values
    assert open_store(path).index(rebuild=True).rows == 5
    assert open_store(path).query()["gradient"].notnull().all()


@pytest.mark.parametrize("aged", [False, True])
def test_an_undone_shard_of_a_sealed_segment_is_noticed(
    copy: SaliencyStore, monkeypatch: pytest.MonkeyPatch, aged: bool
) -> None:
    if aged:
        monkeypatch.setattr(following, "_YOUNG_SECONDS", -1e9)
    before = identities(copy.query())
    copy.segment("bbb1").discard(0)
    after = identities(copy.query())
    assert len(after) == len(before) - 4
    assert set(after) < set(before)
    add(copy.path, "bbb1", rows(FIRST_SECONDS), ["expected_gradients", "gradient"])
    assert identities(copy.query()) == before


@pytest.mark.parametrize("aged", [False, True])
def test_what_is_begun_written_and_removed_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aged: bool
) -> None:
    if aged:
        monkeypatch.setattr(following, "_YOUNG_SECONDS", -1e9)
    path = tmp_path / "store"
    for shards, expected in (([0], 4), ([2], 6), (None, 10)):
        add(path, "run1", rows(FIRST_SECONDS), ["gradient"], shards=shards)
        assert open_store(path).query().sizes["sample"] == expected
    add(path, "run2", rows([5]), ["gradient"])
    assert open_store(path).query().sizes["sample"] == 11
    shutil.rmtree(path / "segments" / "run1")
    assert seconds_of(open_store(path).query()) == [5]


def test_a_folder_that_has_not_changed_is_not_listed(
    copy: SaliencyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_YOUNG_SECONDS", -1e9)
    copy.query()

    def refuse(*_: object) -> set[int]:
        raise AssertionError("listed")

    monkeypatch.setattr(SaliencyStore, "runs", property(refuse))
    monkeypatch.setattr(following, "_entries", refuse)
    assert copy.query().sizes["sample"] == 16


def test_a_new_run_is_found_though_another_process_holds_the_index(
    copy: SaliencyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy.query()
    monkeypatch.setattr(index, "_PATIENCE_SECONDS", 0.1)
    holder = sqlite3.connect(copy.path / "index.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    add(copy.path, "ccc3", rows([1000]), ["gradient"])
    assert copy.query().sizes["sample"] == 17
    copy.segment("bbb1").discard(0)
    assert copy.query().sizes["sample"] == 13
    holder.close()
    assert copy.query().sizes["sample"] == 13


def test_an_entry_that_does_not_hold_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "store"
    segment = add(path, "run1", rows(FIRST_SECONDS), ["gradient"])
    file = next((segment.path / "gradient").glob("c.1*"))
    file.rename(tmp_path / "aside")
    assert seconds_of(open_store(path).query()) == FIRST_SECONDS[:4] + FIRST_SECONDS[8:]
    (tmp_path / "aside").rename(file)
    assert seconds_of(open_store(path).query()) == FIRST_SECONDS
