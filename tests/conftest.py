"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real observations, or skip the test, saying why."""
    root = os.environ.get("SOLARXAI_REAL_DATA")
    if not root:
        pytest.skip("SOLARXAI_REAL_DATA is unset: no real observations to test on")
    return Path(root)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Keep torch on one thread, so that sums are taken in one order."""
    import torch

    torch.set_num_threads(1)
