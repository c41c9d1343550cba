"""Sub-pixel measures of line profiles: flux in a window, quantiles, the intensity at a point."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline
from scipy.sparse import csr_array

from solarxai.spectra._axis import Floats, pixel_edges

__all__ = ["at_wavelength", "quantiles", "weighted_sum", "window_flux"]

BISECTIONS = 24  # to 3e-8 of a pixel
SAME = 1e-6  # of a pixel


def window_flux(spectra: npt.NDArray[Any], axis: Floats, low: float, high: float) -> Floats:
    """Return the flux (n,) between two wavelengths, pixels at the ends in part.

    NaN where a pixel of the window is NaN, and everywhere when the axis does not cover it.
    """
    edges = pixel_edges(axis)
    if not _covers(edges, low, high):
        return np.full(len(spectra), np.nan)
    share = np.diff(np.clip(edges, low, high))
    used = _from_to(share > 0)
    return weighted_sum(spectra[:, used], share[used])


def quantiles(
    spectra: npt.NDArray[Any], axis: Floats, low: float, high: float, levels: tuple[float, ...]
) -> Floats:
    """Return the wavelengths (n, levels) below which given parts of the window's flux lie.

    NaN as in `window_flux`, and where the flux is not positive. The running integral at the
    pixels' edges is interpolated by a cubic spline, so a symmetric line is found to a small part
    of a pixel.
    """
    edges = pixel_edges(axis)
    found = np.full((len(spectra), len(levels)), np.nan)
    if not _covers(edges, low, high):
        return found
    used = _from_to((edges[1:] > low) & (edges[:-1] < high))
    flux = spectra[:, used].astype(np.float64)
    total = window_flux(spectra, axis, low, high)
    good = np.isfinite(flux).all(axis=1) & np.isfinite(total) & (total > 0)
    if good.any() and flux.shape[1] >= 3:
        inner = np.clip(edges[used.start : used.stop + 1], low, high)
        found[good] = _invert(flux[good], inner, levels)
    return found


def at_wavelength(spectra: npt.NDArray[Any], axis: Floats, wavelength: float) -> Floats:
    """Return the intensity (n,) at a wavelength by the cubic through the four points around it.

    NaN where one of the four is NaN, and everywhere when the axis does not reach the wavelength.
    """
    if len(axis) < 4 or not axis[0] <= wavelength <= axis[-1]:
        return np.full(len(spectra), np.nan)
    start = int(np.clip(np.searchsorted(axis, wavelength) - 2, 0, len(axis) - 4))
    points = axis[start : start + 4]
    apart = points[:, None] - points + np.eye(4)
    towards = np.where(np.eye(4) > 0, 1, wavelength - points)
    weights = (towards / apart).prod(axis=1)
    return weighted_sum(spectra[:, start : start + 4], weights)


def weighted_sum(values: npt.NDArray[Any], weights: Floats) -> Floats:
    """Return the sum (n,) of values (n, w) times weights (w,).

    Unlike a matrix product, a row's sum does not depend, in its last bit, on how many rows there
    are: rasters cut in parts give what they give whole.
    """
    return np.asarray((np.ascontiguousarray(values, dtype=np.float64) * weights).sum(axis=1))


def _from_to(used: npt.NDArray[np.bool_]) -> slice:
    """Return which points, of which all that are used follow each other."""
    places = np.flatnonzero(used)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)


def _covers(edges: Floats, low: float, high: float) -> bool:
    slack = SAME * float(np.diff(edges).min())
    return bool(edges[0] - slack <= low and high <= edges[-1] + slack)


def _invert(flux: Floats, edges: Floats, levels: tuple[float, ...]) -> Floats:
    """Return where the running integral of flux (n, w) first reaches parts of its end value."""
    integral = np.zeros((len(flux), len(edges)))
    np.cumsum(flux * np.diff(edges), axis=1, out=integral[:, 1:])
    wanted = integral[:, -1:] * levels
    reached = [(integral[:, 1:] >= each[:, None]).argmax(axis=1) for each in wanted.T]
    pixel, row = np.stack(reached, axis=1), np.arange(len(flux))[:, None]
    slopes = _slope_weights(tuple(edges)) @ integral.T
    width, start = np.diff(edges)[pixel], integral[row, pixel]
    first, last = slopes[pixel, row], slopes[pixel + 1, row]
    mean = (integral[row, pixel + 1] - start) / width
    bend = (3 * mean - 2 * first - last) / width
    turn = (first + last - 2 * mean) / width**2
    place, step = np.zeros(wanted.shape), width / 2
    for _ in range(BISECTIONS):
        middle = place + step
        place += step * (((turn * middle + bend) * middle + first) * middle + start < wanted)
        step /= 2
    return np.asarray(edges[pixel] + (place + step))


@lru_cache(maxsize=16)
def _slope_weights(points: tuple[float, ...]) -> csr_array:
    """Return weights (points, points) that give a cubic spline's slopes from its values.

    A sparse product adds them up in one order, however many splines there are.
    """
    return csr_array(CubicSpline(points, np.eye(len(points)))(points, 1))
