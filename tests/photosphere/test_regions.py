"""Dark regions: the connected pixels that `scipy.ndimage.label` finds, whatever their shape."""

import numpy as np
import pytest
from scipy import ndimage

from solarxai.photosphere.regions import Resolution, find_regions

FINE = Resolution(scale_mm=1.6, blur_mm=0.6)
"""Of pixels larger than twice a neck, so that nothing is cut, and than the resolution element."""


def speckled(shape, share):
    """Return an image of which so many pixels are dark, some at every border."""
    return np.where(np.random.default_rng(0).random(shape) < share, 0.5, 1.0).astype(np.float32)


@pytest.mark.parametrize("shape", [(40, 60), (1, 50), (50, 1)])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.55, 1.0])
def test_regions_are_the_patches_that_scipy_labels(shape, share):
    image = speckled(shape, share)
    labels, count = ndimage.label(image < 0.9)
    regions, lesser, counts = find_regions(image, outline=0.9, resolution=FINE)
    assert len(regions) == count
    assert not lesser
    assert counts == {"smaller than the resolution": 0, "too shallow": 0}
    assert [region.patch for region in regions] == list(range(1, count + 1))
    for region, box in zip(regions, ndimage.find_objects(labels), strict=True):
        assert (region.rows, region.columns) == box
        assert np.array_equal(region.mask, labels[box] == region.patch)


def test_patches_below_the_resolution_are_counted_alone():
    image = np.ones((20, 20), dtype=np.float32)
    image[3:9, 4:10] = image[15, 15] = image[0, 19] = image[1, 0] = 0.5
    (region,), lesser, counts = find_regions(
        image, outline=0.9, resolution=Resolution(scale_mm=0.36, blur_mm=0.4)
    )
    assert (region.rows, region.columns, region.mask.sum()) == (slice(3, 9), slice(4, 10), 36)
    assert not lesser
    assert counts == {"smaller than the resolution": 3, "too shallow": 0}
