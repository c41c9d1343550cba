"""Nuisances of physical size, and nuisances taken from the other class.

Of the first kind are changes another telescope, pointing or day would make. Of the second kind are
swaps: a sunspot is given the brightness, border, background, foreshortening, plate scale or roll of
a pore, and for comparison that of another sunspot. What the other class changes beyond what the own
class does is what the classifier reads from it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.classifier import Classifier
from solarxai.metrics import Interval
from solarxai.validation.causal._disturbances import DISTURBANCES, SWAPS, Disturbance
from solarxai.validation.causal._sights import Amplitudes, Sight, sights
from solarxai.validation.causal.interventions import NotApplicable, cut_patches
from solarxai.validation.report import Check, Limits, Resampling, judge

__all__ = [
    "DISTURBANCES",
    "SWAPS",
    "Amplitudes",
    "Disturbance",
    "Disturbed",
    "Drawn",
    "disturb",
    "draw_disturbances",
    "nuisance_checks",
    "nuisance_rows",
    "score_disturbances",
]

Image = npt.NDArray[np.float32]
Column = npt.NDArray[Any]

_BLOCK = 64
_LABELS = ("sunspot", "pore")
_SIDES = ("own label", "other label")


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """Images of one nuisance on some rows: (image, y, x), the variant and the row of each."""

    name: str
    images: Image
    variants: npt.NDArray[np.intp]
    rows: npt.NDArray[np.intp]
    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Disturbed:
    """Scores (sunspot minus pore, logits) before and after each nuisance.

    Parameters
    ----------
    original
        (sample,) scores of the images as they are.
    changed
        (variant, sample) scores by nuisance, NaN where it was not applicable. Swaps stand here
        twice, "NAME, own label" and "NAME, other label".
    left_out
        Rows (intervention, label, reason, count) for what was not applicable.
    """

    original: Column
    changed: Mapping[str, Column]
    left_out: tuple[Mapping[str, Any], ...] = ()


def disturb(
    samples: xr.Dataset,
    classifier: Classifier,
    *,
    seed: int = 0,
    amplitudes: Amplitudes | None = None,
    limits: Limits | None = None,
) -> Disturbed:
    """Return the scores of samples as they are and under every nuisance that applies.

    Parameters
    ----------
    samples
        Patches of sunspots and pores.
    classifier
        Judges them.
    seed
        Of every random number; those of a sample depend on its name too. Partners of a swap come
        from the other samples, so that the scores of swaps depend on the company.
    amplitudes, limits
        Of the nuisances; what a patch needs for its texture to be measured.
    """
    drawn = draw_disturbances(
        samples, scale_mm=classifier.contract.plate_scale, seed=seed, amplitudes=amplitudes,
        limits=limits,
    )  # fmt: skip
    return score_disturbances(drawn, samples, classifier)


def draw_disturbances(
    samples: xr.Dataset,
    *,
    scale_mm: float,
    seed: int = 0,
    amplitudes: Amplitudes | None = None,
    limits: Limits | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Iterator[Drawn]:
    """Yield the changed images, at most 64 rows at a time; a list of them serves many classifiers.

    Parameters
    ----------
    samples
        Patches of sunspots and pores.
    scale_mm
        Mm per pixel.
    seed, amplitudes, limits
        As of `disturb`.
    progress
        Called with (done, total, what), in nuisances of 64 rows.
    """
    patches = cut_patches(samples, scale_mm=scale_mm, seed=seed, limits=limits)
    seen = sights(samples, patches, amplitudes or Amplitudes())
    labels, kin = samples["label"].values, samples["origin"].values
    changes = {name: partial(_one, seen, one.change) for name, one in DISTURBANCES.items()}
    for name, swap in SWAPS.items():
        for whose in ("own", "other"):
            change = partial(_swapped, seen, labels, kin, swap, whose == "own")
            changes[f"{name}, {whose} label"] = change
    blocks = [range(s, min(s + _BLOCK, len(seen))) for s in range(0, len(seen), _BLOCK)]
    for done, (rows, name) in enumerate(itertools.product(blocks, changes)):
        if progress:
            progress(done, len(blocks) * len(changes), f"nuisance {name}")
        yield _draw(name, rows, labels, changes[name])


def score_disturbances(
    drawn: Iterable[Drawn], samples: xr.Dataset, classifier: Classifier
) -> Disturbed:
    """Return the scores of what `draw_disturbances` made of these samples."""
    n = samples.sizes["sample"]
    found: dict[str, list[Column]] = {}
    missing: dict[tuple[str, str, str], int] = {}
    for block in drawn:
        variants = found.setdefault(block.name, [])
        while len(variants) <= block.variants.max(initial=0):
            variants.append(np.full(n, np.nan))
        if len(block.images):
            margins = classifier.margins(block.images)
            for variant, row, margin in zip(block.variants, block.rows, margins, strict=True):
                variants[variant][row] = margin
        for label, why in block.left_out:
            missing[block.name, label, why] = missing.get((block.name, label, why), 0) + 1
    names = ("intervention", "label", "reason")
    return Disturbed(
        original=classifier.margins(samples["image"].values),
        changed={name: np.array(variants) for name, variants in found.items()},
        left_out=tuple(
            {**dict(zip(names, key, strict=True)), "count": count}
            for key, count in sorted(missing.items())
        ),
    )


def _one(seen: list[Sight], change: Callable[[Sight], Sequence[Image]], row: int) -> list[Image]:
    return list(change(seen[row]))


def _swapped(
    seen: list[Sight],
    labels: Column,
    kin: Column,
    swap: Callable[[Sight, Sight], Image],
    own: bool,
    row: int,
) -> list[Image]:
    """Return the patch with what partners of its own or of the other label lend it."""
    alike = (labels == labels[row]) == own
    fit = alike & np.isin(labels, _LABELS) & (kin == kin[row])
    fit[row] = False
    candidates = np.flatnonzero(fit)
    if not len(candidates):
        raise NotApplicable("no partner of that label")
    rng = np.random.default_rng(seen[row].patch.draw("partners"))
    order = candidates[np.argsort(rng.random(len(candidates)))]
    made: list[Image] = []
    why = ""
    for partner in order[: 4 * seen[row].amplitudes.partners]:
        try:
            made.append(swap(seen[row], seen[int(partner)]))
        except NotApplicable as reason:
            why = str(reason)
        if len(made) == seen[row].amplitudes.partners:
            return made
    if not made:
        raise NotApplicable(why)
    return made


def _draw(name: str, rows: range, labels: Column, change: Callable[[int], list[Image]]) -> Drawn:
    images: list[Image] = []
    address: list[tuple[int, int]] = []
    left_out: list[tuple[str, str]] = []
    for row in rows:
        try:
            made = change(row)
        except NotApplicable as why:
            left_out.append((str(labels[row]), str(why)))
            continue
        images += made
        address += [(variant, row) for variant in range(len(made))]
    variants, where = np.array(address, dtype=np.intp).reshape(-1, 2).T
    stack = np.array(images, dtype=np.float32)
    return Drawn(name=name, images=stack, variants=variants, rows=where, left_out=tuple(left_out))


def nuisance_checks(
    found: Disturbed,
    samples: xr.Dataset,
    *,
    loss: Column,
    limits: Limits,
    resampling: Resampling,
) -> tuple[Check, ...]:
    """Return whether nuisances change the answer, each origin of data by itself.

    Parameters
    ----------
    found
        Scores before and after.
    samples
        What was judged.
    loss
        (sample,) loss of score without the penumbra, NaN where that was not applicable:
        `Counterfactuals.loss("penumbra removed")`.
    limits
        `nuisance_flip` and `nuisance_share`, of nuisances of physical size; `swap_flip` and
        `swap_share`, of swaps: smaller, since what a swap's own artefacts change is taken off.
    resampling
        Of the regions.

    Notes
    -----
    Of a nuisance: the fraction of calls it changes, over its variants, and the median change of the
    sunspots' scores in units of the median loss without the penumbra. Of a swap: the fraction of
    calls that the other label's value changes less that of the own label's; and the median of
    s (m_own − m_other), s = 1 for sunspots and −1 for pores, in units of the same loss: how far the
    other label's value pulls the score to the other side.
    """
    made: list[Check] = []
    for origin in sorted(set(samples["origin"].values.tolist())):
        of_origin = (samples["origin"].values == origin) & np.isin(samples["label"].values, _LABELS)
        here = _Judged(
            origin=origin, found=found, label=samples["label"].values, loss=loss,
            region=samples["region"].values, of_origin=of_origin, limits=limits,
            resampling=resampling,
        )  # fmt: skip
        made += [here.flips(name) for name in DISTURBANCES]
        made += [here.excess(name) for name in SWAPS]
        made += [here.share(name) for name in DISTURBANCES]
        made += [here.pull(name) for name in SWAPS]
    return tuple(made)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Judged:
    """The structures of one origin, and the checks made on them."""

    origin: str
    found: Disturbed
    label: Column
    loss: Column
    region: Column
    of_origin: Column
    limits: Limits
    resampling: Resampling

    def flips(self, name: str) -> Check:
        """Return the fraction of calls that a nuisance changes."""
        rows = self.rows(name)
        found = self.bootstrap(_mean, rows, self.changed_calls(name, rows))
        return self.check(found, rows, f"{name}: calls changed", self.limits.nuisance_flip)

    def excess(self, name: str) -> Check:
        """Return the fraction of calls that the other label's value changes beyond its own's."""
        own, other = (f"{name}, {side}" for side in _SIDES)
        rows = self.rows(own, other)
        beyond = self.changed_calls(other, rows) - self.changed_calls(own, rows)
        words = "less the fraction changed by a value of the own label"
        found = self.bootstrap(_mean, rows, beyond)
        return self.check(
            found, rows, f"{name}: calls changed", self.limits.swap_flip, reason=words
        )

    def share(self, name: str) -> Check:
        """Return the median change of sunspots' scores in units of the loss without penumbra."""
        rows = self.rows(name, lost=True)
        change = np.abs(self.found.changed[name][:, rows] - self.found.original[rows])
        found = self.bootstrap(self.ratio(), rows, _over_variants(change), self.loss[rows])
        name = f"{name}: change of score ÷ penumbra loss"
        return self.check(found, rows, name, self.limits.nuisance_share, of="sunspot")

    def pull(self, name: str) -> Check:
        """Return how far the other label's value pulls the score, in units of that loss."""
        own, other = (f"{name}, {side}" for side in _SIDES)
        rows = self.rows(own, other)
        sign = np.where(self.label[rows] == "sunspot", 1.0, -1.0)
        before, after = (_over_variants(self.found.changed[one][:, rows]) for one in (own, other))
        found = self.bootstrap(self.ratio(), rows, sign * (before - after), self.loss[rows])
        name = f"{name}: pull to the other label ÷ penumbra loss"
        return self.check(found, rows, name, self.limits.swap_share)

    def ratio(self) -> Callable[..., float]:
        """Return median change ÷ median loss, of changes above a thousandth of a typical score."""
        floor = 1e-3 * float(np.median(np.abs(self.found.original))) + 1e-12
        return partial(_ratio_to_loss, floor=floor)

    def rows(self, *names: str, lost: bool = False) -> Column:
        chosen = self.of_origin & ~np.isnan(self.loss) if lost else self.of_origin
        for name in names:
            chosen = chosen & ~np.isnan(self.found.changed[name]).all(axis=0)
        return np.flatnonzero(chosen)

    def changed_calls(self, name: str, rows: Column) -> Column:
        after = self.found.changed[name][:, rows]
        changed = (after > 0) != (self.found.original[rows] > 0)
        return _over_variants(np.where(np.isnan(after), np.nan, changed))

    def bootstrap(self, statistic: Callable[..., float], rows: Column, *arrays: Column) -> Interval:
        return self.resampling.interval(statistic, *arrays, groups=self.region[rows])

    def check(
        self, found: Interval, rows: Column, name: str, limit: float, *, of: str = "all",
        reason: str = "",
    ) -> Check:  # fmt: skip
        return judge(
            found,
            name=f"nuisance {name}",
            group=f"{self.origin} · {of}",
            structures=len(rows),
            limits=self.limits,
            limit=limit,
            sense="at most",
            by="interval",
            reason=reason,
        )


def _mean(values: Column) -> float:
    return float(np.mean(values))


def _over_variants(variants: Column) -> Column:
    """Return the mean over the variants (variant, row) that there are."""
    return np.asarray(np.nanmean(variants, axis=0, dtype=float))


def _ratio_to_loss(change: Column, loss: Column, *, floor: float) -> float:
    """Return median change ÷ median loss, NaN when nothing was lost."""
    lost = float(np.median(loss[~np.isnan(loss)])) if not np.isnan(loss).all() else 0.0
    return float(np.median(change)) / lost if lost > floor else float("nan")


def nuisance_rows(amplitudes: Amplitudes | None = None) -> list[dict[str, str]]:
    """Return the rows (nuisance, what, why) of a table of the nuisances of physical size."""
    amplitudes = amplitudes or Amplitudes()
    values = {f.name: getattr(amplitudes, f.name) for f in fields(amplitudes)}
    return [
        {"nuisance": name, "what": nuisance.what.format(**values), "why": nuisance.why}
        for name, nuisance in DISTURBANCES.items()
    ]
