"""Sub-pixel measures of line profiles: flux in a window, quantiles, the intensity at a point."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from solarxai.spectra._axis import Floats, pixel_edges

__all__ = ["at_wavelength", "quantiles", "weighted_sum", "window_flux"]

BISECTIONS = 32
SAME = 1e-6  # of a pixel


def window_flux(spectra: npt.NDArray[Any], axis: Floats, low: float, high: float) -> Floats:
    """Return the flux (n,) between two wavelengths, pixels at the ends in part.

    NaN where a pixel of the window is NaN, and everywhere when the axis does not cover it.
    """
    edges = pixel_edges(axis)
    if not _covers(edges, low, high):
        return np.full(len(spectra), np.nan)
    share = np.diff(np.clip(edges, low, high))
    used = share > 0
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
    used = (edges[1:] > low) & (edges[:-1] < high)
    flux = spectra[:, used].astype(np.float64)
    total = window_flux(spectra, axis, low, high)
    good = np.isfinite(flux).all(axis=1) & np.isfinite(total) & (total > 0)
    if good.any() and used.sum() >= 3:
        inner = np.clip(edges[np.append(used, False) | np.append(False, used)], low, high)
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


def _covers(edges: Floats, low: float, high: float) -> bool:
    slack = SAME * float(np.diff(edges).min())
    return bool(edges[0] - slack <= low and high <= edges[-1] + slack)


def _invert(flux: Floats, edges: Floats, levels: tuple[float, ...]) -> Floats:
    """Return where the running integral of flux (n, w) first reaches parts of its end value."""
    integral = np.zeros((len(flux), len(edges)))
    np.cumsum(flux * np.diff(edges), axis=1, out=integral[:, 1:])
    cubics = CubicSpline(edges, integral, axis=1).c  # (power, pixel, spectrum), highest first
    row = np.arange(len(flux))
    found = np.empty((len(flux), len(levels)))
    for column, level in enumerate(levels):
        wanted = level * integral[:, -1]
        pixel = (integral[:, 1:] >= wanted[:, None]).argmax(axis=1)
        a, b, c, d = cubics[:, pixel, row]
        low, high = np.zeros(len(flux)), np.diff(edges)[pixel]
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            below = ((a * middle + b) * middle + c) * middle + d < wanted
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        found[:, column] = edges[pixel] + (low + high) / 2
    return found
