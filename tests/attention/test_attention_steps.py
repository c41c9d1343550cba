"""Each read-side step does what it is called, and writes that it was done."""

import numpy as np
import pytest
import xarray as xr
from scipy.signal import savgol_filter

from solarxai.attention import clip, normalise, shift_up, smooth
from solarxai.errors import ContractError


@pytest.fixture
def maps():
    values = np.random.default_rng(0).normal(0, 1, (3, 4, 240)).astype(np.float32)
    values[1, 2] = np.nan
    dims = ("sample", "slit", "wavelength")
    return xr.DataArray(values, dims=dims, attrs={"units": "logit"})


def test_the_published_chain_is_reproduced_step_by_step(maps):
    one = maps.values[0, 0].astype(np.float64)
    smoothed = savgol_filter(one, 41, 3)
    shifted = smoothed + abs(smoothed.min())
    wanted = shifted / shifted.sum()
    found = normalise(shift_up(smooth(maps)))
    np.testing.assert_allclose(found.values[0, 0], wanted, rtol=1e-4, atol=1e-7)
    assert found.attrs["steps"] == "smooth(window=41, order=3); shift_up(); normalise()"
    assert found.attrs["units"] == "1"


def test_raw_maps_stay_raw(maps):
    before = maps.copy(deep=True)
    for step in (smooth, shift_up, clip, normalise):
        step(maps)
    xr.testing.assert_identical(maps, before)


def test_dropped_spectra_stay_nan_and_touch_no_other(maps):
    for step in (smooth, shift_up, clip, normalise):
        found = step(maps)
        assert np.isnan(found.values[1, 2]).all()
        assert np.isfinite(found.values).sum() == 11 * 240
        assert found.dtype == np.float32


def test_a_spectrum_without_negative_values_is_not_shifted(maps):
    positive = abs(maps) + 1
    np.testing.assert_array_equal(shift_up(positive), positive)
    assert float(shift_up(maps).min()) == 0


def test_clipping_keeps_signs_and_bounds_the_largest(maps):
    found = clip(maps, percentile=90)
    top = np.percentile(np.abs(maps.values[np.isfinite(maps.values)]), 90)
    assert float(abs(found).max()) == pytest.approx(top)
    assert (np.sign(found.fillna(0)) == np.sign(maps.fillna(0))).all()


def test_spectra_without_attribution_have_no_share(maps):
    assert np.isnan(normalise(maps * 0)).all()


def test_steps_that_do_not_fit_are_refused(maps):
    with pytest.raises(ContractError, match="41 points and order 3 does not fit spectra of 30"):
        smooth(maps.isel(wavelength=slice(30)))
    with pytest.raises(ContractError, match="40 points and order 3"):
        smooth(maps, window=40)
    with pytest.raises(ContractError, match=r"percentile 0 is not in"):
        clip(maps, percentile=0)
