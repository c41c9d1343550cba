"""The central reversal of a line: two peaks and the dip between them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from solarxai.spectra._axis import Floats

__all__ = ["Reversal", "central_reversal"]


class Reversal(NamedTuple):
    """Peaks and dip of each spectrum, (n,): wavelengths in Angstrom, heights in the given unit."""

    violet: Floats
    red: Floats
    violet_height: Floats
    red_height: Floats
    dip_height: Floats


def central_reversal(profile: Floats, axis: Floats, *, depth: float) -> Reversal:
    """Return the two peaks of profiles (n, w) and the dip between them; NaN where there is none.

    Parameters
    ----------
    profile, axis
        Finite values of the line's core.
    depth
        The second peak must rise out of the dip by this part of the highest peak.

    Notes
    -----
    The first peak is the highest; the second, of all others, is the one that rises most out of
    the lowest point between it and the first. Peaks and dip are refined by a parabola through
    three points.
    """
    row = np.arange(len(profile))
    first = profile[:, 1:-1].argmax(axis=1) + 1
    rise = _rise(profile, first)
    second = rise.argmax(axis=1)
    highest = profile[row, first]
    double = (rise[row, second] >= depth * highest) & _is_peak(profile)[row, first]
    left, right = np.minimum(first, second), np.maximum(first, second)
    column = np.arange(profile.shape[1])
    between = (column > left[:, None]) & (column < right[:, None])
    dip = np.where(between, profile, np.inf).argmin(axis=1)
    dip = np.clip(dip, 1, profile.shape[1] - 2)
    (violet, low), (red, high) = (_vertex(profile, axis, peak) for peak in (left, right))
    measured = (violet, red, low, high, _vertex(profile, axis, dip)[1])
    return Reversal(*(np.where(double, each, np.nan) for each in measured))


def _is_peak(profile: Floats) -> npt.NDArray[np.bool_]:
    """Return which points (n, w) are higher than the one before and not lower than the next."""
    found = np.zeros(profile.shape, dtype=bool)
    middle = profile[:, 1:-1]
    found[:, 1:-1] = (middle > profile[:, :-2]) & (middle >= profile[:, 2:])
    return found


def _rise(profile: Floats, first: npt.NDArray[np.intp]) -> Floats:
    """Return how far each other peak (n, w) rises out of the dip towards the first; else −inf."""
    column = np.arange(profile.shape[1])
    before, after = column <= first[:, None], column >= first[:, None]
    leftward = np.minimum.accumulate(np.where(before, profile, np.inf)[:, ::-1], axis=1)[:, ::-1]
    rightward = np.minimum.accumulate(np.where(after, profile, np.inf), axis=1)
    lowest = np.where(before, leftward, rightward)
    other = _is_peak(profile) & (column != first[:, None])
    return np.where(other, profile - lowest, -np.inf)


def _vertex(profile: Floats, axis: Floats, point: npt.NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Return position and height (n,) of the parabola through a point and its neighbours."""
    row = np.arange(len(profile))
    point = np.clip(point, 1, profile.shape[1] - 2)
    before, here, after = (profile[row, point + step] for step in (-1, 0, 1))
    bend = before - 2 * here + after
    shift = np.divide(before - after, 2 * bend, out=np.zeros_like(here), where=bend != 0)
    shift = np.clip(shift, -0.5, 0.5)
    step = (axis[point + 1] - axis[point - 1]) / 2
    return axis[point] + shift * step, here - (before - after) * shift / 4
