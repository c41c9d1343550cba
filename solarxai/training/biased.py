"""Training sets with a selection bias, and the same archive balanced: both by selection alone.

No pixel is touched. An archive that shows sunspots when they are large and pores when they are
small gives the label away by the size, and nothing in it says that the next archive will not.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.errors import TrainingError
from solarxai.registry import near_name
from solarxai.schema import kind_of
from solarxai.splits import EXCLUDED

__all__ = ["Bias", "select"]

_LEARNT = ("train", "validation")

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Bias:
    """What decides which samples a training set holds.

    Parameters
    ----------
    column
        A measured column of the samples, such as "area_mm2" or "mu".
    second_class
        On which side of the median of that column samples of the second class (sunspots, pre-flare
        exposures) are held to be: "above" or "below"; those of the first are on the other.
    agreement
        Fraction of the samples of each class that are on their side: 1 is a complete bias, 0.5 none
        (both classes are spread alike), 0 the reverse.

    Raises
    ------
    TrainingError
        when the agreement is no fraction.
    """

    column: str
    second_class: Literal["above", "below"] = "above"
    agreement: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.agreement <= 1:
            raise TrainingError(
                f"bias: agreement {self.agreement} is not a fraction",
                remedy="Give 0 to 1; 0.5 is a balanced set.",
            )


def select(samples: xr.Dataset, bias: Bias, *, seed: int = 0) -> xr.Dataset:
    """Return the samples, those a biased archive would not hold marked "excluded".

    Parameters
    ----------
    samples
        Samples with the column `split`.
    bias
        What decides.
    seed
        Of the draw; the same samples are kept whatever the order of the rows.

    Returns
    -------
    xr.Dataset
        The column `split` is changed on the sides that are learnt from, train and validation; test
        samples stay as they were. Its attribute `bias` holds the fields of `bias`, the `cut` (the
        median of the column over both classes in training) and the number of samples `kept` on each
        side.

    Raises
    ------
    TrainingError
        when there is no column of numbers of that name, no split, or a class has no sample on one
        side of the cut.

    Notes
    -----
    Of the four cells of class and half, the smallest with m samples decides: each class keeps m of
    them, round(agreement·m) on its side. The number of samples does not depend on the agreement, so
    that networks of a biased and of a balanced set differ by nothing but the choice.
    """
    values = _values(samples, bias.column)
    split = samples["split"].values.astype(object)
    classes = kind_of(samples).classes
    labels = samples["label"].values.astype(str)
    usable = np.isin(labels, classes) & np.isfinite(values)
    cut = float(np.median(values[usable & (split == "train")]))
    ahead = (values > cut) == (bias.second_class == "above")
    aligned = ahead == (labels == classes[1])
    chosen = split.copy()
    kept = {}
    for number, side in enumerate(_LEARNT):
        here = usable & (split == side)
        cells = [
            [np.flatnonzero(here & (labels == name) & (aligned == on)) for on in (True, False)]
            for name in classes
        ]
        rows = _drawn(cells, bias, side, samples["sample_id"].values, [seed, number])
        chosen[split == side] = EXCLUDED
        chosen[rows] = side
        kept[side] = len(rows)
    attrs = {
        **samples["split"].attrs,
        "bias": {**asdict(bias), "cut": cut, "kept": kept},
    }
    return samples.assign_coords(split=("sample", chosen, attrs))


def _values(samples: xr.Dataset, column: str) -> npt.NDArray[np.float64]:
    if "split" not in samples.variables:
        raise TrainingError("samples have no column 'split'", remedy="Call split() first.")
    known = [
        str(name)
        for name, found in samples.coords.items()
        if found.dims == ("sample",) and found.dtype.kind == "f"
    ]
    if column not in known:
        raise TrainingError(
            f"bias: the samples have no column of numbers {column!r}",
            remedy=near_name(column, known) or f"There are {', '.join(sorted(known))}.",
        )
    return samples[column].values.astype(np.float64)


def _drawn(
    cells: list[list[Rows]], bias: Bias, side: str, names: npt.NDArray[Any], seed: list[int]
) -> Rows:
    """Return the rows that are kept of cells [class][on its side, on the other]."""
    most = min(len(rows) for pair in cells for rows in pair)
    if not most:
        raise TrainingError(
            f"bias: on the side {side!r} a class lies wholly on one half of {bias.column!r}, so "
            "that no choice of samples balances it",
            remedy="Name another column, or give an archive in which the classes overlap.",
        )
    ahead = round(bias.agreement * most)
    rng = np.random.default_rng(seed)
    kept = [
        rng.permutation(rows[np.argsort(names[rows].astype(str), kind="stable")])[:number]
        for pair in cells
        for rows, number in zip(pair, (ahead, most - ahead), strict=True)
    ]
    return np.sort(np.concatenate(kept))
