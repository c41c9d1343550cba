"""How alike are two maps of one image: by rank, by structure, by the directions of their edges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.stats import rankdata
from skimage.feature import hog
from skimage.metrics import structural_similarity

from solarxai.errors import ValidationError

__all__ = ["MEASURES", "Described", "measures_for", "similarity"]

Array = npt.NDArray[Any]

MEASURES = ("Spearman", "absolute Spearman", "SSIM", "HOG")
"""Measures of similarity; 1 for equal maps."""

_WINDOW = 7
"""Pixels an axis of an SSIM window, that of Wang et al. 2004 without Gaussian weights."""

_ZERO = 3.0
"""What stands for no attribution in SSIM, root mean squares: window means stay positive."""

_CELL = 8
"""Pixels an axis of a HOG cell, of which 2 by 2 make a block."""


@dataclass(frozen=True, eq=False)
class Described:
    """Maps, with what comparing them needs: made once when one map is compared with many.

    Parameters
    ----------
    maps
        (sample, *space) of one or two axes, raw and signed; NaN where there is no value.
    """

    maps: Array

    def __post_init__(self) -> None:
        if self.maps.ndim not in (2, 3):
            raise ValidationError(
                f"maps of shape {self.maps.shape} cannot be compared",
                remedy="Give (sample, wavelength) or (sample, y, x).",
            )

    @cached_property
    def known(self) -> npt.NDArray[np.bool_]:
        """Return where there is a value, (sample, *space)."""
        return np.asarray(np.isfinite(self.maps))

    @cached_property
    def ranks(self) -> npt.NDArray[np.float64]:
        """Return ranks (sample, pixel) of the signed values, standardised."""
        return _standard_ranks(self._flat)

    @cached_property
    def absolute_ranks(self) -> npt.NDArray[np.float64]:
        """Return ranks (sample, pixel) of the absolute values, standardised."""
        return _standard_ranks(np.abs(self._flat))

    @cached_property
    def units(self) -> npt.NDArray[np.float64]:
        """Return the maps in units of their own root mean square, signed, 0 where unknown."""
        scale = np.sqrt(np.nanmean(np.square(self._padded), axis=1))
        scale = np.where(scale > 0, scale, np.nan)
        shape = (-1, *(1,) * (self.maps.ndim - 1))
        made = np.where(self.known, self.maps, 0) / scale.reshape(shape)
        return np.asarray(made, dtype=np.float64)

    @cached_property
    def gradients(self) -> npt.NDArray[np.float64]:
        """Return histograms (sample, entry) of oriented gradients, NaN where unknown."""
        near = ndimage.minimum_filter(self.known, size=(1, 3, 3), mode="nearest")
        pairs = zip(self.units, near, strict=True)
        found = [_histograms(unit, known) for unit, known in pairs]
        return np.array(found).reshape(len(found), -1 if found else 0)

    @property
    def _flat(self) -> npt.NDArray[np.float64]:
        shape = (len(self.maps), math.prod(self.maps.shape[1:]))
        flat = self.maps.reshape(shape).astype(np.float64)
        return np.where(self.known.reshape(shape), flat, np.nan)

    @property
    def _padded(self) -> npt.NDArray[np.float64]:
        """Return the flat maps, those without any value as zeros."""
        flat = self._flat
        flat[np.isnan(flat).all(axis=1)] = 0
        return flat


def measures_for(axes: int) -> tuple[str, ...]:
    """Return the measures that maps of so many axes have: HOG needs two."""
    return MEASURES if axes == 2 else MEASURES[:-1]


def similarity(
    first: Array | Described,
    second: Array | Described,
    *,
    measures: Sequence[str] | None = None,
) -> dict[str, npt.NDArray[np.float64]]:
    r"""Return how alike the maps of each pair are, (sample,) a measure, NaN where undefined.

    Parameters
    ----------
    first, second
        (sample, *space), one or two axes, raw and signed; NaN where there is no value. `Described`
        saves time where one is compared with many.
    measures
        Of `MEASURES`; default all that maps of so many axes have.

    Raises
    ------
    ValidationError
        when the shapes differ, a measure is unknown, or HOG is asked of spectra.

    Notes
    -----
    No measure changes when a map is multiplied by a positive number; none clips, smooths or
    stretches a map to its extremes, which lets one bright pixel decide.

    Spearman
        Rank correlation of the signed values: −1 for a map and its negative.
    absolute Spearman
        Of the absolute values: blind to signs, 1 for a map and its negative. The two belong
        together.
    SSIM
        Mean structural similarity over windows of 7 pixels an axis, of maps divided by their own
        root mean square and raised by 3, with the constants :math:`C_i = (0.01, 0.03)^2` in these
        units. SSIM knows no scale of its own, and the gradients of two networks differ by orders of
        magnitude; a root mean square keeps the zero where it is, as stretching by minimum and
        maximum does not. Unraised, the products of two negative factors, of means and of
        structures, call a map and its negative alike.
    HOG
        Pearson's correlation of the histograms of oriented gradients (9 directions, cells of 8
        pixels, blocks of 2 by 2) of the same maps. Directions are taken modulo 180°, so it is blind
        to signs too. In one dimension every gradient has the same direction and the measure says
        nothing, so spectra have none.

    Pixels unknown in one of the two take no part; neither do SSIM windows and HOG blocks that touch
    one, since what fills them would be equal in both. A constant map has no similarity: NaN.

    References
    ----------
    Adebayo et al. 2018, Sanity Checks for Saliency Maps, arXiv:1810.03292. Wang et al. 2004,
    doi:10.1109/TIP.2003.819861. Dalal & Triggs 2005, doi:10.1109/CVPR.2005.177.
    """
    one, other = _together(first, second)
    axes = one.maps.ndim - 1
    wanted = measures_for(axes) if measures is None else tuple(measures)
    unknown = [name for name in wanted if name not in measures_for(axes)]
    if unknown:
        raise ValidationError(
            f"maps of {axes} axes have no similarity {unknown}",
            remedy=f"Choose among {', '.join(measures_for(axes))}.",
        )
    return {name: _MEASURED[name](one, other) for name in wanted}


def _together(first: Array | Described, second: Array | Described) -> tuple[Described, Described]:
    """Return both described, without pixels that one of them does not know."""
    one, other = (m if isinstance(m, Described) else Described(m) for m in (first, second))
    if one.maps.shape != other.maps.shape:
        raise ValidationError(
            f"maps of shapes {one.maps.shape} and {other.maps.shape} cannot be compared",
            remedy="Give maps of the same images.",
        )
    if np.array_equal(one.known, other.known):
        return one, other
    known = one.known & other.known
    masked = (Described(np.where(known, m.maps, np.nan)) for m in (one, other))
    return next(masked), next(masked)


def _spearman(one: Described, other: Described) -> npt.NDArray[np.float64]:
    return _product(one.ranks, other.ranks)


def _absolute_spearman(one: Described, other: Described) -> npt.NDArray[np.float64]:
    return _product(one.absolute_ranks, other.absolute_ranks)


def _ssim(one: Described, other: Described) -> npt.NDArray[np.float64]:
    least = min(one.maps.shape[1:])
    window = min(_WINDOW, least - 1 + least % 2)
    if window < 3:
        return np.full(len(one.maps), np.nan)
    size = (1, *(window,) * (one.maps.ndim - 1))
    whole = ndimage.minimum_filter(one.known, size=size, mode="nearest")
    edge = (slice(None), *(slice(window // 2, n - window // 2) for n in one.maps.shape[1:]))
    found = np.array(
        [
            structural_similarity(a, b, win_size=window, data_range=1.0, full=True)[1]
            for a, b in zip(_ZERO + one.units, _ZERO + other.units, strict=True)
        ]
    ).reshape(one.maps.shape)
    return _mean(found[edge], whole[edge])


def _hog(one: Described, other: Described) -> npt.NDArray[np.float64]:
    return _product(_standard(one.gradients), _standard(other.gradients))


_MEASURED = dict(zip(MEASURES, (_spearman, _absolute_spearman, _ssim, _hog), strict=True))


def _standard_ranks(flat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    ranks = rankdata(flat, axis=1, nan_policy="omit") if len(flat) else flat
    return _standard(np.asarray(ranks, dtype=np.float64))


def _standard(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return rows of mean 0 and sum of squares 1, unknown entries 0; constant rows are NaN."""
    known = ~np.isnan(rows)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    filled = np.where(known, rows, 0)
    centred = np.where(known, filled - filled.sum(axis=1, keepdims=True) / count, 0)
    norm = np.sqrt(np.square(centred).sum(axis=1, keepdims=True))
    least = 1e-12 * np.sqrt(np.square(filled).sum(axis=1, keepdims=True))
    return np.asarray(centred / np.where(norm > least, norm, np.nan))


def _product(one: Array, other: Array) -> npt.NDArray[np.float64]:
    """Return Pearson's correlation of standardised rows."""
    return np.asarray(np.clip(np.einsum("ij,ij->i", one, other), -1, 1))


def _histograms(unit: Array, known: Array) -> npt.NDArray[np.float64]:
    """Return the histograms of one map, NaN in blocks that touch an unknown pixel."""
    if min(unit.shape) < 2 * _CELL:
        return np.full(1, math.nan)
    cells = hog(
        np.nan_to_num(unit),
        pixels_per_cell=(_CELL, _CELL),
        cells_per_block=(2, 2),
        feature_vector=False,
    )
    down, across = cells.shape[:2]
    for row, column in np.ndindex(down, across):
        y, x = row * _CELL, column * _CELL
        if not known[y : y + 2 * _CELL, x : x + 2 * _CELL].all():
            cells[row, column] = math.nan
    return np.asarray(cells.reshape(-1), dtype=np.float64)


def _mean(values: Array, known: Array) -> npt.NDArray[np.float64]:
    """Return the mean over the known pixels of each map, NaN where there is none."""
    space = tuple(range(1, values.ndim))
    count = known.sum(axis=space)
    total: Array = np.where(known, values, 0).sum(axis=space)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))
