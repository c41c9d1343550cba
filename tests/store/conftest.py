"""Stores: an empty one, and a finished one that a test may damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from stored_segment import begin, fill, rows

from solarxai.store import Store, create_store
from solarxai.store.segment import Segment


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return create_store(tmp_path / "store")


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = create_store(tmp_path_factory.mktemp("original") / "store")
    fill(begin(store, rows())).seal()
    return store


@pytest.fixture
def sealed(original: Store, tmp_path: Path) -> Segment:
    """Return a finished segment that the test may damage."""
    shutil.copytree(original.path, tmp_path / "sealed")
    return Store(tmp_path / "sealed").segment("run1")
