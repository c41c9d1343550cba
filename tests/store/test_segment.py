"""What is on the disk is exact, and the same bytes everywhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from stored_segment import (
    METHODS,
    N_ROWS,
    SHARD_SIZE,
    attributed,
    begin,
    contents,
    fill,
    rows,
)

from solarxai.errors import StoreError
from solarxai.store import Store, create_store
from solarxai.store.segment import Segment


def test_a_segment_opens_with_plain_open_zarr(sealed: Segment) -> None:
    samples = rows()
    with xr.open_zarr(sealed.path) as opened:
        assert set(opened.coords) == set(samples.coords) - {"header"}
        np.testing.assert_array_equal(opened["time"], samples["time"])
        assert opened["label"].values.tolist() == samples["label"].values.tolist()
        np.testing.assert_array_equal(opened["image"], samples["image"])
        assert opened["gradient"].dims == ("sample", "y", "x")
        assert opened["wcs"].attrs["ctype1"] == "HPLN-TAN"
        assert "crval1" not in opened["wcs"].attrs


def test_images_and_columns_come_back_to_the_last_bit(sealed: Segment) -> None:
    samples = rows()
    again = xr.concat([sealed.samples(shard) for shard in sealed.shards], dim="sample")
    xr.testing.assert_identical(again, samples[list(again)])
    assert set(again.variables) == set(samples.variables)
    assert {name: again[name].dtype for name in again} == {n: samples[n].dtype for n in samples}


def test_times_keep_their_nanoseconds(store: Store) -> None:
    samples = rows()
    samples["time"] = samples["time"] + np.timedelta64(123_456_789, "ns")
    segment = begin(store, samples)
    with xr.open_zarr(segment.path) as opened:
        np.testing.assert_array_equal(opened["time"], samples["time"])
    assert json.loads((segment.path / "time" / "zarr.json").read_text())["data_type"] == "int64"


def test_maps_keep_ten_bits_of_mantissa_and_say_so(sealed: Segment) -> None:
    exact = attributed(rows())
    for name in ("gradient", "expected_gradients_stderr"):
        stored = sealed.read(name, np.arange(N_ROWS))
        np.testing.assert_allclose(stored, exact[name], rtol=2**-11)
        assert not (stored.view(np.uint32) & (2**13 - 1)).any()
        assert sealed.describe(name).attrs["bitround_keep_bits"] == 10
    np.testing.assert_array_equal(sealed.read("score", np.arange(N_ROWS)), exact["score"])


def test_each_map_is_a_chunk_and_each_shard_a_file(sealed: Segment) -> None:
    array = zarr.open_array(sealed.path / "gradient")
    assert array.chunks == (1, 16, 16)
    assert array.shards == (SHARD_SIZE, 16, 16)
    files = {path.name for path in (sealed.path / "gradient").iterdir()} - {"zarr.json"}
    assert files == {"c.0.0.0", "c.1.0.0", "c.2.0.0"}


def test_the_shards_are_those_that_zarr_writes_itself(sealed: Segment, tmp_path: Path) -> None:
    for name in ("image", "segmentation", "central", "gradient"):
        values = sealed.read(name, np.arange(N_ROWS))
        shutil.copytree(sealed.path / name, tmp_path / name)
        for file in (tmp_path / name).glob("c.*"):
            file.unlink()
        with zarr.config.set({"array.write_empty_chunks": True}):
            array = zarr.open_array(tmp_path / name, mode="r+")
            array[:] = values
            np.testing.assert_array_equal(array[:], values)
        assert contents(tmp_path / name) == contents(sealed.path / name), name


def test_a_shard_that_holds_only_fill_values_is_written_too(store: Store) -> None:
    segment = begin(store, rows())
    maps = attributed(segment.samples(0))
    maps["predicted"] = maps["predicted"].copy(data=np.array([""] * SHARD_SIZE, dtype=object))
    segment.write(0, maps)
    assert segment.holds(0)


def test_each_header_is_stored_once(sealed: Segment) -> None:
    places = sealed.read("header_place", np.arange(N_ROWS))
    assert places.tolist() == [r // 3 for r in range(N_ROWS)]
    assert sealed.read("header", np.array([9, 0])).tolist() == ["N = 3", "N = 0"]


def test_rows_come_back_in_the_order_asked_for(sealed: Segment) -> None:
    image = rows()["image"].values
    for chosen in ([7, 2, 2, 9], [3, 4, 5], [5, 4, 3], []):
        got = sealed.read("image", np.array(chosen, dtype=np.int64), (slice(None), 3))
        np.testing.assert_array_equal(got, image[chosen, :, 3])


def test_the_segment_explains_itself(sealed: Segment) -> None:
    assert sealed.checkpoint.read_bytes() == b"weights"
    assert sealed.provenance == {"code": "abc", "seeds": [0]}
    assert sealed.methods == METHODS
    assert sealed.describe("expected_gradients_stderr").attrs["method"] == "expected_gradients"


def test_a_segment_without_a_classifier_says_so(store: Store) -> None:
    with pytest.raises(StoreError, match="holds no classifier"):
        _ = begin(store, rows(), checkpoint=None).checkpoint


def test_the_same_input_gives_the_same_bytes_elsewhere(tmp_path: Path, sealed: Segment) -> None:
    other = create_store(tmp_path / "a" / "longer" / "path")
    segment = begin(other, rows())
    for shard in reversed(segment.missing()):
        segment.write(shard, attributed(segment.samples(shard)))
    assert segment.seal() == sealed.root_hash
    assert contents(segment.path) == contents(sealed.path)
    assert other.root_hash() == Store(sealed.path.parents[1]).root_hash()


def test_another_value_gives_another_root_hash(tmp_path: Path, sealed: Segment) -> None:
    samples = rows()
    samples["image"].values[7, 0, 0] += 0.5
    assert fill(begin(create_store(tmp_path / "other"), samples)).seal() != sealed.root_hash


def test_no_file_names_the_place_it_stands_in(sealed: Segment, tmp_path: Path) -> None:
    for name, data in contents(sealed.path).items():
        assert str(tmp_path).encode() not in data, name


def test_without_a_template_a_method_is_one_map(store: Store) -> None:
    segment = begin(store, rows(), variables=None)
    assert segment.written_variables == ("expected_gradients", "gradient", "predicted", "score")


def test_a_score_known_before_is_stored_as_a_column(store: Store) -> None:
    samples = rows().assign(score=("sample", np.arange(10.0)))
    segment = begin(store, samples)
    assert "score" not in segment.written_variables
    np.testing.assert_array_equal(fill(segment).read("score", np.arange(10)), np.arange(10.0))


def test_maps_of_another_grid_are_stored_as_they_are(store: Store) -> None:
    samples = rows()
    template = attributed(samples).assign(
        gradient_features=(("sample", "cell_y", "cell_x"), np.ones((10, 2, 3), dtype=np.float32))
    )
    segment = begin(store, samples, variables=template)
    assert segment.describe("gradient_features").shape == (10, 2, 3)
    assert segment.describe("gradient_features").attrs["method"] == "gradient"


def test_zarr_is_told_not_to_thread_blosc() -> None:
    """Threads of blosc write blocks in the order they finish, hence other bytes each time."""
    import numcodecs

    assert zarr.codecs.BloscCodec
    assert numcodecs.blosc.use_threads is False
