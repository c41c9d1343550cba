import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time
from sunpy.coordinates import Helioprojective
from sunpy.coordinates import sun as sunpy_sun

from solarxai.synthetic.sun import limb_darkening, mu_at, observe, project, tangent_basis

TIMES = [Time("2011-02-15T02:00"), Time("2012-06-01"), Time("2014-11-20")]


@pytest.mark.parametrize("time", TIMES, ids=str)
def test_the_ephemeris_agrees_with_sunpy(time):
    observer = observe(time.jd)
    assert observer.latitude == pytest.approx(sunpy_sun.B0(time).deg, abs=0.01)
    assert observer.carrington_longitude == pytest.approx(sunpy_sun.L0(time).deg, abs=0.1)
    assert observer.dsun_mm == pytest.approx(
        sunpy_sun.earth_distance(time).to_value("Mm"), rel=1e-4
    )


@pytest.mark.parametrize(("longitude", "latitude"), [(0, 0), (40, -20), (-55, 30)])
def test_a_surface_point_falls_where_sunpy_puts_it(longitude, latitude):
    time = TIMES[0]
    observer = observe(time.jd)
    earth = SkyCoord(
        0 * u.deg, observer.latitude * u.deg, observer.dsun_mm * u.Mm,
        frame="heliographic_stonyhurst", obstime=time,
    )  # fmt: skip
    point = SkyCoord(
        longitude * u.deg, latitude * u.deg, 696 * u.Mm,
        frame="heliographic_stonyhurst", obstime=time,
    )  # fmt: skip
    seen = point.transform_to(Helioprojective(obstime=time, observer=earth))
    x, y, mu = project(observer, longitude, latitude)
    assert x == pytest.approx(seen.Tx.to_value("arcsec"), abs=1e-6)
    assert y == pytest.approx(seen.Ty.to_value("arcsec"), abs=1e-6)
    assert mu_at(observer, np.array(x), np.array(y)) == pytest.approx(mu, abs=1e-5)


def test_the_tangent_basis_is_the_derivative_of_the_projection():
    observer = observe(TIMES[0].jd)
    basis = tangent_basis(observer, 40, -20)
    here = np.array(project(observer, 40, -20)[:2])
    north = np.degrees(0.1 / 696)
    west = north / np.cos(np.radians(20))
    moved = [project(observer, 40 + west, -20)[:2], project(observer, 40, -20 + north)[:2]]
    assert basis == pytest.approx((np.array(moved) - here).T / 0.1, rel=0.005, abs=0.003)


def test_foreshortening_is_mu():
    observer = observe(TIMES[1].jd)
    mu = project(observer, 45, 10)[2]
    area = np.linalg.det(tangent_basis(observer, 45, 10))
    assert area / np.linalg.det(tangent_basis(observer, 0, observer.latitude)) == pytest.approx(
        mu, rel=0.005
    )


def test_mu_is_one_at_the_centre_and_zero_off_the_disk():
    observer = observe(TIMES[0].jd)
    mu = mu_at(observer, np.array([0.0, 1200.0]), np.zeros(2))
    assert mu.tolist() == [1.0, 0.0]


def test_limb_darkening_agrees_with_the_operational_form():
    # JSOC: I(mu)/I(1) as a polynomial in ln mu
    mu = np.linspace(0.2, 1, 50)
    x = np.log(mu)
    jsoc = (
        1 + 0.459224 * x + 0.132395 * x**2 + 0.019601 * x**3 + 0.000802 * x**4 - 4.31934e-5 * x**5
    )
    assert limb_darkening(mu) == pytest.approx(jsoc, rel=1.3e-3)


def test_the_apparent_radius_is_that_of_the_real_image():
    # RSUN_OBS 971.67 arcsec on 2011-02-15, from the SHARP header of AR 11158
    assert observe(TIMES[0].jd).radius_arcsec == pytest.approx(971.672, abs=0.1)
