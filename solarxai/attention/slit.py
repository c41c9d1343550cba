"""Attention along the slit, and where the Sun brightens along it."""

from __future__ import annotations

from typing import Literal, get_args

import astropy.units as u
import numpy as np
import numpy.typing as npt
import xarray as xr
from astropy.wcs import WCS
from scipy import ndimage

from solarxai.attention.wavelengths import maps_of
from solarxai.errors import ContractError, QueryError, SchemaError
from solarxai.schema import observation_wcs, sample_wcs_header

__all__ = ["Quantity", "light_curves", "slit_maximum", "slit_profile", "slit_world"]

Array = npt.NDArray[np.float64]
Quantity = Literal["absolute", "positive", "score"]
"""What is called attention at a position of the slit."""

_ACROSS = 1.0 * u.arcsec
_POINTS = 5
"""Points across the slit at which slit-jaw images are read."""
_OFF = 5.0
"""Largest distance, arcsec, of a slit's centre from the positions its coordinates give."""


def slit_profile(
    samples: xr.Dataset, method: str, *, quantity: Quantity = "absolute"
) -> xr.DataArray:
    """Return the attention at each position of the slit, (sample, slit), NaN where dropped.

    Parameters
    ----------
    samples
        Spectrogram Samples with maps.
    method
        Name of the maps.
    quantity
        "absolute": the sum of |a| over the wavelengths; "positive": that of max(a, 0), what speaks
        for the flare; "score": the spectrum's score, without any map.

    Raises
    ------
    ContractError
        for another quantity.
    QueryError
        when the samples lack the maps, or for "score" `spectrum_score`.
    """
    if quantity not in get_args(Quantity):
        raise ContractError(
            f"{quantity!r} is no attention along the slit",
            remedy=f"Take one of {', '.join(get_args(Quantity))}.",
        )
    if quantity == "score":
        found = _score(samples)
    else:
        maps = maps_of(samples, method)
        parts = abs(maps) if quantity == "absolute" else maps.clip(min=0)
        found = xr.DataArray(parts).sum("wavelength", min_count=1)
        found.attrs = {"units": str(maps.attrs.get("units", "")), "method": method}
    return found.rename("attention").assign_attrs(quantity=quantity)


def slit_maximum(profile: xr.DataArray) -> xr.DataArray:
    """Return the slit position of the maximum of each row, -1 where all of it was dropped.

    Parameters
    ----------
    profile
        (..., slit), NaN where dropped.
    """
    known = profile.notnull().any("slit")
    lowest = profile.where(profile.notnull(), -np.inf)
    place = lowest.argmax("slit").where(known, -1).astype(np.int64)
    return place.rename("slit position").assign_attrs(profile.attrs | {"units": "pixel"})


def slit_world(samples: xr.Dataset, row: int) -> Array:
    """Return (2, slit): Solar X and Y in arcsec of every position of an exposure's slit.

    Raises
    ------
    SchemaError
        when the centre of the slit (`solar_x`, `solar_y`) lies more than 5 arcsec from them: the
        columns contradict each other.
    """
    wcs = WCS(sample_wcs_header(samples, row))
    length = samples.sizes["slit"]
    x, y = wcs.pixel_to_world_values(np.zeros(length), np.arange(length))
    world = np.stack([(x + 180) % 360 - 180, y]) * 3600
    centre = [float(samples[name].values[row]) for name in ("solar_x", "solar_y")]
    off = float(np.hypot(*(world - np.array(centre)[:, None])).min())
    if off > _OFF:
        raise SchemaError(
            f"{samples['sample_id'].values[row]}: the slit's centre ({centre[0]:.1f}, "
            f"{centre[1]:.1f}) arcsec is {off:.1f} arcsec off the slit its wcs columns describe",
            remedy="Make the samples again: wcs columns and solar_x, solar_y have to agree.",
        )
    return world


def light_curves(
    movie: xr.Dataset,
    world: Array,
    *,
    at: np.datetime64,
    across: u.Quantity = _ACROSS,
) -> xr.DataArray:
    """Return the intensity of slit-jaw images beside each position of a slit, (frame, slit).

    Parameters
    ----------
    movie
        `intensity` (frame, y, x), `time` (frame), attribute `wcs` (celestial) that places frame
        number frames // 2; where the frames have `solar_x` and `solar_y`, the others lie off it by
        these. Where they have an `exposure_time`, their intensity is divided by it.
    world
        (2, slit) Solar X and Y in arcsec, as of `slit_world`.
    at
        Time of that exposure, UTC.
    across
        Half the width, perpendicular to the slit, over which the images are averaged: the slit
        itself reflects no light and is dark in them.

    Raises
    ------
    QueryError
        when no position of the slit is on the images.

    Notes
    -----
    World coordinates give the pixels at the time `at`, in the frame nearest to it, and those
    pixels are followed through all frames: a pointing that follows the region keeps it there, while
    its world coordinates move by 10 arcsec an hour. Between pixels the value is linear; off the
    images and where a pixel is missing it is NaN.
    """
    place = _pointing(movie, at)
    x, y = _pixels(movie, _beside(world - place[:, None], across.to_value(u.arcsec)))
    height, width = movie.sizes["y"], movie.sizes["x"]
    if not ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)).any():
        raise QueryError(
            f"the slit does not cross the images of {movie.attrs.get('source', 'the movie')}",
            remedy="Give slit-jaw images of the same observation.",
        )
    frames = np.stack([_read(frame.values, y, x) for frame in movie["intensity"]])
    unit = u.Unit(str(movie["intensity"].attrs.get("units", "")))
    if "exposure_time" in movie.coords:
        frames, unit = frames / movie["exposure_time"].values[:, None], unit / u.s
    return xr.DataArray(
        frames,
        dims=("frame", "slit"),
        coords={"time": ("frame", movie["time"].values)},
        attrs={"units": unit.to_string()},
        name="emission",
    )


def _score(samples: xr.Dataset) -> xr.DataArray:
    if "spectrum_score" not in samples:
        raise QueryError(
            "the samples have no spectrum_score",
            remedy="Take quantity='absolute', or attribute with a classifier of spectra.",
        )
    found = samples["spectrum_score"].transpose("sample", "slit").copy()
    found.attrs = {"units": str(found.attrs.get("units", "logit")), "method": "spectrum_score"}
    return found


def _beside(world: Array, across: float) -> Array:
    """Return (2, point, slit): positions at distances up to `across` to both sides of the slit."""
    along = np.gradient(world, axis=1)
    normal = np.stack([along[1], -along[0]]) / np.hypot(*along)
    distance = np.linspace(-across, across, _POINTS)
    return np.asarray(world[:, None] + distance[None, :, None] * normal[:, None])


def _pointing(movie: xr.Dataset, at: np.datetime64) -> Array:
    """Return by how much the frame nearest to a time lies off that of the `wcs`, arcsec (x, y)."""
    if "solar_x" not in movie.coords:
        return np.zeros(2)
    nearest = int(np.abs(movie["time"].values - at).argmin())
    middle = movie.sizes["frame"] // 2
    centres = np.stack([movie["solar_x"].values, movie["solar_y"].values])
    return np.asarray(centres[:, nearest] - centres[:, middle])


def _pixels(movie: xr.Dataset, world: Array) -> tuple[Array, Array]:
    wcs = observation_wcs(movie)
    degrees = world / 3600
    x, y = wcs.world_to_pixel_values(degrees[0], degrees[1])
    return np.asarray(x, dtype=float), np.asarray(y, dtype=float)


def _read(frame: npt.NDArray[np.float32], y: Array, x: Array) -> Array:
    """Return (slit,) the mean over the points across that are on the image and known."""
    values = ndimage.map_coordinates(
        frame.astype(np.float64), [y, x], order=1, mode="constant", cval=np.nan
    )
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)
