"""Columns read by our own few lines are what Zarr reads, or an error."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from solarxai.store.layout import create_column, encode_column
from solarxai.store.shard import read_column

N = 9001


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> zarr.Group:
    made = zarr.create_group(str(tmp_path_factory.mktemp("columns")), zarr_format=3)
    rng = np.random.default_rng(0)
    words = np.array([f"Größe {k % 7}" * (k % 3) for k in range(N)], dtype=object)
    for name, values in {
        "number": rng.standard_normal(N),
        "whole": rng.integers(-9, 9, N).astype(np.int32),
        "truth": rng.uniform(size=N) < 0.5,
        "word": words,
        "few": rng.standard_normal(5),
    }.items():
        create_column(made, name, values, attrs={})
    return made


def folder_of(group: zarr.Group, name: str) -> Path:
    return Path(str(group.store).removeprefix("file://")) / name


def metadata_of(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "zarr.json").read_text()))


@pytest.mark.parametrize("name", ["number", "whole", "truth", "word", "few"])
def test_any_rows_are_those_that_zarr_reads(group: zarr.Group, name: str) -> None:
    expected = np.asarray(group[name][:])
    folder = folder_of(group, name)

    @settings(max_examples=25, deadline=None, database=None, derandomize=True)
    @given(st.lists(st.integers(0, len(expected) - 1), unique=True, max_size=30).map(sorted))
    def check(chosen: list[int]) -> None:
        rows = np.array(chosen, dtype=np.int64)
        found = read_column(folder, rows, array=metadata_of(folder))
        assert found.tolist() == expected[rows].tolist()

    check()


def test_a_column_written_a_shard_at_a_time_is_read_too(tmp_path: Path) -> None:
    zarr.create_array(
        str(tmp_path / "score"), shape=(10,), chunks=(4,), dtype="float64", zarr_format=3,
        compressors=[
            zarr.codecs.BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
            zarr.codecs.Crc32cCodec(),
        ],
        chunk_key_encoding={"name": "default", "separator": "."},
    )  # fmt: skip
    described = (tmp_path / "score" / "zarr.json").read_bytes()
    for start in (0, 4, 8):
        values = np.arange(start, min(start + 4, 10), dtype=np.float64)
        file = tmp_path / "score" / f"c.{start // 4}"
        file.write_bytes(encode_column(described, values, start=start))
    rows = np.array([1, 3, 4, 9])
    found = read_column(tmp_path / "score", rows, array=json.loads(described))
    assert found.tolist() == [1, 3, 4, 9]


@pytest.mark.parametrize("name", ["number", "word"])
@pytest.mark.parametrize("place", [10, -2])
def test_a_flipped_byte_is_an_error(
    group: zarr.Group, tmp_path: Path, name: str, place: int
) -> None:
    folder = folder_of(group, name)
    data = bytearray((folder / "c.0").read_bytes())
    data[place] ^= 1
    (tmp_path / "c.0").write_bytes(data)
    with pytest.raises(ValueError, match=r"c\.0 is damaged"):
        read_column(tmp_path, np.arange(N), array=metadata_of(folder))
