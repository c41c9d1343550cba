"""How alike two maps are, where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from solarxai.errors import ValidationError
from solarxai.validation.randomisation.similarity import (
    MEASURES,
    Described,
    measures_for,
    similarity,
)


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    """Return 4 maps of 32 by 32 pixels."""
    return np.random.default_rng(0).standard_normal((4, 32, 32)).astype(np.float32)


def test_a_map_is_like_itself_whatever_its_scale(noise):
    for name, found in similarity(noise, 1e-9 * noise).items():
        np.testing.assert_allclose(found, 1, atol=1e-6, err_msg=name)


def test_a_map_and_its_negative_are_told_apart_by_the_signed_measures_alone(noise):
    found = similarity(noise, -noise)
    np.testing.assert_allclose(found["Spearman"], -1, atol=1e-12)
    assert (found["SSIM"] < -0.98).all()
    np.testing.assert_allclose(found["absolute Spearman"], 1, atol=1e-12)
    np.testing.assert_allclose(found["HOG"], 1, atol=1e-9)


def test_unrelated_maps_have_nothing_in_common(noise):
    other = np.random.default_rng(1).standard_normal(noise.shape)
    for name, found in similarity(noise, other).items():
        assert np.abs(found).max() < 0.25, name
        assert abs(found.mean()) < 0.1, name


def test_the_rank_correlations_are_those_of_scipy(noise):
    other = noise + np.random.default_rng(1).standard_normal(noise.shape)
    found = similarity(noise, other)
    for row in range(len(noise)):
        pair = noise[row].ravel(), other[row].ravel()
        assert found["Spearman"][row] == pytest.approx(scipy.stats.spearmanr(*pair).statistic)
        absolute = scipy.stats.spearmanr(*map(np.abs, pair)).statistic
        assert found["absolute Spearman"][row] == pytest.approx(absolute)


def test_one_bright_pixel_does_not_make_maps_alike(noise):
    other = np.random.default_rng(1).standard_normal(noise.shape)
    one, two = noise.copy(), other.copy()
    one[:, 16, 16] = two[:, 16, 16] = 300
    before, after = similarity(noise, other), similarity(one, two)
    for name in ("Spearman", "absolute Spearman"):
        np.testing.assert_allclose(after[name], before[name], atol=0.02)


def test_unknown_pixels_take_no_part_whatever_lies_below_them(noise):
    other = noise + np.random.default_rng(1).standard_normal(noise.shape)
    one, two = noise.copy(), other.copy()
    one[:, 9], two[:, 9] = 50, 50
    alike = similarity(one, two)
    one[:, 9] = np.nan
    found = similarity(one, two)
    for row in range(len(noise)):
        pair = (np.delete(m[row], 9, axis=0).ravel() for m in (noise, other))
        assert found["Spearman"][row] == pytest.approx(scipy.stats.spearmanr(*pair).statistic)
    two[:, 9] = -7
    for name, again in similarity(one, two).items():
        np.testing.assert_allclose(again, found[name], err_msg=name)
        assert np.isfinite(again).all(), name
    assert (alike["Spearman"] != found["Spearman"]).all()


def test_windows_and_blocks_that_touch_an_unknown_pixel_are_left_out(noise):
    one, two = noise.copy(), noise.copy()
    two[:, :16] = np.random.default_rng(1).standard_normal((4, 16, 32))
    one[:, :17] = np.nan
    found = similarity(one, two)
    np.testing.assert_allclose(found["SSIM"], 1)
    assert np.isnan(found["HOG"]).all()


def test_a_constant_map_has_no_similarity(noise):
    flat = noise.copy()
    flat[0], flat[1] = 0, 3
    found = similarity(flat, noise)
    assert np.isnan(found["Spearman"]).tolist() == [True, True, False, False]
    assert np.isnan(found["HOG"]).tolist() == [True, True, False, False]
    assert np.isnan(found["SSIM"]).tolist() == [True, False, False, False]


def test_a_map_without_any_value_has_no_similarity(noise):
    empty = noise.copy()
    empty[2] = np.nan
    for name, found in similarity(empty, noise).items():
        assert np.isnan(found).tolist() == [False, False, True, False], name


def test_spectra_have_every_measure_but_hog(noise):
    found = similarity(noise[:, 0], noise[:, 0])
    assert tuple(found) == measures_for(1) == MEASURES[:-1]
    for name, values in found.items():
        np.testing.assert_allclose(values, 1, err_msg=name)


def test_maps_smaller_than_a_window_have_no_structure(noise):
    found = similarity(noise[:, :5, :2], noise[:, :5, :2])
    assert np.isnan(found["SSIM"]).all()
    assert np.isnan(found["HOG"]).all()
    np.testing.assert_allclose(found["Spearman"], 1)


def test_no_maps_have_no_similarities(noise):
    assert all(len(found) == 0 for found in similarity(noise[:0], noise[:0]).values())


def test_a_description_is_compared_like_the_maps_it_describes(noise):
    other = noise**3
    plain = similarity(noise, other)
    described = similarity(Described(noise), Described(other))
    for name, values in plain.items():
        np.testing.assert_array_equal(values, described[name])


def test_maps_of_other_shapes_are_refused(noise):
    with pytest.raises(ValidationError, match=r"\(4, 32, 32\) and \(4, 31, 32\)"):
        similarity(noise, noise[:, 1:])
    with pytest.raises(ValidationError, match=r"\(4, 1, 32, 32\) cannot be compared"):
        similarity(noise[:, None], noise[:, None])


def test_an_unknown_measure_is_refused_with_those_there_are(noise):
    with pytest.raises(ValidationError, match=r"\['cosine'\]\. Choose among Spearman"):
        similarity(noise, noise, measures=["cosine"])
    with pytest.raises(ValidationError, match="1 axes have no similarity"):
        similarity(noise[:, 0], noise[:, 0], measures=["HOG"])
