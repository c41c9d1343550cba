"""Intervals of many pooled ratios at once, from resampling whole groups."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.stats
import xarray as xr

from solarxai.errors import ValidationError

__all__ = ["Bounds", "bounded", "group_counts", "members", "pooled_ratio", "quantiles"]

Array = npt.NDArray[np.float64]


class Bounds(NamedTuple):
    """Statistics with their lower and upper bounds, arrays of one shape."""

    value: Array
    low: Array
    high: Array


def pooled_ratio(
    top: Array, bottom: Array, *, n: int = 1000, seed: int = 0, level: float = 0.95
) -> Bounds:
    """Return sum(top) / sum(bottom) over the groups, with the interval of the block bootstrap.

    Parameters
    ----------
    top, bottom
        (group, *any): sums over the rows of each group.
    n, seed, level
        Number of resamples, seed of their generator, confidence level.

    Notes
    -----
    Equals `solarxai.metrics.block_bootstrap` of the ratio of sums with the same seed, to rounding,
    for all columns at the price of one: a resample is a row of counts times the sums.
    """
    _check_level(level)
    counts = group_counts(len(top), n, seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = top.sum(axis=0) / bottom.sum(axis=0)
        found = np.tensordot(counts, top, 1) / np.tensordot(counts, bottom, 1)
    low, high = quantiles(found, len(top), level)
    return Bounds(value, low, high)


def group_counts(n_groups: int, n: int, seed: int) -> Array:
    """Return (resample, group): how often each group stands in the draws of `block_bootstrap`."""
    draws = np.random.default_rng(seed).integers(n_groups, size=(n, n_groups))
    return np.array([np.bincount(draw, minlength=n_groups) for draw in draws], dtype=float)


def quantiles(found: Array, n_groups: int, level: float) -> tuple[Array, Array]:
    """Return the expanded percentiles along the resamples; NaN with fewer than two groups.

    References
    ----------
    Hesterberg 2015, The American Statistician 69 371, doi:10.1080/00031305.2015.1089789, §3.4.
    """
    nothing = np.full(found.shape[1:], math.nan)
    defined = np.isfinite(found).any(axis=0)
    if n_groups < 2 or not defined.any():
        return nothing, nothing.copy()
    t = scipy.stats.t.ppf((1 - level) / 2, n_groups - 1)
    tail = float(scipy.stats.norm.cdf(math.sqrt(n_groups / (n_groups - 1)) * t))
    low, high = nothing.copy(), nothing.copy()
    found = np.where(np.isfinite(found), found, math.nan)[:, defined]
    low[defined], high[defined] = np.nanquantile(found, [tail, 1 - tail], axis=0)
    return low, high


def members(samples: xr.Dataset, by: str) -> npt.NDArray[np.intp]:
    """Return (sample,) the number of each sample's group.

    Raises
    ------
    ValidationError
        when the samples lack that column, or there are none.
    """
    if by not in samples.variables or samples[by].dims != ("sample",):
        raise ValidationError(
            f"the samples have no column {by!r} to resample by",
            remedy="Give by='region', or by='observation'.",
        )
    if not samples.sizes["sample"]:
        raise ValidationError("there are no samples to average", remedy="Select other samples.")
    _, member = np.unique(samples[by].values.astype(str), return_inverse=True)
    return np.asarray(member, dtype=np.intp)


def bounded(name: str, found: Bounds, dim: str, **attrs: Any) -> dict[str, xr.Variable]:
    """Return the variables `name`, `name_low` and `name_high` along one dimension."""
    parts = (found.value, found.low, found.high)
    names = (name, f"{name}_low", f"{name}_high")
    return {k: xr.Variable((dim,), v, attrs) for k, v in zip(names, parts, strict=True)}


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValidationError(
            f"level {level} is not between 0 and 1", remedy="Give for example level=0.95."
        )
