"""Where does a map put its attribution? Shares, enrichments, edges, distance, and as a detector.

No number here convicts or acquits: an edge detector and a network with random weights score well on
some of them, which is why they stand beside every method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import ndimage

from solarxai.metrics import average_precision, block_bootstrap, roc_auc
from solarxai.schema import INVALID, PENUMBRA, PORE, QUIET, UMBRA
from solarxai.validation.localisation._masks import Masks
from solarxai.validation.localisation._ratio import ratio
from solarxai.validation.localisation.boundaries import boundary_names, measure_boundaries
from solarxai.validation.localisation.proximity import (
    PROXIMITY,
    adeyeha,
    hull_distances,
    mean_distance,
)
from solarxai.validation.report import Check, Limits, Resampling, judge

__all__ = [
    "DETECTOR",
    "EDGE",
    "NULLS",
    "SHARES",
    "edge_maps",
    "localisation_checks",
    "localisation_rows",
    "measure",
    "moved_masks",
    "structure_groups",
]

Array = npt.NDArray[Any]

EDGE = "edge detector (Sobel)"
NULLS = ("edge detector", "rotated mask", "other structure's mask", "random weights")
_SEGMENTS = {"penumbra": PENUMBRA, "umbra": UMBRA, "pore": PORE, "quiet Sun": QUIET}
DETECTOR = ("AUC", "average precision", "pointing game", "IoU")
"""Quantities of the map taken as a detector of penumbra."""
SHARES = tuple(f"share in {name}" for name in _SEGMENTS)
"""Shares of |attribution| that add up to one."""

_EDGES = tuple(
    name
    for kind in ("share", "signed share", "enrichment", "signed enrichment")
    for name in boundary_names(kind)
)
_FRACTIONS = ("pointing game", "Adeyeha colocation")
"""Quantities that are yes or no on most structures: their mean is given, not their median."""

_OF_LABEL: Mapping[str, tuple[str, ...]] = {
    "sunspot": (
        *(f"share in {name}" for name in ("penumbra", "central penumbra", "umbra", "quiet Sun")),
        *(f"enrichment in {name}" for name in ("penumbra", "central penumbra", "umbra")),
        *DETECTOR,
        *boundary_names("enrichment"),
        *boundary_names("signed enrichment"),
        *PROXIMITY,
    ),
    "pore": (
        *(f"share in {name}" for name in ("pore", "quiet Sun", "penumbra")),
        "enrichment in pore",
    ),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class _Maps:
    """Some maps (sample, y, x), and the distance to their hulls once it is asked for."""

    values: npt.NDArray[np.float32]

    @cached_property
    def hulls(self) -> npt.NDArray[np.float32]:
        """Return the distance to the hulls of the maps' edges."""
        return hull_distances(self.values)


def measure(
    maps: npt.NDArray[np.float32],
    segmentation: npt.NDArray[np.uint8],
    central: npt.NDArray[np.bool_],
    *,
    names: Sequence[str] | None = None,
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the localisation of |maps|, (sample,) a quantity, NaN where it is undefined.

    Parameters
    ----------
    maps
        (sample, y, x) attributions, raw and signed.
    segmentation, central
        (sample, y, x) of the samples.
    names
        Quantities to return; default all.

    Notes
    -----
    Pixels marked invalid take no part. The share of a segment is Σ|a| over it ÷ Σ|a|, its
    enrichment that share ÷ its share of the area. As a detector of penumbra the map is scored by
    the area under the ROC curve and the average precision of |a|, by the pointing game (is the
    greatest |a| in the penumbra?), and by the intersection over union of the penumbra with as many
    of the greatest |a|. Edges of the penumbra: `boundaries.measure_boundaries`; distances:
    `proximity.mean_distance` and `proximity.adeyeha`.
    """
    return _measure(_Maps(values=maps), Masks.of(segmentation, central), names)


def _measure(
    maps: _Maps, masks: Masks, names: Sequence[str] | None
) -> dict[str, npt.NDArray[np.float64]]:
    found = _shares(maps.values, masks.segmentation, masks.central)
    wanted = [*found, *DETECTOR, *_EDGES, *PROXIMITY] if names is None else list(names)
    if set(wanted) & set(DETECTOR):
        found |= _detect(maps.values, masks.segmentation)
    if set(wanted) & set(_EDGES):
        near = {"inner boundary": masks.inner, "outer boundary": masks.outer}
        found |= measure_boundaries(maps.values, masks.segmentation, distances=near)
    if set(wanted) & set(PROXIMITY[:2]):
        found |= mean_distance(maps.values, masks.segmentation, distances=masks.penumbra)
    if set(wanted) & set(PROXIMITY[2:]):
        found |= adeyeha(maps.hulls, masks.segmentation)
    return {name: found[name] for name in wanted}


def _shares(maps: Array, segmentation: Array, central: Array) -> dict[str, Array]:
    strength = np.where(segmentation == INVALID, 0, np.abs(maps)).astype(np.float64)
    masks = {name: segmentation == value for name, value in _SEGMENTS.items()}
    masks["central penumbra"] = masks["penumbra"] & central
    area = (segmentation != INVALID).sum(axis=(1, 2))
    total = strength.sum(axis=(1, 2))
    found = {}
    for name, mask in masks.items():
        share = ratio((strength * mask).sum(axis=(1, 2)), total)
        found[f"share in {name}"] = share
        found[f"enrichment in {name}"] = ratio(share, ratio(mask.sum(axis=(1, 2)), area))
    return found


def edge_maps(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the magnitude of the Sobel gradient of each image (sample, y, x)."""
    slope, smooth = (-1, 0, 1), (1, 2, 1)
    found = [
        ndimage.correlate1d(
            ndimage.correlate1d(images, slope, axis=along, mode="nearest"),
            smooth,
            axis=across,
            mode="nearest",
        )
        for along, across in ((1, 2), (2, 1))
    ]
    return np.asarray(np.hypot(*found), dtype=np.float32)


def moved_masks(
    segmentation: npt.NDArray[np.uint8], central: npt.NDArray[np.bool_]
) -> dict[str, list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]]]:
    """Return segmentations and central masks that do not belong to their maps, by null.

    "rotated mask": turned by 90°, 180° and 270° (180° alone unless square). "other structure's
    mask": that of the next one and the one a third of the list away, so that only *where in the
    patch* structures lie is kept.
    """
    return {
        null: [(move(segmentation), move(central)) for move in moves]
        for null, moves in _moves(*segmentation.shape).items()
    }


def localisation_rows(
    samples: xr.Dataset,
    maps: Mapping[str, npt.NDArray[np.float32]],
    *,
    random_maps: Mapping[str, npt.NDArray[np.float32]],
    random_rows: Array,
    resampling: Resampling,
) -> list[dict[str, Any]]:
    """Return the table of localisation: one row a method, group and quantity.

    Parameters
    ----------
    samples
        The structures.
    maps
        (sample, y, x) attributions by method; the edge detector is added.
    random_maps, random_rows
        By method, the maps of the same network with random weights on these rows of `samples`.
    resampling
        Of the intervals.
    """
    rows = []
    segmentation, central = samples["segmentation"].values, samples["central"].values
    groups = [
        (name, label, chosen, Masks.of(segmentation[chosen], central[chosen]))
        for name, label, chosen in structure_groups(samples)
    ]
    for method, values in {**maps, EDGE: edge_maps(samples["image"].values)}.items():
        for group, label, chosen, masks in groups:
            near = np.isin(random_rows, chosen)
            blind = random_maps.get(method)
            rows += _group_rows(
                samples.isel(sample=chosen),
                _Maps(values=values[chosen]),
                masks,
                words={"method": method, "group": group, "label": label},
                blind=None if blind is None else (blind[near], random_rows[near]),
                everything=samples,
                resampling=resampling,
            )
    return _with_edges(rows)


def localisation_checks(rows: Sequence[Mapping[str, Any]], *, limits: Limits) -> tuple[Check, ...]:
    """Return the rows of the table as checks that inform."""
    return tuple(
        judge(
            row["interval"],
            name=row["quantity"],
            group=row["group"],
            structures=row["structures"],
            limits=limits,
            reason=_beside(row),
            method=row["method"],
        )
        for row in rows
    )


def _group_rows(
    samples: xr.Dataset,
    maps: _Maps,
    masks: Masks,
    *,
    words: Mapping[str, str],
    blind: tuple[Array, Array] | None,
    everything: xr.Dataset,
    resampling: Resampling,
) -> list[dict[str, Any]]:
    names = _OF_LABEL[words["label"]]
    found = _measure(maps, masks, names)
    nulls = _nulls(maps, masks, names) if words["label"] == "sunspot" else {}
    if blind is not None and len(blind[1]):
        there = everything.isel(sample=blind[1])
        nulls["random weights"] = _medians(
            measure(blind[0], there["segmentation"].values, there["central"].values, names=names)
        )
    rows = []
    for name in names:
        defined = ~np.isnan(found[name])
        if not defined.any():
            continue
        yes_or_no = name in _FRACTIONS
        interval = block_bootstrap(
            _mean if yes_or_no else _median,
            found[name][defined],
            groups=samples["region"].values[defined],
            n=resampling.n,
            seed=resampling.seed,
            bounds=(0, 1) if yes_or_no else None,
        )
        rows.append(
            {
                **words,
                "quantity": name,
                "interval": interval,
                "structures": int(defined.sum()),
                **{null: nulls.get(null, {}).get(name, math.nan) for null in NULLS},
            }
        )
    return rows


def _nulls(maps: _Maps, masks: Masks, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the median of each quantity with masks that belong elsewhere."""
    found = {}
    for null, moves in _moves(*masks.segmentation.shape).items():
        measured = [_measure(maps, masks.moved(move), names) for move in moves]
        if measured:
            found[null] = _medians(
                {name: np.concatenate([m[name] for m in measured]) for name in names}
            )
    return found


def _moves(n: int, y: int, x: int) -> dict[str, list[Callable[[Array], Array]]]:
    turns = (1, 2, 3) if y == x else (2,)
    steps = sorted({1, n // 3} - {0}) if n > 1 else []
    return {
        "rotated mask": [partial(np.rot90, k=k, axes=(1, 2)) for k in turns],
        "other structure's mask": [partial(np.roll, shift=k, axis=0) for k in steps],
    }


def _medians(found: Mapping[str, Array]) -> dict[str, float]:
    made = {}
    for name, values in found.items():
        defined = values[~np.isnan(values)]
        statistic = _mean if name in _FRACTIONS else _median
        made[name] = statistic(defined) if len(defined) else math.nan
    return made


def _with_edges(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with the edge detector's value of the same quantity beside each."""
    edge = {
        (row["group"], row["quantity"]): row["interval"].value
        for row in rows
        if row["method"] == EDGE
    }
    return [
        {**row, "edge detector": edge.get((row["group"], row["quantity"]), math.nan)}
        for row in rows
    ]


def _beside(row: Mapping[str, Any]) -> str:
    known = [f"{null} {row[null]:.3g}" for null in NULLS if not math.isnan(row[null])]
    return f"beside it: {', '.join(known)}" if known else ""


def structure_groups(samples: xr.Dataset) -> list[tuple[str, str, Array]]:
    """Return (name, label, rows) of the structures that are told together: origin and label."""
    origin, label = samples["origin"].values, samples["label"].values
    found = []
    for name in sorted(set(origin.tolist())):
        for word in _OF_LABEL:
            chosen = np.flatnonzero((origin == name) & (label == word))
            if len(chosen):
                found.append((f"{name} · {word}", word, chosen))
    return found


def _detect(maps: Array, segmentation: Array) -> dict[str, npt.NDArray[np.float64]]:
    strength = np.where(segmentation == INVALID, 0, np.abs(maps)).astype(np.float64)
    found = {name: np.full(len(strength), np.nan) for name in DETECTOR}
    for row, (plane, segments) in enumerate(zip(strength, segmentation, strict=True)):
        valid = segments != INVALID
        truth, score = segments[valid] == PENUMBRA, plane[valid]
        if not truth.any() or truth.all() or not score.any():
            continue
        found["AUC"][row] = roc_auc(truth, score)
        found["average precision"][row] = average_precision(truth, score)
        found["pointing game"][row] = truth[np.argmax(score)]
        greatest = np.zeros_like(truth)
        greatest[np.argsort(-score, kind="stable")[: truth.sum()]] = True
        found["IoU"][row] = (greatest & truth).sum() / (greatest | truth).sum()
    return found


def _median(values: Array) -> float:
    return float(np.median(values))


def _mean(values: Array) -> float:
    return float(np.mean(values))
