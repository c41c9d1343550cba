"""Spikes one pixel wide: sharper than the instrument can show, so not light from the Sun."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import erf

from solarxai.spectra._axis import Floats

__all__ = ["has_spike", "neighbour_share"]

WIDTH = 0.053  # Angstrom: full width at half maximum of the NUV profile, De Pontieu et al. 2014
GAIN = 18.0  # photons a DN in the NUV
READ_NOISE = 1.2  # DN
NEARLY = 0.999  # of the threshold: what single precision may lose
LEAST_SHARE = 0.1  # below it a spike cannot be told from a sharp line


def neighbour_share(step: float) -> float:
    """Return what a pixel `step` Angstrom wide shows of a sharp line centred on its neighbour."""
    edges = np.array([0.5, 1.5]) * step / (WIDTH / np.sqrt(4 * np.log(2)))
    centre, outer = erf(edges)
    return float((outer - centre) / 2 / centre)


def has_spike(counts: npt.NDArray[Any], axis: Floats, sigmas: float) -> npt.NDArray[np.bool_]:
    """Return which spectra (n,) in DN have a pixel that no light through the slit can give.

    Notes
    -----
    The pixel is higher than both neighbours, stands above the mean of the pixels two away by
    `sigmas` standard deviations (photon and read noise), and its neighbours on average by less
    than half of what an infinitely sharp line would put there; or all this below. On pixels so
    wide that a sharp line fills only one (a share below 0.1; wider than 0.062 Angstrom) nothing is
    called a spike.
    """
    share = neighbour_share(float(np.median(np.diff(axis))))
    if share < LEAST_SHARE or counts.shape[1] < 5:
        return np.zeros(len(counts), dtype=bool)
    row, column = _candidates(counts, sigmas)
    around = counts[row[:, None], column[:, None] + np.arange(-2, 3)].astype(np.float64)
    values = np.where(np.isfinite(around), around, np.nan)
    far_left, left, pixel, right, far_right = values.T
    base = (far_left + far_right) / 2
    excess, beside = pixel - base, (left + right) / 2 - base
    alone = (pixel - left) * (pixel - right) > 0
    stands_out = alone & (np.abs(excess) > sigmas * np.sqrt(_variance(base, pixel)))
    sharp = beside * np.sign(excess) < share / 2 * np.abs(excess)
    found = np.zeros(len(counts), dtype=bool)
    found[row[stands_out & sharp]] = True
    return found


def _candidates(
    counts: npt.NDArray[Any], sigmas: float
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return row and column of all pixels that stand out, and of few that just do not."""
    pixel = counts[:, 2:-2]
    with np.errstate(invalid="ignore", over="ignore"):
        base = (counts[:, :-4] + counts[:, 4:]) / 2
        excess = pixel - base
        excess *= excess
        found = excess > (NEARLY * sigmas) ** 2 * _variance(base, pixel)
    row, column = np.divmod(np.flatnonzero(found), found.shape[1])
    return row, column + 2


def _variance(base: npt.NDArray[Any], pixel: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the square of the noise in DN: that of photons and of reading."""
    return np.asarray(np.maximum(np.maximum(base, pixel), 0) / GAIN + READ_NOISE**2)
