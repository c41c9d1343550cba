"""Folders of blocks of samples, as ingest leaves them, for tests of training from them."""

import numpy as np

from solarxai import blocks
from solarxai.schema import mock_samples, mock_spectrograms


def patches(folder, *, n=60, count=4, size=16, seed=0):
    """Write patches to so many blocks, neighbours in time to different ones; return the folder."""
    folder.mkdir(parents=True)
    samples = mock_samples(n, size=size, seed=seed)
    for number in range(count):
        rows = np.arange(number, n, count)
        blocks.save_block(samples.isel(sample=rows), folder / f"{number:02d}.nc")
    return folder


def spectrograms(folder, *, n=80, count=3, length=64):
    """Write spectrograms to so many blocks, the slits of one of them shorter; return the folder."""
    folder.mkdir(parents=True)
    samples = mock_spectrograms(n, slits=4, length=length)
    for number in range(count):
        rows = np.arange(number, n, count)
        block = samples.isel(sample=rows, slit=slice(1, 4) if number == 2 else slice(None))
        blocks.save_block(block, folder / f"{number:02d}.nc")
    return folder


def sided(samples):
    """Return samples with three regions in five to train, one to validate, one to test."""
    number = [int(region.split()[1]) for region in samples["region"].values]
    sides = np.array(["train", "train", "train", "validation", "test"], dtype=object)
    return samples.assign_coords(split=("sample", sides[np.array(number) // 2 % 5]))
