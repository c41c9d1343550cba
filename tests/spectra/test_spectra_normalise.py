"""Spectra divided by their own maximum."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from solarxai.spectra import by_maximum

FLUX = arrays(np.float32, (4, 12), elements=st.floats(0.125, 4096, width=32))


@given(FLUX)
def test_the_maximum_becomes_one_and_gives_the_counts_back(spectra):
    shape, peak = by_maximum(spectra)
    assert (shape.dtype, peak.dtype) == (np.float32, np.float32)
    assert shape.max(axis=1).tolist() == [1.0] * 4
    assert shape * peak[:, None] == pytest.approx(spectra, rel=1e-6)


@given(FLUX)
def test_normalising_twice_changes_nothing(spectra):
    once, _ = by_maximum(spectra)
    twice, peak = by_maximum(once)
    assert np.array_equal(once, twice)
    assert (peak == 1).all()


@given(FLUX, st.sampled_from([0.25, 2.0, 1024.0]))
def test_the_shape_does_not_depend_on_the_scale(spectra, scale):
    assert np.array_equal(by_maximum(scale * spectra)[0], by_maximum(spectra)[0])


def test_nan_stays_where_it_stands_and_is_no_maximum():
    shape, peak = by_maximum(np.array([[1.0, np.nan, 4.0]]))
    assert np.array_equal(shape, np.array([[0.25, np.nan, 1.0]], np.float32), equal_nan=True)
    assert peak.tolist() == [4.0]


def test_spectra_without_light_have_no_shape():
    shape, peak = by_maximum(np.array([[0.0, -3.0], [-1.0, -2.0], [np.nan, np.nan]]))
    assert np.isnan(shape).all()
    assert np.array_equal(peak, np.array([0.0, -1.0, np.nan], np.float32), equal_nan=True)
    assert by_maximum(np.ones((2, 3, 5)))[1].shape == (2, 3)
