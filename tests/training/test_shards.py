"""Samples whose images stay in their blocks are the samples that `open_samples` reads."""

import os
from functools import cache

import block_folders
import h5py
import numpy as np
import pytest

from solarxai import blocks
from solarxai.errors import IngestError
from solarxai.provenance import array_hash
from solarxai.schema import mock_samples
from solarxai.spectrograms import flatten
from solarxai.training.parts import Part
from solarxai.training.shards import BlockFolder, Shard, samples_hash


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    return block_folders.patches(tmp_path_factory.mktemp("patches") / "samples")


@pytest.fixture(scope="module")
def spectrograms(tmp_path_factory):
    return block_folders.spectrograms(tmp_path_factory.mktemp("spectrograms") / "samples")


@cache
def both(folder, *, spectra=False):
    """Return the samples of a folder in memory, and with their images in the files."""
    whole, opened = blocks.open_samples(folder), BlockFolder.open(folder)
    whole = block_folders.sided(flatten(whole) if spectra else whole)
    sharded = opened.shown(opened.columns, spectra=spectra)
    columns = block_folders.sided(sharded.columns)
    return whole, type(sharded)(columns=columns, images=sharded.images)


CASES = [("patches", False), ("spectrograms", False), ("spectrograms", True)]


@pytest.mark.parametrize(("kind", "spectra"), CASES)
def test_images_and_columns_are_those_in_memory(kind, spectra, request):
    whole, sharded = both(request.getfixturevalue(kind), spectra=spectra)
    np.testing.assert_array_equal(sharded.images[:], whole["image"].values)
    assert sharded.images.shape == whole["image"].shape == sharded.columns["image"].shape
    compared = [name for name in sharded.columns.variables if name not in ("image", "split")]
    assert {"sample_id", "label", "region", "time"} < set(compared)
    for name in compared:
        np.testing.assert_array_equal(sharded.columns[name].values, whole[name].values)


@pytest.mark.parametrize(("kind", "spectra"), CASES)
def test_rows_are_read_in_any_order_and_again(kind, spectra, request):
    whole, sharded = both(request.getfixturevalue(kind), spectra=spectra)
    rows = np.random.default_rng(0).integers(0, len(sharded.images), 50)
    np.testing.assert_array_equal(sharded.images[rows], whole["image"].values[rows])
    some = sharded.images.select(rows)
    assert len(some) == 50
    np.testing.assert_array_equal(some[3:20], whole["image"].values[rows][3:20])


@pytest.mark.parametrize(("kind", "spectra"), CASES)
def test_the_hash_of_samples_is_that_in_memory(kind, spectra, request):
    whole, sharded = both(request.getfixturevalue(kind), spectra=spectra)
    names = ("sample_id", "image", "label", "region", "split")
    assert samples_hash(sharded) == array_hash(*(whole[name].values for name in names))
    assert samples_hash(whole) == samples_hash(sharded)


def test_a_part_reads_nothing_until_it_is_asked(patches):
    whole, sharded = both(patches)
    part, known = Part.of(sharded, "train"), Part.of(whole, "train")
    np.testing.assert_array_equal(part.truth, known.truth)
    np.testing.assert_array_equal(part.images[:], known.images)
    drawn, expected = part.drawn(10, 3), known.drawn(10, 3)
    assert type(drawn.images) is type(sharded.images)
    np.testing.assert_array_equal(drawn.images[:], expected.images)


def test_the_stand_in_of_the_images_takes_no_memory(patches):
    _, sharded = both(patches)
    assert sharded.columns["image"].values.strides == (0, 0, 0)
    assert "header" not in sharded.columns
    assert not [name for name in sharded.columns.variables if str(name).startswith("wcs_")]


def test_images_that_are_compressed_are_read_too(patches, tmp_path):
    source = sorted(patches.glob("*.nc"))[0]
    with h5py.File(source) as file:
        images = file["image"][...]
    with h5py.File(tmp_path / "packed.h5", "w") as file:
        file.create_dataset("image", data=images, chunks=(2, 8, 8), compression="gzip")
    plain = BlockFolder.open(patches).shards[0]
    packed = Shard(path=tmp_path / "packed.h5", offset=None, shape=images.shape)
    assert plain.offset is not None
    places = np.array([0, 3, 4, 9])
    for shard in (plain, packed):
        np.testing.assert_array_equal(shard.read(places, images.shape[1:]), images[places])


def test_only_the_pieces_that_are_needed_are_read(tmp_path, monkeypatch):
    values = np.arange(1000 * 1024, dtype=np.float32).reshape(1000, 32, 32)
    values.tofile(tmp_path / "plain")
    shard = Shard(path=tmp_path / "plain", offset=0, shape=values.shape)
    asked, preadv = [], os.preadv

    def counted(descriptor, buffers, at):
        asked.append(sum(map(len, buffers)))
        return preadv(descriptor, buffers, at)

    monkeypatch.setattr(os, "preadv", counted)
    places = np.array([5, 6, 7, 500, 999])
    np.testing.assert_array_equal(shard.read(places, (32, 32)), values[places])
    assert asked == [3 * 4096, 4096, 4096]
    asked.clear()
    np.testing.assert_array_equal(shard.read(np.arange(0, 1000, 3), (32, 32)), values[::3])
    assert len(asked) == 1


def test_a_block_that_became_shorter_is_told(tmp_path):
    (tmp_path / "cut.nc").write_bytes(bytes(4096))
    shard = Shard(path=tmp_path / "cut.nc", offset=0, shape=(2, 32, 32))
    with pytest.raises(IngestError, match=r"cut.nc: its images cannot be read \(it ends at"):
        shard.read(np.array([0, 1]), (32, 32))
    with pytest.raises(IngestError, match="No such file"):
        Shard(path=tmp_path / "gone.nc", offset=0, shape=(2, 32, 32)).read(np.array([0]), (32, 32))


def test_folders_that_are_none_are_refused(tmp_path, patches):
    with pytest.raises(IngestError, match=r"there are no blocks \(\*.nc\) here"):
        BlockFolder.open(tmp_path)
    (tmp_path / "a.nc").write_bytes(b"no block")
    with pytest.raises(IngestError, match=r"a\.nc: not a block of samples"):
        BlockFolder.open(tmp_path)
    mixed = block_folders.patches(tmp_path / "mixed", n=4, count=1)
    larger = mock_samples(8, size=24, seed=1).isel(sample=slice(4, 8))
    blocks.save_block(larger, mixed / "01.nc")
    with pytest.raises(IngestError, match=r"differ in sizes or wavelengths: \[\(16, 16\), \(24,"):
        BlockFolder.open(mixed)


def test_the_bound_counts_the_window_what_is_read_ahead_and_what_is_being_read(patches):
    opened = BlockFolder.open(patches)
    block = 15 * 16 * 16 * 4
    assert (opened.largest, opened.nbytes) == (block, 4 * block)
    assert opened.bound(2, 0) == (2 + 1) * block
    assert opened.bound(2, 1) == (2 + 2 + 1) * block
    assert opened.bound(3, 2) == (3 + 4 + 2) * block
