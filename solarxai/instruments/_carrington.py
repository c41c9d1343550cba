"""Carrington longitudes of observers turned into Stonyhurst ones, as sunpy does, once a fortnight.

The angle between the two frames turns smoothly with Earth, and `sunpy.coordinates` takes as long
to find it for one moment as tile-compressed cutouts take to be read. It is asked for moments
spread over a fortnight, and a polynomial through these answers for the whole span.
"""

from __future__ import annotations

from functools import lru_cache

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.time import Time
from numpy.polynomial import Chebyshev
from sunpy.coordinates import HeliographicCarrington, HeliographicStonyhurst

__all__ = ["stonyhurst_longitude"]

_ASTRONOMICAL_UNIT = 1.495978707e11
"""Metres, IAU 2012 Resolution B2."""

_PARTS = 12
"""Spans of half a year: UTC leaps by a second only at its end, never within a span."""

_MOMENTS = 16
"""So many Chebyshev points hold the angle within 2e-11 degrees over a span."""


def stonyhurst_longitude(longitude: float, distance: float, time: np.datetime64) -> float:
    """Return an observer's longitude from Earth, degrees in [−180, 180), to within 1e-10.

    Parameters
    ----------
    longitude
        The observer's own Carrington longitude, degrees: light takes its time to the observer.
    distance
        Of the observer from the Sun's centre, metres.
    time
        UTC.
    """
    half = (time.astype("datetime64[M]").astype(int)) // 6
    start, end = _half_year(half)
    part, place = divmod(float((time - start) / (end - start)) * _PARTS, 1)
    angle, farther = _angles(half, int(part))
    turned = longitude + float(angle(place)) + farther * (distance / _ASTRONOMICAL_UNIT - 1)
    return (turned + 180) % 360 - 180


def _half_year(number: int) -> tuple[np.datetime64, np.datetime64]:
    """Return the first moments of a half-year, counted from 1970, and of the next."""
    months = np.array([6 * number, 6 * number + 6]).astype("datetime64[M]")
    start, end = months.astype("datetime64[ns]")
    return start, end


@lru_cache(maxsize=64)
def _angles(half: int, part: int) -> tuple[Chebyshev, float]:
    """Return Stonyhurst less Carrington longitude at 1 au over a span, its change for an au more.

    The first is a polynomial, in degrees, of the share of the span from 0 to 1.
    """
    places = (np.polynomial.chebyshev.chebpts1(_MOMENTS) + 1) / 2
    start, end = _half_year(half)
    moments = start + (end - start) * ((part + places) / _PARTS)
    distances = np.full(_MOMENTS + 1, _ASTRONOMICAL_UNIT)
    distances[-1] *= 2
    found = _asked(np.append(moments, moments[-1]), distances)
    angle = Chebyshev.fit(places, np.unwrap(found[:-1], period=360), _MOMENTS - 1, domain=[0, 1])
    return angle, float((found[-1] - found[-2] + 180) % 360 - 180)


def _asked(
    moments: npt.NDArray[np.datetime64], distances: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the Stonyhurst longitudes of observers at Carrington longitude 0, degrees."""
    times = Time(moments.astype(str).tolist(), format="isot", scale="utc")
    nought = np.zeros(len(times)) * u.deg
    observers = HeliographicCarrington(
        nought, nought, distances * u.m, obstime=times, observer="self"
    )
    found = observers.transform_to(HeliographicStonyhurst(obstime=times)).lon
    longitudes: npt.NDArray[np.float64] = found.to_value(u.deg)
    return longitudes
