"""One run's rows and maps: written a shard at a time, trusted only as far as its ledger.

A segment is a Zarr v3 group that plain `xarray.open_zarr` opens. Beside the arrays stand the
ledger (what is whole, with the sha256 of each file), `run.json` (provenance), the classifier, and,
once every shard is there, `SEALED.json` with the root hash.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr
import zarr

from solarxai.errors import StoreError
from solarxai.provenance import write_atomically
from solarxai.store import layout
from solarxai.store.layout import decode, encode_column, encode_map, read_headers, shard_file
from solarxai.store.ledger import BEGIN, Finding, Ledger
from solarxai.store.shard import read_column, read_maps

__all__ = ["CHECKPOINT", "RUN", "Described", "Segment"]

CHECKPOINT = "classifier.safetensors"
RUN = "run.json"


class Described(NamedTuple):
    """What a variable is, apart from its values, and how many of its rows share a file."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attrs: dict[str, Any]
    rows_a_file: int


@dataclass(frozen=True)
class Segment:
    """The rows of one run.

    Parameters
    ----------
    path
        Its folder, STORE/segments/<run_key>.
    """

    path: Path

    @property
    def run(self) -> str:
        """Return the run key: the name of the folder."""
        return self.path.name

    @property
    def ledger(self) -> Ledger:
        """Return the ledger: what of this segment is whole."""
        return Ledger(self.path)

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """Return the consolidated metadata (`zarr.json`): attributes, and those of each array."""
        try:
            metadata: dict[str, Any] = json.loads((self.path / "zarr.json").read_bytes())
            _ = metadata["attributes"]["rows"], metadata["consolidated_metadata"]["metadata"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{self.path}: the metadata of this segment cannot be read ({error})",
                remedy="Run `solarxai verify`, then delete the segment and run again.",
            ) from error
        return metadata

    @cached_property
    def group(self) -> zarr.Group:
        """Return the Zarr group, opened for reading through its consolidated metadata."""
        return zarr.open_group(str(self.path), mode="r", zarr_format=3, use_consolidated=True)

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Return what was fixed when the segment began: methods, rows, shard_size, ..."""
        return dict(self.metadata["attributes"])

    @property
    def methods(self) -> tuple[str, ...]:
        """Return the names of the explainers whose maps it holds."""
        return tuple(self.attributes["methods"])

    @property
    def shard_size(self) -> int:
        """Return the number of rows in a shard."""
        return int(self.attributes["shard_size"])

    @property
    def n_rows(self) -> int:
        """Return the number of samples."""
        return int(self.attributes["rows"])

    @property
    def shards(self) -> range:
        """Return the numbers of all shards."""
        return range(-(-self.n_rows // self.shard_size))

    @property
    def written_variables(self) -> tuple[str, ...]:
        """Return the names of the variables written with the maps."""
        return tuple(self.attributes["written"])

    @property
    def sample_variables(self) -> tuple[str, ...]:
        """Return the names of what was known before any map: columns, image, masks."""
        return (*self.attributes["columns"], *self.attributes["blocks"])

    @cached_property
    def axes(self) -> Mapping[str, xr.Variable]:
        """Return the dimensions that have values of their own, shared by all rows: wavelength."""
        names = self.attributes.get("axes", ())
        return {name: self._axis(name) for name in names}

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Return what the run's driver said of it (`run.json`)."""
        return dict(json.loads(self.ledger.trusted(RUN).read_text())["provenance"])

    @property
    def checkpoint(self) -> Path:
        """Return the file of the classifier that was explained.

        Raises
        ------
        StoreError
            when the segment was begun without one, or it is damaged.
        """
        if CHECKPOINT not in self.ledger.files(BEGIN):
            raise StoreError(
                f"{self.path}: this segment holds no classifier",
                remedy="Attribute again, giving `checkpoint` to `Store.begin`.",
            )
        return self.ledger.trusted(CHECKPOINT)

    def rows(self, shard: int) -> slice:
        """Return the rows of a shard.

        Raises
        ------
        StoreError
            when there is no such shard.
        """
        if shard not in self.shards:
            raise StoreError(
                f"{self.run}: there is no shard {shard} among 0..{len(self.shards) - 1}",
                remedy="Take the numbers that `Segment.missing` returns.",
            )
        start = shard * self.shard_size
        return slice(start, min(start + self.shard_size, self.n_rows))

    def missing(self) -> list[int]:
        """Return the shards without a valid ledger entry: what a resumed run has to do."""
        return [shard for shard in self.shards if not self.holds(shard)]

    def holds(self, shard: int) -> bool:
        """Return whether a shard is ledgered and its files are there in their recorded size."""
        return self.ledger.holds(shard)

    def samples(self, shard: int) -> xr.Dataset:
        """Return the Samples of a shard, in memory: all that a task needs to compute its maps."""
        return self.chosen(self.sample_variables, np.arange(self.n_rows)[self.rows(shard)])

    def chosen(self, names: Collection[str], rows: npt.NDArray[np.int64]) -> xr.Dataset:
        """Return some variables of the Samples at the given rows (any order), in memory."""
        words = self.attributes
        variables = {name: self._variable(name, rows) for name in names}
        made = xr.Dataset(variables, coords=self.axes, attrs=dict(words["samples"]))
        coordinates = ("header", *str(words["coordinates"]).split())
        return made.set_coords([name for name in coordinates if name in variables])

    def read(
        self, name: str, rows: npt.NDArray[np.int64], window: tuple[Any, ...] = ()
    ) -> npt.NDArray[Any]:
        """Return a variable at the given rows (any order), and inside a window of its other axes.

        Raises
        ------
        StoreError
            when a file is missing or a checksum in it does not match: never a fill value instead.
        """
        if name == "header":
            return self._headers(rows)
        described = self.describe(name)
        wanted, back = np.unique(rows, return_inverse=True)
        size = described.rows_a_file
        for file in np.unique(wanted // size).tolist():
            path = self.path / name / shard_file(file, ndim=len(described.shape))
            if not path.is_file():
                raise self._broken(f"{name}/{path.name}", "is missing")
        read = self._read_maps if len(described.shape) > 1 else self._read_column
        try:
            values = read(name, wanted)
        except (OSError, ValueError, RuntimeError) as error:
            file, _, _ = str(error).partition(" is damaged")
            raise self._broken(name, f"is damaged ({file})") from error
        for axis, cut in reversed(list(enumerate(window, start=1))):
            values = values[(*[slice(None)] * axis, cut)]
        return values if np.array_equal(rows, wanted) else values[back]

    def _read_column(self, name: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        array = self.metadata["consolidated_metadata"]["metadata"][name]
        return decode(read_column(self.path / name, rows, array=array), array["attributes"])

    def _read_maps(self, name: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        described = self.describe(name)
        size = described.rows_a_file
        maps = np.empty((len(rows), *described.shape[1:]), dtype=described.dtype)
        for shard in np.unique(rows // size).tolist():
            own = rows // size == shard
            maps[own] = read_maps(
                self.path / name / shard_file(shard, ndim=maps.ndim),
                rows[own] - shard * size,
                size=size,
                shape=maps.shape[1:],
                dtype=described.dtype.str,
            )
        return maps

    def describe(self, name: str) -> Described:
        """Return the dimensions, shape, type and attributes of a variable, without its values."""
        if name == "header":
            return Described(("sample",), (self.n_rows,), np.dtype(object), {}, self.n_rows)
        array = self.metadata["consolidated_metadata"]["metadata"][name]
        stored = array["attributes"]
        kind = object if array["data_type"] == "string" else array["data_type"]
        dtype = decode(np.zeros(0, dtype=kind), stored).dtype
        encoding = {"grid_mapping", *(("units", "calendar") if dtype.kind == "M" else ())}
        attrs = {key: value for key, value in stored.items() if key not in encoding}
        dims = tuple(array.get("dimension_names") or ())
        (rows_a_file, *_) = array["chunk_grid"]["configuration"]["chunk_shape"] or [1]
        return Described(dims, tuple(array["shape"]), dtype, attrs, rows_a_file)

    def write(self, shard: int, maps: xr.Dataset) -> None:
        """Write every map of one shard, then its ledger entry, from which on it counts.

        Writing a shard that is already held does nothing: same key, same bytes.

        Parameters
        ----------
        shard
            Its number.
        maps
            The variables named when the segment began, on the shard's own rows. What the samples
            already hold (image, columns) may be there too and is not written again.

        Raises
        ------
        StoreError
            when variables, shapes or rows are not the shard's own, when a map has no finite value,
            or when the disk refuses.
        """
        rows = self.rows(shard)
        if self.holds(shard):
            return
        self._check(shard, maps)
        try:
            files = []
            for name in self.written_variables:
                file = f"{name}/{shard_file(shard, ndim=maps[name].ndim)}"
                write_atomically(self.path / file, self._encode(name, maps[name], rows))
                files.append(file)
            self.ledger.enter(shard, rows=rows, files=files)
        except OSError as error:
            raise StoreError(
                f"{self.path}: shard {shard} could not be written ({error.strerror})",
                remedy="Mend the disk and resume the run; the shards written so far are kept.",
            ) from error

    def discard(self, shard: int) -> None:
        """Forget a shard (and the seal), so that `missing` names it and a resumed run redoes it."""
        self.rows(shard)
        self.ledger.discard(shard)

    @property
    def sealed(self) -> bool:
        """Return whether the segment is complete and closed."""
        return self.ledger.sealed

    def seal(self) -> str:
        """Close the complete segment; return its root hash.

        Raises
        ------
        StoreError
            when shards are missing, or some that were done again have other bytes than before.
        """
        if self.sealed:
            return self.root_hash
        missing = self.missing()
        if missing:
            raise StoreError(
                f"{self.path}: {len(missing)} of {len(self.shards)} shards are not written",
                remedy="Resume the run; then seal.",
            )
        return self.ledger.seal(self.shards)

    @property
    def root_hash(self) -> str:
        """Return the root hash: one text that stands for every byte of the segment.

        Raises
        ------
        StoreError
            when the segment is not sealed, or its seal is damaged.
        """
        return self.ledger.root_hash

    def verify(self) -> list[Finding]:
        """Return what is damaged, absent or unfinished, having read every byte."""
        found = self.ledger.check_shared()
        if any(f.file in (BEGIN, "zarr.json") for f in found):
            return found
        for shard in self.shards:
            found += [f for f in self.ledger.check_shard(shard) if f not in found]
        return found

    def _check(self, shard: int, maps: xr.Dataset) -> None:
        breaches = [*self._strangers(maps), *self._breaches(shard, maps)]
        if breaches:
            raise StoreError(
                f"{self.run}: shard {shard}: {'; '.join(breaches)}",
                remedy="Write the maps of `Segment.samples(shard)`, with the variables that "
                "`Store.begin` was told of.",
            )

    def _strangers(self, maps: xr.Dataset) -> Iterator[str]:
        known = {*self.written_variables, *self.sample_variables}
        strange = sorted(set(map(str, maps.data_vars)) - known)
        if strange:
            yield f"variables {strange} were not announced when the segment began"

    def _breaches(self, shard: int, maps: xr.Dataset) -> Iterator[str]:
        rows = self.rows(shard)
        if "sample_id" in maps.variables:
            own = self.read("sample_id", np.arange(rows.start, rows.stop))
            if maps["sample_id"].values.tolist() != own.tolist():
                yield "sample_id differs from the shard's own rows"
        for name in self.written_variables:
            shape = (rows.stop - rows.start, *self.describe(name).shape[1:])
            if name not in maps:
                yield f"variable {name!r} is missing"
            elif maps[name].shape != shape:
                yield f"{name} has the shape {maps[name].shape}, not {shape}"
            elif not _finite(maps[name].values):
                yield f"{name} has a row without a finite value"

    def _encode(self, name: str, values: xr.DataArray, rows: slice) -> bytes:
        if values.ndim == 1:
            array_json = (self.path / name / "zarr.json").read_bytes()
            return encode_column(array_json, values.values, start=rows.start)
        described = self.describe(name)
        return encode_map(
            values.values.astype(described.dtype, copy=False),
            shard_size=described.rows_a_file,
            rounded="bitround_keep_bits" in described.attrs,
        )

    def _variable(self, name: str, rows: npt.NDArray[np.int64]) -> xr.Variable:
        described = self.describe(name)
        return xr.Variable(described.dims, self.read(name, rows), described.attrs)

    def _axis(self, name: str) -> xr.Variable:
        described = self.describe(name)
        try:
            values = np.asarray(self.group[name])
        except (OSError, ValueError, RuntimeError) as error:
            raise self._broken(name, f"is damaged ({str(error).split('.')[0]})") from error
        return xr.Variable(described.dims, values, described.attrs)

    def _headers(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        places = self.read("header_place", rows)
        return read_headers(self.ledger.trusted(layout.HEADERS), places)

    def _broken(self, file: str, what: str) -> StoreError:
        return StoreError(
            f"{self.path}: {file} {what}",
            remedy="Run `solarxai verify --repair`, which redoes what is damaged.",
        )


def _finite(values: npt.NDArray[Any]) -> bool:
    """Return whether each row has a finite value (text always has)."""
    if values.dtype.kind != "f":
        return True
    return bool(np.isfinite(values).reshape(len(values), -1).any(axis=1).all())
