"""Intervals of a statistic whose rows come in groups: whole groups are resampled."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.special
import scipy.stats

from solarxai.errors import ValidationError

__all__ = ["Interval", "block_bootstrap", "proportion_interval"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A statistic with its confidence interval.

    Parameters
    ----------
    value
        The statistic of the data as they are.
    low, high
        Bounds; NaN when fewer than two groups, or no resample, define the statistic.
    n_groups
        Number of groups (regions) that were resampled.
    n_undefined
        Resamples in which the statistic was undefined (a class absent); they are left out.
    """

    value: float
    low: float
    high: float
    n_groups: int
    n_undefined: int = 0

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def record(self) -> dict[str, float | int | None]:
        """Return the fields as JSON: undefined numbers become None."""
        return {k: None if math.isnan(v) else v for k, v in asdict(self).items()}


def block_bootstrap(
    statistic: Callable[..., float],
    *arrays: Array,
    groups: Array,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    bounds: tuple[float, float] | None = None,
) -> Interval:
    """Return `statistic(*arrays)` with an interval from resampling whole groups.

    Parameters
    ----------
    statistic
        Takes the rows of each array and returns a number, NaN where it is undefined.
    arrays
        Any number of arrays whose first axis is the row. Pass row numbers to look things up.
    groups
        (row,) the group of each row (its active region); groups are drawn with replacement.
    n, seed, level
        Number of resamples, seed of their generator, and confidence level.
    bounds
        Least and greatest value the statistic can take, for an interval that stays inside them and
        covers better near them: (0, 1) for an AUC or a mean of fractions, (−1, 1) for TSS.

    Raises
    ------
    ValidationError
        when there are no rows, the lengths differ, `level` is not inside (0, 1), or the statistic
        is outside its bounds.

    Notes
    -----
    The expanded percentile interval: percentiles at α' = Φ(√(g/(g − 1)) t(α/2, g − 1)) for g
    groups, which widens the plain percentile interval as much as Student's t widens the normal.
    Resamples in which the statistic is undefined are left out and counted.

    With bounds, u = (value − least)/(greatest − least) and Student's t on the logit scale:
    logit u ± t s √(g/(g − 1))/(u(1 − u)) with s the standard deviation of u over the resamples. At
    a bound, where every resample may be the same, the other end is the exact one of Clopper and
    Pearson for g hits of g. `benchmarks/calibration.py` measures the coverage of both.

    Without bounds a statistic that is the same in every group (no error at all) gets an interval of
    no width; see `proportion_interval` for fractions.

    References
    ----------
    Hesterberg 2015, The American Statistician 69 371, doi:10.1080/00031305.2015.1089789, §3.4.
    """
    _check_rows(arrays, groups, level)
    _, member = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    n_groups = int(member.max()) + 1
    value = float(statistic(*arrays))
    if n_groups < 2:
        return Interval(value=value, low=math.nan, high=math.nan, n_groups=n_groups)
    found = np.array(
        [statistic(*(a[rows] for a in arrays)) for rows in _resampled_rows(member, n, seed)],
        dtype=float,
    )
    defined = found[~np.isnan(found)]
    if bounds is None:
        low, high = _expanded_percentiles(defined, n_groups, level)
    else:
        low, high = _between_bounds(value, defined, n_groups, level, bounds)
    return Interval(
        value=value, low=low, high=high, n_groups=n_groups, n_undefined=n - len(defined)
    )


def proportion_interval(
    hits: Array, *, groups: Array, n: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Return the mean of boolean `hits` with an interval that has width even without a miss.

    The bounds are the wider of the bootstrap by group and the exact binomial interval of Clopper
    and Pearson (1934, Biometrika 26 404) for independent rows.
    """
    rows = np.asarray(hits, bool)
    found = block_bootstrap(np.mean, rows, groups=groups, n=n, seed=seed, level=level)
    exact = scipy.stats.binomtest(int(rows.sum()), len(rows)).proportion_ci(level, "exact")
    if math.isnan(found.low):
        return found
    return Interval(
        value=found.value,
        low=min(found.low, float(exact.low)),
        high=max(found.high, float(exact.high)),
        n_groups=found.n_groups,
    )


def _check_rows(arrays: tuple[Array, ...], groups: Array, level: float) -> None:
    lengths: Mapping[str, int] = {
        "groups": len(groups), **{f"array {i}": len(a) for i, a in enumerate(arrays)}
    }  # fmt: skip
    if not len(groups) or len(set(lengths.values())) > 1:
        raise ValidationError(
            f"a bootstrap needs rows, as many in each array as groups; got {dict(lengths)}",
            remedy="Give one group (region) for each row.",
        )
    if not 0 < level < 1:
        raise ValidationError(
            f"level {level} is not between 0 and 1", remedy="Give for example level=0.95."
        )


def _resampled_rows(member: npt.NDArray[np.intp], n: int, seed: int) -> Iterator[Array]:
    """Yield, a resample, the rows of as many groups as there are, drawn with replacement."""
    rng = np.random.default_rng(seed)
    n_groups = int(member.max()) + 1
    parts = np.split(
        np.argsort(member, kind="stable"), np.cumsum(np.bincount(member, minlength=n_groups))[:-1]
    )
    for draw in rng.integers(n_groups, size=(n, n_groups)):
        yield np.concatenate([parts[i] for i in draw])


def _expanded_percentiles(
    found: npt.NDArray[np.float64], n_groups: int, level: float
) -> tuple[float, float]:
    if not len(found):
        return math.nan, math.nan
    t = scipy.stats.t.ppf((1 - level) / 2, n_groups - 1)
    tail = float(scipy.stats.norm.cdf(math.sqrt(n_groups / (n_groups - 1)) * t))
    low, high = np.quantile(found, [tail, 1 - tail])
    return float(low), float(high)


def _between_bounds(
    value: float,
    found: npt.NDArray[np.float64],
    n_groups: int,
    level: float,
    bounds: tuple[float, float],
) -> tuple[float, float]:
    least, greatest = bounds
    if value < least or value > greatest:
        raise ValidationError(
            f"the statistic {value:g} is outside its bounds {least:g} to {greatest:g}",
            remedy="Give the least and the greatest value that the statistic can take.",
        )
    if len(found) < 2 or math.isnan(value):
        return math.nan, math.nan
    width, tail = greatest - least, (1 - level) / 2
    u, far = (value - least) / width, tail ** (1 / n_groups)
    if u in (0, 1):
        low, high = (far, 1.0) if u else (0.0, 1 - far)
    else:
        spread = float(np.std(found, ddof=1)) / width * math.sqrt(n_groups / (n_groups - 1))
        reach = -scipy.stats.t.ppf(tail, n_groups - 1) * spread / (u * (1 - u))
        low, high = scipy.special.expit(scipy.special.logit(u) + np.array([-reach, reach]))
    return least + width * float(low), least + width * float(high)
