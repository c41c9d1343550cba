"""How well flares are predicted: the distribution over honest splits, and what leaking ones claim.

Every split trains anew. Its threshold comes from its validation samples, its scores from its test
samples; nothing else sees those.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai import metrics
from solarxai.errors import TrainingError
from solarxai.schema import kind_of
from solarxai.splits import EXCLUDED, SIDES, folds, naive_split
from solarxai.training.fit import train
from solarxai.training.levels import LEVELS, Forecasts, aggregate
from solarxai.training.parts import Part, margins
from solarxai.training.region_tables import tabulate
from solarxai.training.skill_table import KINDS, SCORES, SkillTable, SplitSkill, Spread

__all__ = [
    "KINDS",
    "SCORES",
    "Fit",
    "SkillTable",
    "SplitSkill",
    "Spread",
    "classifier_fit",
    "contrast",
    "cross_validate",
]

Array = npt.NDArray[Any]
Progress = Callable[[int, int, str], None]

Fit = Callable[[xr.Dataset], Array]
"""Learns from Samples with a column `split` and returns a margin (sample,) a row, in logit."""


def cross_validate(
    samples: xr.Dataset,
    fit: Fit,
    *,
    gap: timedelta,
    k: int = 5,
    levels: Sequence[str] = ("spectrum",),
    seed: int = 0,
    n_bootstrap: int = 1000,
    progress: Progress | None = None,
) -> SkillTable:
    """Return the skill on each of `k` folds by active region.

    Parameters
    ----------
    samples
        Samples with region and time, and the columns of the `levels`.
    fit
        Called once a fold. It may learn from the rows on "train" and choose its epoch by those on
        "validation"; the margins of those on "validation" and "test" must be finite.
    gap, k, seed
        As for `solarxai.splits.folds`. The gap has no default: it is part of the claim.
    levels
        Of `solarxai.training.levels.LEVELS`: each gets its own threshold and scores.
    n_bootstrap
        Resamples of the test regions behind each interval.
    progress
        Called after each training with trainings done, of how many, and a line of figures.

    Raises
    ------
    TrainingError
        when there are no such folds or levels, or `fit` returns something else than margins.
    """
    made = folds(samples, k, gap=gap, seed=seed)
    splits = [("region", number, one) for number, one in enumerate(made)]
    settings = {"k": k, "gap_s": gap.total_seconds(), "seed": seed, "n_bootstrap": n_bootstrap}
    return _skill(iter(splits), k, fit, levels, settings, progress)


def contrast(
    samples: xr.Dataset,
    fit: Fit,
    *,
    gap: timedelta,
    k: int = 5,
    repeats: int = 10,
    levels: Sequence[str] = ("spectrum",),
    seed: int = 0,
    n_bootstrap: int = 1000,
    progress: Progress | None = None,
) -> SkillTable:
    """Return the skill on the folds of `cross_validate` beside that on splits that leak.

    Parameters
    ----------
    samples, fit, gap, k, levels, seed, n_bootstrap, progress
        As for `cross_validate`. `fit` is also given Samples of `naive_split`, with the attribute
        `leaks` on their column.
    repeats
        Random splits by observation, and as many by spectrum, with the shares of a fold.

    Raises
    ------
    TrainingError
        as `cross_validate`, or when there are no repeats.
    """
    if repeats < 1:
        raise TrainingError(f"{repeats} repeats of a naive split", remedy="Give 1 or more.")
    made = folds(samples, k, gap=gap, seed=seed)
    shares = (1 - 2 / k, 1 / k, 1 / k)

    def splits() -> Iterator[tuple[str, int, xr.Dataset]]:
        for number, one in enumerate(made):
            yield "region", number, one
        for kind in ("observation", "spectrum"):
            for number in range(repeats):
                again = naive_split(samples, by=kind, fractions=shares, seed=seed + number)
                yield kind, number, again

    settings = {
        "k": k, "gap_s": gap.total_seconds(), "repeats": repeats, "seed": seed,
        "n_bootstrap": n_bootstrap,
    }  # fmt: skip
    return _skill(splits(), k + 2 * repeats, fit, levels, settings, progress)


def classifier_fit(**options: Any) -> Fit:
    """Return a `Fit` that trains a classifier with the options of `solarxai.training.train`.

    A naive split is trained on as such, since who asks for a contrast asks for it. Rows that are
    neither on validation nor on test have the margin NaN.
    """

    def fit(samples: xr.Dataset) -> Array:
        naive = {"naive": True} if "leaks" in samples["split"].attrs else {}
        trained = train(samples, **{"n_bootstrap": 1, **options, **naive})
        said = np.full(samples.sizes["sample"], math.nan)
        for side in SIDES[1:]:
            rows = samples["split"].values == side
            said[rows] = margins(trained.classifier, Part.of(samples, side))
        return said

    return fit


def _skill(
    splits: Iterator[tuple[str, int, xr.Dataset]],
    total: int,
    fit: Fit,
    levels: Sequence[str],
    settings: dict[str, Any],
    progress: Progress | None,
) -> SkillTable:
    unknown = [level for level in levels if level not in LEVELS]
    if unknown or not levels:
        raise TrainingError(
            f"levels {list(levels)} were asked for", remedy=f"Give some of {', '.join(LEVELS)}."
        )
    rows: list[SplitSkill] = []
    for done, (kind, number, samples) in enumerate(splits, start=1):
        said = _margins(fit, samples)
        for level in levels:
            sides = _sides(samples, said, level)
            rows.append(_score(kind, number, level, samples, sides, settings))
        if progress:
            found = rows[-1].scores["tss"].value
            progress(done, total, f"{KINDS[kind]}, split {number}: TSS {found:.3f}")
    return SkillTable(splits=tuple(rows), settings={**settings, "levels": list(levels)})


def _margins(fit: Fit, samples: xr.Dataset) -> Array:
    said = np.asarray(fit(samples), float)
    if said.shape != (samples.sizes["sample"],):
        raise TrainingError(
            f"fit returned an array of shape {said.shape} for {samples.sizes['sample']} samples",
            remedy="Return one margin a row, of the rows not learnt from too.",
        )
    return said


def _sides(samples: xr.Dataset, said: Array, level: str) -> dict[str, Forecasts]:
    """Return the forecasts of the units on validation and on test."""
    classes = kind_of(samples).classes
    wanted = [n for n in ("label", "region", *LEVELS[level]) if n in samples.variables]
    columns, side = samples.reset_coords()[wanted], samples["split"].values
    found = {}
    for name in SIDES[1:]:
        rows = np.flatnonzero(side == name)
        mine = columns.isel(sample=rows)
        found[name] = aggregate(mine, said[rows], level, classes=classes)
    return found


def _score(
    kind: str,
    number: int,
    level: str,
    samples: xr.Dataset,
    sides: dict[str, Forecasts],
    settings: dict[str, Any],
) -> SplitSkill:
    validation, test = sides["validation"], sides["test"]
    threshold = metrics.best_threshold(validation.truth, validation.margin)
    return SplitSkill(
        kind=kind,
        number=number,
        level=level,
        threshold=threshold,
        counts=_counts(samples),
        excluded_by_gap=int(samples["split"].attrs.get("excluded_by_gap", 0)),
        scores=_scores(test, threshold, n=settings["n_bootstrap"], seed=settings["seed"]),
        forecasts=test,
    )


def _scores(said: Forecasts, threshold: float, *, n: int, seed: int) -> dict[str, metrics.Interval]:
    tables = tabulate(said.truth, said.margin, regions=said.region, thresholds=(threshold,))
    found = tables.scores(n=n, seed=seed) | tables.called(threshold, n=n, seed=seed)
    found["pseudo_tss"] = _pseudo_tss(said, threshold, n=n, seed=seed)
    return {score: found[score] for score in SCORES}


def _pseudo_tss(said: Forecasts, threshold: float, *, n: int, seed: int) -> metrics.Interval:
    names, member = np.unique(said.region, return_inverse=True)
    cell = 2 * said.truth + (said.margin > threshold)
    counts = np.bincount(4 * member + cell, minlength=4 * len(names)).reshape(-1, 4)

    def total(drawn: Array) -> float:
        rejections, false_alarms, misses, hits = drawn.sum(axis=0)
        return float(metrics.Contingency(hits, false_alarms, misses, rejections).pseudo_tss())

    return metrics.block_bootstrap(
        total, counts, groups=names, n=n, seed=seed, bounds=metrics.BOUNDS["pseudo_tss"]
    )


def _counts(samples: xr.Dataset) -> dict[str, dict[str, int]]:
    sides, labels = (samples[name].values.astype(str) for name in ("split", "label"))
    return {
        side: {
            label: int(((sides == side) & (labels == label)).sum())
            for label in sorted(set(labels[sides == side].tolist()))
        }
        for side in (*SIDES, EXCLUDED)
    }
