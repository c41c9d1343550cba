"""Scores of very many rows, with intervals by region from what each region counted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.special
import scipy.stats

from solarxai import metrics
from solarxai.metrics import Contingency, Interval

__all__ = ["RegionTables", "tabulate"]

Array = npt.NDArray[Any]

_BINS = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class RegionTables:
    """Rows counted by region and margin: a resample of regions then costs the same for any number.

    Parameters
    ----------
    truth, margin
        The rows themselves, for the values of the scores.
    names
        (region,) sorted.
    edges
        (edge,) margins that separate the bins, rising; a row falls above the edges it exceeds.
    yes, no
        (region, bin) rows of each class.
    error
        (region,) sum of squared differences of probability and truth.
    """

    truth: npt.NDArray[np.bool_]
    margin: npt.NDArray[np.float64]
    names: npt.NDArray[np.str_]
    edges: npt.NDArray[np.float64]
    yes: npt.NDArray[np.int64]
    no: npt.NDArray[np.int64]
    error: npt.NDArray[np.float64]

    def scores(self, *, n: int, seed: int) -> dict[str, Interval]:
        """Return accuracy, tss and hss at margin 0, and the scores of margin and probability."""
        probability = scipy.special.expit(self.margin)
        rest: dict[str, tuple[Callable[..., float], Callable[..., float], Array]] = {
            "roc_auc": (metrics.roc_auc, _roc_auc, self.margin),
            "average_precision": (metrics.average_precision, _average_precision, self.margin),
            "brier": (metrics.brier, _brier, probability),
            "brier_skill": (metrics.brier_skill, _brier_skill, probability),
        }
        made = self.called(0.0, n=n, seed=seed)
        for name, (exact, binned, forecast) in rest.items():
            found = self._interval(name, binned, self.yes, self.no, self.error, n=n, seed=seed)
            made[name] = replace(found, value=exact(self.truth, forecast))
        return made

    def called(self, threshold: float, *, n: int, seed: int) -> dict[str, Interval]:
        """Return accuracy, tss and hss where a yes is margin > threshold, an edge or infinite."""
        first = int(np.searchsorted(self.edges, threshold)) + 1 if threshold > -math.inf else 0
        hits, alarms = (counts[:, first:].sum(axis=1) for counts in (self.yes, self.no))
        table = (hits, alarms, self.yes.sum(axis=1) - hits, self.no.sum(axis=1) - alarms)
        right = self._interval("accuracy", _of_table(Contingency.accuracy), *table, n=n, seed=seed)
        return {
            "accuracy": _widened(right, int((table[0] + table[3]).sum()), len(self.truth)),
            "tss": self._interval("tss", _of_table(Contingency.tss), *table, n=n, seed=seed),
            "hss": self._interval("hss", _of_table(Contingency.hss), *table, n=n, seed=seed),
        }

    def roc_auc(self, *, n: int, seed: int) -> Interval:
        """Return the area under the ROC curve."""
        found = self._interval("roc_auc", _roc_auc, self.yes, self.no, n=n, seed=seed)
        return replace(found, value=metrics.roc_auc(self.truth, self.margin))

    def _interval(
        self, score: str, statistic: Callable[..., float], *tables: Array, n: int, seed: int
    ) -> Interval:
        bounds = metrics.BOUNDS.get(score)
        return metrics.block_bootstrap(
            statistic, *tables, groups=self.names, n=n, seed=seed, bounds=bounds
        )


def tabulate(
    truth: Array, margin: Array, *, regions: Array, thresholds: tuple[float, ...] = ()
) -> RegionTables:
    """Return the rows counted by region and by margin.

    Parameters
    ----------
    truth, margin, regions
        (row,) whether it is a yes, its margin in logit, its region.
    thresholds
        Margins at which the rows will be called, beside 0.

    Notes
    -----
    Calls at the thresholds and the Brier scores are exact in every resample. For areas and
    precision, margins are told apart in the resamples by 4096 bins of equal occupation, exactly
    where there are no more distinct margins; the values themselves are exact.
    """
    yes, value = np.asarray(truth, bool), np.asarray(margin, float)
    distinct = np.unique(value)
    cuts = np.quantile(value, np.linspace(0, 1, _BINS + 1)) if len(distinct) > _BINS else distinct
    finite = [t for t in (0.0, *thresholds) if math.isfinite(t)]
    edges = np.unique(np.concatenate([cuts, finite]))
    names, member = np.unique(np.asarray(regions).astype(str), return_inverse=True)
    shape = (len(names), len(edges) + 1)
    place = member * shape[1] + np.searchsorted(edges, value)
    counts = [np.bincount(place[rows], minlength=math.prod(shape)) for rows in (yes, ~yes)]
    squared = (scipy.special.expit(value) - yes) ** 2
    error = np.bincount(member, weights=squared).astype(np.float64)
    return RegionTables(
        truth=yes, margin=value, names=names, edges=edges, yes=counts[0].reshape(shape),
        no=counts[1].reshape(shape), error=error,
    )  # fmt: skip


def _of_table(score: Callable[[Contingency], Any]) -> Callable[..., float]:
    def total(hits: Array, false_alarms: Array, misses: Array, rejections: Array) -> float:
        counts = (int(c.sum()) for c in (hits, false_alarms, misses, rejections))
        return float(score(Contingency(*counts)))

    return total


def _roc_auc(yes: Array, no: Array, *_: Array) -> float:
    high, low = yes.sum(axis=0), no.sum(axis=0)
    pairs = float(high.sum()) * float(low.sum())
    return float(high @ (np.cumsum(low) - low / 2)) / pairs if pairs else math.nan


def _average_precision(yes: Array, no: Array, *_: Array) -> float:
    high, low = yes.sum(axis=0)[::-1], no.sum(axis=0)[::-1]
    hits, said = np.cumsum(high), np.cumsum(high + low)
    precision = np.divide(hits, said, out=np.zeros(len(hits)), where=said > 0)
    return float(high @ precision) / float(hits[-1]) if hits[-1] else math.nan


def _brier(yes: Array, no: Array, error: Array) -> float:
    return float(error.sum()) / float(yes.sum() + no.sum())


def _brier_skill(yes: Array, no: Array, error: Array) -> float:
    base = float(yes.sum()) / float(yes.sum() + no.sum())
    return 1 - _brier(yes, no, error) / (base * (1 - base)) if 0 < base < 1 else math.nan


def _widened(found: Interval, right: int, rows: int) -> Interval:
    """Return the wider of the bootstrap and the exact binomial interval, as for fractions."""
    if math.isnan(found.low):
        return found
    exact = scipy.stats.binomtest(right, rows).proportion_ci(0.95, "exact")
    low, high = min(found.low, float(exact.low)), max(found.high, float(exact.high))
    return replace(found, low=low, high=high)
