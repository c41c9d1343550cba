"""Training, validation and test sides that never share an active region, and ones that do.

Two samples of one region show the same structures hours apart; a random split would test a network
on what it has seen. `split` and `folds` keep every region on one side. `naive_split` does not, so
that its optimism can be measured; what it returns is refused wherever a split is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.errors import TrainingError

__all__ = ["EXCLUDED", "LEAKS", "SIDES", "check_split", "folds", "naive_split", "split"]

SIDES = ("train", "validation", "test")
EXCLUDED = "excluded"
"""The side of samples that are counted and shown, never learnt from or scored.

They are the ambiguous ones, and test samples too near in time to training samples.
"""

LEAKS = {
    "spectrum": "rows of one exposure, slit position, observation and region stand on every side",
    "observation": "observations of one active region stand on every side",
}
"""What each naive split leaks, by the unit it shuffles."""

Counts = npt.NDArray[np.float64]
Words = npt.NDArray[np.str_]


def split(
    samples: xr.Dataset,
    *,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    by: str = "region",
    gap: timedelta | None = None,
) -> xr.Dataset:
    """Return the Samples with a column `split`: "train", "validation", "test" or "excluded".

    Parameters
    ----------
    samples
        Samples with a region in every row.
    fractions
        Share of the labelled samples of each class that each side should get; zero leaves a side
        empty.
    seed
        Settles ties; the same seed gives the same split, whatever the order of the rows.
    by
        "region", and nothing else: see the module's first lines, and `naive_split`.
    gap
        Test samples at most this far in time from a training sample, of whatever region, are
        excluded; nothing is if None.

    Returns
    -------
    xr.Dataset
        The attributes of the column say how it was made: `by`, `gap_s` (seconds, if there was a
        gap) and `excluded_by_gap` (number of samples).

    Raises
    ------
    TrainingError
        if samples would be split by anything but region, a sample has no region, the fractions
        are not shares of one, there are fewer regions than sides, or the gap is negative or
        leaves no test sample.

    Notes
    -----
    Regions are given away largest first, each to the side where it brings the class counts
    nearest to their targets; a class with few regions left goes to a side that lacks it.
    """
    _check_by(by)
    _check_fractions(fractions)
    regions, labels = _regions(samples), samples["label"].values.astype(str)
    names, table = _census(regions, labels)
    wanted = int(np.count_nonzero(fractions))
    if len(names) < wanted:
        raise TrainingError(
            f"{len(names)} regions with unambiguous samples cannot fill {wanted} sides",
            remedy="Add observations of other active regions, or set a fraction to zero.",
        )
    places = _assign(table, np.array(fractions), _largest_first(table, seed))
    side_of = dict(zip(names, [SIDES[place] for place in places], strict=True))
    column = _column(regions, labels, side_of)
    done = _with_column(samples, column, gap=gap)
    if gap is not None and "test" in column and "test" not in done["split"].values:
        raise TrainingError(
            f"every test sample lies within {gap} of a training sample",
            remedy="Give a smaller gap, or observations of other times.",
        )
    return done


def folds(
    samples: xr.Dataset,
    k: int,
    *,
    by: str = "region",
    gap: timedelta | None = None,
    seed: int = 0,
) -> tuple[xr.Dataset, ...]:
    """Return the Samples `k` times, each with a column `split` and its own test regions.

    The regions are dealt into `k` parts, stratified by class. Fold i tests on part i, chooses
    epoch and threshold on part i + 1 (the last one on part 0) and learns from the others, so that
    every region is tested once and validates once.

    Parameters
    ----------
    samples
        Samples with a region and a time in every row.
    k
        Number of folds, 3 at least.
    by, gap, seed
        As for `split`.

    Raises
    ------
    TrainingError
        as for `split`; and when there are fewer than 3 folds or fewer regions than folds, or a
        side of a fold lacks a class, be it because of the gap.
    """
    _check_by(by)
    regions, labels = _regions(samples), samples["label"].values.astype(str)
    names, table = _census(regions, labels)
    if not 3 <= k <= len(names):
        raise TrainingError(
            f"{len(names)} regions with unambiguous samples cannot make {k} folds",
            remedy="Give from 3 folds to as many as there are regions.",
        )
    part = _assign(table, np.full(k, 1 / k), _largest_first(table, seed))
    return tuple(_fold(samples, regions, labels, _dealt(names, part, i, k), gap) for i in range(k))


def naive_split(
    samples: xr.Dataset,
    *,
    by: str = "spectrum",
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    seed: int = 0,
) -> xr.Dataset:
    """Return the Samples with a column `split` that **leaks**, to show how much that flatters.

    Parameters
    ----------
    samples
        Samples with an observation in every row.
    by
        "spectrum": rows go to sides at random. Neighbours along the slit and in time, of one
        exposure even, are learnt from and tested on.
        "observation": whole observations go to sides at random, as in Panos, Kleint & Zbinden
        2023, doi:10.1051/0004-6361/202244835. The observations of one active region, and what
        is particular to it, are learnt from and tested on.
    fractions
        Share of the labelled samples of each class that each side should get.
    seed
        Another seed gives another split.

    Returns
    -------
    xr.Dataset
        The attribute `leaks` of the column says what leaks. `check_split`, and so training,
        refuses these Samples unless it was asked for with `naive=True`.

    Raises
    ------
    TrainingError
        if `by` is neither, the fractions are not shares of one, or a side lacks a class.
    """
    if by not in LEAKS:
        raise TrainingError(
            f"a naive split by {by!r} was asked for", remedy=f"Give one of {', '.join(LEAKS)}."
        )
    _check_fractions(fractions)
    labels = samples["label"].values.astype(str)
    rng = np.random.default_rng(seed)
    if by == "spectrum":
        column = _shuffled(samples["sample_id"].values.astype(str), labels, fractions, rng)
    else:
        units = samples["observation"].values.astype(str)
        names, table = _census(units, labels)
        places = _assign(table, np.array(fractions), rng.permutation(len(names)).tolist())
        side_of = dict(zip(names, [SIDES[place] for place in places], strict=True))
        column = _column(units, labels, side_of)
    _check_classes(column, labels, [s for s, f in zip(SIDES, fractions, strict=True) if f])
    return _with_column(samples, column, by=by, leaks=LEAKS[by])


def check_split(samples: xr.Dataset, *, naive: bool = False) -> xr.Dataset:
    """Return the Samples unchanged if no region stands on two sides.

    Parameters
    ----------
    samples
        Samples with a column `split`.
    naive
        Accept a split of `naive_split`, for contrast. A split by hand that shares regions is
        refused all the same.

    Raises
    ------
    TrainingError
        naming the regions that do, if there is no column `split`, or if it leaks by design.
    """
    if "split" not in samples.variables:
        raise TrainingError("samples have no column 'split'", remedy="Call split() first.")
    leaks = samples["split"].attrs.get("leaks")
    if leaks and naive:
        return samples
    if leaks:
        raise TrainingError(
            f"the split is a naive one, which leaks: {leaks}",
            remedy="Split by region with solarxai.splits.split, or ask for naive=True to show "
            "what the leak is worth.",
        )
    seen: dict[str, set[str]] = {}
    for region, side in zip(_regions(samples).tolist(), samples["split"].values, strict=True):
        if side != EXCLUDED:
            seen.setdefault(region, set()).add(str(side))
    shared = sorted(region for region, where in seen.items() if len(where) > 1)
    if shared:
        raise TrainingError(
            f"regions stand on two sides of the split: {', '.join(shared)}",
            remedy="Split by region with solarxai.splits.split.",
        )
    return samples


def _check_by(by: str) -> None:
    if by != "region":
        raise TrainingError(
            f"a split by {by!r} was asked for, which lets one active region stand on two sides",
            remedy="Split by 'region'.",
        )


def _check_fractions(fractions: Sequence[float]) -> None:
    if len(fractions) != 3 or min(fractions) < 0 or not np.isclose(sum(fractions), 1):
        raise TrainingError(
            f"fractions {tuple(fractions)} are not three shares of one",
            remedy="Give (train, validation, test), such as (0.6, 0.2, 0.2).",
        )


def _regions(samples: xr.Dataset) -> npt.NDArray[np.str_]:
    """Return each row's region, without differences of case and spacing."""
    raw = samples["region"].values.tolist()
    regions = np.array([" ".join(str(word).casefold().split()) for word in raw], dtype=np.str_)
    empty = [str(name) for name in samples["sample_id"].values[regions == ""][:3]]
    if empty:
        raise TrainingError(
            f"samples without a region: {', '.join(empty)}",
            remedy="Give `region` in the catalog: splits must not share an active region.",
        )
    return regions


def _census(units: Words, labels: Words) -> tuple[list[str], Counts]:
    """Return the units that have unambiguous samples, by name, and their counts (unit, class)."""
    used = labels != "ambiguous"
    names, unit = np.unique(units[used], return_inverse=True)
    classes, kind = np.unique(labels[used], return_inverse=True)
    table = np.zeros((len(names), len(classes)))
    np.add.at(table, (unit, kind), 1)
    return names.tolist(), table


def _column(units: Words, labels: Words, side_of: dict[str, str]) -> npt.NDArray[np.object_]:
    """Return the side of each row from that of its unit; ambiguous rows are excluded."""
    names, unit = np.unique(units, return_inverse=True)
    sides = np.array([side_of.get(name, EXCLUDED) for name in names.tolist()], dtype=object)
    return np.where(labels == "ambiguous", EXCLUDED, sides[unit])


def _with_column(
    samples: xr.Dataset,
    column: npt.NDArray[np.object_],
    *,
    by: str = "region",
    gap: timedelta | None = None,
    leaks: str | None = None,
) -> xr.Dataset:
    """Return the Samples with that column, less what the gap excludes, and how it was made."""
    notes: dict[str, Any] = {"by": by}
    if leaks:
        notes["leaks"] = leaks
    if gap is not None:
        near = _near(samples["time"].values, column, gap)
        column = np.where(near, EXCLUDED, column)
        notes |= {"gap_s": gap.total_seconds(), "excluded_by_gap": int(near.sum())}
    return samples.assign_coords(split=("sample", column, notes))


def _near(
    time: npt.NDArray[np.datetime64], column: npt.NDArray[np.object_], gap: timedelta
) -> npt.NDArray[np.bool_]:
    """Return which rows are on test and at most `gap` from a training row."""
    if gap < timedelta(0):
        raise TrainingError(f"the gap {gap} is negative", remedy="Give a time such as 1 day.")
    near = np.zeros(len(time), dtype=np.bool_)
    learnt = np.sort(time[column == "train"])
    tested = np.flatnonzero(column == "test")
    if not len(learnt) or not len(tested):
        return near
    reach = np.timedelta64(gap)
    at = time[tested]
    first = np.searchsorted(learnt, at - reach, "left")
    near[tested] = first < np.searchsorted(learnt, at + reach, "right")
    return near


def _dealt(names: Sequence[str], part: Sequence[int], number: int, k: int) -> dict[str, str]:
    """Return the side of each region in fold `number` of `k`."""
    roles = {number: "test", (number + 1) % k: "validation"}
    return {name: roles.get(mine, "train") for name, mine in zip(names, part, strict=True)}


def _fold(
    samples: xr.Dataset,
    regions: Words,
    labels: Words,
    side_of: dict[str, str],
    gap: timedelta | None,
) -> xr.Dataset:
    made = _with_column(samples, _column(regions, labels, side_of), gap=gap)
    _check_classes(made["split"].values, labels, SIDES)
    return made


def _check_classes(column: npt.NDArray[np.object_], labels: Words, sides: Sequence[str]) -> None:
    """Refuse a split one side of which lacks a class."""
    classes = sorted(set(labels.tolist()) - {"ambiguous"})
    for side in sides:
        found = {name: int(((column == side) & (labels == name)).sum()) for name in classes}
        if min(found.values(), default=0) < 1:
            raise TrainingError(
                f"the side {side!r} of a split would have the samples {found}",
                remedy="Give fewer folds, a smaller gap, another seed, or observations of more "
                "active regions of each class.",
            )


def _shuffled(
    names: Words, labels: Words, fractions: Sequence[float], rng: np.random.Generator
) -> npt.NDArray[np.object_]:
    """Return a side a row, dealt at random within each class, whatever the order of the rows."""
    column = np.full(len(labels), EXCLUDED, dtype=object)
    for label in sorted(set(labels.tolist()) - {"ambiguous"}):
        rows = np.flatnonzero(labels == label)
        rows = rng.permutation(rows[np.argsort(names[rows], kind="stable")])
        ends = np.round(np.cumsum(fractions) * len(rows)).astype(int)
        for side, start, end in zip(SIDES, [0, *ends[:-1]], ends, strict=True):
            column[rows[start:end]] = side
    return column


def _largest_first(table: Counts, seed: int) -> list[int]:
    """Return the rows of the table from most samples to fewest, ties settled by the seed."""
    ties = np.random.default_rng(seed).permutation(len(table))
    return sorted(range(len(table)), key=lambda row: (-table[row].sum(), ties[row]))


def _assign(table: Counts, fractions: Counts, order: Sequence[int]) -> list[int]:
    """Return the side of each unit, from its counts (unit, class), given away in that order."""
    totals = table.sum(axis=0)
    targets = np.outer(fractions, totals)
    have = np.zeros_like(targets)
    open_sides = fractions > 0
    sides = [0] * len(table)
    for place, row in enumerate(order):
        allowed = open_sides & _needy(have, table[row], table[order[place:]], open_sides)
        gap = (have + table[row] - targets) ** 2 - (have - targets) ** 2
        cost = np.where(allowed, (gap / totals**2).sum(axis=1), np.inf)
        sides[row] = int(np.argmin(cost))
        have[sides[row]] += table[row]
    return sides


def _needy(
    have: Counts, gift: Counts, left: Counts, open_sides: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return the sides that must get this unit, lest one of them stay empty or lack a class."""
    empty: npt.NDArray[np.bool_] = open_sides & (have.sum(axis=1) == 0)
    if empty.sum() >= len(left):
        return empty
    for kind in np.flatnonzero(gift):
        lacking: npt.NDArray[np.bool_] = open_sides & (have[:, kind] == 0)
        if 0 < np.count_nonzero(left[:, kind]) <= lacking.sum():
            return lacking
    return np.ones(len(have), dtype=np.bool_)
