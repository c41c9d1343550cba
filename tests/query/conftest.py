"""Stores of one and of two runs; do not write in them, but in a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from stored_runs import EARLIER_SECONDS, FIRST_SECONDS, add, rows

from solarxai.query import SaliencyStore, open_store


@pytest.fixture(scope="session")
def one(tmp_path_factory: pytest.TempPathFactory) -> SaliencyStore:
    path = tmp_path_factory.mktemp("one") / "store"
    add(path, "bbb1", rows(FIRST_SECONDS), ["expected_gradients", "gradient"])
    return open_store(path)


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> SaliencyStore:
    """Return a store that was queried before a second run added earlier observations."""
    path = tmp_path_factory.mktemp("two") / "store"
    add(path, "bbb1", rows(FIRST_SECONDS), ["expected_gradients", "gradient"])
    assert open_store(path).query().sizes["sample"] == len(FIRST_SECONDS)
    add(path, "aaa2", rows(EARLIER_SECONDS, seed=1), ["gradient", "grad_cam"])
    return open_store(path)


@pytest.fixture
def copy(two: SaliencyStore, tmp_path: Path) -> SaliencyStore:
    """Return the two runs in a store that the test may damage."""
    shutil.copytree(two.path, tmp_path / "copy")
    return open_store(tmp_path / "copy")
