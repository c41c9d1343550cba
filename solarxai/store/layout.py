"""How a variable lies on disk: Zarr v3 arrays, their codecs, and the shards they are written in."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.core.buffer import cpu

from solarxai.errors import StoreError
from solarxai.provenance import canonical_json
from solarxai.schema import WCS_NUMBERS, WCS_WORDS, time_encoding
from solarxai.store.shard import encode_maps

__all__ = [
    "HEADERS",
    "KEEP_BITS",
    "MapVariable",
    "consolidate",
    "create_axis",
    "create_column",
    "create_map",
    "create_wcs",
    "decode",
    "distinct_headers",
    "encode_column",
    "encode_map",
    "map_variables",
    "plain_attrs",
    "read_headers",
    "shard_file",
    "write_headers",
]

KEEP_BITS = 10
"""Mantissa bits kept of a float32 map: each value is within a factor 1 ± 2**-11 of the original."""

HEADERS = "headers.parquet"
"""The file of a segment that holds each distinct original header once."""

_COLUMN_CHUNK = 4096
_COLUMN_CHUNKS_A_FILE = 256
_HEADERS_A_GROUP = 64
_TIME_UNITS = time_encoding()["units"]


@dataclass(frozen=True, kw_only=True)
class MapVariable:
    """A variable that is written with the maps, described before any map exists.

    Parameters
    ----------
    name
        Its name in the segment.
    dims, shape
        Its dimensions and sizes, the first being `sample` over the whole segment.
    dtype
        "float32", "float64", "str", ...
    attrs
        Its attributes, free of paths and clock times.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    attrs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rounded(self) -> bool:
        """Whether its mantissa is rounded: maps, never one number a sample or a spectrum."""
        return len(self.dims) > 2 and self.dtype == "float32"


def map_variables(
    samples: xr.Dataset, methods: Sequence[str], *, template: xr.Dataset | None
) -> tuple[MapVariable, ...]:
    """Return what will be written with the maps, in the order of its names.

    Parameters
    ----------
    samples
        The rows of the segment; what they already hold is not written again.
    methods
        Names of the explainers; each is a map of the image's own shape.
    template
        Attributions of any number of rows (one is enough): its names, dimensions, types and
        attributes are taken, its values are not. None means one map a method, `score` and
        `predicted`.

    Raises
    ------
    StoreError
        when the template lacks a method or holds a variable without the dimension `sample`.
    """
    image = samples["image"]
    if template is None:
        blank = xr.Variable(image.dims, np.zeros((0, *image.shape[1:]), dtype=np.float32))
        template = xr.Dataset(dict.fromkeys(methods, blank))
        template["score"] = ("sample", np.zeros(0))
        template["predicted"] = ("sample", np.zeros(0, dtype=object))
    absent = sorted(set(methods) - set(map(str, template.data_vars)))
    if absent:
        raise StoreError(
            f"the template of the maps lacks the methods {absent}",
            remedy="Attribute one row with every method and give the result as `variables`.",
        )
    named = {str(name): variable for name, variable in template.data_vars.items()}
    return tuple(
        _map_variable(name, named[name], methods, like=image)
        for name in sorted(set(named) - set(map(str, samples.variables)))
    )


def _map_variable(
    name: str, variable: xr.DataArray, methods: Sequence[str], *, like: xr.DataArray
) -> MapVariable:
    if variable.dims[:1] != ("sample",):
        raise StoreError(
            f"variable {name!r} is on {variable.dims}, not on (sample, ...)",
            remedy="Give each variable of the maps one entry a sample.",
        )
    kind = variable.dtype.kind
    dtype = "str" if kind in "OUT" else variable.dtype.name
    attrs = plain_attrs(variable.attrs, of=name)
    if kind == "f" and variable.ndim > 1:
        dtype = "float32"
        if variable.ndim > 2:
            attrs["bitround_keep_bits"] = KEEP_BITS
    owners = [m for m in methods if name == m or name.startswith(f"{m}_")]
    if owners:
        attrs["method"] = max(owners, key=len)
    if variable.dims == like.dims:
        attrs["grid_mapping"] = "wcs"
    dims = tuple(map(str, variable.dims))
    shape = (len(like), *variable.shape[1:])
    return MapVariable(name=name, dims=dims, shape=shape, dtype=dtype, attrs=attrs)


def create_map(group: zarr.Group, variable: MapVariable, *, shard_size: int) -> None:
    """Create the empty array of a variable written shard by shard: one map a chunk."""
    tail = variable.shape[1:]
    _create(
        group,
        variable.name,
        shape=variable.shape,
        dtype=variable.dtype,
        chunks=(1, *tail) if tail else (shard_size,),
        shards=(shard_size, *tail) if tail else None,
        dims=variable.dims,
        attrs=variable.attrs,
    )


def create_column(
    group: zarr.Group, name: str, values: npt.NDArray[Any], *, attrs: Mapping[str, Any]
) -> None:
    """Write one value a sample, losslessly; times as int64 nanoseconds since 1970 (UTC)."""
    attrs = plain_attrs(attrs, of=name)
    if values.dtype.kind == "M":
        values = values.astype("datetime64[ns]").astype(np.int64)
        attrs |= {key: value for key, value in time_encoding().items() if key != "dtype"}
    dtype = values.dtype.name
    if values.dtype.kind in "OUT":
        values, dtype = _words(name, values), "str"
    chunk = min(len(values), _COLUMN_CHUNK)
    files = min(-(-len(values) // chunk), _COLUMN_CHUNKS_A_FILE)
    array = _create(
        group,
        name,
        shape=values.shape,
        dtype=dtype,
        chunks=(chunk,),
        shards=(chunk * files,),
        dims=("sample",),
        attrs=attrs,
    )
    array[:] = values


def create_axis(
    group: zarr.Group, name: str, values: npt.NDArray[Any], *, attrs: Mapping[str, Any]
) -> None:
    """Write the values of a dimension that all rows share, such as wavelength."""
    array = _create(
        group,
        name,
        shape=values.shape,
        dtype=values.dtype.name,
        chunks=values.shape,
        shards=None,
        dims=(name,),
        attrs=plain_attrs(attrs, of=name),
    )
    array[:] = values


def create_wcs(group: zarr.Group, samples: xr.Dataset) -> None:
    """Write the scalar `wcs`: the world-coordinate keywords that all rows share, as attributes."""
    attrs: dict[str, Any] = {
        "long_name": "world coordinates; keywords that vary are in the columns wcs_<keyword>"
    }
    for word in (*WCS_WORDS, *WCS_NUMBERS):
        values = samples[f"wcs_{word}"].values
        if (values == values[0]).all():
            attrs[word] = values[0] if isinstance(values[0], str) else float(values[0])
    array = _create(
        group, "wcs", shape=(), dtype="int8", chunks=(), shards=None, dims=(), attrs=attrs
    )
    array[...] = 0


def _create(
    group: zarr.Group,
    name: str,
    *,
    shape: tuple[int, ...],
    dtype: str,
    chunks: tuple[int, ...],
    shards: tuple[int, ...] | None,
    dims: tuple[str, ...],
    attrs: Mapping[str, Any],
) -> zarr.Array[Any]:
    text = dtype == "str"
    squeeze = (
        ZstdCodec(level=3) if text else BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle")
    )
    return group.create_array(
        name,
        shape=shape,
        dtype=str if text else dtype,
        chunks=chunks,
        shards=shards,
        compressors=[squeeze, Crc32cCodec()],
        fill_value=_fill_value(dtype),
        dimension_names=dims,
        attributes=dict(attrs),
        chunk_key_encoding={"name": "default", "separator": "."},
        config={"write_empty_chunks": True},
    )


def _fill_value(dtype: str) -> Any:
    if dtype == "str":
        return ""
    return np.nan if np.dtype(dtype).kind == "f" else np.zeros((), dtype=dtype).item()


def _words(name: str, values: npt.NDArray[Any]) -> npt.NDArray[np.object_]:
    words = np.asarray(values, dtype=object)
    if not all(isinstance(word, str) for word in words):
        raise StoreError(
            f"column {name!r} holds values that are neither numbers nor text",
            remedy="Give it one type: text, whole numbers, floats or booleans.",
        )
    return words


def encode_map(values: npt.NDArray[Any], *, shard_size: int, rounded: bool) -> bytes:
    """Return the file of a shard of maps (row, ...).

    Parameters
    ----------
    values
        Every row of the shard.
    shard_size
        Rows in a full shard.
    rounded
        Round float32 to `KEEP_BITS` bits of mantissa first.
    """
    if rounded:
        kept = numcodecs.BitRound(keepbits=KEEP_BITS).encode(np.array(values, dtype=np.float32))
        values = np.asarray(kept).view(np.float32).reshape(values.shape)
    return encode_maps(values, size=shard_size)


def encode_column(array_json: bytes, values: npt.NDArray[Any], *, start: int) -> bytes:
    """Return the file of a shard of a column (row,).

    Parameters
    ----------
    array_json
        The array's own `zarr.json`.
    values
        Every row of the shard.
    start
        The segment's row of `values[0]`; a multiple of the shard size.
    """
    files: dict[str, Any] = {"zarr.json": cpu.Buffer.from_bytes(array_json)}
    with zarr.config.set({"array.write_empty_chunks": True}):
        array = zarr.open_array(store=zarr.storage.MemoryStore(store_dict=files), mode="r+")
        array[start : start + len(values)] = values
    (buffer,) = (value for name, value in files.items() if name != "zarr.json")
    return bytes(buffer.to_bytes())


def shard_file(shard: int, *, ndim: int) -> str:
    """Return the name of the file of a shard of an array."""
    return ".".join(["c", str(shard), *["0"] * (ndim - 1)])


def decode(values: Any, attrs: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Return stored values as they were given: times as datetime64[ns], text as `str` objects."""
    array = np.asarray(values)
    if attrs.get("units") == _TIME_UNITS:
        return array.astype(np.int64).view("datetime64[ns]")
    return array.astype(object) if array.dtype.kind in "OUT" else array


def consolidate(folder: Path) -> None:
    """Gather the metadata of every array into the group's `zarr.json`, in sorted order."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(str(folder), zarr_format=3)
    path = folder / "zarr.json"
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True, indent=1))


def distinct_headers(
    headers: npt.NDArray[np.object_],
) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Return each header once, in order of first appearance, and the place of each row's own."""
    places: dict[str, int] = {}
    rows = [places.setdefault(str(header), len(places)) for header in headers]
    return list(places), np.array(rows, dtype=np.int32)


def write_headers(path: Path, headers: list[str]) -> None:
    """Write headers as a parquet file of small row groups, so that one can be read alone."""
    schema = pa.schema([("header", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd", store_schema=False) as writer:
        for start in range(0, len(headers), _HEADERS_A_GROUP):
            part = headers[start : start + _HEADERS_A_GROUP]
            writer.write_table(pa.table({"header": part}, schema=schema))


def read_headers(path: Path, places: npt.NDArray[np.int32]) -> npt.NDArray[np.object_]:
    """Return the headers at the given places, reading only the row groups that hold them."""
    groups = np.unique(places // _HEADERS_A_GROUP)
    with pq.ParquetFile(path) as file:
        found = file.read_row_groups(groups.tolist())["header"].to_pylist()
    start = np.searchsorted(groups, places // _HEADERS_A_GROUP) * _HEADERS_A_GROUP
    return np.array([found[i] for i in start + places % _HEADERS_A_GROUP], dtype=object)


def plain_attrs(attrs: Mapping[Any, Any], *, of: str) -> dict[str, Any]:
    """Return attributes as JSON holds them: numpy numbers become numbers, tuples become lists.

    Raises
    ------
    StoreError
        naming what they are the attributes of, when one has no exact text.
    """
    try:
        plain: dict[str, Any] = json.loads(canonical_json({str(k): v for k, v in attrs.items()}))
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"the attributes of {of} cannot be stored: {error}",
            remedy="Use text, finite numbers, booleans, lists and mappings.",
        ) from error
    return plain
