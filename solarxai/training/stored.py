"""The shards of a store as shards of training: columns in memory, images read through a segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.errors import SchemaError, StoreError
from solarxai.provenance import content_hash
from solarxai.schema import kind_of
from solarxai.store import Store
from solarxai.store.ledger import BEGIN
from solarxai.store.segment import Segment
from solarxai.training.shards import LEFT_OUT, WIDE, BlockFolder, Opened, Rows, placed

__all__ = ["StoredShard", "contents", "open_stored"]

_NOT_OF_TRAINING = {"split", *LEFT_OUT, *WIDE}
"""Not read: the split is made anew, and what stands for the rest is made here."""


@dataclass(frozen=True, kw_only=True)
class StoredShard:
    """One shard of a segment; reading compares the checksum of every image.

    Parameters
    ----------
    segment
        The segment.
    number
        Of the shard in it.
    shape
        (row, *space) as stored.
    """

    segment: Segment
    number: int
    shape: tuple[int, ...]

    def read(self, places: Rows, item: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Return the items (item, *space) at these places, increasing and without repetition.

        Raises
        ------
        StoreError
            when an image is missing or damaged.
        """
        pieces = 1 if item == self.shape[1:] else self.shape[1]
        rows, back = np.unique(places // pieces, return_inverse=True)
        try:
            found = self.segment.read("image", self.segment.rows(self.number).start + rows)
        except StoreError as error:
            raise StoreError(f"shard {self.number}: {error.what}", remedy=error.remedy) from error
        images = found.astype(np.float32, copy=False).reshape(-1, *item)
        return images if len(images) == len(places) else images[back * pieces + places % pieces]


def open_stored(path: Path) -> BlockFolder:
    """Return the samples of a store as `BlockFolder.open` returns those of a folder of blocks.

    Only rows of ledgered shards are taken, and a sample that stands in several segments once. The
    split of the store is left out.

    Parameters
    ----------
    path
        The store.

    Raises
    ------
    StoreError
        when there is no store, none of its shards is written, it keeps no images, its samples are
        of one class or cannot stand together, or one name stands for different samples.
    """
    held = [(segment, _held(segment)) for segment in Store(path).segments()]
    held = [(segment, numbers) for segment, numbers in held if numbers]
    if not held:
        raise StoreError(
            f"{path}: no shard of this store is written yet",
            remedy="Attribute first: `solarxai attribute`, with `split: all` to have all samples.",
        )
    for segment, _ in held:
        if "image" not in segment.sample_variables:
            raise StoreError(
                f"{path}: the segment {segment.run} keeps no `image` to learn from",
                remedy="Train from the samples of the run that made it.",
            )
    try:
        opened = BlockFolder.joined(path, _numbered(path, _read(held)))
    except SchemaError as error:
        raise StoreError(f"{path}: {error.what}", remedy=error.remedy) from error
    _check_classes(path, opened.columns)
    return opened


def contents(path: Path) -> str:
    """Return a hash that changes with what `open_stored` would return.

    Raises
    ------
    StoreError
        when there is no store.
    """
    return content_hash(
        {one.run: [one.ledger.files(BEGIN), _held(one)] for one in Store(path).segments()}
    )


def _held(segment: Segment) -> list[int]:
    return [number for number in segment.shards if segment.holds(number)]


def _read(held: Sequence[tuple[Segment, list[int]]]) -> list[Opened]:
    """Return the rows of each segment, with the columns that all segments have."""
    common = set.intersection(*({*segment.sample_variables} for segment, _ in held))
    return [_part(segment, numbers, sorted(common)) for segment, numbers in held]


def _part(segment: Segment, numbers: list[int], names: list[str]) -> Opened:
    """Return the rows of some shards; of the images and masks one pixel or wavelength each, 0."""
    described = {name: segment.describe(name) for name in names}
    narrow = {name for name, one in described.items() if set(one.dims) <= {"sample", "slit"}}
    whole = [np.arange(segment.n_rows)[segment.rows(number)] for number in numbers]
    rows = np.concatenate(whole)
    thin = segment.chosen(sorted(narrow - _NOT_OF_TRAINING), rows)
    thin.attrs.pop("counts", None)  # of the run, not of these rows
    grid = thin["wavelength"] if "wavelength" in thin.coords else None
    if grid is not None:
        thin = thin.isel(wavelength=slice(0, 1))
    for name, one in described.items():
        if name in WIDE:
            slits = [n if dim == "slit" else 1 for dim, n in zip(one.dims, one.shape, strict=True)]
            thin[name] = one.dims, np.zeros((len(rows), *slits[1:]), dtype=one.dtype)
    space = described["image"].shape[1:]
    shards = tuple(
        StoredShard(segment=segment, number=number, shape=(len(own), *space))
        for number, own in zip(numbers, whole, strict=True)
    )
    shard = np.searchsorted(numbers, rows // segment.shard_size)
    return Opened(placed(thin, shard, rows % segment.shard_size), shards, grid)


def _numbered(path: Path, parts: Sequence[Opened]) -> list[Opened]:
    """Return each sample once, and the shards that hold some, numbered over all parts."""
    kept = np.split(_first(path, parts), np.cumsum([len(p.columns["row"]) for p in parts])[:-1])
    made, before = [], 0
    for part, mask in zip(parts, kept, strict=True):
        if not mask.any():
            continue
        columns = part.columns if mask.all() else part.columns.isel(sample=np.flatnonzero(mask))
        used, shard = np.unique(columns["shard"].values, return_inverse=True)
        columns = columns.assign_coords(shard=("sample", (before + shard).astype(np.int32)))
        shards = tuple(part.shards[number] for number in used.tolist())
        made.append(part._replace(columns=columns, shards=shards))
        before += len(shards)
    return made


def _first(path: Path, parts: Sequence[Opened]) -> npt.NDArray[np.bool_]:
    """Return which rows of all parts are the first of their sample; refuse samples that differ."""
    ids = np.concatenate([part.columns["sample_id"].values for part in parts]).astype(str)
    _, first, back = np.unique(ids, return_index=True, return_inverse=True)
    earlier, own = first[back], np.arange(len(ids))
    again = np.flatnonzero(earlier != own)
    for name, found in parts[0].columns.variables.items() if len(again) else ():
        if found.dims != ("sample",) or name in ("shard", "row"):
            continue
        values = np.concatenate([part.columns[name].values for part in parts])
        then, now = values[earlier[again]], values[again]
        differ = (then != now) & ((then == then) | (now == now))
        if differ.any():
            raise StoreError(
                f"{path}: the sample {ids[again[differ]][0]} stands in several segments with "
                f"different values of {name!r}",
                remedy="Train from a store of runs that ingested the same files the same way.",
            )
    return np.asarray(earlier == own)


def _check_classes(path: Path, columns: xr.Dataset) -> None:
    classes, found = kind_of(columns).classes, set(columns["label"].values.tolist())
    if not found >= set(classes):
        raise StoreError(
            f"{path}: of the classes {' and '.join(classes)} its {columns.sizes['sample']} samples "
            f"have {' and '.join(sorted(found & set(classes))) or 'none'}",
            remedy="Attribute more samples to it, such as with `split: all`.",
        )
