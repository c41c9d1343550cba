"""Blocks: joined, written, opened, and refused by name."""

import errno
import json
import os
import resource
import shutil
import signal
import types

import h5py
import numpy as np
import pytest
import xarray as xr
from painted_sun import HMI, blurred, observation, paint, quiet

from solarxai.blocks import BEYOND, concatenate, counts, open_samples, save_block
from solarxai.errors import IngestError, SchemaError
from solarxai.patches import cut
from solarxai.photosphere import describe
from solarxai.schema import (
    mock_samples,
    mock_spectrograms,
)


def cut_image(image, *, shape=(64, 64), scale_mm=0.5, **options):
    source = observation(image, **options)
    photosphere = describe(source, thresholds=HMI)
    return source, photosphere, cut(source, photosphere, shape=shape, scale_mm=scale_mm)


def pore(x=80.3, y=79.6, **options):
    return cut_image(blurred(paint(quiet(), x, y, 3.0, 0.2)), **options)


def test_block_comes_back_as_it_was_written(tmp_path):
    _, _, samples = pore()
    save_block(samples, tmp_path / "a.nc")
    back = open_samples(tmp_path)
    xr.testing.assert_identical(back, samples)
    assert all(back[name].dtype == samples[name].dtype for name in samples.variables)


def test_same_samples_give_the_same_bytes_and_no_other_file(tmp_path):
    _, _, samples = pore()
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        save_block(samples, tmp_path / folder / "a.nc")
    first, second = (tmp_path / folder / "a.nc" for folder in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in first.parent.iterdir()] == ["a.nc"]


def test_blocks_without_samples_keep_their_counts(tmp_path):
    _, _, empty = pore(x=16.0, y=16.0)
    _, _, full = pore(observation="other")
    save_block(empty, tmp_path / "a.nc")
    assert open_samples(tmp_path).sizes["sample"] == 0
    save_block(full, tmp_path / "b.nc")
    both = open_samples(tmp_path)
    assert both.sizes["sample"] == 1
    assert both["label"].dtype == object
    assert counts(both)["observations"] == 2
    assert counts(both)["patch mostly beyond the border"] == 1


def test_joined_blocks_are_sorted_by_time_and_name():
    _, _, first = pore(observation="b")
    _, _, second = pore(observation="a")
    _, _, third = pore(observation="c")
    third = third.assign_coords(time=third["time"] - np.timedelta64(1, "h"))
    joined = concatenate([first, second, third])
    assert joined["observation"].values.tolist() == ["c", "a", "b"]
    assert json.loads(joined.attrs["counts"])["pore samples"] == 3


def test_blocks_of_other_shapes_or_none_are_refused():
    _, _, small = pore(shape=(32, 32))
    _, _, large = pore(observation="other")
    with pytest.raises(SchemaError, match="blocks differ in"):
        concatenate([small, large])
    with pytest.raises(SchemaError, match="no blocks of samples to join"):
        concatenate([])


def test_folder_without_blocks_and_file_that_is_none_are_refused(tmp_path):
    with pytest.raises(IngestError, match="no blocks"):
        open_samples(tmp_path)
    (tmp_path / "a.nc").write_text("no netCDF")
    with pytest.raises(IngestError, match=r"a\.nc: not a block of samples"):
        open_samples(tmp_path)


def test_a_block_damaged_inside_is_refused_by_name(tmp_path):
    path = tmp_path / "a.nc"
    save_block(mock_samples(20), path)
    with h5py.File(path) as file:
        place = file["segmentation"].id.get_chunk_info(0)
    whole = bytearray(path.read_bytes())
    for byte in range(place.byte_offset, place.byte_offset + place.size):
        whole[byte] ^= 0xA5
    path.write_bytes(whole)
    with pytest.raises(IngestError, match=r"a\.nc: not a block of samples"):
        open_samples(tmp_path)


@pytest.mark.parametrize(("free", "told"), [(0, errno.ENOSPC), (10**12, errno.EIO)])
def test_a_block_that_the_system_does_not_take_leaves_nothing(tmp_path, monkeypatch, free, told):
    """A limit of file sizes stands for a full disk: the writing itself fails."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=free))
    samples, limits = mock_samples(20), resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match=os.strerror(told)) as refused:
            save_block(samples, tmp_path / "a.nc")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert refused.value.errno == told
    assert list(tmp_path.iterdir()) == []


def test_spectrograms_of_shorter_slits_are_padded_and_marked(tmp_path):
    long, short = mock_spectrograms(8, slits=12), mock_spectrograms(16, slits=9)
    short = short.isel(sample=slice(8, 16))
    for place, block in enumerate((long, short)):
        save_block(block, tmp_path / f"{place}.nc")
    joined = open_samples(tmp_path)
    assert joined["wavelength"].dims == ("wavelength",)
    assert joined.sizes == {"sample": 16, "slit": 12, "wavelength": 240}
    padded = joined.isel(sample=slice(8, 16), slit=slice(9, 12))
    assert np.isnan(padded["image"]).all()
    assert (padded["quality"] == BEYOND).all()
    assert joined["quality"].dtype == np.uint8
    np.testing.assert_array_equal(joined["image"][8:, :9], short["image"])


def test_spectra_on_other_wavelengths_are_not_joined():
    first = mock_spectrograms(8)
    other = mock_spectrograms(16).isel(sample=slice(8, 16))
    with pytest.raises(SchemaError, match="wavelengths"):
        concatenate([first, other.assign_coords(wavelength=other["wavelength"] + 1)])
    with pytest.raises(SchemaError, match="kind"):
        concatenate([first, mock_samples(4)])
