"""A store is known by its mark, made where nothing else is, and tidied by age."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from solarxai.errors import StoreError
from solarxai.store import Store, create_store
from solarxai.store.segment import Segment


def test_what_is_not_a_store_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such folder"):
        Store(tmp_path / "absent")
    with pytest.raises(StoreError, match="not a store"):
        Store(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="not a store"):
        Store(tmp_path / "file")
    for mark in ("", "{", "[]", '{"format": "zarr", "version": 1}'):
        (tmp_path / "store.json").write_text(mark)
        with pytest.raises(StoreError, match="not a store"):
            Store(tmp_path)
    (tmp_path / "store.json").write_text('{"format": "solarxai-store", "version": 2}')
    with pytest.raises(StoreError, match="store of format version 2; this solarxai reads up to"):
        Store(tmp_path)


def test_a_store_is_made_only_where_nothing_else_is(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert create_store(tmp_path / "empty") == create_store(str(tmp_path / "empty"))
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path):
        with pytest.raises(StoreError, match="cannot become a store"):
            create_store(path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]


def test_an_unknown_run_is_told(store: Store) -> None:
    with pytest.raises(StoreError, match="no run 'run9'"):
        store.segment("run9")


def test_stale_files_go_by_age_and_are_ignored_until_then(sealed: Segment) -> None:
    store = Store(sealed.path.parents[1])
    old, young = sealed.path / "gradient" / ".c.1.0.0.abc", sealed.path / ".young"
    for path, time in ((old, 1e9), (young, 2e9)):
        path.write_bytes(b"half")
        os.utime(path, (time, time))
    assert store.verify() == []
    assert store.remove_stale(before=1.5e9) == [old]
    assert young.exists()
