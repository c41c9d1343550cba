"""Which features of a spectrum go with its score."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.attention._intervals import group_counts, members, quantiles
from solarxai.errors import QueryError

__all__ = ["feature_correlations"]

Array = npt.NDArray[np.float64]

_PREFIX = "feature_"


def feature_correlations(
    samples: xr.Dataset,
    *,
    by: str = "region",
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> xr.Dataset:
    """Return Spearman's correlation of each feature, and of `peak`, with the score, on (feature).

    Parameters
    ----------
    samples
        Spectrogram Samples with `spectrum_score`, `peak` and `feature_<name>` on (sample, slit).
    by
        Column whose groups are resampled: "region" or "observation".
    n_bootstrap, seed, level
        Of the block bootstrap.

    Returns
    -------
    xarray.Dataset
        `correlation` with `_low` and `_high` (NaN with fewer than two groups), `spectra` (those
        that have both numbers) and `groups`; the coordinate `feature` without its prefix, strongest
        first. `to_dataframe()` is the table.

    Raises
    ------
    QueryError
        when there are no scores or no features.
    ValidationError
        when there are no samples or no column `by`.

    Notes
    -----
    The interval is that of `solarxai.metrics.block_bootstrap`: ranks are taken anew in each
    resample, by weights of the values in place of copies of the rows. A correlation over spectra
    of several observations mixes differences between observations with those inside one.
    """
    names = _features(samples)
    member = np.repeat(members(samples, by), samples.sizes["slit"])
    score = samples["spectrum_score"].transpose("sample", "slit").values.ravel()
    found = [
        _correlated(
            samples[name].transpose("sample", "slit").values.ravel(),
            score,
            member,
            (n_bootstrap, seed, level),
        )
        for name in names
    ]
    columns = list(zip(*found, strict=True))
    made = xr.Dataset(
        {
            name: (("feature",), np.array(column))
            for name, column in zip(
                ("correlation", "correlation_low", "correlation_high", "spectra", "groups"),
                columns,
                strict=True,
            )
        },
        coords={"feature": np.array([name.removeprefix(_PREFIX) for name in names], dtype=object)},
        attrs={"by": by, "level": level, "statistic": "Spearman's rank correlation"},
    )
    strength = np.nan_to_num(np.abs(made["correlation"].values), nan=-1.0)
    return made.isel(feature=np.argsort(-strength, kind="stable"))


def _features(samples: xr.Dataset) -> list[str]:
    names = sorted(str(k) for k in samples.variables if str(k).startswith(_PREFIX))
    names += ["peak"] if "peak" in samples.variables else []
    if not names or "spectrum_score" not in samples.variables:
        raise QueryError(
            "the samples have no spectrum_score, or no feature_* and peak beside it",
            remedy="Attribute spectrogram Samples with a classifier of spectra.",
        )
    return names


def _correlated(
    x: Array, y: Array, member: npt.NDArray[np.intp], bootstrap: tuple[int, int, float]
) -> tuple[float, float, float, int, int]:
    """Return the correlation, its bounds, and the numbers of spectra and groups."""
    n, seed, level = bootstrap
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < 2:
        return math.nan, math.nan, math.nan, int(known.sum()), 0
    _, group = np.unique(member[known], return_inverse=True)
    left, right = _Levels(x[known]), _Levels(y[known])
    groups = int(group.max()) + 1
    value = _spearman(left, right, np.ones(len(group)))
    if groups < 2:
        return value, math.nan, math.nan, len(group), groups
    drawn = np.array([_spearman(left, right, w[group]) for w in group_counts(groups, n, seed)])
    low, high = quantiles(drawn[:, None], groups, level)
    return value, float(low[0]), float(high[0]), len(group), groups


class _Levels:
    """The distinct values of a column, sorted once, for ranks under any weights."""

    def __init__(self, values: Array) -> None:
        distinct, self._level = np.unique(values, return_inverse=True)
        self._number = len(distinct)

    def ranks(self, weights: Array) -> Array:
        """Return the mid-rank of each row when row i stands there `weights[i]` times."""
        count = np.bincount(self._level, weights=weights, minlength=self._number)
        middle = np.cumsum(count) - (count - 1) / 2
        return np.asarray(middle[self._level])


def _spearman(left: _Levels, right: _Levels, weights: Array) -> float:
    """Return the weighted correlation of ranks, NaN where a column is constant."""
    x, y = left.ranks(weights), right.ranks(weights)
    total = weights.sum()
    dx, dy = x - weights @ x / total, y - weights @ y / total
    spread = math.sqrt((weights @ dx**2) * (weights @ dy**2))
    return float(weights @ (dx * dy) / spread) if spread > 0 else math.nan
