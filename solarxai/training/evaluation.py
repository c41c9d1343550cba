"""How good a classifier is on one split, and how far a ruler alone would have got."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.special
import xarray as xr

from solarxai import metrics
from solarxai.classifier import InputContract
from solarxai.metrics import Interval
from solarxai.schema import SPECTROGRAM, kind_of
from solarxai.training.levels import LEVELS, Forecasts, aggregate
from solarxai.training.region_tables import tabulate

__all__ = [
    "SHORTCUTS",
    "Evaluation",
    "Levels",
    "choose_thresholds",
    "evaluate",
    "evaluate_levels",
    "shortcut_columns",
    "shortcut_scores",
    "spectral_shortcuts",
]

Array = npt.NDArray[Any]

SHORTCUTS = ("area_mm2", "minimum_intensity", "integrated_deficit_mm2")
"""Measured columns that could separate sunspots from pores without a look at the penumbra."""


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
    threshold
        The margin above which a yes scores the highest TSS on *validation*, None where none was
        chosen, infinite where calling nothing a yes is best.
    at_threshold
        accuracy, tss and hss where yes means margin > threshold. On validation, which chose it,
        they flatter.
    """

    samples: int
    regions: int
    scores: Mapping[str, Interval]
    reliability: tuple[metrics.ReliabilityBin, ...]
    threshold: float | None = None
    at_threshold: Mapping[str, Interval] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return everything as JSON; an infinite threshold becomes the word "inf" or "-inf"."""
        made = self._plain_record()
        if self.threshold is not None:
            finite = math.isfinite(self.threshold)
            made["threshold"] = self.threshold if finite else str(self.threshold)
            made["at_threshold"] = {k: v.record() for k, v in self.at_threshold.items()}
        return made

    def _plain_record(self) -> dict[str, Any]:
        return {
            "samples": self.samples,
            "regions": self.regions,
            "scores": {name: found.record() for name, found in self.scores.items()},
            "reliability": [occupied._asdict() for occupied in self.reliability],
        }


class Levels(dict[str, Evaluation]):
    """The evaluations of one split, a name of `levels_of`: from single rows to observations."""

    @property
    def scores(self) -> Mapping[str, Interval]:
        """Return the scores of the single rows, the first level."""
        return next(iter(self.values())).scores

    def record(self) -> dict[str, Any]:
        """Return everything as JSON, a level."""
        return {level: found.record() for level, found in self.items()}


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
        name: metrics.block_bootstrap(
            score, truth, forecast, groups=regions, n=n, seed=seed, bounds=metrics.BOUNDS.get(name)
        )
        for name, (score, forecast) in forecasts.items()
    }
    right = metrics.proportion_interval(truth == said, groups=regions, n=n, seed=seed)
    return Evaluation(
        samples=len(truth),
        regions=len(set(regions.tolist())),
        scores={"accuracy": right, **scores},
        reliability=metrics.reliability(truth, probability),
    )


def choose_thresholds(samples: xr.Dataset, margins: Array) -> dict[str, float]:
    """Return, a level, the threshold of the mean margin with the highest TSS on these samples.

    Parameters
    ----------
    samples, margins
        Those of validation, as for `evaluate_levels`.
    """
    said = _forecasts(samples, margins)
    return {level: metrics.best_threshold(f.truth, f.margin) for level, f in said.items()}


def evaluate_levels(
    samples: xr.Dataset,
    margins: Array,
    *,
    n: int = 1000,
    seed: int = 0,
    thresholds: Mapping[str, float] | None = None,
) -> Levels:
    """Return the scores of single spectra, of slit positions, of rasters and of observations.

    Parameters
    ----------
    samples
        Spectrum Samples of one split: the columns `label`, `region`, `observation`, `raster` and
        `slit` are read. Spectrogram Samples have the levels "spectrogram", "raster" and
        "observation".
    margins
        (sample,) in logit.
    n, seed
        Resamples of regions behind each interval, and their seed.
    thresholds
        Of `choose_thresholds` on validation, a level; None leaves `at_threshold` empty.

    Returns
    -------
    Levels
        By level. The forecast of a unit is the *mean of the margins* of its spectra, its
        probability the logistic of that mean (the geometric mean of the odds).
        `solarxai.training.levels` says what a unit is.

    Raises
    ------
    TrainingError
        when a column is missing, or margins are not one finite number a sample.
    """
    return Levels(
        {
            level: _evaluated(said, (thresholds or {}).get(level), n=n, seed=seed)
            for level, said in _forecasts(samples, margins).items()
        }
    )


def _forecasts(samples: xr.Dataset, margins: Array) -> dict[str, Forecasts]:
    kind = kind_of(samples)
    names = {level: level for level in LEVELS}
    if kind is SPECTROGRAM:
        names = {"spectrogram": "spectrum", "raster": "raster", "observation": "observation"}
    return {
        name: aggregate(samples, margins, level, classes=kind.classes)
        for name, level in names.items()
    }


def _evaluated(said: Forecasts, threshold: float | None, *, n: int, seed: int) -> Evaluation:
    chosen = () if threshold is None else (threshold,)
    tables = tabulate(said.truth, said.margin, regions=said.region, thresholds=chosen)
    called = {} if threshold is None else tables.called(threshold, n=n, seed=seed)
    return Evaluation(
        samples=len(said.truth),
        regions=len(tables.names),
        scores=tables.scores(n=n, seed=seed),
        reliability=metrics.reliability(said.truth, scipy.special.expit(said.margin)),
        threshold=threshold,
        at_threshold=called,
    )


def shortcut_columns(samples: xr.Dataset) -> tuple[str, ...]:
    """Return the columns that are tried alone: those of images, or `peak` and every `feature_*`."""
    if "wavelength" not in samples["image"].dims:
        return SHORTCUTS
    features = sorted(str(name) for name in samples.variables if str(name).startswith("feature_"))
    return tuple(name for name in ("peak", *features) if name in samples.variables)


def spectral_shortcuts(
    samples: xr.Dataset, *, n: int, seed: int
) -> tuple[dict[str, dict[str, Interval]], dict[str, int]]:
    """Return, a column, how far it gets on test without a spectrum; and the rows it left out.

    Parameters
    ----------
    samples
        Spectrum or spectrogram Samples with a split. A column on (sample, slit) is averaged over
        the slit positions where it is finite.
    n, seed
        As of `evaluate_levels`.

    Returns
    -------
    tuple
        accuracy and roc_auc by column, of a logistic regression fitted on the training rows; and
        by column, how many rows of train and test it has no finite value for. A column without
        both classes among the rows left to fit, or without a row left to test, has no scores.
    """
    yes = samples["label"].values == kind_of(samples).classes[1]
    sides = [samples["split"].values == split for split in ("train", "test")]
    made, left_out = {}, {}
    for column in shortcut_columns(samples):
        x = _column(samples, column)
        here = np.isfinite(x)
        learn, check = (side & here for side in sides)
        left_out[column] = int(((sides[0] | sides[1]) & ~here).sum())
        if len(set(yes[learn].tolist())) < 2 or not check.any():
            continue
        belief = metrics.fit_logistic(x[learn], yes[learn]).probability(x[check]) - 0.5
        tables = tabulate(yes[check], belief, regions=samples["region"].values[check])
        right = tables.called(0.0, n=n, seed=seed)["accuracy"]
        made[column] = {"accuracy": right, "roc_auc": tables.roc_auc(n=n, seed=seed)}
    return made, left_out


def _column(samples: xr.Dataset, name: str) -> npt.NDArray[np.float64]:
    values = np.asarray(samples[name].values, dtype=float)
    if values.ndim == 1:
        return values
    finite = np.isfinite(values)
    count = finite.sum(axis=1)
    total = np.where(finite, values, 0).sum(axis=1)
    mean: npt.NDArray[np.float64] = np.full(len(total), np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


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
                metrics.roc_auc,
                yes[check],
                found,
                groups=regions,
                n=n,
                seed=seed,
                bounds=metrics.BOUNDS["roc_auc"],
            ),
        }
    return made
