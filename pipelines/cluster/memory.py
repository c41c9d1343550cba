"""The memory of a worker, in words and in bytes."""

from __future__ import annotations

from typing import Annotated

from dask.utils import parse_bytes
from distributed.system import MEMORY_LIMIT
from pydantic import Field

__all__ = ["Memory", "in_bytes", "share_of_this_machine"]

Memory = Annotated[str, Field(pattern=r"^\d+(\.\d+)? ?[KMGT]i?B$")]


def in_bytes(memory: str) -> int:
    """Return the bytes that "4GB" or "4 GiB" names."""
    return int(parse_bytes(memory))


def share_of_this_machine(workers: int) -> int:
    """Return the bytes that each of so many workers may hold here, bounds of a container heeded."""
    return int(MEMORY_LIMIT) // workers
