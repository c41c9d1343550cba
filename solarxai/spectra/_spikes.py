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
    values = np.where(np.isfinite(counts), counts, np.nan).astype(np.float64)
    left, pixel, right = (values[:, start : start - 4 or None] for start in (1, 2, 3))
    base = (values[:, :-4] + values[:, 4:]) / 2
    excess, beside = pixel - base, (left + right) / 2 - base
    noise = np.sqrt(np.maximum(np.maximum(base, pixel), 0) / GAIN + READ_NOISE**2)
    alone = (pixel - left) * (pixel - right) > 0
    stands_out = alone & (np.abs(excess) > sigmas * noise)
    sharp = beside * np.sign(excess) < share / 2 * np.abs(excess)
    return np.asarray((stands_out & sharp).any(axis=1))
