"""Where the Sun is and how its surface looks from the Earth: ephemeris, projection, limb.

The formulas are kept apart from those the readers use (sunpy, JSOC limb darkening), so that a
scene is an independent check of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["RSUN_MM", "Observer", "limb_darkening", "mu_at", "observe", "project", "tangent_basis"]

RSUN_MM = 696.0
"""Radius of the Sun in Mm, the RSUN_REF of HMI headers."""

AU_MM = 149597.870691
"""Astronomical unit in Mm, the DSUN_REF of HMI headers."""

ARCSEC = 3600 * 180 / np.pi
"""Arcseconds in a radian."""

_NECKEL_LABS = (0.31445, 1.35342, -1.82653, 2.35727, -1.68784, 0.48924)


@dataclass(frozen=True, kw_only=True)
class Observer:
    """The Earth as seen from the Sun.

    Parameters
    ----------
    dsun_mm
        Distance from the Sun's centre, Mm.
    carrington_longitude, latitude
        Carrington longitude and heliographic latitude (B0) of the disk centre, degrees.
    """

    dsun_mm: float
    carrington_longitude: float
    latitude: float

    @property
    def radius_arcsec(self) -> float:
        """The apparent radius of the Sun, arcsec."""
        return float(ARCSEC * np.arcsin(RSUN_MM / self.dsun_mm))

    @property
    def arcsec_per_mm(self) -> float:
        """The scale on the sky of a length at the sub-observer point, arcsec per Mm."""
        return ARCSEC / (self.dsun_mm - RSUN_MM)


def observe(julian_date: float) -> Observer:
    """Return the observer on the Earth at a Julian date, good to 0.01° (Carrington longitude 0.1°).

    References
    ----------
    Meeus, Astronomical Algorithms (2nd ed.), chapters 25 and 29.
    """
    century = (julian_date - 2451545.0) / 36525
    anomaly = np.radians(357.52911 + 35999.05029 * century)
    centre = 1.914602 * np.sin(anomaly) + 0.019993 * np.sin(2 * anomaly)
    longitude = np.radians(280.46646 + 36000.76983 * century + centre)
    eccentricity = 0.016708634 - 0.000042037 * century
    true_anomaly = anomaly + np.radians(centre)
    distance = (1 - eccentricity**2) / (1 + eccentricity * np.cos(true_anomaly))
    node = np.radians(73.6667 + 1.3958333 * (julian_date - 2396758) / 36525)
    tilt = np.radians(7.25)
    rotation = np.radians((julian_date - 2398220) * 360 / 25.38)
    across = longitude - node
    meridian = np.arctan2(-np.sin(across) * np.cos(tilt), -np.cos(across))
    return Observer(
        dsun_mm=float(distance * AU_MM),
        carrington_longitude=float(np.degrees(meridian - rotation) % 360),
        latitude=float(np.degrees(np.arcsin(np.sin(across) * np.sin(tilt)))),
    )


def project(observer: Observer, longitude: float, latitude: float) -> tuple[float, float, float]:
    """Return (x, y, mu): helioprojective arcsec and cosine of the heliocentric angle.

    Parameters
    ----------
    longitude, latitude
        Stonyhurst heliographic coordinates, degrees.
    """
    lon, lat, tilt = np.radians([longitude, latitude, observer.latitude])
    x = RSUN_MM * np.cos(lat) * np.sin(lon)
    y = RSUN_MM * (np.sin(lat) * np.cos(tilt) - np.cos(lat) * np.cos(lon) * np.sin(tilt))
    z = RSUN_MM * (np.sin(lat) * np.sin(tilt) + np.cos(lat) * np.cos(lon) * np.cos(tilt))
    depth = observer.dsun_mm - z
    ray = np.array([-x, -y, depth])
    mu = np.dot(ray, [x, y, z]) / (np.linalg.norm(ray) * RSUN_MM)
    return (
        float(ARCSEC * np.arctan2(x, depth)),
        float(ARCSEC * np.arcsin(y / np.linalg.norm(ray))),
        float(mu),
    )


def tangent_basis(
    observer: Observer, longitude: float, latitude: float
) -> npt.NDArray[np.floating]:
    """Return the (2, 2) matrix that turns (west, north) Mm on the surface into sky arcsec.

    Its determinant is mu times the square of the scale: the foreshortening.
    """
    lon, lat, tilt = np.radians([longitude, latitude, observer.latitude])
    west = [np.cos(lon), np.sin(lon) * np.sin(tilt)]
    north = [
        -np.sin(lat) * np.sin(lon),
        np.cos(lat) * np.cos(tilt) + np.sin(lat) * np.cos(lon) * np.sin(tilt),
    ]
    height = np.sin(lat) * np.sin(tilt) + np.cos(lat) * np.cos(lon) * np.cos(tilt)
    scale = ARCSEC / (observer.dsun_mm - RSUN_MM * height)
    return np.asarray(np.array([west, north]).T * scale)


def mu_at(
    observer: Observer, x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]
) -> npt.NDArray[np.floating]:
    """Return the cosine of the heliocentric angle at helioprojective (x, y) arcsec; 0 off the disk.

    The sine rule in the triangle of Sun, Earth and surface point: sin(angle) = sin(rho) d / R.
    """
    rho = np.hypot(x, y) / ARCSEC
    sine = np.sin(rho) * observer.dsun_mm / RSUN_MM
    return np.asarray(np.where(sine < 1, np.cos(np.arcsin(np.minimum(sine, 1))), 0.0))


def limb_darkening(mu: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return I(mu)/I(1) of the continuum at 617.33 nm.

    References
    ----------
    Neckel & Labs 1994, Sol. Phys. 153, 91 (10.1007/BF00712494): fifth-order polynomial in mu.
    """
    return np.asarray(np.polynomial.polynomial.polyval(mu, _NECKEL_LABS))
