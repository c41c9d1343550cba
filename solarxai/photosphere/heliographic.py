"""Where on the Sun a pixel lies: heliocentric angle, solar position and true pixel area.

Two kinds of grid are understood: helioprojective (as seen: HPLN, HPLT) and heliographic
cylindrical equal-area (as if seen from above: CRLN or HGLN, CEA), the grid of HMI SHARP maps.
An observation whose `wcs_assumed` attribute is true has no place on the Sun; it is taken to lie
at disk centre.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from astropy.io.fits import Card
from astropy.wcs import WCS

from solarxai.errors import IngestError
from solarxai.photosphere.strips import strips
from solarxai.schema import observation_wcs

__all__ = [
    "Geometry",
    "Observer",
    "cosine_of_heliocentric_angle",
]

_ASTRONOMICAL_UNIT = 1.495978707e11
"""Metres, IAU 2012 Resolution B2."""

_SOLAR_RADIUS = 6.957e8
"""Metres, IAU 2015 Resolution B3."""

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


@dataclass(frozen=True, kw_only=True, eq=False)
class Geometry:
    """Where on the Sun the pixels of one image lie: its headers, read once.

    Parameters
    ----------
    shape
        Of the image, (y, x).
    scale_mm
        Mm per pixel at the sub-observer point.
    observer
        Where it was taken from.
    wcs
        Its celestial world coordinates; None if they are assumed.
    helioprojective
        Whether the grid is the plane of the sky; a heliographic equal-area one otherwise.
    """

    shape: tuple[int, ...]
    scale_mm: float
    observer: Observer
    wcs: WCS | None
    helioprojective: bool

    @classmethod
    def of(cls, observation: xr.Dataset) -> Geometry:
        """Return the geometry of an Observation.

        Raises
        ------
        IngestError
            if the grid is neither helioprojective nor heliographic equal-area, or a heliographic
            one comes without the observer's longitude or latitude.
        """
        assumed = bool(observation.attrs.get("wcs_assumed", False))
        keywords = _Keywords(observation)
        return cls(
            shape=observation["intensity"].shape,
            scale_mm=float(observation.attrs["scale_mm"]),
            observer=keywords.observer(),
            wcs=None if assumed else observation_wcs(observation),
            helioprojective=assumed or keywords.helioprojective(),
        )

    def mu(self) -> npt.NDArray[np.float32]:
        """Return μ of every pixel; see `cosine_of_heliocentric_angle`."""
        mu = np.ones(self.shape, dtype=np.float32)
        if self.wcs is None:
            return mu
        place = self.observer
        away = _cosines(self.wcs, (place.longitude, place.latitude))
        seen = _mu_from_sight if self.helioprojective else _mu_from_surface
        for rows in strips(self.shape):
            mu[rows] = seen(away(*np.ogrid[rows, : self.shape[1]]), place)
        return mu

    def position(self, x: float, y: float) -> tuple[float, float]:
        """Return Solar-X and Solar-Y, in arcsec, of the pixel position (x, y), counted from zero.

        NaN twice if the world coordinates are assumed.
        """
        if self.wcs is None:
            return np.nan, np.nan
        longitude, latitude = _world(self.wcs, np.array([x]), np.array([y]))
        if not self.helioprojective:
            longitude, latitude = _seen_from(longitude, latitude, self.observer)
        return float(np.rad2deg(longitude[0]) * 3600), float(np.rad2deg(latitude[0]) * 3600)

    def area(self, mu: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the area of the Sun's surface under pixels of given μ: float32 of its shape, Mm².

        A pixel of the plane of the sky covers 1/μ of its own area; one of an equal-area
        heliographic grid covers its own area wherever it lies.
        """
        nominal = np.float32(self.scale_mm**2)
        if self.wcs is None or not self.helioprojective:
            return np.full(mu.shape, nominal)
        with np.errstate(divide="ignore"):
            return (nominal / mu).astype(np.float32)


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
    Both need one angle a pixel, from disk centre or from the sub-observer point. On TAN and CEA
    grids its cosine is the scalar product of two directions in the native frame of the
    projection, without any inverse trigonometry; other projections go through wcslib.

    References
    ----------
    Thompson 2006, A&A 449, 791, doi:10.1051/0004-6361:20054262
    Calabretta & Greisen 2002, A&A 395, 1077, doi:10.1051/0004-6361:20021327
    """
    return Geometry.of(observation).mu()


class _Keywords:
    """The keywords of an Observation: the world-coordinate header first, then the original one."""

    def __init__(self, observation: xr.Dataset) -> None:
        self._source = observation.attrs["source"]
        self._headers = [_cards(observation.attrs[name]) for name in ("wcs", "header")]

    def observer(self) -> Observer:
        """Return the observer.

        The apparent radius `RSUN_OBS` (arcsec), if there is one, fixes the solar radius: what the
        calibration measured comes before what a table says.
        """
        distance = self._number("DSUN_OBS", default=_ASTRONOMICAL_UNIT)
        apparent = self._number("RSUN_OBS", default=np.nan)
        if np.isfinite(apparent):
            radius = distance * np.sin(np.deg2rad(apparent / 3600))
        else:
            radius = self._number("RSUN_REF", default=_SOLAR_RADIUS)
        frame = self._axis[:4]
        if frame not in ("CRLN", "HGLN"):
            return Observer(distance=distance, solar_radius=radius)
        longitude = self._number(f"{frame}_OBS", default=0.0 if frame == "HGLN" else None)
        latitude = self._number("CRLT_OBS", "HGLT_OBS")
        return Observer(
            distance=distance,
            solar_radius=radius,
            longitude=np.deg2rad(longitude),
            latitude=np.deg2rad(latitude),
        )

    def helioprojective(self) -> bool:
        if self._axis.startswith("HPLN"):
            return True
        if self._axis[:4] in ("CRLN", "HGLN") and self._axis.endswith("CEA"):
            return False
        raise IngestError(
            f"{self._source}: CTYPE1 is {self._axis!r}, expected HPLN-*, CRLN-CEA or HGLN-CEA",
            remedy="Reproject the image to one of these grids.",
        )

    @property
    def _axis(self) -> str:
        return str(_value(self._headers[0], "CTYPE1") or "")

    def _number(self, *names: str, default: float | None = None) -> float:
        for header in self._headers:
            for name in names:
                value = _value(header, name)
                if isinstance(value, int | float) and np.isfinite(value):
                    return float(value)
        if default is None:
            raise IngestError(
                f"{self._source}: the heliographic grid comes without {' or '.join(names)}",
                remedy="Add the keyword to the header: without it no pixel has a heliocentric "
                "angle.",
            )
        return default


def _cards(text: str) -> dict[str, str]:
    """Return the cards of a header by keyword, the first of those that share one."""
    return {card[:8].rstrip(): card for card in reversed(text.split("\n"))}


def _value(cards: dict[str, str], keyword: str) -> Any:
    """Return the value of a card, None without one; the others are not taken apart."""
    return Card.fromstring(cards[keyword]).value if keyword in cards else None


def _cosines(wcs: WCS, place: tuple[float, float]) -> Callable[[Floats, Floats], Floats]:
    """Return what gives the cosine of the angle between a place and pixels (y, x) from zero.

    The place is (longitude, latitude) in radians; y and x are broadcast against each other.
    """
    cosine = _PROJECTIONS.get(wcs.wcs.ctype[0][-4:])
    if cosine is None or wcs.has_distortion or wcs.wcs.get_pv():
        return lambda y, x: _cosine_of_distance(_world(wcs, *np.broadcast_arrays(x, y)), place)
    native = wcs.wcs.s2p([np.rad2deg(place)], 0)
    axis = _direction(np.deg2rad(native["phi"][0]), np.deg2rad(native["theta"][0]))
    to_plane = np.deg2rad(wcs.wcs.get_cdelt()[:, None] * wcs.wcs.get_pc())

    def of_pixels(y: Floats, x: Floats) -> Floats:
        across, up = x + 1 - wcs.wcs.crpix[0], y + 1 - wcs.wcs.crpix[1]
        # On a grid that is not rotated, each axis keeps to its own dimension: far less to do.
        plane = [
            sum(rate * steps for rate, steps in zip(row, (across, up), strict=True) if rate)
            for row in to_plane
        ]
        return cosine(plane[0], plane[1], axis)

    return of_pixels


def _world(wcs: WCS, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """Return longitude in (−π, π] and latitude, in radians, of pixel positions from zero."""
    longitude, latitude = wcs.wcs_pix2world(x.ravel(), y.ravel(), 0)
    wrapped = (longitude + 180) % 360 - 180
    return np.deg2rad(wrapped).reshape(x.shape), np.deg2rad(latitude).reshape(x.shape)


def _direction(longitude: Any, latitude: Any) -> tuple[Any, Any, Any]:
    """Return the unit vector that points to a longitude and latitude."""
    level = np.cos(latitude)
    return level * np.cos(longitude), level * np.sin(longitude), np.sin(latitude)


def _cosine_of_distance(points: tuple[Floats, Floats], place: tuple[float, float]) -> Floats:
    (longitude, latitude), (centre, height) = points, place
    level = np.cos(height) * np.cos(latitude) * np.cos(longitude - centre)
    return np.asarray(np.sin(height) * np.sin(latitude) + level)


def _cosine_on_plane(x: Floats, y: Floats, axis: tuple[float, float, float]) -> Floats:
    """Return the cosines from an axis of points (x, y) of the tangent plane at the native pole."""
    east, north, up = axis
    cosine = x * north + (up - y * east)
    length = x * x + (y * y + 1)
    cosine /= np.sqrt(length, out=length)
    return cosine


def _cosine_on_cylinder(x: Floats, y: Floats, axis: tuple[float, float, float]) -> Floats:
    """Return the cosines from an axis of points on the equal-area cylinder round the equator."""
    east, north, up = axis
    with np.errstate(invalid="ignore"):
        level = np.sqrt(1 - y * y)
    return level * (np.cos(x) * east + np.sin(x) * north) + y * up


_PROJECTIONS = {"-TAN": _cosine_on_plane, "-CEA": _cosine_on_cylinder}


def _mu_from_sight(cosine: Floats, place: Observer) -> Floats:
    fraction = np.subtract(1, np.square(cosine, out=cosine), out=cosine)
    fraction /= (place.solar_radius / place.distance) ** 2
    with np.errstate(invalid="ignore"):
        return np.sqrt(np.subtract(1, fraction, out=fraction), out=fraction)


def _mu_from_surface(cosine: Floats, place: Observer) -> Floats:
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
