"""How often a network is right where its training set was biased, and where the bias misleads."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.errors import ValidationError
from solarxai.metrics import Interval, block_bootstrap, proportion_interval
from solarxai.registry import near_name
from solarxai.schema import kind_of
from solarxai.validation.report import Resampling

__all__ = ["AGAINST", "GAP", "WITH", "subgroup_rows"]

WITH, AGAINST, GAP = "with the bias", "against the bias", "with less against"

Array = npt.NDArray[Any]


def subgroup_rows(
    samples: xr.Dataset,
    margins: Array,
    *,
    column: str,
    cut: float | None = None,
    second_class: str = "above",
    resampling: Resampling | None = None,
) -> list[dict[str, Any]]:
    """Return the fraction called rightly by class and half of a column, with intervals by region.

    Parameters
    ----------
    samples
        Samples that training did not see.
    margins
        (sample,) score of the second class less that of the first.
    column
        A measured column, such as "area_mm2".
    cut
        Between its halves; the median of both classes if None.
    second_class
        "above" or "below": the half in which a biased training set has the second class.
    resampling
        Of the regions.

    Returns
    -------
    list
        Rows (subgroup, label, value, low, high, structures, regions, score), score being the median
        margin: class by class on each half, then all samples `with the bias` (a sunspot on its
        half, a pore on the other), all `against the bias`, and the difference of the two, which is
        how much the network leans on the column. A subgroup without samples has no row.

    Raises
    ------
    ValidationError
        when there is no such column of numbers, or no sample of a class with a finite value.
    """
    resampling = resampling or Resampling()
    classes = kind_of(samples).classes
    values, labels = _column(samples, column), samples["label"].values.astype(str)
    usable = np.isin(labels, classes) & np.isfinite(values)
    if not usable.any():
        raise ValidationError(
            f"no sample of {' or '.join(classes)} has a finite {column!r}",
            remedy="Name another column.",
        )
    middle = float(np.median(values[usable])) if cut is None else cut
    above = values > middle
    right = (margins > 0) == (labels == classes[1])
    aligned = (above == (second_class == "above")) == (labels == classes[1])
    table = _Table(margins, right, samples["region"].values, resampling)
    rows = [
        table.row(usable & (labels == name) & (above == half), f"{column} {_side(half)}", name)
        for name in reversed(classes)
        for half in (True, False)
    ]
    rows += [table.row(usable & (aligned == on), word) for on, word in _HALVES]
    rows.append(table.gap(usable, aligned))
    return [{**row, "cut": middle} for row in rows if row["structures"]]


_HALVES = ((True, WITH), (False, AGAINST))


class _Table:
    """What is asked of each subgroup."""

    def __init__(self, margins: Array, right: Array, region: Array, resampling: Resampling) -> None:
        self.margins, self.right, self.region = margins, right, region
        self.words: dict[str, Any] = {"n": resampling.n, "seed": resampling.seed}

    def row(self, here: Array, subgroup: str, label: str = "all") -> dict[str, Any]:
        """Return the fraction of some samples called rightly."""
        words = {"subgroup": subgroup, "label": label, "structures": int(here.sum())}
        if not here.any():
            return words
        found = proportion_interval(self.right[here], groups=self.region[here], **self.words)
        return {**words, **_bounds(found), "score": float(np.median(self.margins[here]))}

    def gap(self, usable: Array, aligned: Array) -> dict[str, Any]:
        """Return by how much the fraction called rightly is greater with the bias."""
        words = {"subgroup": GAP, "label": "all", "structures": int(usable.sum())}
        found = block_bootstrap(
            _difference, self.right[usable], aligned[usable], groups=self.region[usable],
            **self.words,
        )  # fmt: skip
        return {**words, **_bounds(found), "score": float("nan")}


def _difference(right: Array, aligned: Array) -> float:
    if aligned.all() or not aligned.any():
        return float("nan")
    return float(right[aligned].mean() - right[~aligned].mean())


def _side(above: bool) -> str:
    return "above the cut" if above else "below the cut"


def _bounds(found: Interval) -> dict[str, Any]:
    return {
        "value": found.value, "low": found.low, "high": found.high, "regions": found.n_groups
    }  # fmt: skip


def _column(samples: xr.Dataset, column: str) -> npt.NDArray[np.float64]:
    known = [
        str(name)
        for name, found in samples.coords.items()
        if found.dims == ("sample",) and found.dtype.kind == "f"
    ]
    if column not in known:
        raise ValidationError(
            f"the samples have no column of numbers {column!r}",
            remedy=near_name(column, known) or f"There are {', '.join(sorted(known))}.",
        )
    return samples[column].values.astype(np.float64)
