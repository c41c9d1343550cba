"""The scores of many splits as one table: distributions first, and the best named for what it is.

A table is read by kind of split and level; see `solarxai.training.skill` for how it is made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import scipy.special

from solarxai import metrics
from solarxai.errors import TrainingError
from solarxai.metrics import Interval
from solarxai.training.levels import Forecasts

__all__ = ["KINDS", "SCORES", "SkillTable", "SplitSkill", "Spread"]

KINDS = {
    "region": "by active region, with gap",
    "observation": "by observation (leaks)",
    "spectrum": "at random by spectrum (leaks)",
}
"""What each kind of split is called in tables and figures."""

SCORES = {
    "tss": "TSS",
    "hss": "HSS",
    "brier_skill": "BSS",
    "roc_auc": "ROC AUC",
    "accuracy": "accuracy",
    "pseudo_tss": "pseudo-TSS",
}
"""What each score is called in tables and figures."""


class Spread(NamedTuple):
    """The distribution of a score over splits; NaN if it is defined on none of them."""

    median: float
    lower_quartile: float
    upper_quartile: float
    lowest: float
    highest: float
    splits: int
    undefined: int

    def __str__(self) -> str:
        if math.isnan(self.median):
            return "undefined"
        said = (
            f"{self.median:.2f} ({self.lower_quartile:.2f} to {self.upper_quartile:.2f}) "
            f"[{self.lowest:.2f}, {self.highest:.2f}]"
        )
        return said + (f", undefined on {self.undefined}" if self.undefined else "")


@dataclass(frozen=True, kw_only=True)
class SplitSkill:
    """The scores on the test side of one split.

    Parameters
    ----------
    kind, number
        One of `KINDS`, and which of its splits.
    level
        What was scored: see `solarxai.training.levels.LEVELS`.
    threshold
        Of the margin, chosen on validation for the highest TSS.
    counts
        Samples by side and label, those excluded too.
    excluded_by_gap
        How many of the excluded ones would have been test samples.
    scores
        `SCORES` with intervals from resampling test regions.
    forecasts
        Truth, margin and region of every test unit.
    """

    kind: str
    number: int
    level: str
    threshold: float
    counts: Mapping[str, Mapping[str, int]]
    excluded_by_gap: int
    scores: Mapping[str, Interval]
    forecasts: Forecasts = field(repr=False, compare=False)

    def record(self) -> dict[str, Any]:
        """Return everything but the single forecasts as JSON; an infinite threshold is text."""
        finite = math.isfinite(self.threshold)
        return {
            "kind": self.kind,
            "number": self.number,
            "level": self.level,
            "threshold": self.threshold if finite else str(self.threshold),
            "counts": {side: dict(found) for side, found in self.counts.items()},
            "excluded_by_gap": self.excluded_by_gap,
            "test_units": len(self.forecasts.truth),
            "test_regions": len(set(self.forecasts.region.tolist())),
            "scores": {name: found.record() for name, found in self.scores.items()},
        }


@dataclass(frozen=True, kw_only=True)
class SkillTable:
    """The scores of every split, and what can be said of them together.

    Parameters
    ----------
    splits
        Every split at every level.
    settings
        How they were made: `k`, `gap_s`, `repeats`, `seed`, `n_bootstrap`, `levels`.
    """

    splits: tuple[SplitSkill, ...]
    settings: Mapping[str, Any]

    def of(self, kind: str, *, level: str = "spectrum") -> tuple[SplitSkill, ...]:
        """Return the splits of that kind at that level, or raise a TrainingError if none is."""
        found = tuple(s for s in self.splits if (s.kind, s.level) == (kind, level))
        if not found:
            made = sorted({f"{s.kind} at the level {s.level}" for s in self.splits})
            raise TrainingError(
                f"the table has no split {kind!r} at the level {level!r}",
                remedy=f"It has {', '.join(made)}.",
            )
        return found

    def spread(self, kind: str, score: str = "tss", *, level: str = "spectrum") -> Spread:
        """Return the distribution of a score over the splits of that kind."""
        values = np.array([s.scores[score].value for s in self.of(kind, level=level)])
        known = values[~np.isnan(values)]
        at = [0.5, 0.25, 0.75, 0, 1]
        middle, lower, upper, lowest, highest = (
            np.quantile(known, at).tolist() if len(known) else [math.nan] * len(at)
        )
        return Spread(
            median=middle, lower_quartile=lower, upper_quartile=upper, lowest=lowest,
            highest=highest, splits=len(values), undefined=len(values) - len(known),
        )  # fmt: skip

    def best_chosen_on_test(
        self, kind: str, *, by: str = "tss", level: str = "spectrum"
    ) -> SplitSkill:
        """Return the split with the highest test score: a number to compare, *not* a skill.

        The highest of n draws grows with n even where there is no skill at all. Panos, Kleint &
        Zbinden 2023 quote the best of 50 splits.
        """
        return max(self.of(kind, level=level), key=lambda s: _or_lowest(s.scores[by].value))

    def reliability(
        self, kind: str = "region", *, level: str = "spectrum", bins: int = 10
    ) -> tuple[metrics.ReliabilityBin, ...]:
        """Return the reliability over the test samples of all splits of that kind together."""
        all_of_them = [s.forecasts for s in self.of(kind, level=level)]
        truth = np.concatenate([f.truth for f in all_of_them])
        margin = np.concatenate([f.margin for f in all_of_them])
        return metrics.reliability(truth, scipy.special.expit(margin), bins=bins)

    def to_markdown(self) -> str:
        """Return two tables: the distribution over splits, then every split with its intervals."""
        return f"{self.summary_markdown()}\n{self.splits_markdown()}"

    def summary_markdown(self) -> str:
        """Return a row a level and kind of split: median (quartiles) [range] of every score.

        A row below each shows the one split that is best on test, named as such.
        """
        rows = []
        for kind, level in self._groups():
            count = len(self.of(kind, level=level))
            spreads = [str(self.spread(kind, score, level=level)) for score in SCORES]
            rows.append([level, KINDS[kind], str(count), *spreads])
            best = self.best_chosen_on_test(kind, level=level)
            name = f"— best of {count}, chosen on test: not a skill"
            rows.append([level, name, "1", *(_number(best.scores[s].value) for s in SCORES)])
        return _markdown(["level", "split", "splits", *SCORES.values()], rows)

    def splits_markdown(self) -> str:
        """Return a row a split, each score with its interval over test regions."""
        header = ["level", "split", "no.", "test units", "regions", "by gap", "threshold"]
        rows = []
        for kind, level in self._groups():
            for one in self.of(kind, level=level):
                facts = one.record()
                counts = (str(facts[n]) for n in ("test_units", "test_regions", "excluded_by_gap"))
                scores = (_with_bounds(one.scores[score]) for score in SCORES)
                threshold = f"{one.threshold:.2f}"
                rows.append([level, KINDS[kind], str(one.number), *counts, threshold, *scores])
        return _markdown([*header, *SCORES.values()], rows)

    def record(self) -> dict[str, Any]:
        """Return everything but the single forecasts as JSON."""
        groups = []
        for kind, level in self._groups():
            best = self.best_chosen_on_test(kind, level=level)
            groups.append(
                {
                    "kind": kind,
                    "level": level,
                    "spread": {
                        score: _json(self.spread(kind, score, level=level)._asdict())
                        for score in SCORES
                    },
                    "best_of_n_chosen_on_test": {
                        "number": best.number,
                        "n": len(self.of(kind, level=level)),
                        "scores": {s: best.scores[s].record()["value"] for s in SCORES},
                    },
                    "reliability": [b._asdict() for b in self.reliability(kind, level=level)],
                }
            )
        return {
            "settings": dict(self.settings),
            "groups": groups,
            "splits": [one.record() for one in self.splits],
        }

    def _groups(self) -> list[tuple[str, str]]:
        """Return the pairs of kind and level, level by level."""
        levels = list(dict.fromkeys(s.level for s in self.splits))
        pairs = {(s.kind, s.level) for s in self.splits}
        return [(kind, level) for level in levels for kind in KINDS if (kind, level) in pairs]


def _or_lowest(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.2f}"


def _with_bounds(found: Interval) -> str:
    if math.isnan(found.low):
        return _number(found.value)
    return f"{_number(found.value)} [{found.low:.2f}, {found.high:.2f}]"


def _json(fields: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in fields.items()}


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
