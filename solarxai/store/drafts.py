"""Folders that are there whole or not at all, and what is left of writers that were killed.

A folder is drafted under a name that begins with a dot, brought to the disk, and renamed.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from solarxai.errors import StoreError

__all__ = ["drafted", "last_change", "rename", "sync", "temporary"]


@contextmanager
def drafted(folder: Path, run_key: str) -> Iterator[Path]:
    """Give the folder in which a segment is drafted; where the disk refuses, nothing stays."""
    draft = folder
    try:
        draft = Path(tempfile.mkdtemp(dir=folder, prefix=f".begin-{run_key[:16]}-"))
        yield draft
    except OSError as error:
        if draft != folder:
            shutil.rmtree(draft, ignore_errors=True)
        raise StoreError(
            f"{folder}: the segment {run_key} could not be begun ({error.strerror or error})",
            remedy="Give a store on a disk with room where you may write.",
        ) from error


def rename(draft: Path, target: Path) -> None:
    """Rename a folder; where another process was faster, keep its equal and drop the draft."""
    try:
        draft.rename(target)
    except OSError:
        if not (target.is_dir() and any(target.iterdir())):
            raise
        shutil.rmtree(draft)
    sync(target.parent)


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def last_change(path: Path) -> float:
    """Return when a file, or anything in a folder, was last changed; endless for what has gone."""
    try:
        return max(one.stat().st_mtime for one in (path, *path.rglob("*")))
    except FileNotFoundError:
        return math.inf


def temporary(store: Path) -> Iterator[Path]:
    """Yield temporary files and drafts: all that begins with a dot, but nothing inside a draft."""
    for folder, names, files in os.walk(store):
        for name in [*names, *files]:
            if name.startswith("."):
                yield Path(folder) / name
        names[:] = [name for name in names if not name.startswith(".")]
