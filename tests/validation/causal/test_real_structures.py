"""The interventions on a real spot."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from scipy import ndimage

from solarxai.inpainting import measure_granulation
from solarxai.schema import PENUMBRA, QUIET, UMBRA
from solarxai.validation.causal.interventions import Patch, pictures, quiet_mask

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def patch(real_data):
    """Return the spot of the HMI cube, 64 by 64 pixels of 0.504 arcsec, segmented by threshold."""
    with fits.open(real_data / "hmi" / "cube_sunspot.fits") as file:
        image = file[0].data[0].astype(np.float32)
    image /= np.median(image)
    parts, _ = ndimage.label(ndimage.gaussian_filter(image, 1) < 0.9)
    spot = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    y, x = (round(c) for c in ndimage.center_of_mass(spot))
    window = slice(y - 32, y + 32), slice(x - 32, x + 32)
    image, spot = image[window], spot[window]
    segmentation = np.where(spot, np.where(image < 0.55, UMBRA, PENUMBRA), QUIET).astype(np.uint8)
    return Patch(
        image=image,
        segmentation=segmentation,
        central=spot,
        granulation=measure_granulation(image, quiet_mask(segmentation)),
        sample_id="cube",
        scale_mm=0.366,
        seed=0,
    )


def test_a_real_penumbra_becomes_quiet_sun_without_an_outline(patch):
    made = pictures(patch, "sunspot")["penumbra removed"]
    penumbra, umbra = patch.part(PENUMBRA), patch.part(UMBRA)
    inside = penumbra & ~ndimage.binary_dilation(umbra, iterations=3)
    outline = ndimage.binary_dilation(penumbra | umbra, iterations=3) & ~(penumbra | umbra)
    quiet = patch.image[patch.quiet]
    assert patch.image[outline].mean() < 0.98 * quiet.mean()
    assert made[inside].mean() == pytest.approx(quiet.mean(), abs=0.01)
    assert made[outline].mean() == pytest.approx(quiet.mean(), abs=0.01)
    assert made[inside].std() == pytest.approx(quiet.std(), rel=0.25)


def test_the_umbra_of_a_real_spot_stays(patch):
    made = pictures(patch, "sunspot")["penumbra removed"]
    umbra = patch.part(UMBRA)
    np.testing.assert_array_equal(made[umbra], patch.image[umbra])
