"""Blocks of Samples of any kind: joined, written, opened."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from solarxai.errors import IngestError, SchemaError
from solarxai.schema import SPECTROGRAM, check_samples, kind_of, time_encoding

__all__ = ["BEYOND", "concatenate", "counts", "open_samples", "save_block"]

BEYOND = 255
"""The `quality` of positions that a shorter slit does not have."""


def counts(samples: xr.Dataset) -> dict[str, int]:
    """Return how many observations were cut, what was left out by reason, samples by label."""
    tally: dict[str, int] = json.loads(samples.attrs.get("counts", "{}"))
    return tally


def concatenate(blocks: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return the Samples of several blocks in one, sorted by (time, sample_id), counts added up.

    Raises
    ------
    SchemaError
        if there is nothing to join, or they differ in kind, shape, scale or wavelengths.
    """
    if not blocks:
        raise SchemaError("there are no blocks of samples to join", remedy="Ingest some first.")
    grids = {(kind_of(block).name, *_grid(block)) for block in blocks}
    if len(grids) > 1:
        raise SchemaError(
            f"blocks differ in kind, sizes, scale_mm or wavelengths: {sorted(grids, key=str)}",
            remedy="Ingest all observations with one patch shape and scale, or wavelength grid.",
        )
    tally: Counter[str] = Counter()
    for block in blocks:
        tally.update(counts(block))
    joined = xr.concat(
        _padded(blocks), dim="sample", join="exact", coords="minimal", compat="equals",
        combine_attrs="override",
    )  # fmt: skip
    order = np.lexsort((joined["sample_id"].values.astype(str), joined["time"].values))
    if (np.diff(order) != 1).any():  # spares a copy of what is in order
        joined = joined.isel(sample=order)
    words = [str(name) for name, values in joined.coords.items() if values.dtype.kind == "U"]
    joined = joined.assign_coords({name: joined[name].astype(object) for name in words})
    joined.attrs = {**blocks[0].attrs, "counts": json.dumps(tally, sort_keys=True)}
    return check_samples(joined)


def save_block(samples: xr.Dataset, path: Path) -> None:
    """Write Samples as a netCDF-4 file that is either whole or absent.

    Raises
    ------
    OSError
        when the system does not take it, such as a full disk.
    """
    masks = {"segmentation", "central"}
    encoding: dict[str, dict[str, Any]] = {
        str(name): {"zlib": True, "complevel": 1} for name in samples.data_vars if name in masks
    }
    encoding["time"] = time_encoding()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        samples.to_netcdf(name, engine="netcdf4", encoding=encoding)
    except RuntimeError as error:  # the library says no more than that it failed
        Path(name).unlink()
        full = shutil.disk_usage(path.parent).free < samples.nbytes
        code = errno.ENOSPC if full else errno.EIO
        raise OSError(code, os.strerror(code), str(path)) from error
    with Path(name).open("rb+") as file:
        os.fsync(file.fileno())
    Path(name).chmod(0o644)
    Path(name).replace(path)


def open_samples(folder: Path) -> xr.Dataset:
    """Return all the Samples that `save_block` wrote to a folder (`*.nc`), in memory, sorted.

    Raises
    ------
    IngestError
        if the folder holds no block, or a file in it is not one.
    """
    paths = sorted(folder.glob("*.nc"))
    if not paths:
        raise IngestError(f"{folder}: there are no blocks (*.nc) here", remedy="Ingest first.")
    return concatenate([_open_block(path) for path in paths])


def _grid(block: xr.Dataset) -> tuple[float | None, ...]:
    """Return what blocks must share: sizes (but the length of a slit), scale, wavelengths."""
    sizes = [block.sizes[dim] for dim in kind_of(block).space if dim != "slit"]
    if "wavelength" not in block.coords:
        return *sizes, block.attrs.get("scale_mm")
    first, last = block["wavelength"].values[[0, -1]].tolist()
    return *sizes, first, last


def _padded(blocks: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """Return the blocks, spectrograms with the positions that the longest slit has."""
    if kind_of(blocks[0]) is not SPECTROGRAM:
        return list(blocks)
    longest = max(block.sizes["slit"] for block in blocks)
    absent = {
        str(name): BEYOND if name == "quality" else np.nan
        for name, values in blocks[0].data_vars.items()
        if "slit" in values.dims
    }
    return [
        block.pad(slit=(0, longest - block.sizes["slit"]), constant_values=absent)
        if block.sizes["slit"] < longest
        else block
        for block in blocks
    ]


def _open_block(path: Path) -> xr.Dataset:
    try:
        with xr.open_dataset(path, engine="netcdf4") as block:
            return check_samples(block.load())
    except (OSError, ValueError, RuntimeError) as error:
        raise IngestError(
            f"{path}: not a block of samples ({error})", remedy="Delete it and ingest again."
        ) from error
