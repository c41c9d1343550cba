"""Training, validation and test sides that never share an active region.

Two patches of one region show the same spots hours apart; a random split would test a network on
what it has seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.errors import TrainingError

__all__ = ["EXCLUDED", "SIDES", "check_split", "split"]

SIDES = ("train", "validation", "test")
EXCLUDED = "excluded"
"""The side of ambiguous samples: they are counted and shown, never learnt from or scored."""

Counts = npt.NDArray[np.float64]


def split(
    samples: xr.Dataset,
    *,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    by: str = "region",
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
        "region", and nothing else: see the module's first lines.

    Raises
    ------
    TrainingError
        if samples would be split by anything but region, a sample has no region, the fractions
        are not shares of one, or there are fewer regions than sides.

    Notes
    -----
    Regions are given away largest first, each to the side where it brings the class counts
    nearest to their targets; a class with few regions left goes to a side that lacks it.
    """
    if by != "region":
        raise TrainingError(
            f"a split by {by!r} was asked for, which lets one active region stand on two sides",
            remedy="Split by 'region'.",
        )
    _check_fractions(fractions)
    regions = _regions(samples)
    labels = samples["label"].values.astype(str)
    used = labels != "ambiguous"
    classes = sorted(set(labels[used].tolist()))
    names = sorted(set(regions[used].tolist()))
    wanted = int(np.count_nonzero(fractions))
    if len(names) < wanted:
        raise TrainingError(
            f"{len(names)} regions with unambiguous samples cannot fill {wanted} sides",
            remedy="Add observations of other active regions, or set a fraction to zero.",
        )
    table = np.array(
        [[np.sum(used & (regions == n) & (labels == c)) for c in classes] for n in names],
        dtype=np.float64,
    )
    sides = dict(zip(names, _assign(table, np.array(fractions), seed), strict=True))
    column = [
        SIDES[sides[region]] if keep else EXCLUDED
        for region, keep in zip(regions.tolist(), used.tolist(), strict=True)
    ]
    return samples.assign_coords(split=("sample", np.array(column, dtype=object)))


def check_split(samples: xr.Dataset) -> xr.Dataset:
    """Return the Samples unchanged if no region stands on two sides.

    Raises
    ------
    TrainingError
        naming the regions that do, or if there is no column `split`.
    """
    if "split" not in samples.variables:
        raise TrainingError("samples have no column 'split'", remedy="Call split() first.")
    seen: dict[str, set[str]] = {}
    for region, side in zip(_regions(samples).tolist(), samples["split"].values, strict=True):
        if side != EXCLUDED:
            seen.setdefault(region, set()).add(str(side))
    shared = sorted(region for region, where in seen.items() if len(where) > 1)
    if shared:
        raise TrainingError(
            f"regions stand on two sides of the split: {', '.join(shared)}",
            remedy="Split by region with solarxai.patches.split.",
        )
    return samples


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


def _assign(table: Counts, fractions: Counts, seed: int) -> list[int]:
    """Return the side of each region, from its counts (region, class)."""
    totals = table.sum(axis=0)
    targets = np.outer(fractions, totals)
    have = np.zeros_like(targets)
    open_sides = fractions > 0
    ties = np.random.default_rng(seed).permutation(len(table))
    order = sorted(range(len(table)), key=lambda row: (-table[row].sum(), ties[row]))
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
    """Return the sides that must get this region, lest one of them stay empty or lack a class."""
    empty: npt.NDArray[np.bool_] = open_sides & (have.sum(axis=1) == 0)
    if empty.sum() >= len(left):
        return empty
    for kind in np.flatnonzero(gift):
        lacking: npt.NDArray[np.bool_] = open_sides & (have[:, kind] == 0)
        if 0 < np.count_nonzero(left[:, kind]) <= lacking.sum():
            return lacking
    return np.ones(len(have), dtype=np.bool_)
