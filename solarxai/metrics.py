"""Scores of a two-class forecast, and their intervals when samples come in regions.

Everywhere `truth` is boolean, True for the second class of the classifier (*sunspot*), and `score`
grows with the belief in that class.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special
import scipy.stats

from solarxai.errors import ValidationError

__all__ = [
    "Contingency",
    "Interval",
    "Logistic",
    "ReliabilityBin",
    "accuracy",
    "average_precision",
    "block_bootstrap",
    "brier",
    "brier_skill",
    "contingency",
    "fit_logistic",
    "hss",
    "proportion_interval",
    "reliability",
    "roc_auc",
    "tss",
]

Array = npt.NDArray[Any]


class Contingency(NamedTuple):
    """The 2×2 table of a yes/no forecast."""

    hits: int
    false_alarms: int
    misses: int
    correct_negatives: int


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


class ReliabilityBin(NamedTuple):
    """Forecast and observed frequency of the samples whose probability fell into one bin."""

    low: float
    high: float
    probability: float
    frequency: float
    samples: int


def contingency(truth: Array, predicted: Array) -> Contingency:
    """Return the 2×2 table of boolean `truth` and `predicted`."""
    yes, said = np.asarray(truth, bool), np.asarray(predicted, bool)
    hits, said_yes, are_yes = int((yes & said).sum()), int(said.sum()), int(yes.sum())
    return Contingency(hits, said_yes - hits, are_yes - hits, len(yes) - said_yes - are_yes + hits)


def accuracy(truth: Array, predicted: Array) -> float:
    """Return the fraction of samples called rightly, NaN without samples."""
    return _ratio(int((np.asarray(truth) == np.asarray(predicted)).sum()), len(truth))


def tss(truth: Array, predicted: Array) -> float:
    """Return the true skill statistic TPR − FPR, NaN if a class is absent.

    References
    ----------
    Bloomfield et al. 2012, ApJL 747 L41, doi:10.1088/2041-8205/747/2/L41.
    """
    a, b, c, d = contingency(truth, predicted)
    return _ratio(a, a + c) - _ratio(b, b + d)


def hss(truth: Array, predicted: Array) -> float:
    """Return the Heidke skill score, 2(ad − bc)/((a + c)(c + d) + (a + b)(b + d)).

    It is the fraction of the errors of a random forecast with the same marginals that are avoided;
    NaN when truth and forecast are the same constant.
    """
    a, b, c, d = contingency(truth, predicted)
    return _ratio(2 * (a * d - b * c), (a + c) * (c + d) + (a + b) * (b + d))


def roc_auc(truth: Array, score: Array) -> float:
    """Return the area under the ROC curve: P(score of a yes > score of a no), ties counting half.

    NaN if a class is absent.
    """
    yes = np.asarray(truth, bool)
    high, low = np.asarray(score)[yes], np.sort(np.asarray(score)[~yes])
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return _ratio(float(below.sum()) / 2, len(high) * len(low))


def average_precision(truth: Array, score: Array) -> float:
    """Return Σ (recall step) × precision over falling thresholds, NaN without a yes.

    Samples of equal score are accepted together, so the result does not depend on their order.
    """
    falling = np.argsort(-np.asarray(score), kind="stable")
    ordered = np.asarray(score)[falling]
    hits = np.cumsum(np.asarray(truth, bool)[falling])
    if not len(hits) or not hits[-1]:
        return math.nan
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(hits) - 1)
    precision = hits[last] / (last + 1)
    return float(np.sum(np.diff(hits[last], prepend=0) * precision) / hits[-1])


def brier(truth: Array, probability: Array) -> float:
    """Return the mean squared difference of probability and outcome, NaN without samples."""
    error = np.asarray(probability, float) - np.asarray(truth, float)
    return _ratio(float(error @ error), len(error))


def brier_skill(truth: Array, probability: Array) -> float:
    """Return 1 − Brier/Brier(climatology), NaN if a class is absent.

    Climatology is the constant forecast of the base rate of these very samples.
    """
    base = float(np.mean(np.asarray(truth, bool))) if len(truth) else math.nan
    return 1 - _ratio(brier(truth, probability), base * (1 - base))


def reliability(truth: Array, probability: Array, *, bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """Return the occupied bins of equal width in probability, from low to high."""
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.digitize(probability, edges) - 1, 0, bins - 1)
    made = []
    for i in np.unique(place):
        here = place == i
        made.append(
            ReliabilityBin(
                float(edges[i]),
                float(edges[i + 1]),
                float(np.mean(probability[here], dtype=float)),
                float(np.mean(truth[here], dtype=float)),
                int(here.sum()),
            )
        )
    return tuple(made)


def block_bootstrap(
    statistic: Callable[..., float],
    *arrays: Array,
    groups: Array,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
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

    Raises
    ------
    ValidationError
        when there are no rows, the lengths differ, or `level` is not inside (0, 1).

    Notes
    -----
    The expanded percentile interval: percentiles at α' = Φ(√(g/(g − 1)) t(α/2, g − 1)) for g
    groups, which widens the plain percentile interval as much as Student's t widens the normal.
    Resamples in which the statistic is undefined are left out and counted.
    A statistic at its bound in every group (no error at all) gets an interval of no width; see
    `proportion_interval` for fractions.

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
    low, high = _expanded_percentiles(defined, n_groups, level)
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


@dataclass(frozen=True, kw_only=True)
class Logistic:
    """A logistic regression on one measured column, P = 1/(1 + exp(−(intercept + slope·z))).

    Parameters
    ----------
    intercept, slope
        Coefficients for z = (x − centre)/spread.
    centre, spread
        Mean and standard deviation of the column where it was fitted.
    """

    intercept: float
    slope: float
    centre: float
    spread: float

    def probability(self, x: Array) -> npt.NDArray[np.float64]:
        """Return the probability of a yes for each value of the column."""
        z = (np.asarray(x, float) - self.centre) / self.spread
        return np.asarray(scipy.special.expit(self.intercept + self.slope * z))


def fit_logistic(x: Array, truth: Array) -> Logistic:
    """Return the logistic regression of `truth` on one column `x`.

    Minimises Σ ln(1 + exp(−s·(intercept + slope·z))) + slope²/2 with s = ±1: the unit ridge keeps
    the slope finite when the column separates the classes.

    Raises
    ------
    ValidationError
        when a value is not finite or a class is absent.
    """
    column, sign = np.asarray(x, float), np.where(truth, 1.0, -1.0)
    if not np.isfinite(column).all() or len(np.unique(sign)) < 2:
        raise ValidationError(
            f"a logistic regression needs finite values and both classes; got "
            f"{int((~np.isfinite(column)).sum())} values that are not finite and "
            f"{len(np.unique(sign))} class(es)",
            remedy="Give more samples, or leave this column out.",
        )
    centre, spread = float(column.mean()), float(column.std()) or 1.0
    z = (column - centre) / spread

    def loss(beta: Array) -> tuple[float, Array]:
        margin = sign * (beta[0] + beta[1] * z)
        pull = -sign * scipy.special.expit(-margin)
        total = float(np.logaddexp(0, -margin).sum() + beta[1] ** 2 / 2)
        return total, np.array([pull.sum(), pull @ z + beta[1]])

    best = scipy.optimize.minimize(loss, np.zeros(2), jac=True, method="BFGS").x
    return Logistic(intercept=float(best[0]), slope=float(best[1]), centre=centre, spread=spread)


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else math.nan


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


def _resampled_rows(member: npt.NDArray[np.intp], n: int, seed: int) -> list[Array]:
    """Return, a resample, the rows of as many groups as there are, drawn with replacement."""
    rng = np.random.default_rng(seed)
    n_groups = int(member.max()) + 1
    parts = np.split(
        np.argsort(member, kind="stable"), np.cumsum(np.bincount(member, minlength=n_groups))[:-1]
    )
    draws = rng.integers(n_groups, size=(n, n_groups))
    return [np.concatenate([parts[i] for i in draw]) for draw in draws]


def _expanded_percentiles(
    found: npt.NDArray[np.float64], n_groups: int, level: float
) -> tuple[float, float]:
    if not len(found):
        return math.nan, math.nan
    t = scipy.stats.t.ppf((1 - level) / 2, n_groups - 1)
    tail = float(scipy.stats.norm.cdf(math.sqrt(n_groups / (n_groups - 1)) * t))
    low, high = np.quantile(found, [tail, 1 - tail])
    return float(low), float(high)
