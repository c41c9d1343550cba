"""From margins of single spectra to margins of slit positions, rasters and observations."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.errors import TrainingError

__all__ = ["LEVELS", "Forecasts", "aggregate"]

Array = npt.NDArray[Any]

LEVELS = {
    "spectrum": (),
    "slit_position": ("observation", "raster", "slit"),
    "raster": ("observation", "raster"),
    "observation": ("observation",),
}
"""The columns that the spectra of one unit share, by level; each level holds the one before."""


class Forecasts(NamedTuple):
    """What was said of each unit (unit,), and what came: arrays of one length.

    `truth` is True for the second class, `margin` is the mean margin in logit, `region` the active
    region.
    """

    truth: npt.NDArray[np.bool_]
    margin: npt.NDArray[np.float64]
    region: npt.NDArray[np.str_]


def aggregate(
    samples: xr.Dataset,
    margins: Array,
    level: str = "spectrum",
    *,
    classes: tuple[str, str] = ("active", "preflare"),
) -> Forecasts:
    """Return truth, mean margin and region of every unit of that level.

    Parameters
    ----------
    samples
        Samples of one side of a split, with the columns of the level (see `LEVELS`).
    margins
        (sample,) logit.
    level
        "spectrum" (each row alone), "slit_position" (one position of the slit through a raster),
        "raster" or "observation".
    classes
        The labels; the second is the truth.

    Returns
    -------
    Forecasts
        Spectra in the order of the rows, larger units in the order of their names.

    Raises
    ------
    TrainingError
        when the level or one of its columns is unknown, a row is neither of `classes` (leave
        ambiguous rows out), or the margins are not one finite number a row.

    Notes
    -----
    A unit in which both labels occur, such as an observation that is active at first and pre-flare
    later, counts as two: one of each label. So does one that spans two active regions.
    """
    labels = samples["label"].values.astype(str)
    margin = np.asarray(margins, float)
    _check(samples, labels, margin, level, classes)
    regions = samples["region"].values.astype(str)
    truth = labels == classes[1]
    if not LEVELS[level]:
        return Forecasts(truth, margin, regions)
    columns = [samples[name].values for name in LEVELS[level]]
    first, member = _units([*columns, regions, labels])
    mean = np.bincount(member, weights=margin) / np.bincount(member)
    return Forecasts(truth[first], mean, regions[first])


def _units(columns: list[Array]) -> tuple[Array, Array]:
    """Return the first row of each unit and the unit of each row; rows alike are one unit."""
    codes = np.zeros((len(columns[0]), len(columns)), dtype=np.int64)
    for i, column in enumerate(columns):
        words = column.astype(str) if column.dtype == object else column
        codes[:, i] = np.unique(words, return_inverse=True)[1]
    _, first, member = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    return first, member.reshape(-1)


def _check(
    samples: xr.Dataset, labels: Array, margin: Array, level: str, classes: tuple[str, str]
) -> None:
    if level not in LEVELS:
        raise TrainingError(f"no level {level!r}", remedy=f"Give one of {', '.join(LEVELS)}.")
    missing = [name for name in LEVELS[level] if name not in samples.variables]
    if missing:
        raise TrainingError(
            f"samples have no column {' or '.join(map(repr, missing))}",
            remedy=f"The level {level!r} needs {', '.join(LEVELS[level])}.",
        )
    stray = sorted(set(labels.tolist()) - set(classes))
    if stray:
        raise TrainingError(
            f"samples labelled {', '.join(stray)} have no truth to score",
            remedy=f"Keep the rows of {' and '.join(classes)}.",
        )
    if margin.shape != labels.shape or not np.isfinite(margin).all():
        raise TrainingError(
            f"margins of shape {margin.shape}, {int((~np.isfinite(margin)).sum())} of them not "
            f"finite, for {len(labels)} samples",
            remedy="Give one finite margin a sample.",
        )
