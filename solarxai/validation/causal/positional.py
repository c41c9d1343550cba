"""Does the attribution move with the structure? What stays at its place in the patch does not.

The structure at the centre is moved within its patch: its place becomes granulation, and it is set
in again some pixels away, while all else, the marks of a detector too, stays where it is. The map
of the moved patch is compared with the first map moved along, and with the first map as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import ndimage

from solarxai.errors import ValidationError
from solarxai.metrics import Interval
from solarxai.schema import QUIET
from solarxai.validation.causal.interventions import NotApplicable, Patch, cut_patches
from solarxai.validation.report import Check, Limits, Resampling, judge

__all__ = ["Following", "Moves", "follow", "move_structures", "positional_checks"]

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Column = npt.NDArray[Any]
Explain = Callable[[Image], npt.NDArray[Any]]
"""Images (n, y, x) in, signed attributions (n, y, x) out."""

_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1))
_SMOOTH_PX = 1.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Moves:
    """Patches whose structure was moved.

    Parameters
    ----------
    images
        (move, y, x) with the structure elsewhere.
    rows
        (move,) the sample of each.
    steps
        (move, 2) by how many pixels (y, x) it was moved.
    left_out
        Rows (intervention, label, reason, count) for structures that could not be moved at all.
    """

    images: Image
    rows: npt.NDArray[np.intp]
    steps: npt.NDArray[np.intp]
    left_out: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Following:
    """How maps follow the structure, (sample,), NaN where it was not moved.

    Parameters
    ----------
    along
        Correlation of the map with the first map moved along with the structure.
    staying
        Correlation of the map with the first map where it was.
    stays
        Share of the map that stays: b/(a + b) of the fit a · moved along + b · as it was, a and b
        at least 0.
    """

    along: Column
    staying: Column
    stays: Column


def move_structures(
    samples: xr.Dataset,
    *,
    scale_mm: float,
    shift_px: int = 8,
    moves: int = 4,
    seed: int = 0,
    limits: Limits | None = None,
) -> Moves:
    """Return the patches with the structure at the centre moved within them.

    Parameters
    ----------
    samples
        Patches of sunspots and pores.
    scale_mm
        Mm per pixel.
    shift_px
        How far along each axis, pixels.
    moves
        How many of the eight directions at most; those in which the structure and the quiet Sun
        that its stray light darkens would leave the patch or cover another structure are no moves.
    seed, limits
        Of the granulation; what a patch needs for its texture to be measured.

    Raises
    ------
    ValidationError
        when `shift_px` is not between 1 and half the patch, or `moves` not between 1 and 8.
    """
    if not 1 <= shift_px < min(samples["image"].shape[1:]) / 2 or not 1 <= moves <= 8:
        raise ValidationError(
            f"shift_px {shift_px} or moves {moves} is out of range",
            remedy="Shift by 1 pixel or more, less than half the patch, in 1 to 8 directions.",
        )
    images: list[Image] = []
    address: list[tuple[int, int, int]] = []
    missing: dict[tuple[str, str], int] = {}
    for row, patch in enumerate(cut_patches(samples, scale_mm=scale_mm, seed=seed, limits=limits)):
        try:
            made = _moved(patch, shift_px, moves)
        except NotApplicable as why:
            key = (str(samples["label"].values[row]), str(why))
            missing[key] = missing.get(key, 0) + 1
            continue
        images += [image for image, _ in made]
        address += [(row, *step) for _, step in made]
    found = np.array(address, dtype=np.intp).reshape(-1, 3)
    shape = (-1, *samples["image"].shape[1:])
    return Moves(
        images=np.array(images, dtype=np.float32).reshape(shape),
        rows=found[:, 0],
        steps=found[:, 1:],
        left_out=tuple(
            {"intervention": "structure moved", "label": label, "reason": why, "count": count}
            for (label, why), count in sorted(missing.items())
        ),
    )


def follow(samples: xr.Dataset, moves: Moves, explain: Explain) -> Following:
    """Return how the maps of `explain` follow the structures, the mean over the moves of each.

    Parameters
    ----------
    samples
        What was moved.
    moves
        What `move_structures` made of them.
    explain
        Gives signed maps of images; called for the samples that were moved and for the moves.

    Notes
    -----
    |maps| are smoothed by a Gaussian of 1.5 pixels, so that a map that follows the edges need not
    follow them to the pixel; what a map moved along leaves behind is empty.
    """
    n = samples.sizes["sample"]
    rows = np.unique(moves.rows)
    scores = np.full((3, n), np.nan)
    if len(rows):
        first = dict(zip(rows, _smooth(explain(samples["image"].values[rows])), strict=True))
        after = _smooth(explain(moves.images))
        each = np.array(
            [
                _compare(one, first[row], (int(dy), int(dx)))
                for one, row, (dy, dx) in zip(after, moves.rows, moves.steps, strict=True)
            ]
        )
        for row in rows:
            scores[:, row] = each[moves.rows == row].mean(axis=0)
    return Following(along=scores[0], staying=scores[1], stays=scores[2])


def positional_checks(
    found: Following,
    samples: xr.Dataset,
    *,
    method: str,
    limits: Limits,
    resampling: Resampling,
) -> tuple[Check, ...]:
    """Return whether a method's maps follow the structures, each origin of data by itself.

    Parameters
    ----------
    found
        What `follow` found.
    samples
        What was moved.
    method
        Name of the method that made the maps, or "" for the maps by which the model is judged.
    limits, resampling
        Of the validation; `positional_ahead` is the least median of `along` − `staying`.

    Notes
    -----
    Maps that follow prove nothing (those of random weights follow too); maps that stay are of a
    mark of the detector. The share that stays informs: the quiet Sun around stays as well, and
    what a map says of it rightly stays.
    """
    made: list[Check] = []
    for origin in sorted(set(samples["origin"].values.tolist())):
        rows = np.flatnonzero((samples["origin"].values == origin) & ~np.isnan(found.along))
        regions = samples["region"].values[rows]
        ahead, stays = _bootstrap(found, rows, regions, resampling)
        words: dict[str, Any] = {
            "group": f"{origin} · all", "structures": len(rows), "limits": limits, "method": method,
        }  # fmt: skip
        made += [
            judge(
                ahead, name="structure moved: map follows it less map stays",
                limit=limits.positional_ahead, sense="at least", by="interval",
                reason="medians of correlations of |map|", **words,
            ),
            judge(stays, name="structure moved: share of the map that stays", **words),
        ]  # fmt: skip
    return tuple(made)


def _bootstrap(
    found: Following, rows: Column, regions: Column, resampling: Resampling
) -> tuple[Interval, Interval]:
    ahead, stays = (
        resampling.interval(_median, values, groups=regions)
        for values in ((found.along - found.staying)[rows], found.stays[rows])
    )
    return ahead, stays


def _moved(patch: Patch, shift: int, moves: int) -> list[tuple[Image, tuple[int, int]]]:
    """Return the patch with its structure at other places, and the steps to them."""
    if not patch.central.any():
        raise NotApplicable("no structure at the centre")
    outline = patch.with_wings(ndimage.binary_dilation(patch.central, iterations=2))
    others = (patch.segmentation != QUIET) & ~patch.central
    outline = outline & ~others
    steps = [(shift * dy, shift * dx) for dy, dx in _DIRECTIONS]
    free = [step for step in steps if _fits(outline, others, step)][:moves]
    if not free:
        raise NotApplicable("no room to move the structure")
    empty = patch.fill(patch.image, outline, "moved")
    soft = ndimage.gaussian_filter(outline.astype(np.float32), 1.0)
    weight = np.where(patch.central, 1, np.minimum(1, 2 * soft) * outline).astype(np.float32)
    return [(_set_in(empty, patch.image, weight, step), step) for step in free]


def _fits(outline: Mask, others: Mask, step: tuple[int, int]) -> bool:
    there = _shift(outline, step)
    return bool(there.sum() == outline.sum() and not (there & others).any())


def _set_in(empty: Image, image: Image, weight: Image, step: tuple[int, int]) -> Image:
    share = _shift(weight, step)
    return np.asarray(share * _shift(image, step) + (1 - share) * empty, dtype=np.float32)


def _shift(plane: npt.NDArray[Any], step: tuple[int, int]) -> npt.NDArray[Any]:
    """Return a plane (y, x) moved by whole pixels, 0 where nothing came."""
    made = np.zeros_like(plane)
    (to_y, from_y), (to_x, from_x) = (_slices(d, n) for d, n in zip(step, plane.shape, strict=True))
    made[to_y, to_x] = plane[from_y, from_x]
    return made


def _slices(step: int, length: int) -> tuple[slice, slice]:
    return slice(max(step, 0), length + min(step, 0)), slice(max(-step, 0), length - max(step, 0))


def _smooth(maps: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    size = np.abs(np.asarray(maps, dtype=np.float64))
    return np.asarray(ndimage.gaussian_filter(size, (0, _SMOOTH_PX, _SMOOTH_PX)))


def _compare(
    after: npt.NDArray[np.float64], before: npt.NDArray[np.float64], step: tuple[int, int]
) -> tuple[float, float, float]:
    """Return correlation with the map moved along, with the map as it was, and what stays."""
    along = _shift(before, step)
    a, b = _two_shares(along.ravel(), before.ravel(), after.ravel())
    return _correlation(after, along), _correlation(after, before), b / (a + b) if a + b else np.nan


def _two_shares(first: Column, second: Column, target: Column) -> tuple[float, float]:
    """Return the least-squares weights, neither negative, of two columns that make up a third."""
    design = np.stack([first, second], axis=1)
    a, b = np.linalg.lstsq(design, target, rcond=None)[0]
    if a < 0 or b < 0:
        alone = [max(0.0, float(c @ target) / max(float(c @ c), 1e-300)) for c in (first, second)]
        return (0.0, alone[1]) if a < 0 else (alone[0], 0.0)
    return float(a), float(b)


def _correlation(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Return Pearson's correlation, 0 where one of them is even."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / size if size > 0 else 0.0


def _median(values: Column) -> float:
    return float(np.median(values[~np.isnan(values)])) if (~np.isnan(values)).any() else np.nan
