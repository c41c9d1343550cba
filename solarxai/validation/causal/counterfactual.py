"""Does the answer rest on the penumbra? The score before and after an intervention.

No localisation number can say so: the verdict rests on the checks made here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.classifier import Classifier
from solarxai.metrics import Interval
from solarxai.validation.causal.interventions import (
    INTERVENTIONS,
    NotApplicable,
    Patch,
    cut_patches,
)
from solarxai.validation.report import Check, Limits, Resampling, Sense, judge

__all__ = [
    "QUIET_REPLACED",
    "REMOVED",
    "Counterfactuals",
    "counterfactual_checks",
    "intervene",
]

Column = npt.NDArray[Any]
Progress = Callable[[int, int, str], None]

REMOVED, QUIET_REPLACED, PAINTED = "penumbra removed", "quiet Sun replaced", "penumbra painted"
_BLOCK = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Counterfactuals:
    """Scores (sunspot minus pore, logits) of the samples as they are and after each change.

    Parameters
    ----------
    original
        (sample,) scores of the images as they are.
    changed
        (variant, sample) scores by intervention, NaN where it was not applicable.
    left_out
        Rows (intervention, label, reason, count) for what was not applicable.
    """

    original: Column
    changed: Mapping[str, Column]
    left_out: tuple[Mapping[str, Any], ...] = ()

    def score(self, name: str) -> Column:
        """Return the score after an intervention, (sample,)."""
        return np.asarray(self.changed[name][0])

    def loss(self, name: str) -> Column:
        """Return the score before minus the score after an intervention, (sample,)."""
        return np.asarray(self.original - self.changed[name][0])


def intervene(
    samples: xr.Dataset,
    classifier: Classifier,
    *,
    seed: int = 0,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> Counterfactuals:
    """Return the scores of the samples as they are and after every change that applies."""
    patches = cut_patches(
        samples, scale_mm=classifier.contract.plate_scale, seed=seed, limits=limits or Limits()
    )
    label = samples["label"].values
    missing: dict[tuple[str, str, str], int] = {}
    blocks = []
    for start in range(0, len(patches), _BLOCK):
        rows = slice(start, start + _BLOCK)
        blocks.append(_changed_scores(patches[rows], label[rows], classifier, missing))
        if progress:
            progress(min(start + _BLOCK, len(patches)), len(patches), "interventions")
    names = ("intervention", "label", "reason")
    return Counterfactuals(
        original=classifier.margins(samples["image"].values),
        changed={name: _joined([block[name] for block in blocks]) for name in blocks[0]},
        left_out=tuple(
            {**dict(zip(names, key, strict=True)), "count": count}
            for key, count in sorted(missing.items())
        ),
    )


def _changed_scores(
    patches: list[Patch],
    label: Column,
    classifier: Classifier,
    missing: dict[tuple[str, str, str], int],
) -> dict[str, Column]:
    """Return the scores (variant, row) of a block after each change; count what is missing."""
    found: dict[str, Column] = {}
    for name in sorted({n for names in INTERVENTIONS.values() for n in names}):
        images: dict[tuple[int, int], npt.NDArray[np.float32]] = {}
        for row, patch in enumerate(patches):
            change = INTERVENTIONS.get(label[row], {}).get(name)
            try:
                made = change(patch) if change else []
            except NotApplicable as why:
                key = (name, str(label[row]), str(why))
                missing[key] = missing.get(key, 0) + 1
                continue
            images |= {(variant, row): image for variant, image in enumerate(made)}
        found[name] = np.full((1 + max((v for v, _ in images), default=0), len(patches)), np.nan)
        if images:
            found[name][tuple(np.array(list(images)).T)] = classifier.margins(
                np.stack(list(images.values())).astype(np.float32)
            )
    return found


def _joined(blocks: list[Column]) -> Column:
    """Return blocks (variant, row) side by side; a block in which nothing applied has one row."""
    variants = max(len(block) for block in blocks)
    padded = [np.pad(b, ((0, variants - len(b)), (0, 0)), constant_values=np.nan) for b in blocks]
    return np.concatenate(padded, axis=1)


def counterfactual_checks(
    found: Counterfactuals,
    samples: xr.Dataset,
    *,
    limits: Limits,
    resampling: Resampling,
) -> tuple[Check, ...]:
    """Return what the changed scores show, each origin of data by itself."""
    made: list[Check] = []
    for origin in sorted(set(samples["origin"].values.tolist())):
        here = _Origin(
            origin=origin,
            found=found,
            of_origin=samples["origin"].values == origin,
            label=samples["label"].values,
            region=samples["region"].values,
            limits=limits,
            resampling=resampling,
        )
        made += [*here.penumbra(), *here.painted(), *here.informing()]
    return tuple(made)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Origin:
    """The structures of one origin, and the checks made on them."""

    origin: str
    found: Counterfactuals
    of_origin: Column
    label: Column
    region: Column
    limits: Limits
    resampling: Resampling

    def penumbra(self) -> list[Check]:
        """Return the checks on which the verdict rests."""
        limits = self.limits
        return [
            self.flips("sunspot", REMOVED, limit=limits.penumbra_flip, sense="at least"),
            self.ratio("sunspot", REMOVED, sign=1, limit=limits.control_ratio),
            self.flips("sunspot", QUIET_REPLACED, limit=limits.quiet_flip, sense="at most"),
        ]

    def painted(self) -> list[Check]:
        return [
            self.flips("pore", PAINTED),
            self.ratio("pore", PAINTED, sign=-1, limit=self.limits.painted_ratio),
        ]

    def informing(self) -> list[Check]:
        names = [name for name in INTERVENTIONS["sunspot"] if name not in (REMOVED, QUIET_REPLACED)]
        flips = [self.flips("sunspot", name) for name in names]
        losses = [
            self.change(label, name) for label, names in INTERVENTIONS.items() for name in names
        ]
        return flips + losses

    def rows(self, label: str, *names: str) -> Column:
        """Return the rows of a label to which every one of the interventions applied."""
        chosen = self.of_origin & (self.label == label)
        for name in names:
            chosen = chosen & ~np.isnan(self.found.changed[name]).all(axis=0)
        return np.flatnonzero(chosen)

    def flips(self, label: str, name: str, *, limit: float = math.nan, sense: Sense = "") -> Check:
        """Return the fraction of structures called by their label that are no longer called so."""
        sign = 1 if label == "sunspot" else -1
        rows = self.rows(label, name)
        called = rows[sign * self.found.original[rows] > 0]
        hits = sign * self.found.score(name)[called] < 0
        reason = f"of {len(called)} {label}s called so ({len(rows)} in all)"
        return self.check(
            self.proportion(hits, called),
            name=f"{name}: {label}s no longer called so",
            label=label,
            rows=called,
            limit=limit,
            sense=sense,
            by="low" if sense == "at least" else "value",
            reason=reason,
        )

    def ratio(self, label: str, name: str, *, sign: int, limit: float) -> Check:
        """Return the median loss (gain) of score in units of the quiet control's median change."""
        rows = self.rows(label, name, QUIET_REPLACED)
        original = self.found.original[rows]
        return self.check(
            self.bootstrap(
                partial(_ratio_of_medians, floor=_floor(original)),
                rows,
                sign * self.found.loss(name)[rows],
                np.abs(self.found.loss(QUIET_REPLACED)[rows]),
            ),
            name=f"{name}: {'loss' if sign > 0 else 'gain'} of score ÷ quiet control",
            label=label,
            rows=rows,
            limit=limit,
            sense="at least",
            by="low",
            reason="ratio of medians, the same area of quiet Sun replaced",
        )

    def change(self, label: str, name: str) -> Check:
        rows = self.rows(label, name)
        return self.check(
            self.bootstrap(_median, rows, -self.found.loss(name)[rows]),
            name=f"{name}: median change of score",
            label=label,
            rows=rows,
            reason="logits",
        )

    def proportion(self, hits: Column, rows: Column) -> Interval:
        return self.resampling.proportion(hits, groups=self.region[rows])

    def bootstrap(self, statistic: Callable[..., float], rows: Column, *arrays: Column) -> Interval:
        return self.resampling.interval(statistic, *arrays, groups=self.region[rows])

    def check(self, found: Interval, *, label: str, rows: Column, **words: Any) -> Check:
        return judge(
            found,
            group=f"{self.origin} · {label}",
            structures=len(rows),
            limits=self.limits,
            **words,
        )


def _floor(scores: Column) -> float:
    """Return a thousandth of the typical score: changes below it count as none."""
    return 1e-3 * float(np.median(np.abs(scores))) + 1e-12 if len(scores) else 1e-12


def _ratio_of_medians(above: Column, below: Column, *, floor: float) -> float:
    return float(np.median(above) / max(np.median(below), floor))


def _median(values: Column) -> float:
    return float(np.median(values))
