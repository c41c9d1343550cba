"""World coordinates are exact, or refused where the header contradicts itself."""

import numpy as np
import pytest
import sunpy.map
from astropy.io.fits import Header
from astropy.wcs import WCS
from solar_files import bright_image, hmi_cards
from sunpy.coordinates import get_earth

from solarxai.errors import IngestError
from solarxai.instruments._coordinates import assumed_coordinates, header_coordinates

TIME = np.datetime64("2017-09-05T03:39:45.661", "ns")


def coordinates(**changes):
    return header_coordinates(Header(hmi_cards(**changes)), TIME, name="a.fits")


def words(found):
    return Header.fromstring(found.text, sep="\n")


def test_the_header_is_exact_to_the_last_bit():
    value = -123.45678901234567
    found = words(coordinates(CRVAL1=value, CRPIX2=1 / 3))
    assert found["CRVAL1"] == value
    assert found["CRPIX2"] == 1 / 3
    assert found["DATE-OBS"] == "2017-09-05T03:39:45.661000"
    assert found["MJD-OBS"] == pytest.approx(58001.152611817, abs=1e-9)


def test_astropy_and_sunpy_read_the_same_place():
    found = words(coordinates())
    lon, lat = WCS(found).wcs_pix2world(7.5, 5.5, 0)
    assert (lon * 3600, lat * 3600) == pytest.approx((100.0, -200.0), abs=1e-9)
    solar = sunpy.map.Map(bright_image(), found).center
    assert (solar.Tx.value, solar.Ty.value) == pytest.approx((100.0, -200.0), abs=1e-9)


def test_a_rotation_becomes_a_matrix():
    found = words(coordinates(CROTA2=30.0))
    assert found["PC1_1"] == pytest.approx(np.sqrt(3) / 2)
    assert (found["PC1_2"], found["PC2_1"]) == pytest.approx((-0.5, 0.5))
    assert "CROTA2" not in found


def test_a_matrix_given_is_kept():
    found = words(coordinates(CROTA2=None, PC1_1=0.8, PC1_2=-0.6, PC2_1=0.6, PC2_2=0.8))
    assert [found[f"PC{k}"] for k in ("1_1", "1_2", "2_1", "2_2")] == [0.8, -0.6, 0.6, 0.8]


def test_the_observer_of_a_carrington_header_is_where_sunpy_sees_it():
    original = Header(hmi_cards())
    expected = sunpy.map.Map(bright_image(), original).observer_coordinate
    found = words(coordinates())
    assert found["HGLT_OBS"] == 7.2
    assert found["HGLN_OBS"] == pytest.approx(expected.lon.wrap_at("180d").deg, abs=1e-9)


def test_a_stonyhurst_observer_is_kept():
    found = words(coordinates(HGLN_OBS=-3.25, HGLT_OBS=1.5))
    assert (found["HGLN_OBS"], found["HGLT_OBS"]) == (-3.25, 1.5)


def test_without_distance_the_observer_is_earth():
    found = coordinates(DSUN_OBS=None, RSUN_OBS=None)
    assert "no DSUN_OBS: the observer is taken to be at Earth" in found.notes
    assert words(found)["DSUN_OBS"] == pytest.approx(1.5075e11, rel=1e-3)
    assert words(found)["HGLT_OBS"] == pytest.approx(7.25, abs=0.01)


@pytest.mark.parametrize("year", [1996, 2009, 2014, 2023])
def test_earth_is_where_sunpy_puts_it(year):
    time = np.datetime64(f"{year}-08-19T03:04:05.678", "ns")
    found = Header.fromstring(assumed_coordinates((9, 9), 0.5, time).text, sep="\n")
    earth = get_earth(str(time))
    assert found["DSUN_OBS"] == pytest.approx(earth.radius.to_value("m"), rel=1e-14)
    assert found["HGLT_OBS"] == pytest.approx(earth.lat.to_value("deg"), abs=1e-12)
    assert found["HGLN_OBS"] == 0


def test_without_longitude_those_of_earth_are_taken():
    found = coordinates(CRLN_OBS=None)
    assert "those of Earth are taken" in found.notes[0]
    assert (words(found)["HGLN_OBS"], words(found)["DSUN_OBS"]) == (0.0, 1.5e11)


def test_the_scale_is_the_angle_times_the_distance_to_the_surface():
    expected = np.deg2rad(0.504 / 3600) * (1.5e11 - 6.96e8) / 1e6
    assert coordinates().scale_mm == pytest.approx(expected, rel=1e-12)
    assert expected == pytest.approx(0.365, abs=0.001)


def test_on_an_equal_area_grid_the_scale_is_the_angle_times_the_radius():
    cards = {f"CTYPE{k}": f"CRL{a}-CEA" for k, a in ((1, "N"), (2, "T"))}
    cards |= {f"CUNIT{k}": "degree" for k in (1, 2)} | {f"CDELT{k}": 0.03 for k in (1, 2)}
    cards |= {"CRVAL1": 34.9, "CRVAL2": -21.1}
    found = coordinates(**cards)
    assert found.scale_mm == pytest.approx(np.deg2rad(0.03) * 696.0, rel=1e-12)
    assert words(found)["CUNIT1"] == "deg"


def test_old_axes_become_helioprojective():
    found = words(coordinates(CTYPE1="Solar-X", CTYPE2="Solar-Y"))
    assert (found["CTYPE1"], found["CTYPE2"]) == ("HPLN-TAN", "HPLT-TAN")


def test_the_poles_are_kept():
    assert words(coordinates(LONPOLE=180.0, LATPOLE=7.0))["LATPOLE"] == 7.0


def test_a_matrix_that_stretches_is_noted():
    found = coordinates(CROTA2=None, PC1_1=0.5, PC2_2=0.5)
    assert "stretch pixels by 0.5000" in found.notes[0]
    assert found.scale_mm == pytest.approx(coordinates().scale_mm / 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"CTYPE2": None}, "keyword CTYPE2 is missing"),
        ({"CUNIT1": None}, "keyword CUNIT1 is missing"),
        ({"CRVAL1": None}, "keyword CRVAL1 is missing"),
        ({"CDELT2": None}, "keyword CDELT2 is missing"),
        ({"CRPIX1": "nan"}, "CRPIX1 is 'nan', not a number"),
        ({"CRPIX1": True}, "CRPIX1 is True, not a number"),
        ({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}, "not longitude and latitude on the Sun"),
        ({"CTYPE1": "HPLT-TAN", "CTYPE2": "HPLN-TAN"}, "not longitude and latitude on the Sun"),
        ({"CUNIT1": "Mm"}, "CUNIT1 is 'Mm', not an angle"),
        ({"CRVAL2": -4e5}, "CRVAL2 is -400000 arcsec, not a latitude"),
        ({"CDELT1": 0.0}, "CDELT1 is 0 arcsec, not a plate scale between 0 and 60"),
        ({"CDELT2": -0.504}, "CDELT2 is -0.504 arcsec, not a plate scale"),
        ({"CUNIT1": "deg"}, "CDELT1 is 0.504 deg, not a plate scale between 0 and 60 arcsec"),
        ({"CDELT2": 0.6}, "pixels of 0.504 by 0.6 are not square"),
        ({"PC1_1": 1.0, "CROTA2": 40.0}, "PCi_j turn the image by 0.00 deg, its CROTA2 by 40.00"),
        ({"CROTA2": None, "PC1_1": 0.0}, "matrix PCi_j is singular"),
        ({"DSUN_OBS": 0.98}, "DSUN_OBS is 0.98, not a distance"),
        ({"DSUN_OBS": 1e11}, "RSUN_OBS is 957.06 arcsec, but DSUN_OBS puts the limb at 1435"),
        ({"R_SUN": 950.0}, "R_SUN 950.0 pixels at CDELT1 0.504 arcsec spans 478.8 arcsec"),
    ],
)
def test_a_header_that_lies_is_refused(changes, said):
    with pytest.raises(IngestError, match=said):
        coordinates(**changes)


def test_an_image_without_coordinates_lies_at_disk_centre_seen_from_earth():
    found = assumed_coordinates((11, 21), 0.5, TIME)
    header = words(found)
    assert WCS(header).wcs_pix2world(10, 5, 0) == [pytest.approx(0), pytest.approx(0)]
    assert header["HGLN_OBS"] == 0.0
    assert "disk centre" in found.notes[0]
    metres = np.deg2rad(0.5 / 3600) * (header["DSUN_OBS"] - 6.957e8)
    assert found.scale_mm == pytest.approx(metres / 1e6)
