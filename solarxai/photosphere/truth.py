"""What a synthetic Sun knows of its structures, joined to what was detected on its image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from solarxai.photosphere.regions import Region
from solarxai.photosphere.structures import Structure
from solarxai.schema import LABELS

__all__ = ["Match", "Truth", "match_truth", "relabelled"]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a synthetic Sun says about one of its structures.

    Parameters
    ----------
    x, y
        Its position in pixels, counted from zero.
    label
        What it is; words other than "sunspot" and "pore" count as ambiguous.
    radius
        Its outer radius in any unit common to the structures of an image.
    """

    x: float
    y: float
    label: str
    radius: float = 1.0

    @property
    def known_label(self) -> str:
        """The label in the vocabulary."""
        return self.label if self.label in LABELS else "ambiguous"


@dataclass(frozen=True, kw_only=True)
class Match:
    """Detected regions joined to the truth.

    Parameters
    ----------
    pairs
        Each region with its truth, or with None if the truth has nothing there.
    missed
        The structures of the truth that were not detected.
    """

    pairs: Sequence[tuple[Region, Truth | None]]
    missed: Sequence[Truth]


def match_truth(regions: Sequence[Region], truths: Sequence[Truth], *, reach: float) -> Match:
    """Return the detected regions joined to the structures that a synthetic Sun knows.

    Parameters
    ----------
    regions
        What was detected.
    truths
        What is there.
    reach
        How far outside a region, in pixels, its truth may lie.

    Notes
    -----
    Each truth goes to the nearest region within reach. A region with several truths (structures
    that touch) is divided among them: each pixel goes to the truth nearest in units of that
    truth's radius.
    """
    claims: list[list[Truth]] = [[] for _ in regions]
    missed: list[Truth] = []
    for truth in truths:
        distances = [_distance(region, truth) for region in regions]
        nearest = int(np.argmin(distances)) if distances else -1
        if nearest >= 0 and distances[nearest] <= reach:
            claims[nearest].append(truth)
        else:
            missed.append(truth)
    pairs: list[tuple[Region, Truth | None]] = []
    for region, claim in zip(regions, claims, strict=True):
        parts = _divide(region, claim)
        pairs += parts
        kept = [truth for _, truth in parts]
        missed += [truth for truth in claim if truth not in kept]
    return Match(pairs=pairs, missed=missed)


def relabelled(structure: Structure, truth: Truth | None) -> Structure:
    """Return the structure with the truth's label and position.

    One that the truth does not know becomes ambiguous, with the source "unmatched".
    """
    if truth is None:
        return replace(structure, label="ambiguous", label_source="unmatched")
    return replace(structure, label=truth.known_label, label_source="truth", x=truth.x, y=truth.y)


def _distance(region: Region, truth: Truth) -> float:
    """Return how far, in pixels, a truth's pixel lies from the nearest pixel of a region."""
    height, width = region.mask.shape
    y, x = round(truth.y) - region.rows.start, round(truth.x) - region.columns.start
    if 0 <= y < height and 0 <= x < width and region.mask[y, x]:
        return 0.0
    away = np.hypot(max(-y, y - height + 1, 0), max(-x, x - width + 1, 0))
    if away > 16:
        return float(away)
    rows, columns = np.nonzero(region.mask)
    return float(np.hypot(rows - y, columns - x).min())


def _divide(region: Region, truths: Sequence[Truth]) -> list[tuple[Region, Truth | None]]:
    """Return the parts of a region that belong to each of its truths."""
    if len(truths) < 2:
        return [(region, truths[0] if truths else None)]
    y, x = np.mgrid[region.rows, region.columns]
    away = [np.hypot(y - truth.y, x - truth.x) / max(truth.radius, 1e-6) for truth in truths]
    owner = np.argmin(away, axis=0)
    parts = [region.part(owner == index) for index in range(len(truths))]
    return [(part, truth) for part, truth in zip(parts, truths, strict=True) if part is not None]
