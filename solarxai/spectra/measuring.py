"""Spectra cleaned, brought to a grid, divided by their maximum and measured, all in one."""

from __future__ import annotations

from typing import Any, NamedTuple

import astropy.units as u
import numpy as np
import numpy.typing as npt

from solarxai.spectra._axis import Floats, axis_angstrom
from solarxai.spectra.cleaning import STEPS, Cleaning
from solarxai.spectra.features import FEATURES, line_features
from solarxai.spectra.grid import Resampling
from solarxai.spectra.normalise import by_maximum

__all__ = ["Measured", "measure"]

Floats32 = npt.NDArray[np.float32]

TOGETHER = 256
"""Spectra measured at a time: their copies fit a processor's cache."""

_KEPT = 0
_MISSING = 1 + STEPS.index("missing")

_REVERSAL_DN = 60.0
"""Least maximum, DN, at which k2 and k3 are measured: below it noise makes two peaks of one in 6 %
of spectra on the study's grid, at twice it in none (docs/spectra.md)."""


class Measured(NamedTuple):
    """What is known of spectra, in order.

    Parameters
    ----------
    image
        (n, g) float32: on the grid, divided by their maximum; NaN where dropped.
    quality
        (n,) uint8: a number in `REASONS`.
    peak
        (n,) float32: the maximum on the grid; NaN where dropped.
    features
        (n,) float32 each, by the names in `FEATURES`; NaN where dropped, and those of k2 and k3
        where the maximum is below 60 DN.
    """

    image: Floats32
    quality: npt.NDArray[np.uint8]
    peak: Floats32
    features: dict[str, Floats32]

    @classmethod
    def empty(cls, n: int, points: int) -> Measured:
        """Return room for n spectra of so many points."""
        return cls(
            image=np.empty((n, points), dtype=np.float32),
            quality=np.empty(n, dtype=np.uint8),
            peak=np.empty(n, dtype=np.float32),
            features={name: np.empty(n, dtype=np.float32) for name in FEATURES},
        )

    def rows(self, place: slice) -> Measured:
        """Return what is known of some spectra, in the same memory."""
        features = {name: values[place] for name, values in self.features.items()}
        return Measured(self.image[place], self.quality[place], self.peak[place], features)


def measure(
    rate: npt.NDArray[Any],
    wavelength: u.Quantity,
    grid: u.Quantity,
    *,
    exposure: Floats,
    saa: npt.NDArray[np.bool_],
    cleaning: Cleaning,
    out: Measured | None = None,
) -> Measured:
    """Return what is known of spectra (n, w); each depends on itself alone, to the last bit.

    Parameters
    ----------
    rate
        DN / s, or another unit for all wavelengths, NaN where not valid. Values of single
        precision are cleaned and brought to the grid in single precision.
    wavelength, grid
        Their axis and that wanted.
    exposure
        Its length (n,), s: cleaning judges DN, the rate times this.
    saa
        Which (n,) were taken in the South Atlantic Anomaly.
    cleaning
        Which spectra are dropped.
    out
        Where to put it, such as `Measured.rows` of a whole raster's; new arrays if None.

    Raises
    ------
    ContractError
        as `Cleaning.apply` and `regrid` do.
    """
    made = Measured.empty(len(rate), len(grid)) if out is None else out
    axis = axis_angstrom(wavelength)
    resampling = Resampling.between(axis, axis_angstrom(grid, "the grid"))
    seconds = exposure.astype(rate.dtype)[:, None]
    for start in range(0, len(rate), TOGETHER):
        rows = slice(start, start + TOGETHER)
        quality = cleaning.apply(rate[rows] * seconds[rows], wavelength, saa=saa[rows])
        kept = np.flatnonzero(quality == _KEPT)
        values = rate[rows][kept]
        on_grid = resampling.means(values, np.isfinite(values))
        quality[kept[~np.isfinite(on_grid).all(axis=1)]] = _MISSING
        made.quality[rows] = quality
        made.image[rows][kept], made.peak[rows][kept] = by_maximum(on_grid)
    _describe(made, grid, exposure, float(np.median(np.diff(axis))) * u.AA)
    return made


def _describe(made: Measured, grid: u.Quantity, exposure: Floats, pixel: u.Quantity) -> None:
    """Put the features of kept spectra into their rows, and NaN into all rows of the others."""
    dropped = made.quality != _KEPT
    made.image[dropped], made.peak[dropped] = np.nan, np.nan
    kept = np.flatnonzero(~dropped)
    faint = made.peak[kept] * exposure[kept] < _REVERSAL_DN
    shapes = made.image if len(kept) == len(dropped) else made.image[kept]
    for name, values in line_features(shapes, grid, pixel_width=pixel).items():
        values[faint & name.startswith(("k2", "k3"))] = np.nan
        made.features[name][dropped] = np.nan
        made.features[name][kept] = values
