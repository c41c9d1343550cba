"""What the changed margins of spectra show: which lines a network needs, and what sways it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from solarxai.metrics import BOUNDS, Interval, roc_auc, tss
from solarxai.validation.report import Check, Limits, Resampling, Sense, judge
from solarxai.validation.spectral.counterfactual import LINES, SpectralCounterfactuals
from solarxai.validation.spectral.nuisances import Means

__all__ = ["BAND", "BOX", "SLIT", "spectral_checks", "sway", "window_rows"]

Array = npt.NDArray[Any]

BOX, BAND, SLIT = "light outside the lines", "one place of the slit", "position along the slit"

_JUDGED_NUISANCES = (
    "shift of 0.5 points", "slope of 1 % per Å", "scale of 2 %", "half the exposure", "spike",
)  # fmt: skip


def sway(before: Array, after: Array, preflare: Array) -> float:
    """Return the mean change of margin towards the other class ÷ the spread of the margins.

    Parameters
    ----------
    before, after
        (n,) margins, pre-flare minus active.
    preflare
        (n,) whether the class is pre-flare; both classes count the same.

    Returns
    -------
    float
        0 where nothing changes; 2 where the margins of two narrow groups change places; NaN if a
        class is absent.
    """
    truth = np.asarray(preflare, bool)
    if truth.all() or not truth.any():
        return math.nan
    change = np.asarray(after, float) - np.asarray(before, float)
    towards = (change[~truth].mean() - change[truth].mean()) / 2
    spread = float(np.std(before))
    return float(towards / spread) if spread > 0 else 0.0


def spectral_checks(
    found: SpectralCounterfactuals,
    means: Means,
    *,
    origin: str,
    limits: Limits,
    resampling: Resampling,
) -> tuple[Check, ...]:
    """Return the checks of one origin: skill, lines, swaps, box, slit, nuisances."""
    here = _Checks(found=found, origin=origin, limits=limits, resampling=resampling)
    return (
        *here.skill(),
        *here.lines(),
        *(check for name in found.swaps for check in here.swap(name, found.swaps[name][0])),
        *here.box(means),
        *here.slit(),
        *here.nuisances(),
    )


def window_rows(found: SpectralCounterfactuals, means: Means) -> list[dict[str, Any]]:
    """Return, for each sliding window, its centre (Å), where it lies, and the change of margin."""
    outside = _outside(found, means)
    rows = []
    for number, centre in enumerate(found.centres):
        asked = ~np.isnan(found.windows[number])
        before, after = found.original[asked], found.windows[number][asked]
        rows.append(
            {
                "centre": float(centre),
                "outside the lines": bool(outside[number]),
                "change of margin": sway(before, after, found.preflare[asked]),
            }
        )
    return rows


@dataclass(frozen=True, kw_only=True, eq=False)
class _Checks:
    """The checks made on the samples of one origin."""

    found: SpectralCounterfactuals
    origin: str
    limits: Limits
    resampling: Resampling

    def skill(self) -> list[Check]:
        measures: dict[str, tuple[str, Callable[..., float]]] = {
            "ROC-AUC": ("roc_auc", roc_auc),
            "TSS": ("tss", lambda truth, margin: tss(truth, margin > 0)),
        }
        rows = self.all_rows()
        return [
            self.check(
                self.interval(measure, rows, self.found.original, BOUNDS[score]), rows, name=name
            )
            for name, (score, measure) in measures.items()
        ]

    def lines(self) -> list[Check]:
        made = []
        for name in LINES:
            made.append(self.share(f"{name} of the other class", self.found.lines[name][0]))
            made.append(self.share(f"{name} of both classes", self.found.common[name][0]))
        return made + [
            self.flips(f"{name} of the other class", self.found.lines[name][0]) for name in LINES
        ]

    def swap(self, name: str, after: Array) -> list[Check]:
        """Return what giving spectra something of the other class does: calls and margins."""
        limit = self.limits.margin_share
        return [
            self.flips(f"swap {name}", after),
            self.share(f"swap {name}", after, limit=limit, sense="at most"),
        ]

    def box(self, means: Means) -> list[Check]:
        outside = np.flatnonzero(_outside(self.found, means))
        if not len(outside):
            return []
        return self.strongest(
            BOX,
            self.found.windows[outside],
            [f"the window at {centre:.2f} Å" for centre in self.found.centres[outside]],
        )

    def slit(self) -> list[Check]:
        if not self.found.slit:
            return []
        places = [f"rows {a} to {b - 1}" for a, b in self.found.bands]
        return [
            *self.swap(SLIT, self.found.slit["slit turned over"][0]),
            *self.strongest(BAND, self.found.rows, places),
            *(
                self.nuisance(name, after, judged=name != "slit shuffled")
                for name, after in self.found.slit.items()
            ),
        ]

    def strongest(self, name: str, after: Array, places: list[str]) -> list[Check]:
        """Return the swap of the place that sways the margins most."""
        asked = ~np.isnan(after[0])
        truth, before = self.found.preflare[asked], self.found.original[asked]
        most = int(np.argmax([sway(before, each[asked], truth) for each in after]))
        reason = f"{places[most]}, the most of {len(places)}"
        return [
            self.flips(f"swap {name}", after[most], reason=reason),
            self.share(
                f"swap {name}", after[most],
                limit=self.limits.margin_share, sense="at most", reason=reason,
            ),
        ]  # fmt: skip

    def nuisances(self) -> list[Check]:
        return [
            self.nuisance(name, after, judged=name in _JUDGED_NUISANCES)
            for name, after in self.found.nuisances.items()
        ]

    def nuisance(self, name: str, after: Array, *, judged: bool) -> Check:
        rows = self.all_rows()
        changed = ((after > 0) != (self.found.original > 0)).mean(axis=0)
        return self.check(
            self.interval(_mean_of_second, rows, changed),
            rows,
            name=f"nuisance {name}: calls changed",
            limit=self.limits.nuisance_flip if judged else math.nan,
            sense="at most" if judged else "",
        )

    def share(
        self,
        name: str,
        after: Array,
        *,
        limit: float = math.nan,
        sense: Sense = "",
        reason: str = "",
    ) -> Check:
        rows = np.flatnonzero(~np.isnan(after))
        found = self.resampling.interval(
            sway, self.found.original[rows], after[rows], self.found.preflare[rows],
            groups=self.found.region[rows],
        )  # fmt: skip
        return self.check(
            found, rows, name=f"{name}: change of margin ÷ spread",
            limit=limit, sense=sense, reason=reason,
        )  # fmt: skip

    def flips(self, name: str, after: Array, *, reason: str = "") -> Check:
        called = self.found.original > 0
        right = np.flatnonzero(~np.isnan(after) & (called == self.found.preflare))
        lost = ((after > 0) != called)[right]
        found = self.resampling.proportion(lost, groups=self.found.region[right])
        return self.check(found, right, name=f"{name}: right calls changed", reason=reason)

    def all_rows(self) -> Array:
        return np.arange(len(self.found.original))

    def interval(
        self,
        statistic: Callable[..., float],
        rows: Array,
        values: Array,
        bounds: tuple[float, float] | None = None,
    ) -> Interval:
        return self.resampling.interval(
            statistic, self.found.preflare[rows], values[rows], groups=self.found.region[rows],
            bounds=bounds,
        )  # fmt: skip

    def check(self, found: Interval, rows: Array, *, name: str, **words: Any) -> Check:
        return judge(
            found,
            name=name,
            group=f"{self.origin} · all",
            structures=len(rows),
            limits=self.limits,
            **words,
        )


def _mean_of_second(_: Array, values: Array) -> float:
    return float(values.mean())


def _outside(found: SpectralCounterfactuals, means: Means) -> Array:
    """Return which sliding windows lie wholly outside the lines, (window,)."""
    inside = np.abs(means.axis - found.centres[:, None]) <= found.width / 2
    return np.array([bool(means.outside[points].all() and points.any()) for points in inside])
