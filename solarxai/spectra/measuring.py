"""Spectra cleaned, brought to a grid, divided by their maximum and measured, all in one."""

from __future__ import annotations

from typing import Any, NamedTuple

import astropy.units as u
import numpy as np
import numpy.typing as npt

from solarxai.spectra._axis import Floats
from solarxai.spectra.cleaning import STEPS, Cleaning
from solarxai.spectra.features import FEATURES, line_features
from solarxai.spectra.grid import regrid
from solarxai.spectra.normalise import by_maximum

__all__ = ["Measured", "measure"]

Floats32 = npt.NDArray[np.float32]

TOGETHER = 256
"""Spectra measured at a time: their double-precision copies fit a processor's cache."""

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


def measure(
    rate: npt.NDArray[Any],
    wavelength: u.Quantity,
    grid: u.Quantity,
    *,
    exposure: Floats,
    saa: npt.NDArray[np.bool_],
    cleaning: Cleaning,
) -> Measured:
    """Return what is known of spectra (n, w); each depends on itself alone, to the last bit.

    Parameters
    ----------
    rate
        DN / s, or another unit for all wavelengths, NaN where not valid.
    wavelength, grid
        Their axis and that wanted.
    exposure
        Its length (n,), s: cleaning judges DN, the rate times this.
    saa
        Which (n,) were taken in the South Atlantic Anomaly.
    cleaning
        Which spectra are dropped.

    Raises
    ------
    ContractError
        as `Cleaning.apply` and `regrid` do.
    """
    n = len(rate)
    made = Measured(
        image=np.full((n, len(grid)), np.nan, dtype=np.float32),
        quality=np.empty(n, dtype=np.uint8),
        peak=np.full(n, np.nan, dtype=np.float32),
        features={name: np.full(n, np.nan, dtype=np.float32) for name in FEATURES},
    )
    pixel = float(np.median(np.diff(wavelength.to_value(u.AA)))) * u.AA
    for start in range(0, n, TOGETHER):
        rows = np.arange(start, min(start + TOGETHER, n))
        counts = rate[rows] * exposure[rows, None]
        quality = cleaning.apply(counts, wavelength, saa=saa[rows])
        kept = np.flatnonzero(quality == _KEPT)
        on_grid = regrid(rate[rows[kept]], wavelength, grid)
        whole = np.isfinite(on_grid).all(axis=1)
        quality[kept[~whole]] = _MISSING
        made.quality[rows] = quality
        if whole.any():
            _describe(made, rows[kept[whole]], on_grid[whole], grid, exposure, pixel)
    return made


def _describe(
    made: Measured,
    rows: npt.NDArray[np.intp],
    on_grid: Floats32,
    grid: u.Quantity,
    exposure: Floats,
    pixel: u.Quantity,
) -> None:
    """Put the shape, the maximum and the features of kept spectra into their rows."""
    made.image[rows], made.peak[rows] = by_maximum(on_grid)
    faint = (on_grid * exposure[rows, None]).max(axis=1) < _REVERSAL_DN
    for name, values in line_features(on_grid, grid, pixel_width=pixel).items():
        values[faint & name.startswith(("k2", "k3"))] = np.nan
        made.features[name][rows] = values
