"""Stonyhurst longitudes from Carrington ones: those of sunpy, asked once a fortnight."""

import astropy.units as u
import numpy as np
import pytest
from astropy.time import Time
from sunpy.coordinates import HeliographicCarrington, HeliographicStonyhurst

from solarxai.instruments import _carrington
from solarxai.instruments._carrington import stonyhurst_longitude

AU = 1.495978707e11


def sunpys(longitude, distance, time):
    instant = Time(str(time), format="isot", scale="utc")
    place = HeliographicCarrington(
        longitude * u.deg, 4 * u.deg, distance * u.m, obstime=instant, observer="self"
    )
    found = place.transform_to(HeliographicStonyhurst(obstime=instant))
    return found.lon.wrap_at(180 * u.deg).to_value(u.deg)


@pytest.mark.parametrize("start", ["1996-05-01", "2012-06-11", "2016-12-14", "2024-12-25"])
def test_longitude_is_that_of_sunpy_at_any_moment_and_distance(start):
    rng = np.random.default_rng(1)
    for _ in range(4):
        time = np.datetime64(start, "ns") + np.timedelta64(int(rng.uniform(0, 40 * 86400e9)), "ns")
        longitude, distance = rng.uniform(0, 360), AU * rng.uniform(0.3, 1.7)
        difference = stonyhurst_longitude(longitude, distance, time) - sunpys(
            longitude, distance, time
        )
        assert abs((difference + 180) % 360 - 180) < 1e-10


@pytest.mark.parametrize("day", ["2012-07-01", "2016-12-31", "2017-01-01", "2023-06-30"])
def test_a_leap_second_is_no_leap_of_the_longitude(day):
    for time in (np.datetime64(day, "ns"), np.datetime64(f"{day}T23:59:59.5", "ns")):
        assert stonyhurst_longitude(5.0, AU, time) == pytest.approx(
            sunpys(5.0, AU, time), abs=1e-10
        )


def test_longitude_lies_between_minus_and_plus_half_a_turn():
    time = np.datetime64("2014-01-01T12:00:00", "ns")
    found = [stonyhurst_longitude(each, AU, time) for each in range(0, 360, 20)]
    assert min(found) < -155
    assert max(found) > 155
    assert all(-180 <= each < 180 for each in found)


def test_sunpy_is_asked_once_for_many_files_of_a_fortnight(monkeypatch):
    calls = []
    asked = _carrington._asked
    monkeypatch.setattr(_carrington, "_asked", lambda *given: calls.append(1) or asked(*given))
    _carrington._angles.cache_clear()
    start = np.datetime64("2014-01-03", "ns")
    for hour in range(48):
        stonyhurst_longitude(10.0, AU, start + np.timedelta64(hour, "h"))
    assert len(calls) == 1
