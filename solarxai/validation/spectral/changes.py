"""Spectra changed in one respect: a window, a line by its twin, the scale, the slope, the slit.

All functions take spectra (..., w) divided by their maximum, return such spectra (float32) and
leave rows of NaN, slit positions without a spectrum, as they are. Axes are in Å, shifts in km/s.
"""

from __future__ import annotations

from typing import Any

import astropy.constants
import astropy.units as u
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.signal.windows import hann

from solarxai.spectra import LINES, by_maximum

__all__ = [
    "edge_level",
    "from_twin",
    "noisier",
    "point_velocity",
    "resampled",
    "rows_copied",
    "rows_mirrored",
    "rows_rolled",
    "rows_shuffled",
    "shifted",
    "spiked",
    "tilted",
    "window_replaced",
    "window_weight",
]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_C = float(astropy.constants.c.to_value(u.km / u.s))
_JOINT = 5
"""Points over which what is put in passes into what is left."""

_PHOTONS_A_DN = 18.0
_READ_NOISE = 1.2
"""De Pontieu et al. 2014, Sol. Phys. 289, 2733: near-ultraviolet photons per DN, and DN."""


def window_weight(inside: npt.NDArray[np.bool_]) -> Floats:
    """Return how much of what is put in shows, (w,): 1 inside a window, 0 well outside."""
    kernel = hann(_JOINT + 2)[1:-1]
    padded = ndimage.convolve1d(inside.astype(float), kernel / kernel.sum(), mode="nearest")
    return np.asarray(padded)


def window_replaced(spectra: Array, weight: Floats, new: Array) -> Array:
    """Return spectra with `new` (..., w) where `weight` (w,) is 1, divided by their maximum."""
    return by_maximum(spectra * (1 - weight) + new * weight)[0]


def resampled(spectra: Array, place: Floats) -> Array:
    """Return spectra at places (v,) on their axis, in points; the ends go on.

    Cubic through the four nearest points (Catmull & Rom 1974), exact where nothing moves.
    """
    last = spectra.shape[-1] - 1
    place = np.clip(place, 0, last)
    base = np.floor(place).astype(int)
    t = place - base
    weights = (
        t * (-0.5 + t * (1 - 0.5 * t)),
        1 + t * t * (-2.5 + 1.5 * t),
        t * (0.5 + t * (2 - 1.5 * t)),
        t * t * (-0.5 + 0.5 * t),
    )
    made = np.zeros((*spectra.shape[:-1], len(place)))
    for offset, weight in zip(range(-1, 3), weights, strict=True):
        made += spectra[..., np.clip(base + offset, 0, last)] * weight
    return made.astype(np.float32)


def point_velocity(axis: Floats) -> float:
    """Return the Doppler width of a point in the middle of the axis, km/s."""
    return float(np.median(np.diff(axis)) / axis.mean() * _C)


def shifted(spectra: Array, axis: Floats, velocity: float) -> Array:
    """Return spectra whose wavelength scale is off by `velocity` km/s, positive to the red."""
    place = np.interp(axis / (1 + velocity / _C), axis, np.arange(len(axis)))
    return by_maximum(resampled(spectra, place))[0]


def tilted(spectra: Array, axis: Floats, slope: float, outside: npt.NDArray[np.bool_]) -> Array:
    """Return spectra on whose continuum a slope (per Å) is laid, turning about the middle.

    Parameters
    ----------
    spectra, axis
        The spectra and their axis.
    slope
        Change of the continuum per Å, relative to the continuum.
    outside
        (w,) points outside the lines, whose median is the continuum of a spectrum.
    """
    level = np.median(spectra[..., outside], axis=-1, keepdims=True)
    return by_maximum(spectra + level * slope * (axis - axis.mean()))[0]


def edge_level(spectra: Array, axis: Floats, inside: npt.NDArray[np.bool_]) -> Array:
    """Return the straight line (..., w) through the three points on either side of a window.

    At an end of the axis the line is level with the one side there is.
    """
    points = np.flatnonzero(inside)
    sides = [
        np.arange(max(points[0] - 3, 0), points[0]),
        np.arange(points[-1] + 1, min(points[-1] + 4, len(axis))),
    ]
    sides = [side for side in sides if len(side)]
    where = [float(axis[side].mean()) for side in sides]
    levels = [spectra[..., side].mean(axis=-1)[..., None] for side in sides]
    rise = (levels[-1] - levels[0]) / (where[-1] - where[0]) if len(sides) == 2 else 0.0
    return np.asarray(levels[0] + rise * (axis - where[0]))


def from_twin(
    spectra: Array, axis: Floats, line: str, twin: str, own: Floats, given: Floats
) -> Array:
    """Return what the other line of the doublet says a line should be, (..., w).

    Parameters
    ----------
    spectra, axis
        The spectra and their axis.
    line, twin
        The line wanted and the one it is taken from: "k" and "h", or the reverse.
    own, given
        (w,) mean spectra that relate the two lines: the profile of `twin` relative to that in
        `own` becomes a profile of `line` relative to that in `given`. Usually the same.

    Notes
    -----
    The lines of the doublet share their lower level, and velocity, width and reversal nearly
    too (Leenaarts et al. 2013, ApJ 772 90): so I(v) of one is, up to the mean ratio at v, that of
    the other.
    """
    centres = [float(LINES[name].to_value(u.AA)) for name in (line, twin)]
    place = np.interp(axis * centres[1] / centres[0], axis, np.arange(len(axis)))
    relative = resampled(spectra, place) / resampled(own[None], place)[0]
    return np.asarray(relative * given)


def noisier(
    spectra: Array, counts: Array, rng: np.random.Generator, *, fraction: float = 0.5
) -> Array:
    """Return spectra as if exposed for `fraction` of the time: what the scale leaves behind.

    Parameters
    ----------
    spectra
        Divided by their maximum.
    counts
        (...) that maximum in DN of the exposure; where it is NaN, 100 DN.
    rng
        Draws the noise that is added to that which is there.
    fraction
        0 to 1.
    """
    most = np.where(np.isfinite(counts) & (counts > 0), counts, 100.0)[..., None]
    level = np.clip(spectra, 0, None) * most
    added = level / _PHOTONS_A_DN * (1 / fraction - 1) + _READ_NOISE**2 * (1 / fraction**2 - 1)
    noise = rng.standard_normal(spectra.shape) * np.sqrt(added) / most
    return by_maximum(spectra + noise)[0]


def spiked(spectra: Array, rng: np.random.Generator, outside: npt.NDArray[np.bool_]) -> Array:
    """Return spectra with one point each, outside the lines, raised by half of the maximum."""
    columns = rng.choice(np.flatnonzero(outside), size=spectra.shape[:-1])
    made = np.array(spectra, dtype=np.float32)
    struck = np.arange(spectra.shape[-1]) == columns[..., None]
    return by_maximum(made + np.float32(0.5) * struck)[0]


def rows_mirrored(spectra: Array) -> Array:
    """Return spectrograms (n, slit, w) with the slit turned over."""
    return np.asarray(spectra[:, ::-1], dtype=np.float32)


def rows_rolled(spectra: Array) -> Array:
    """Return spectrograms (n, slit, w) moved by half of the slit, what leaves coming back in."""
    return np.roll(spectra, spectra.shape[1] // 2, axis=1).astype(np.float32)


def rows_shuffled(spectra: Array, rng: np.random.Generator) -> Array:
    """Return spectrograms (n, slit, w), the rows of each in an order of its own."""
    order = np.argsort(rng.random(spectra.shape[:2]), axis=1)
    return np.take_along_axis(spectra, order[:, :, None], axis=1).astype(np.float32)


def rows_copied(spectra: Array, first: int, last: int) -> Array:
    """Return spectrograms (n, slit, w) with rows `first` to before `last` copied from beside.

    Where there is no spectrum to copy the row stays as it is.
    """
    made = np.array(spectra, dtype=np.float32)
    count, total = last - first, spectra.shape[1]
    start = first - count if first >= count else last
    beside = spectra[:, np.clip(np.arange(start, start + count), 0, total - 1)]
    made[:, first:last] = np.where(np.isfinite(beside), beside, made[:, first:last])
    return made
