"""Mean and deviation of images are those of numpy, to the last bit, however they are read."""

import numpy as np
import pytest

from solarxai.schema import PATCH, SPECTRUM
from solarxai.training.moments import moments


class Counted:
    """Images that say how many of them were asked for at once."""

    def __init__(self, images):
        self._images = images
        self.shape = images.shape
        self.most = 0

    def __len__(self):
        return len(self._images)

    def __getitem__(self, rows):
        found = self._images[rows]
        self.most = max(self.most, found.size)
        return found


@pytest.mark.parametrize("shape", [(37, 32, 32), (333, 64, 64), (1000, 60, 61), (3, 5, 7)])
def test_patches_have_the_moments_of_numpy(shape):
    images = np.random.default_rng(1).normal(1, 0.3, shape).astype(np.float32)
    counted = Counted(images)
    expected = float(images.mean(dtype=float)), float(images.std(dtype=float))
    assert moments(counted, PATCH) == expected
    assert counted.most <= 2 * (1 << 18)


@pytest.mark.parametrize("shape", [(5, 240), (70_001, 24), (9000, 240)])
def test_spectra_have_the_moments_of_numpy_without_the_missing_ones(shape):
    images = np.random.default_rng(2).normal(1, 0.3, shape).astype(np.float32)
    images[1] = np.nan
    blocks = [images[i : i + 65_536] for i in range(0, len(images), 65_536)]
    n = sum(int(np.isfinite(b).sum()) for b in blocks)
    mean = sum(float(np.nansum(b, dtype=float)) for b in blocks) / n
    square = sum(float(np.nansum((b - mean) ** 2, dtype=float)) for b in blocks) / n
    assert moments(images, SPECTRUM) == (mean, float(np.sqrt(square)))
