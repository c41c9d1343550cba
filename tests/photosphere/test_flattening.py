"""Strips change nothing, and the quiet level does not hang on rounding."""

import numpy as np
import pytest
from painted_sun import HMI, SCALE_MM, blurred, observation, quiet, spot, wcs_header
from scipy import ndimage

from solarxai.photosphere import describe, flatten, limb_darkening, mu, strips
from solarxai.photosphere.flattening import _block_means, _local_residual, flattened
from solarxai.photosphere.smoothing import smooth

FAR_OUT = wcs_header(CRVAL1=700.0, CRVAL2=-250.0, CRPIX1=200.5, CRPIX2=200.5)


def near_the_limb():
    """A field so far from disk centre that two terms in μ enter the fit."""
    header = wcs_header(CRVAL1=780.0, CRPIX1=200.5, CRPIX2=200.5, CDELT1=0.7, CDELT2=0.7)
    empty = observation(np.ones((400, 400)), header=header, limb_darkened=1)
    image = blurred(spot(quiet((400, 400)), 120, 200)) * limb_darkening(mu(empty))
    return observation(image, header=header, limb_darkened=1)


@pytest.mark.parametrize("pixels", [1, 5000])
def test_strips_of_any_height_give_the_same_bits(monkeypatch, pixels):
    image = blurred(spot(quiet((150, 90)), 40, 70))
    image[:9, :9] = np.nan
    source = observation(image, header=FAR_OUT, limb_darkened=1)
    whole = describe(source, thresholds=HMI)
    monkeypatch.setattr(strips, "_PIXELS_AT_ONCE", pixels)
    parts = describe(source, thresholds=HMI)
    for name in ("intensity", "mu", "segmentation"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name), equal_nan=True)
    assert whole.discarded == parts.discarded
    assert [s.measurements for s in whole.structures] == [s.measurements for s in parts.structures]


def test_strips_cover_every_row_once_in_multiples(monkeypatch):
    monkeypatch.setattr(strips, "_PIXELS_AT_ONCE", 70)
    found = list(strips.strips((23, 10), multiple=3))
    assert [rows.stop - rows.start for rows in found] == [6, 6, 6, 5]
    assert found[-1].stop == 23


def test_quiet_level_near_the_limb_does_not_hang_on_the_rounding_of_mu():
    source = near_the_limb()
    angle = mu(source)
    assert np.ptp(angle) > 0.3
    either = np.random.default_rng(0).choice([0, 2], angle.shape).astype(np.float32)
    rounded = np.nextafter(angle, either)
    assert (rounded != angle).all()
    flat, other = (flattened(source, each, HMI) for each in (angle, rounded))
    assert np.abs(flat - other).max() < 3e-6


def test_smoothing_leaves_its_image_alone_and_takes_the_unknown_for_quiet():
    image = quiet((40, 40)).astype(np.float32)
    image[5, 5] = np.nan
    before = image.copy()
    smoothed = smooth(image, 1.0)
    assert np.array_equal(image, before, equal_nan=True)
    filled = np.where(np.isnan(image), 1, image)
    assert np.array_equal(smoothed, smooth(filled.astype(np.float32), 1.0))


@pytest.mark.parametrize("sigma", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("shape", [(61, 45), (3, 200), (5, 4)])
def test_smoothing_is_the_gaussian_filter_of_scipy_in_any_strips(monkeypatch, shape, sigma):
    monkeypatch.setattr(strips, "_PIXELS_AT_ONCE", 4 * shape[1])
    image = np.random.default_rng(0).normal(1, 0.1, shape).astype(np.float32)
    found = ndimage.gaussian_filter(image, sigma, truncate=3.0)
    assert smooth(image, sigma) == pytest.approx(found, abs=5e-7)


def test_the_local_residual_is_a_gaussian_average_of_quiet_blocks_alone():
    rng = np.random.default_rng(0)
    ratio, everywhere = rng.normal(1, 0.02, (12, 30)), rng.random((12, 30)) < 0.7
    weight, excess = (
        ndimage.gaussian_filter(field, 2.5, mode="constant")
        for field in (everywhere.astype(float), np.where(everywhere, ratio - 1, 0.0))
    )
    found = _local_residual(ratio, everywhere, sigma=2.5)
    assert found == pytest.approx(1 + excess / np.maximum(weight, 0.05), abs=1e-13)


def test_block_means_leave_out_what_is_unknown_and_blocks_that_mostly_are():
    image = np.arange(35, dtype=np.float32).reshape(5, 7)
    image[0, 0] = np.nan
    left_out = np.zeros(image.shape, dtype=bool)
    left_out[:2, 4:6] = True
    means = _block_means(image, 2, left_out)
    assert means.shape == (3, 4)
    assert means[0, 0] == pytest.approx((1 + 7 + 8) / 3)
    assert means[2, 3] == image[4, 6]
    assert means[0, 3] == image[:2, 6].mean()
    assert np.argwhere(np.isnan(means)).tolist() == [[0, 2]]


def test_limb_darkening_in_float32_is_that_in_float64_to_its_rounding():
    angles = np.linspace(0.1, 1, 1000, dtype=np.float32)
    found = limb_darkening(angles)
    assert found.dtype == np.float32
    assert found == pytest.approx(limb_darkening(angles.astype(np.float64)), rel=5e-7)
    assert np.isnan(limb_darkening(np.array([0, -0.1, np.nan], dtype=np.float32))).all()


def test_flatten_gives_the_field_of_flattened():
    source = observation(quiet(), scale_mm=SCALE_MM)
    assert np.array_equal(flatten(source, HMI), flattened(source, mu(source), HMI))
