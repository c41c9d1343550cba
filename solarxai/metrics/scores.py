"""Scores of a yes/no forecast, of a margin and of a probability, and the threshold between them.

`truth` is boolean; undefined scores (a class absent, nothing forecast) are NaN, never zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from solarxai.errors import ValidationError

__all__ = [
    "BOUNDS",
    "Contingency",
    "ReliabilityBin",
    "RocCurve",
    "accuracy",
    "average_precision",
    "best_threshold",
    "brier",
    "brier_skill",
    "contingency",
    "expected_calibration_error",
    "hss",
    "pseudo_tss",
    "reliability",
    "roc_auc",
    "roc_curve",
    "tss",
]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

BOUNDS = {
    "tss": (-1.0, 1.0),
    "pseudo_tss": (-1.0, 1.0),
    "hss": (-1.0, 1.0),
    "roc_auc": (0.0, 1.0),
    "average_precision": (0.0, 1.0),
    "brier": (0.0, 1.0),
}
"""Least and greatest value of the scores that have both, for `block_bootstrap`."""


class Contingency(NamedTuple):
    """The 2×2 table of a yes/no forecast, or many of them at once when the counts are arrays."""

    hits: int | Array
    false_alarms: int | Array
    misses: int | Array
    correct_negatives: int | Array

    def accuracy(self) -> Floats:
        """Return (a + d)/(a + b + c + d), NaN without samples."""
        a, b, c, d = self
        return _ratio(a + d, a + b + c + d)

    def tss(self) -> Floats:
        """Return TPR − FPR = a/(a + c) − b/(b + d), NaN if a class is absent."""
        a, b, c, d = self
        return _ratio(a, a + c) - _ratio(b, b + d)

    def hss(self) -> Floats:
        """Return 2(ad − bc)/((a + c)(c + d) + (a + b)(b + d)), NaN for the same constants."""
        a, b, c, d = (np.asarray(count, float) for count in self)
        return _ratio(2 * (a * d - b * c), (a + c) * (c + d) + (a + b) * (b + d))

    def pseudo_tss(self) -> Floats:
        """Return PPV + NPV − 1 = a/(a + b) + d/(c + d) − 1, NaN if all forecasts are the same."""
        a, b, c, d = self
        return _ratio(a, a + b) + _ratio(d, c + d) - 1


class ReliabilityBin(NamedTuple):
    """Forecast and observed frequency of the samples whose probability fell into one bin."""

    low: float
    high: float
    probability: float
    frequency: float
    samples: int


class RocCurve(NamedTuple):
    """Rates (cut,) of false alarms and of hits when a yes is called at score ≥ threshold.

    The first cut, at an infinite threshold, calls nothing a yes; the last calls everything one.
    """

    false_alarm_rate: Floats
    hit_rate: Floats
    threshold: Floats


def contingency(truth: Array, predicted: Array) -> Contingency:
    """Return the 2×2 table of boolean `truth` and `predicted`."""
    yes, said = np.asarray(truth, bool), np.asarray(predicted, bool)
    hits, said_yes, are_yes = int((yes & said).sum()), int(said.sum()), int(yes.sum())
    return Contingency(hits, said_yes - hits, are_yes - hits, len(yes) - said_yes - are_yes + hits)


def accuracy(truth: Array, predicted: Array) -> float:
    """Return the fraction of samples called rightly, NaN without samples."""
    return float(contingency(truth, predicted).accuracy())


def tss(truth: Array, predicted: Array) -> float:
    """Return the true skill statistic TPR − FPR, NaN if a class is absent.

    References
    ----------
    Bloomfield et al. 2012, ApJL 747 L41, doi:10.1088/2041-8205/747/2/L41.
    """
    return float(contingency(truth, predicted).tss())


def hss(truth: Array, predicted: Array) -> float:
    """Return the Heidke skill score, 2(ad − bc)/((a + c)(c + d) + (a + b)(b + d)).

    It is the fraction of the errors of a random forecast with the same marginals that are avoided;
    NaN when truth and forecast are the same constant.
    """
    return float(contingency(truth, predicted).hss())


def pseudo_tss(truth: Array, predicted: Array) -> float:
    """Return PPV + NPV − 1, which is *not* the true skill statistic although it was called so.

    It is the *markedness*: it conditions on the forecast where TSS conditions on the truth, so it
    changes with the ratio of the classes. NaN when every forecast is the same.

    Notes
    -----
    Computed, under the name TSS, by the code of Panos, Kleint & Zbinden 2023,
    doi:10.1051/0004-6361/202244835. It equals TSS only where b = c (as many false alarms as
    misses), a = d or both are zero; kept to compare with that study, never to state a skill.

    References
    ----------
    Powers 2011, Journal of Machine Learning Technologies 2 37 (markedness, informedness).
    """
    return float(contingency(truth, predicted).pseudo_tss())


def roc_auc(truth: Array, score: Array) -> float:
    """Return the area under the ROC curve: P(score of a yes > score of a no), ties counting half.

    NaN if a class is absent.
    """
    yes = np.asarray(truth, bool)
    high, low = np.asarray(score)[yes], np.sort(np.asarray(score)[~yes])
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(_ratio(float(below.sum()) / 2, len(high) * len(low)))


def roc_curve(truth: Array, score: Array) -> RocCurve:
    """Return the ROC curve, one cut a distinct score and one above them all.

    Rates are NaN if their class is absent.
    """
    table, falling = _cuts(truth, score)
    a, b, c, d = table
    return RocCurve(_ratio(b, b + d), _ratio(a, a + c), np.append(math.inf, falling))


def best_threshold(
    truth: Array, margin: Array, *, score: Callable[[Contingency], Floats] = Contingency.tss
) -> float:
    """Return the threshold of the margin above which a yes should be called to score highest.

    Parameters
    ----------
    truth, margin
        Of the *validation* samples (sample,): a threshold chosen on test states no skill.
    score
        A score of contingency tables, such as `Contingency.tss` or `Contingency.hss`.

    Returns
    -------
    float
        Half-way between two neighbouring margins, or infinite where one constant forecast is
        best; among equally good thresholds the one nearest zero. A yes is margin > threshold.

    Raises
    ------
    ValidationError
        when no threshold has a score: a class is absent, or the score is undefined for a constant
        forecast and all margins are equal.
    """
    table, falling = _cuts(truth, margin)
    found = score(table)
    if not len(found) or np.isnan(found).all():
        raise ValidationError(
            f"no threshold has a score: of {len(truth)} validation samples "
            f"{int(np.sum(truth))} are a yes, with {len(falling)} different margins",
            remedy="Give validation samples of both classes, and margins that tell them apart.",
        )
    upper, lower = np.append(math.inf, falling), np.append(falling, -math.inf)
    inner = np.isfinite(upper) & np.isfinite(lower)
    middle = lower.copy()
    middle[inner] += (upper[inner] - lower[inner]) / 2
    middle = np.where(middle < upper, middle, lower)
    middle[0] = math.inf
    best = np.flatnonzero(found >= np.nanmax(found) - 1e-12)
    return float(middle[best[np.argmin(np.abs(middle[best]))]])


def average_precision(truth: Array, score: Array) -> float:
    """Return Σ (recall step) × precision over falling thresholds, NaN without a yes.

    Samples of equal score are accepted together, so the result does not depend on their order.
    """
    table, _ = _cuts(truth, score)
    hits, false_alarms = np.asarray(table.hits)[1:], np.asarray(table.false_alarms)[1:]
    if not len(hits) or not hits[-1]:
        return math.nan
    precision = hits / (hits + false_alarms)
    return float(np.sum(np.diff(hits, prepend=0) * precision) / hits[-1])


def brier(truth: Array, probability: Array) -> float:
    """Return the mean squared difference of probability and outcome, NaN without samples."""
    error = np.asarray(probability, float) - np.asarray(truth, float)
    return float(_ratio(error @ error, len(error)))


def brier_skill(truth: Array, probability: Array) -> float:
    """Return 1 − Brier/Brier(climatology), NaN if a class is absent.

    Climatology is the constant forecast of the base rate of these very samples.
    """
    base = float(np.mean(np.asarray(truth, bool))) if len(truth) else math.nan
    return 1 - float(_ratio(brier(truth, probability), base * (1 - base)))


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


def expected_calibration_error(truth: Array, probability: Array, *, bins: int = 10) -> float:
    """Return Σ (n_b/n) |frequency − probability| over the bins of `reliability`, NaN without any.

    References
    ----------
    Guo et al. 2017, ICML, arXiv:1706.04599, eq. 3 (here for the probability of a yes).
    """
    occupied = reliability(truth, probability, bins=bins)
    error = sum(b.samples * abs(b.frequency - b.probability) for b in occupied)
    return float(_ratio(error, len(truth)))


def _cuts(truth: Array, score: Array) -> tuple[Contingency, Floats]:
    """Return tables (cut,) of calling a yes nothing, then score ≥ each distinct one, falling."""
    yes, value = np.asarray(truth, bool), np.asarray(score, float)
    falling = np.argsort(-value, kind="stable")
    ordered = value[falling]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], np.ones(min(len(value), 1), bool)))
    hits = np.append(0, np.cumsum(yes[falling])[last])
    said = np.append(0, last + 1)
    are_yes = int(yes.sum())
    table = Contingency(
        hits, said - hits, are_yes - hits, len(value) - said - (are_yes - hits)
    )  # fmt: skip
    return table, ordered[last]


def _ratio(numerator: Any, denominator: Any) -> Floats:
    """Return the quotient, NaN where the denominator is zero."""
    top, bottom = np.asarray(numerator, float), np.asarray(denominator, float)
    shape = np.broadcast_shapes(top.shape, bottom.shape)
    quotient: Floats = np.divide(top, bottom, out=np.full(shape, math.nan), where=bottom != 0)
    return quotient
