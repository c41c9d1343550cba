"""What ran, on what, with which code: canonical hashes, run keys and versions."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "array_hash",
    "canonical_json",
    "code_hash",
    "content_hash",
    "file_hash",
    "versions",
    "write_atomically",
]

_PACKAGES = ("solarxai", "torch", "numpy", "astropy", "sunpy", "xarray", "zarr", "dask")


def canonical_json(value: Any) -> str:
    """Return one text for one value: sorted keys, no spaces, dataclasses as mappings.

    Raises
    ------
    TypeError
        for values without an exact text (sets, arbitrary objects).
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain, allow_nan=False)


def content_hash(value: Any) -> str:
    """Return the sha256 (hex) of the canonical JSON of a value: a run key, a step key."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """Return the sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def array_hash(*arrays: np.ndarray[Any, Any]) -> str:
    """Return the sha256 (hex) of the shapes, types and bytes of arrays, in order."""
    digest = hashlib.sha256()
    for array in arrays:
        if array.dtype == object:
            array = np.array([str(item).encode() for item in array.ravel()])
        digest.update(f"{array.shape}{array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def code_hash(files: Iterable[Path] | None = None) -> str:
    """Return the sha256 (hex) of the library's own source: same code, same hash, anywhere."""
    root = Path(__file__).parent
    chosen = sorted(root.rglob("*.py")) if files is None else sorted(files)
    digest = hashlib.sha256()
    for path in chosen:
        digest.update(str(path.relative_to(root)).encode() if files is None else path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that shape the numbers."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), "machine": platform.machine(), **found}


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is either whole or absent: temporary name, fsync, rename, fsync.

    Where that fails, as on a full disk, nothing of it is left behind.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(0o644)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} has no canonical JSON")
