"""Attention along the slit, and the slit's place on slit-jaw images."""

import astropy.units as u
import numpy as np
import pytest

from solarxai.attention import light_curves, slit_maximum, slit_profile, slit_world
from solarxai.errors import ContractError, QueryError, SchemaError

NOW = np.datetime64("2014-01-01T01:00", "ns")


def test_profiles_are_sums_over_wavelength_and_nan_where_dropped(exposures, with_maps):
    sign = np.where(np.arange(240) % 2, 1.0, -0.5)
    size = np.arange(12)[None, :, None]
    samples = with_maps(exposures, size * sign)
    absolute = slit_profile(samples, "gradient")
    positive = slit_profile(samples, "gradient", quantity="positive")
    np.testing.assert_allclose(absolute.values[0, :11], 180 * np.arange(11))
    np.testing.assert_allclose(positive.values[0, :11], 120 * np.arange(11))
    assert np.isnan(absolute.values[:, 11]).all()
    assert (slit_maximum(absolute) == 10).all()
    assert absolute.attrs["quantity"] == "absolute"


def test_scores_may_stand_for_attention(exposures):
    score = np.where(np.arange(12) == 4, 3.0, -1.0) * np.ones((32, 1))
    samples = exposures.assign(spectrum_score=(("sample", "slit"), score))
    assert (slit_maximum(slit_profile(samples, "", quantity="score")) == 4).all()
    with pytest.raises(QueryError, match="no spectrum_score"):
        slit_profile(exposures, "", quantity="score")
    with pytest.raises(ContractError, match="'most' is no attention along the slit"):
        slit_profile(exposures, "gradient", quantity="most")


def test_a_slit_without_any_spectrum_has_no_maximum(exposures, with_maps):
    samples = with_maps(exposures, np.ones(240))
    samples["gradient"][3] = np.nan
    assert int(slit_maximum(slit_profile(samples, "gradient"))[3]) == -1


def test_positions_of_the_slit_are_those_of_its_own_world_coordinates(exposures):
    x, y = slit_world(exposures, 3)
    np.testing.assert_allclose(x, 6.0, atol=1e-6)
    np.testing.assert_allclose(y, 0.33 * (np.arange(12) - 5.5), atol=1e-6)
    west = exposures.assign_coords(
        solar_x=exposures["solar_x"] - 6.5, wcs_crval1=exposures["wcs_crval1"] - 6.5
    )
    np.testing.assert_allclose(slit_world(west, 3)[0], -0.5, atol=1e-6)
    moved = exposures.assign_coords(solar_y=exposures["solar_y"] + 40)
    with pytest.raises(SchemaError, match=r"mock-r00000-s03: the slit's centre .* is 38.2 arcsec"):
        slit_world(moved, 3)


def test_light_curves_are_read_at_the_slit_by_world_coordinates(exposures, slit_jaw):
    movie = slit_jaw("2014-01-01T01:00", 10, bright=(6.0, 1.2))
    curves = light_curves(movie, slit_world(exposures, 3), at=NOW)
    assert curves.dims == ("frame", "slit")
    assert curves.shape == (21, 12)
    peak = curves.values.max(axis=0)
    y = 0.33 * (np.arange(12) - 5.5)
    assert y[peak.argmax()] == pytest.approx(1.2, abs=0.17)
    assert int(curves.values.max(axis=1).argmax()) == 10
    far = light_curves(movie, slit_world(exposures, 7), at=NOW)
    assert far.values.max() < 10.01


def test_images_are_averaged_across_the_slit_which_is_dark_itself(exposures, slit_jaw):
    movie = slit_jaw("2014-01-01T01:00", 4, bright=(6.0, 0.0))
    x = 7 + (np.arange(61) - 30) * 0.33
    movie["intensity"][:, :, np.abs(x - 6.0) < 0.2] = np.nan
    world = slit_world(exposures, 3)
    assert np.isfinite(light_curves(movie, world, at=NOW)).all()
    narrow = light_curves(movie, world, at=NOW, across=0.01 * u.arcsec)
    assert np.isnan(narrow).all()


def test_positions_off_the_images_are_nan_and_a_slit_elsewhere_is_refused(exposures, slit_jaw):
    low = slit_jaw("2014-01-01T01:00", 2, bright=(6.0, 0.0), size=9)
    curves = light_curves(low, slit_world(exposures, 3), at=NOW)
    assert np.isnan(curves.values[:, [0, 1, -1]]).all()
    assert np.isfinite(curves.values[:, 5:7]).all()
    away = slit_jaw("2014-01-01T01:00", 2, bright=(6.0, 0.0), centre=(300.0, 0.0))
    with pytest.raises(QueryError, match=r"does not cross the images of movie\.fits"):
        light_curves(away, slit_world(exposures, 3), at=NOW)


def test_a_pointing_that_follows_the_region_keeps_the_slit_on_it(exposures, slit_jaw):
    movie = slit_jaw("2014-01-01T01:00", 10, bright=(6.0, 1.2))
    drift = 0.2 * (np.arange(21) - 10.0)
    followed = movie.assign_coords(solar_x=("frame", 7 + drift), solar_y=("frame", np.zeros(21)))
    world = slit_world(exposures, 3)
    plain = light_curves(movie, world, at=NOW)
    early = light_curves(followed, world + np.array([[drift[0]], [0.0]]), at=NOW)
    np.testing.assert_allclose(early, plain, rtol=1e-6)
    late = light_curves(followed, world, at=np.datetime64("2014-01-01T01:05", "ns"))
    np.testing.assert_allclose(late, plain, rtol=1e-6)


def test_frames_of_other_exposures_are_compared_by_the_second(exposures, slit_jaw):
    movie = slit_jaw("2014-01-01T01:00", 2, bright=(6.0, 1.2))
    movie["intensity"].attrs["units"] = "DN"
    world = slit_world(exposures, 3)
    plain = light_curves(movie, world, at=NOW)
    seconds = np.array([1.0, 2.0, 4.0, 2.0, 1.0])
    timed = movie.assign_coords(exposure_time=("frame", seconds))
    found = light_curves(timed, world, at=NOW)
    np.testing.assert_allclose(found * seconds[:, None], plain)
    assert found.attrs["units"] == "DN / s"
