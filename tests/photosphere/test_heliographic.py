"""Heliocentric angle, solar position and pixel area on both kinds of grid."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io.fits import Header
from painted_sun import SCALE_MM, observation, quiet, wcs_header
from sunpy.coordinates import HeliographicCarrington, Helioprojective

from solarxai.errors import IngestError
from solarxai.photosphere import heliographic
from solarxai.photosphere.heliographic import Geometry, cosine_of_heliocentric_angle

ARCSEC = np.deg2rad(1 / 3600)


def cea(longitude=34.0, latitude=-21.0, **words):
    """A heliographic equal-area grid seen from Carrington longitude 20 and latitude -7."""
    words = {
        "CTYPE1": "CRLN-CEA", "CTYPE2": "CRLT-CEA", "CUNIT1": "deg", "CUNIT2": "deg",
        "CDELT1": 0.03, "CDELT2": 0.03, "CRVAL1": longitude, "CRVAL2": latitude,
        "CRLN_OBS": 20.0, "CRLT_OBS": -7.0, **words,
    }  # fmt: skip
    return wcs_header(**words)


def test_mu_follows_from_the_distance_to_disk_centre():
    radius = np.arcsin(6.96e8 / 1.496e11) / ARCSEC
    header = wcs_header(CRPIX1=1.0, CRPIX2=1.0, CRVAL1=0.6 * radius, CDELT1=0.5, CDELT2=0.5)
    mu = cosine_of_heliocentric_angle(observation(quiet(), header=header))
    assert mu[0, 0] == pytest.approx(0.8, abs=1e-5)
    assert mu.dtype == np.float32


def test_mu_is_one_at_disk_centre_and_nan_off_the_disk():
    header = wcs_header(CRPIX1=1.0, CRPIX2=1.0, CDELT1=20.0, CDELT2=20.0)
    mu = cosine_of_heliocentric_angle(observation(quiet(), header=header))
    assert mu[0, 0] == 1.0
    assert np.isnan(mu[0, 60:]).all()


@pytest.mark.parametrize(
    "header",
    [
        wcs_header(CRVAL1=600.0, CRVAL2=-400.0),
        wcs_header(CRVAL1=-300.0, CRVAL2=500.0, PC1_1=0.6, PC1_2=-0.8, PC2_1=0.8, PC2_2=0.6),
        wcs_header(PC1_1=-1.0, PC1_2=0.0, PC2_1=0.0, PC2_2=-1.0, CDELT1=12.0, CDELT2=12.0),
        wcs_header(CRVAL1=600.0, LONPOLE=150.0),
        cea(),
        cea(longitude=10.0, latitude=40.0, PC1_1=0.8, PC1_2=0.6, PC2_1=-0.6, PC2_2=0.8),
        cea(longitude=380.0, latitude=-80.0),
        cea(CTYPE1="HGLN-CEA", CTYPE2="HGLT-CEA", HGLN_OBS=30.0, HGLT_OBS=3.0, CRLT_OBS=None),
    ],
)
def test_mu_without_inverse_trigonometry_is_that_of_wcslib(monkeypatch, header):
    image = observation(quiet(), header=header)
    closed = cosine_of_heliocentric_angle(image)
    asked = []

    def world(wcs, x, y):
        asked.append(x.size)
        return through_wcslib(wcs, x, y)

    through_wcslib = heliographic._world
    monkeypatch.setattr(heliographic, "_world", world)
    monkeypatch.setattr(heliographic, "_PROJECTIONS", {})
    general = cosine_of_heliocentric_angle(image)
    assert sum(asked) == general.size
    assert np.isfinite(general).sum() > general.size / 4
    assert np.array_equal(np.isnan(closed), np.isnan(general))
    known = np.isfinite(general) & (general > 0.02)
    assert np.abs(closed - general)[known].max() <= 6e-8


@pytest.mark.parametrize("projection", ["SIN", "ARC"])
def test_other_projections_of_the_plane_of_the_sky_give_nearly_the_same_mu(projection):
    words = {"CTYPE1": f"HPLN-{projection}", "CTYPE2": f"HPLT-{projection}", "CRVAL1": 600.0}
    other, plane = (
        cosine_of_heliocentric_angle(observation(quiet(), header=wcs_header(**each)))
        for each in (words, {"CRVAL1": 600.0})
    )
    assert np.abs(other - plane).max() < 1e-6


def test_a_grid_with_distortion_parameters_is_left_to_wcslib():
    words = {"PV2_1": 0.9, "CRVAL1": 34.0, "CRVAL2": 0.0}
    squeezed, plain = (
        cosine_of_heliocentric_angle(observation(quiet(), header=cea(**each)))
        for each in (words, {"CRVAL1": 34.0, "CRVAL2": 0.0})
    )
    assert np.abs(squeezed - plain).max() > 1e-4


def test_rows_beyond_the_first_slab_are_filled():
    image = np.ones((1100, 8))
    header = wcs_header(CRPIX1=4.5, CRPIX2=550.5)
    mu = cosine_of_heliocentric_angle(observation(image, header=header))
    assert np.allclose(mu, mu[::-1, ::-1])
    assert np.isfinite(mu).all()


def test_heliographic_grid_has_the_mu_and_position_of_sunpy():
    image = observation(quiet(), header=cea())
    instant = "2014-01-01T12:00:00"
    eye = HeliographicCarrington(
        20 * u.deg, -7 * u.deg, 1.496e11 * u.m, obstime=instant, observer="self"
    )
    frame = HeliographicCarrington(obstime=instant, observer=eye)
    place = SkyCoord(34 * u.deg, -21 * u.deg, 6.96e8 * u.m, frame=frame)
    seen = place.transform_to(Helioprojective(obstime=instant, observer=eye))
    x, y = Geometry.of(image).position(79.5, 79.5)
    assert x == pytest.approx(seen.Tx.to_value("arcsec"), abs=1e-3)
    assert y == pytest.approx(seen.Ty.to_value("arcsec"), abs=1e-3)
    same = wcs_header(CRPIX1=1.0, CRPIX2=1.0, CRVAL1=x, CRVAL2=y)
    seen_mu = cosine_of_heliocentric_angle(observation(quiet(), header=same))[0, 0]
    surface_mu = cosine_of_heliocentric_angle(image)[79:81, 79:81].mean()
    assert surface_mu == pytest.approx(seen_mu, abs=1e-4)


def test_far_side_of_the_sun_has_no_mu():
    mu = cosine_of_heliocentric_angle(observation(quiet(), header=cea(longitude=200.0)))
    assert np.isnan(mu).all()


def test_stonyhurst_grid_needs_no_longitude_of_the_observer():
    header = cea(longitude=0.0, latitude=5.0, CTYPE1="HGLN-CEA", CTYPE2="HGLT-CEA", CRLN_OBS=None)
    header["CRLT_OBS"] = 5.0
    mu = cosine_of_heliocentric_angle(observation(quiet(), header=header))
    assert mu[79:81, 79:81].mean() == pytest.approx(1.0, abs=1e-6)


def test_carrington_grid_without_observer_is_refused():
    image = observation(quiet(), header=cea(CRLN_OBS=None))
    with pytest.raises(IngestError, match="comes without CRLN_OBS"):
        cosine_of_heliocentric_angle(image)


def test_keyword_that_the_grid_lacks_is_taken_from_the_original_header():
    original = Header({"CRLN_OBS": 21.0}).tostring(sep="\n")
    image = observation(quiet(), header=cea(CRLN_OBS=None)).assign_attrs(header=original)
    assert Geometry.of(image).observer.longitude == pytest.approx(np.deg2rad(21.0))


def test_other_grids_are_refused():
    image = observation(quiet(), header=wcs_header(CTYPE1="RA---TAN", CTYPE2="DEC--TAN"))
    with pytest.raises(IngestError, match="CTYPE1 is 'RA---TAN', expected HPLN"):
        cosine_of_heliocentric_angle(image)


def test_assumed_coordinates_mean_disk_centre_and_no_position():
    image = observation(quiet(), header=wcs_header(CRVAL1=900.0), wcs_assumed=1)
    mu = cosine_of_heliocentric_angle(image)
    assert (mu == 1).all()
    assert np.isnan(Geometry.of(image).position(3, 4)).all()
    assert np.allclose(Geometry.of(image).area(mu), SCALE_MM**2)


def test_pixel_area_is_divided_by_mu_on_the_sky_and_constant_on_an_equal_area_grid():
    sky = observation(quiet(), header=wcs_header(CRVAL1=700.0))
    mu = cosine_of_heliocentric_angle(sky)
    assert np.allclose(Geometry.of(sky).area(mu), SCALE_MM**2 / mu)
    surface = observation(quiet(), header=cea())
    area = Geometry.of(surface).area(cosine_of_heliocentric_angle(surface))
    assert np.allclose(area, SCALE_MM**2)


def test_measured_apparent_radius_comes_before_the_tabulated_one():
    image = observation(quiet(), header=wcs_header(RSUN_OBS=970.0))
    assert Geometry.of(image).observer.solar_radius == pytest.approx(
        1.496e11 * np.sin(970 * ARCSEC)
    )
    assert Geometry.of(image).observer.megametres_per_arcsec == pytest.approx(0.7219, abs=1e-4)
