"""Samples whose images stay in the block files of a run: columns in memory, images by row.

A block file (`solarxai.blocks.save_block`) is one shard, as is a shard of a store (see `stored`).
What is known of every row is its columns and where its image lies, some hundred bytes; images are
read when rows are asked for.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import h5py  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai import blocks
from solarxai.errors import IngestError
from solarxai.provenance import array_hash
from solarxai.schema import SPECTROGRAM, WCS_NUMBERS, WCS_WORDS, check_samples, kind_of
from solarxai.spectrograms import flatten

__all__ = [
    "LEFT_OUT", "WIDE", "AnyShard", "BlockFolder", "Images", "Opened", "Shard", "ShardedImages",
    "ShardedSamples", "in_order", "placed", "rows_of", "samples_hash",
]  # fmt: skip

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.intp]

_GAP_BYTES = 65_536
"""Rows less than this apart in a file are read in one piece."""

_VALUES_AT_ONCE = 1 << 18
"""Values that are read at once where images are gone through in order: 1 MiB."""

WIDE = ("image", "segmentation", "central")
LEFT_OUT = (
    "header", "label_source", "origin", "instrument", "time_scale", "time_original",
    *(f"wcs_{word}" for word in (*WCS_NUMBERS, *WCS_WORDS)),
)  # fmt: skip
"""Columns that no training reads; a byte a row stands in for each where the vocabulary wants it."""


class AnyShard(Protocol):
    """Images that lie together, wherever that is."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (row, *space) as stored."""

    def read(self, places: Rows, item: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Return the items (item, *space) at these places, increasing and without repetition."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Where the images of one block file lie.

    Parameters
    ----------
    path
        The file.
    offset
        Byte at which they begin, one after the other; None where the file keeps them otherwise
        (compressed or in chunks) and is read whole.
    shape
        (row, *space) as stored.
    """

    path: Path
    offset: int | None
    shape: tuple[int, ...]

    def read(self, places: Rows, item: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Return the items (item, *space) at these places, increasing and without repetition.

        Parameters
        ----------
        places
            Numbers of items from the begin of the images.
        item
            Shape of one: a whole row, or its last axis alone.

        Raises
        ------
        IngestError
            when the file is gone or shorter than it was.
        """
        try:
            if self.offset is None:
                with h5py.File(self.path) as file:
                    whole = np.asarray(file["image"][...], dtype=np.float32)
                return np.ascontiguousarray(whole.reshape(-1, *item)[places])
            return self._read_pieces(places, item)
        except (OSError, KeyError) as error:
            raise IngestError(
                f"{self.path}: its images cannot be read ({error})",
                remedy="Ingest again; blocks must stay as they are while a network learns.",
            ) from error

    def _read_pieces(self, places: Rows, item: tuple[int, ...]) -> npt.NDArray[np.float32]:
        size = 4 * math.prod(item)
        out = np.empty((len(places), *item), dtype=np.float32)
        cuts = np.flatnonzero(np.diff(places) * size > _GAP_BYTES + size) + 1
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            for ends in zip([0, *cuts], [*cuts, len(places)], strict=True):
                mine = places[slice(*ends)]
                if len(mine):
                    self._read_piece(descriptor, mine, out[slice(*ends)])
        finally:
            os.close(descriptor)
        return out

    def _read_piece(self, descriptor: int, places: Rows, out: npt.NDArray[np.float32]) -> None:
        """Fill `out` with neighbouring items, those between them read along and left out."""
        first, count = int(places[0]), int(places[-1] - places[0]) + 1
        dense = count == len(places)
        piece = out if dense else np.empty((count, *out.shape[1:]), dtype=np.float32)
        view, at = memoryview(piece.data).cast("B"), int(self.offset or 0) + first * out[0].nbytes
        while view:
            got = os.preadv(descriptor, [view], at)
            if not got:
                raise OSError(f"it ends at byte {at}")
            view, at = view[got:], at + got
        if not dense:
            out[...] = piece[places - first]


@dataclass(frozen=True, kw_only=True, eq=False)
class ShardedImages:
    """Images (sample, *space) that lie in shards; indexing reads.

    Parameters
    ----------
    shards
        The files.
    shard, place
        (sample,) number of the file of each row, and of the item in it.
    space
        Shape of one image. Shorter slits of a shard are filled with NaN.
    """

    shards: tuple[AnyShard, ...]
    shard: npt.NDArray[np.int32]
    place: npt.NDArray[np.int64]
    space: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (sample, *space)."""
        return (len(self), *self.space)

    @property
    def nbytes(self) -> int:
        """Return the bytes that the images would take in memory."""
        return 4 * math.prod(self.shape)

    def __len__(self) -> int:
        return len(self.shard)

    def __getitem__(self, rows: Rows | slice) -> npt.NDArray[np.float32]:
        """Return the images of some rows, read file by file."""
        shard, place = self.shard[rows], self.place[rows]
        out = np.empty((len(shard), *self.space), dtype=np.float32)
        for number in np.unique(shard).tolist():
            mine = np.flatnonzero(shard == number)
            wanted, back = np.unique(place[mine], return_inverse=True)
            out[mine] = self.read(number, wanted)[back]
        return out

    def read(self, number: int, places: Rows) -> npt.NDArray[np.float32]:
        """Return items of one shard, their places increasing, each once."""
        shard = self.shards[number]
        item = self.space if len(self.space) == 1 else shard.shape[1:]
        found = shard.read(places, item)
        if item == self.space:
            return found
        out = np.full((len(found), *self.space), np.nan, dtype=np.float32)
        out[:, : item[0]] = found
        return out

    def select(self, rows: Rows) -> ShardedImages:
        """Return the images of some rows, still unread."""
        return replace(self, shard=self.shard[rows], place=self.place[rows])


Images = npt.NDArray[np.float32] | ShardedImages
"""Images (sample, *space), in memory or in shards."""


def rows_of(images: Images, rows: Rows) -> Images:
    """Return the images of some rows: a copy of those in memory, unread of those in shards."""
    return images.select(rows) if isinstance(images, ShardedImages) else images[rows]


@dataclass(frozen=True, kw_only=True, eq=False)
class ShardedSamples:
    """Samples as `solarxai.training.train` takes them, their images in shards.

    Parameters
    ----------
    columns
        All but the images, which a stand-in of zeros without memory of its own replaces.
    images
        Where they lie, row by row.
    """

    columns: xr.Dataset
    images: ShardedImages


class Opened(NamedTuple):
    """Columns (see `placed`), where their images lie, and the grid of spectrograms."""

    columns: xr.Dataset
    shards: tuple[AnyShard, ...]
    wavelength: xr.DataArray | None


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockFolder:
    """The blocks of a folder, or the shards of a store, of which all but the images was read.

    Parameters
    ----------
    columns
        Samples of one pixel or wavelength each, sorted as `blocks.open_samples` sorts them, with
        two columns more: `shard` and `row`, where the image of each lies. World coordinates,
        headers and words about the origin are left out.
    shards
        Where the images lie.
    space
        Shape of an image, the longest slit counting.
    wavelength
        The grid of spectrograms, or None.
    """

    columns: xr.Dataset
    shards: tuple[AnyShard, ...]
    space: tuple[int, ...]
    wavelength: xr.DataArray | None

    @property
    def nbytes(self) -> int:
        """Return the bytes of all images."""
        return sum(4 * math.prod(shard.shape) for shard in self.shards)

    @property
    def largest(self) -> int:
        """Return the bytes of the images of the largest block."""
        return max(self._sizes)

    @property
    def _sizes(self) -> list[int]:
        row = 4 * math.prod(self.space)
        return [shard.shape[0] * row for shard in self.shards]

    def bound(self, window: int, readers: int) -> int:
        """Return the most bytes of images at hand while a network learns from them.

        They are those of the largest blocks of a window, once more where readers read ahead of
        it, and one block that is being read in each reader, or here.
        """
        sizes = sorted(self._sizes, reverse=True)
        ahead = readers * -(-window // readers) if readers else 0
        return sum(sizes[:window]) + sum(sizes[:ahead]) + max(1, readers) * sizes[0]

    @classmethod
    def open(cls, folder: Path) -> BlockFolder:
        """Return the blocks of a folder (`*.nc`).

        Raises
        ------
        IngestError
            if the folder holds no block, or a file in it is not one.
        SchemaError
            if they differ in kind, sizes, scale or wavelengths.
        """
        paths = sorted(folder.glob("*.nc"))
        if not paths:
            raise IngestError(f"{folder}: there are no blocks (*.nc) here", remedy="Ingest first.")
        return cls.joined(folder, [_open(path, number) for number, path in enumerate(paths)])

    @classmethod
    def joined(cls, place: Path, parts: Sequence[Opened]) -> BlockFolder:
        """Return parts in one, sorted; raise as `open` does, naming the place."""
        columns = blocks.concatenate([part.columns for part in parts])
        shards = tuple(shard for part in parts for shard in part.shards)
        spaces = {shard.shape[1:] for shard in shards}
        longest = tuple(int(n) for n in np.max(list(spaces), axis=0))
        grids = {None if p.wavelength is None else p.wavelength.values.tobytes() for p in parts}
        if (
            len(grids) > 1
            or len({space[-1] for space in spaces}) > 1
            or (kind_of(columns) is not SPECTROGRAM and len(spaces) > 1)
        ):
            raise IngestError(
                f"{place}: images differ in sizes or wavelengths: {sorted(spaces)}",
                remedy="Ingest all observations with one patch shape, or wavelength grid.",
            )
        return cls(columns=columns, shards=shards, space=longest, wavelength=parts[0].wavelength)

    def shown(self, columns: xr.Dataset, *, spectra: bool) -> ShardedSamples:
        """Return the samples that a network is shown.

        Parameters
        ----------
        columns
            Those of this folder, with a split.
        spectra
            Each spectrum of a spectrogram alone.
        """
        thin = flatten(columns) if spectra else columns
        shard = thin["shard"].values.astype(np.int32)
        place = thin["row"].values.astype(np.int64)
        space = self.space
        if spectra:
            slits = np.array([shard.shape[1] for shard in self.shards])
            place, space = place * slits[shard] + thin["slit"].values, space[-1:]
        images = ShardedImages(shards=self.shards, shard=shard, place=place, space=space)
        return ShardedSamples(columns=self._with_stand_in(thin, images), images=images)

    def _with_stand_in(self, thin: xr.Dataset, images: ShardedImages) -> xr.Dataset:
        dims = thin["image"].dims
        unread = (*WIDE, *LEFT_OUT, "wavelength", "shard", "row")
        whole = thin.drop_vars([name for name in unread if name in thin.variables])
        nothing = np.broadcast_to(np.zeros((), dtype=np.float32), images.shape)
        whole = whole.assign(image=(dims, nothing))
        return whole if self.wavelength is None else whole.assign_coords(wavelength=self.wavelength)


def _open(path: Path, number: int) -> Opened:
    """Return a block without its images."""
    try:
        with xr.open_dataset(path, engine="netcdf4", drop_variables=LEFT_OUT) as block:
            grid = block["wavelength"].load() if "wavelength" in block.coords else None
            thin = _thin(block)
        with h5py.File(path) as file:
            image = file["image"]
            plain = image.chunks is None and image.dtype == np.dtype("<f4")
            offset = image.id.get_offset() if plain else None
            shard = Shard(path=path, offset=offset, shape=tuple(image.shape))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise IngestError(
            f"{path}: not a block of samples ({error})", remedy="Delete it and ingest again."
        ) from error
    n = shard.shape[0]
    return Opened(placed(thin, np.full(n, number), np.arange(n)), (shard,), grid)


def placed(thin: xr.Dataset, shard: Rows, row: Rows) -> xr.Dataset:
    """Return columns, checked, with the number of the shard and the row where each image lies."""
    extra: dict[str, Any] = {
        "shard": ("sample", shard.astype(np.int32)),
        "row": ("sample", row.astype(np.int64)),
        **{name: ("sample", np.zeros(len(row), dtype=np.int8)) for name in LEFT_OUT},
    }
    return check_samples(thin.assign_coords(extra))


def _thin(block: xr.Dataset) -> xr.Dataset:
    """Return a block with one pixel or wavelength of each image, all of them 0, in memory."""
    kind = kind_of(block)
    thin = block.isel({dim: slice(0, 1) for dim in kind.space if dim != "slit"})
    wide = [name for name in WIDE if name in thin]
    empty = {name: (thin[name].dims, np.zeros(thin[name].shape, thin[name].dtype)) for name in wide}
    return thin.drop_vars(wide).load().assign(empty)


def in_order(images: Images) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the images in the order of their rows, some at once."""
    rows = max(1, _VALUES_AT_ONCE // math.prod(images.shape[1:]))
    for start in range(0, len(images), rows):
        yield images[start : start + rows]


def samples_hash(samples: xr.Dataset | ShardedSamples) -> str:
    """Return the sha256 (hex) of ids, images, labels, regions and split, as `array_hash` has it."""
    names = ("sample_id", "image", "label", "region", "split")
    if not isinstance(samples, ShardedSamples):
        return array_hash(*(samples[name].values for name in names))
    digest = hashlib.sha256()
    for name in names:
        values = samples.columns[name].values
        if values.dtype == object:
            values = np.array([str(word).encode() for word in values])
        digest.update(f"{values.shape}{values.dtype.str}".encode())
        pieces = in_order(samples.images) if name == "image" else iter((values,))
        for piece in pieces:
            digest.update(piece.tobytes())
    return digest.hexdigest()
