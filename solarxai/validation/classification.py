"""How often the classifier is right, and whether its probabilities mean what they say."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.special
import xarray as xr

from solarxai.metrics import (
    BOUNDS,
    Interval,
    block_bootstrap,
    brier,
    proportion_interval,
    reliability,
    roc_auc,
    tss,
)
from solarxai.validation.report import Check, Limits, Resampling, judge

__all__ = ["classification_checks", "confusion_rows", "reliability_rows", "score_check"]

Array = npt.NDArray[Any]

_SKILLS: dict[str, tuple[str, Callable[[Array, Array], float]]] = {
    "TSS": ("tss", lambda truth, margin: tss(truth, margin > 0)),
    "ROC-AUC": ("roc_auc", roc_auc),
    "Brier score": ("brier", lambda truth, margin: brier(truth, scipy.special.expit(margin))),
}


def classification_checks(
    samples: xr.Dataset, margins: Array, *, limits: Limits, resampling: Resampling
) -> tuple[Check, ...]:
    """Return the fraction of each label called rightly, and the skill, each origin by itself.

    Parameters
    ----------
    samples
        The structures; ambiguous ones take no part.
    margins
        (sample,) sunspot score minus pore score, logits.
    limits, resampling
        Of the validation.
    """
    made = []
    for origin in sorted(set(samples["origin"].values.tolist())):
        here = samples["origin"].values == origin
        made += [
            _accuracy(samples, margins, here, origin, label, limits, resampling)
            for label in ("sunspot", "pore")
        ]
        made += _skills(samples, margins, here, origin, limits, resampling)
    return tuple(check for check in made if check.structures)


def confusion_rows(samples: xr.Dataset, margins: Array) -> list[dict[str, Any]]:
    """Return how many structures of each origin and label are called pore and sunspot."""
    rows = []
    origins, labels = samples["origin"].values, samples["label"].values
    for origin, label in sorted(set(zip(origins.tolist(), labels.tolist(), strict=True))):
        here = (origins == origin) & (labels == label)
        spots = int((margins[here] > 0).sum())
        rows.append(
            {
                "origin": origin,
                "label": label,
                "called pore": int(here.sum()) - spots,
                "called sunspot": spots,
                "regions": len(set(samples["region"].values[here].tolist())),
            }
        )
    return rows


def reliability_rows(
    samples: xr.Dataset, margins: Array, *, bins: int = 10
) -> list[dict[str, Any]]:
    """Return, by origin and bin of probability, how often the structure was a sunspot."""
    rows = []
    decided = samples["label"].values != "ambiguous"
    for origin in sorted(set(samples["origin"].values[decided].tolist())):
        here = decided & (samples["origin"].values == origin)
        truth = samples["label"].values[here] == "sunspot"
        found = reliability(truth, scipy.special.expit(margins[here]), bins=bins)
        rows += [{"origin": origin, **one._asdict()} for one in found]
    return rows


def score_check(samples: xr.Dataset, margins: Array, *, limits: Limits) -> tuple[Check, ...]:
    """Return whether the stored scores are this classifier's own, if any are stored."""
    if "score" not in samples:
        return ()
    worst = float(np.max(np.abs(samples["score"].values - margins), initial=0.0))
    regions = len(set(samples["region"].values.tolist()))
    return (
        judge(
            Interval(value=worst, low=math.nan, high=math.nan, n_groups=regions),
            name="stored scores: greatest difference from the classifier's",
            group="all · all",
            structures=max(len(margins), limits.min_structures),
            limits=limits,
            limit=limits.score_tolerance,
            sense="at most",
            reason="logits",
        ),
    )


def _accuracy(
    samples: xr.Dataset,
    margins: Array,
    here: Array,
    origin: str,
    label: str,
    limits: Limits,
    resampling: Resampling,
) -> Check:
    rows = np.flatnonzero(here & (samples["label"].values == label))
    found = Interval(value=math.nan, low=math.nan, high=math.nan, n_groups=0)
    if len(rows):
        found = proportion_interval(
            (margins[rows] > 0) == (label == "sunspot"),
            groups=samples["region"].values[rows],
            n=resampling.n,
            seed=resampling.seed,
        )
    return judge(
        found,
        name="called rightly",
        group=f"{origin} · {label}",
        structures=len(rows),
        limits=limits,
        limit=limits.accuracy,
        sense="at least",
    )


def _skills(
    samples: xr.Dataset,
    margins: Array,
    here: Array,
    origin: str,
    limits: Limits,
    resampling: Resampling,
) -> list[Check]:
    rows = np.flatnonzero(here & (samples["label"].values != "ambiguous"))
    truth = samples["label"].values[rows] == "sunspot"
    if len(set(truth.tolist())) < 2:
        return []
    return [
        judge(
            block_bootstrap(
                skill,
                truth,
                margins[rows].astype(float),
                groups=samples["region"].values[rows],
                n=resampling.n,
                seed=resampling.seed,
                bounds=BOUNDS[score],
            ),
            name=name,
            group=f"{origin} · all",
            structures=len(rows),
            limits=limits,
        )
        for name, (score, skill) in _SKILLS.items()
    ]
