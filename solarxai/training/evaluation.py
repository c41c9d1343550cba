"""How good a classifier is on one split, and how far a ruler alone would have got."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import scipy.special
import xarray as xr

from solarxai import metrics
from solarxai.classifier import InputContract
from solarxai.metrics import Interval

__all__ = ["SHORTCUTS", "Evaluation", "evaluate", "shortcut_scores"]

Array = npt.NDArray[Any]

SHORTCUTS = ("area_mm2", "minimum_intensity", "integrated_deficit_mm2")
"""Measured columns that could separate the classes without a look at the penumbra."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The scores of a classifier on one split.

    Parameters
    ----------
    samples, regions
        How many there were.
    scores
        accuracy, tss, hss, roc_auc, average_precision, brier, brier_skill, with intervals from
        resampling regions. Yes means margin > 0; the probability is the logistic of the margin.
    reliability
        Observed frequency against forecast probability.
    """

    samples: int
    regions: int
    scores: Mapping[str, Interval]
    reliability: tuple[metrics.ReliabilityBin, ...]

    def record(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "samples": self.samples,
            "regions": self.regions,
            "scores": {name: found.record() for name, found in self.scores.items()},
            "reliability": [occupied._asdict() for occupied in self.reliability],
        }


def evaluate(
    truth: Array, margin: Array, *, regions: Array, n: int = 1000, seed: int = 0
) -> Evaluation:
    """Return the scores of margins (sample,) in logit against `truth` (sample,), True for sunspot.

    Intervals resample `regions` (sample,) `n` times.
    """
    said, probability = margin > 0, scipy.special.expit(margin.astype(float))
    forecasts: Mapping[str, tuple[Callable[..., float], Array]] = {
        "tss": (metrics.tss, said),
        "hss": (metrics.hss, said),
        "roc_auc": (metrics.roc_auc, margin),
        "average_precision": (metrics.average_precision, margin),
        "brier": (metrics.brier, probability),
        "brier_skill": (metrics.brier_skill, probability),
    }
    scores = {
        name: metrics.block_bootstrap(score, truth, forecast, groups=regions, n=n, seed=seed)
        for name, (score, forecast) in forecasts.items()
    }
    right = metrics.proportion_interval(truth == said, groups=regions, n=n, seed=seed)
    return Evaluation(
        samples=len(truth),
        regions=len(set(regions.tolist())),
        scores={"accuracy": right, **scores},
        reliability=metrics.reliability(truth, probability),
    )


def shortcut_scores(samples: xr.Dataset, *, n: int, seed: int) -> dict[str, dict[str, Interval]]:
    """Return, a column of `SHORTCUTS`, how far it gets on test without an image."""
    yes = samples["label"].values == InputContract().classes[1]
    learn, check = (samples["split"].values == split for split in ("train", "test"))
    regions = samples["region"].values[check]
    made = {}
    for column in SHORTCUTS:
        x = samples[column].values.astype(float)
        found = metrics.fit_logistic(x[learn], yes[learn]).probability(x[check])
        made[column] = {
            "accuracy": metrics.proportion_interval(
                yes[check] == (found > 0.5), groups=regions, n=n, seed=seed
            ),
            "roc_auc": metrics.block_bootstrap(
                metrics.roc_auc, yes[check], found, groups=regions, n=n, seed=seed
            ),
        }
    return made
