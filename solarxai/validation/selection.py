"""Which samples are judged: those that training never saw, and at most so many of a kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from solarxai.errors import ValidationError

__all__ = ["CLASSES", "decided", "evenly", "held_out"]

CLASSES = ("active", "preflare")
"""Of spectra."""

_SEEN = ("train", "validation")


def held_out(samples: xr.Dataset) -> tuple[xr.Dataset, list[dict[str, Any]]]:
    """Return the samples the classifier did not see in training, and rows that count the others.

    Raises
    ------
    ValidationError
        when nothing is left.
    """
    split = samples["split"].values if "split" in samples.variables else np.array([])
    seen = (
        np.isin(split.astype(str), _SEEN) if len(split) else np.zeros(samples.sizes["sample"], bool)
    )
    if seen.all():
        raise ValidationError(
            f"none of {len(seen)} samples was held out of training",
            remedy="Attribute the test split or other observations, and validate those.",
        )
    if not seen.any():
        return samples, []
    row = {"intervention": "all", "label": "all", "reason": "seen in training"}
    return samples.isel(sample=~seen), [{**row, "count": int(seen.sum())}]


def evenly(samples: xr.Dataset, most: int | None) -> xr.Dataset:
    """Return at most `most` samples of each origin and label, evenly spread; all for None."""
    if most is None:
        return samples
    pairs = list(zip(samples["origin"].values, samples["label"].values, strict=True))
    chosen: list[int] = []
    for pair in sorted(set(pairs)):
        rows = np.array([i for i, p in enumerate(pairs) if p == pair])
        spread = np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)
        chosen += rows[spread].tolist()
    return samples.isel(sample=sorted(chosen))


def decided(samples: xr.Dataset) -> tuple[xr.Dataset, list[dict[str, Any]]]:
    """Return the spectra of the two classes, and a row that counts the others."""
    known = np.isin(samples["label"].values.astype(str), CLASSES)
    if known.all():
        return samples, []
    row = {"intervention": "all", "label": "ambiguous", "reason": "neither active nor pre-flare"}
    return samples.isel(sample=np.flatnonzero(known)), [{**row, "count": int((~known).sum())}]
