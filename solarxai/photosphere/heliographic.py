"""Where on the Sun a pixel lies: heliocentric angle, solar position and true pixel area.

Two kinds of grid are understood: helioprojective (as seen: HPLN, HPLT) and heliographic
cylindrical equal-area (as if seen from above: CRLN or HGLN, CEA), the grid of HMI SHARP maps.
An observation whose `wcs_assumed` attribute is true has no place on the Sun; it is taken to lie
at disk centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from astropy.io.fits import Header
from astropy.wcs import WCS

from solarxai.errors import IngestError
from solarxai.schema import observation_wcs

__all__ = ["Observer", "cosine_of_heliocentric_angle", "observer", "pixel_area", "solar_position"]

_ASTRONOMICAL_UNIT = 1.495978707e11
"""Metres, IAU 2012 Resolution B2."""

_SOLAR_RADIUS = 6.957e8
"""Metres, IAU 2015 Resolution B3."""

_ROWS_AT_ONCE = 512

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Observer:
    """Where an image was taken from, and how large the Sun was taken to be.

    Parameters
    ----------
    distance
        From the Sun's centre, in metres.
    solar_radius
        In metres.
    longitude, latitude
        Heliographic, in radians; the longitude in the frame of the image's own grid
        (Carrington or Stonyhurst).
    """

    distance: float
    solar_radius: float
    longitude: float = 0.0
    latitude: float = 0.0

    @property
    def megametres_per_arcsec(self) -> float:
        """The length that one arcsecond spans at disk centre."""
        return float(np.deg2rad(1 / 3600) * (self.distance - self.solar_radius) / 1e6)


def observer(observation: xr.Dataset) -> Observer:
    """Return the observer of an Observation, from its world-coordinate and original headers.

    The apparent radius `RSUN_OBS` (arcsec), if there is one, fixes the solar radius: what the
    calibration measured comes before what a table says.

    Raises
    ------
    IngestError
        if a heliographic grid comes without the observer's longitude or latitude.
    """
    keywords = _Keywords(observation)
    distance = keywords.number("DSUN_OBS", default=_ASTRONOMICAL_UNIT)
    apparent = keywords.number("RSUN_OBS", default=np.nan)
    if np.isfinite(apparent):
        radius = distance * np.sin(np.deg2rad(apparent / 3600))
    else:
        radius = keywords.number("RSUN_REF", default=_SOLAR_RADIUS)
    frame = keywords.frame
    if frame not in ("CRLN", "HGLN"):
        return Observer(distance=distance, solar_radius=radius)
    longitude = keywords.number(f"{frame}_OBS", default=0.0 if frame == "HGLN" else None)
    latitude = keywords.number("CRLT_OBS", "HGLT_OBS")
    return Observer(
        distance=distance,
        solar_radius=radius,
        longitude=np.deg2rad(longitude),
        latitude=np.deg2rad(latitude),
    )


def cosine_of_heliocentric_angle(observation: xr.Dataset) -> npt.NDArray[np.float32]:
    """Return μ, the cosine of the angle between line of sight and local vertical.

    Parameters
    ----------
    observation
        An Observation of shape (y, x).

    Returns
    -------
    numpy.ndarray
        float32 (y, x); NaN off the disk; one everywhere if the world coordinates are assumed.

    Raises
    ------
    IngestError
        if the grid is neither helioprojective nor heliographic equal-area.

    Notes
    -----
    On a helioprojective grid, with ρ the angle from disk centre and r☉ the apparent radius,
    the sine rule gives μ² = 1 − (sin ρ / sin r☉)². On a heliographic grid, with γ the angle
    between the point and the sub-observer point, μ = (D cos γ − R)/√(D² + R² − 2DR cos γ).

    References
    ----------
    Thompson 2006, A&A 449, 791, doi:10.1051/0004-6361:20054262
    """
    shape = observation["intensity"].shape
    if _assumed(observation):
        return np.ones(shape, dtype=np.float32)
    wcs, place = observation_wcs(observation), observer(observation)
    helioprojective = _is_helioprojective(observation)
    mu = np.empty(shape, dtype=np.float32)
    for start in range(0, shape[0], _ROWS_AT_ONCE):
        rows = slice(start, min(start + _ROWS_AT_ONCE, shape[0]))
        y, x = np.mgrid[rows, : shape[1]]
        longitude, latitude = _world(wcs, x, y)
        if helioprojective:
            mu[rows] = _mu_from_sight(longitude, latitude, place)
        else:
            mu[rows] = _mu_from_surface(longitude, latitude, place)
    return mu


def solar_position(observation: xr.Dataset, x: float, y: float) -> tuple[float, float]:
    """Return Solar-X and Solar-Y, in arcsec, of the pixel position (x, y), counted from zero.

    NaN twice if the world coordinates are assumed.
    """
    if _assumed(observation):
        return np.nan, np.nan
    longitude, latitude = _world(observation_wcs(observation), np.array([x]), np.array([y]))
    if not _is_helioprojective(observation):
        longitude, latitude = _seen_from(longitude, latitude, observer(observation))
    return float(np.rad2deg(longitude[0]) * 3600), float(np.rad2deg(latitude[0]) * 3600)


def pixel_area(observation: xr.Dataset, mu: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the area of the Sun's surface under each pixel: float32 (y, x), Mm².

    A pixel of the plane of the sky covers 1/μ of its own area; one of an equal-area heliographic
    grid covers its own area wherever it lies.
    """
    nominal = np.float32(float(observation.attrs["scale_mm"]) ** 2)
    if _assumed(observation) or not _is_helioprojective(observation):
        return np.full(mu.shape, nominal)
    with np.errstate(divide="ignore"):
        return (nominal / mu).astype(np.float32)


class _Keywords:
    """The keywords of an Observation: the world-coordinate header first, then the original one."""

    def __init__(self, observation: xr.Dataset) -> None:
        self._source = observation.attrs["source"]
        self._headers = [
            Header.fromstring(observation.attrs[name], sep="\n") for name in ("wcs", "header")
        ]

    @property
    def frame(self) -> str:
        return str(self._headers[0].get("CTYPE1", ""))[:4]

    def number(self, *names: str, default: float | None = None) -> float:
        for header in self._headers:
            for name in names:
                value = header.get(name)
                if isinstance(value, int | float) and np.isfinite(value):
                    return float(value)
        if default is None:
            raise IngestError(
                f"{self._source}: the heliographic grid comes without {' or '.join(names)}",
                remedy="Add the keyword to the header: without it no pixel has a heliocentric "
                "angle.",
            )
        return default


def _assumed(observation: xr.Dataset) -> bool:
    return bool(observation.attrs.get("wcs_assumed", False))


def _is_helioprojective(observation: xr.Dataset) -> bool:
    header = Header.fromstring(observation.attrs["wcs"], sep="\n")
    ctype = str(header.get("CTYPE1", ""))
    if ctype.startswith("HPLN"):
        return True
    if ctype[:4] in ("CRLN", "HGLN") and ctype.endswith("CEA"):
        return False
    raise IngestError(
        f"{observation.attrs['source']}: CTYPE1 is {ctype!r}, expected HPLN-*, CRLN-CEA or "
        "HGLN-CEA",
        remedy="Reproject the image to one of these grids.",
    )


def _world(wcs: WCS, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """Return longitude in (−π, π] and latitude, in radians, of pixel positions from zero."""
    longitude, latitude = wcs.wcs_pix2world(x.ravel(), y.ravel(), 0)
    wrapped = (longitude + 180) % 360 - 180
    return np.deg2rad(wrapped).reshape(x.shape), np.deg2rad(latitude).reshape(x.shape)


def _mu_from_sight(longitude: Floats, latitude: Floats, place: Observer) -> Floats:
    cosine = np.cos(latitude) * np.cos(longitude)
    fraction = (1 - cosine**2) / (place.solar_radius / place.distance) ** 2
    return np.sqrt(np.where(fraction < 1, 1 - fraction, np.nan))


def _mu_from_surface(longitude: Floats, latitude: Floats, place: Observer) -> Floats:
    cosine = np.sin(place.latitude) * np.sin(latitude) + np.cos(place.latitude) * np.cos(
        latitude
    ) * np.cos(longitude - place.longitude)
    d, r = place.distance, place.solar_radius
    mu = (d * cosine - r) / np.sqrt(d**2 + r**2 - 2 * d * r * cosine)
    return np.where(mu > 0, mu, np.nan)


def _seen_from(longitude: Floats, latitude: Floats, place: Observer) -> tuple[Floats, Floats]:
    """Return the helioprojective longitude and latitude of points of the surface (radians)."""
    away = longitude - place.longitude
    sine, cosine = np.sin(place.latitude), np.cos(place.latitude)
    west = np.cos(latitude) * np.sin(away)
    north = np.sin(latitude) * cosine - np.cos(latitude) * np.cos(away) * sine
    towards = np.sin(latitude) * sine + np.cos(latitude) * np.cos(away) * cosine
    depth = place.distance / place.solar_radius - towards
    return np.arctan2(west, depth), np.arctan2(north, np.hypot(west, depth))
