"""The bytes of files of maps and columns: the sharding codec of Zarr v3.

Each map is a chunk, as 4096 values of a column are. Numbers are compressed by blosc (zstd, level
3, bitshuffle), text by zstd; each chunk is closed by its crc32c, and the file ends with a table of
(offset, length) and the crc32c of that table. Zarr writes and reads the same bytes; it spends
0.3 ms a chunk on its general machinery, which would outweigh the maps themselves.

References
----------
https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from numcodecs import Blosc, VLenUTF8, Zstd
from numcodecs.checksum32 import CRC32C

__all__ = ["encode_maps", "read_column", "read_maps"]

_BLOSC = Blosc(cname="zstd", clevel=3, shuffle=Blosc.BITSHUFFLE)
_ZSTD = Zstd(level=3)
_TEXT = VLenUTF8()
_CRC = CRC32C(location="end")
_CRC_BYTES = 4
_EMPTY = np.uint64(2**64 - 1)


def encode_maps(maps: npt.NDArray[Any], *, size: int) -> bytes:
    """Return the file of a shard.

    Parameters
    ----------
    maps
        (row, ...), at most `size` rows: the last shard of an array may have fewer.
    size
        Rows in a full shard.
    """
    table = np.full((size, 2), _EMPTY, dtype="<u8")
    chunks: list[bytes] = []
    offset = 0
    for row, one in enumerate(np.ascontiguousarray(maps)):
        chunks.append(bytes(_CRC.encode(_BLOSC.encode(np.ascontiguousarray(one)))))
        table[row] = offset, len(chunks[-1])
        offset += len(chunks[-1])
    return b"".join([*chunks, bytes(_CRC.encode(table.tobytes()))])


def read_maps(
    path: Path, rows: npt.NDArray[np.int64], *, size: int, shape: tuple[int, ...], dtype: str
) -> npt.NDArray[Any]:
    """Return maps (row, *shape) from the file of a shard, every checksum on the way compared.

    Parameters
    ----------
    path
        The file.
    rows
        Rows wanted, counted from the first of the shard.
    size
        Rows in a full shard.
    shape, dtype
        Of one map.

    Raises
    ------
    ValueError
        when the file is missing or damaged, or does not hold a row.
    """
    maps = np.empty((len(rows), *shape), dtype=dtype)
    try:
        with path.open("rb") as file:
            file.seek(-(16 * size + _CRC_BYTES), 2)
            table = np.frombuffer(_CRC.decode(file.read()), dtype="<u8").reshape(size, 2)
            for place, (offset, length) in enumerate(table[rows].tolist()):
                file.seek(offset)
                data = _BLOSC.decode(_CRC.decode(file.read(length)))
                maps[place] = np.frombuffer(data, dtype=dtype).reshape(shape)
    except (OSError, RuntimeError, OverflowError, ValueError) as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
    return maps


def read_column(
    folder: Path, rows: npt.NDArray[np.int64], *, array: Mapping[str, Any]
) -> npt.NDArray[Any]:
    """Return values (row,) of a column, every checksum on the way compared.

    Opening a group and reading a column of it takes Zarr 10 ms, of which little is the reading: a
    query would spend most of its time there.

    Parameters
    ----------
    folder
        The array's.
    rows
        Rows wanted, sorted.
    array
        The array's metadata (`zarr.json`): numbers or text, with or without shards.

    Raises
    ------
    ValueError
        when a file is missing or damaged, or does not hold a row.
    """
    (size,) = array["chunk_grid"]["configuration"]["chunk_shape"]
    codec = array["codecs"][0]
    sharded = codec["name"] == "sharding_indexed"
    (chunk,) = codec["configuration"]["chunk_shape"] if sharded else [size]
    kind = array["data_type"]
    found = np.empty(len(rows), dtype=object if kind == "string" else kind)
    for number in np.unique(rows // size).tolist():
        own = rows // size == number
        path = folder / f"c.{number}"
        try:
            with path.open("rb") as file:
                table = _table(file, size // chunk) if sharded else [(0, path.stat().st_size)]
                found[own] = _values(file, table, rows[own] - number * size, chunk, kind)
        except (OSError, RuntimeError, OverflowError, ValueError, IndexError) as error:
            raise ValueError(f"{path.name} is damaged: {error}") from error
    return found


def _table(file: BinaryIO, chunks: int) -> list[tuple[int, int]]:
    """Return offset and length of each chunk of a shard."""
    file.seek(-(16 * chunks + _CRC_BYTES), 2)
    flat = np.frombuffer(_CRC.decode(file.read()), dtype="<u8").reshape(chunks, 2)
    return [(int(offset), int(length)) for offset, length in flat]


def _values(
    file: BinaryIO,
    table: list[tuple[int, int]],
    rows: npt.NDArray[np.int64],
    chunk: int,
    kind: str,
) -> npt.NDArray[Any]:
    """Return values at rows of a file, each of whose chunks holds `chunk` of them."""
    parts = []
    for number in np.unique(rows // chunk).tolist():
        offset, length = table[number]
        file.seek(offset)
        data = _CRC.decode(file.read(length))
        if kind == "string":
            values = np.asarray(_TEXT.decode(_ZSTD.decode(data)), dtype=object)
        else:
            values = np.frombuffer(_BLOSC.decode(data), dtype=kind)
        parts.append(values[rows[rows // chunk == number] - number * chunk])
    return np.concatenate(parts)
