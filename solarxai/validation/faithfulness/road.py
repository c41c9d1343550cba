"""Noisy linear imputation: what stands in a hole that should not show that it is one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["NOISE", "impute"]

Array = npt.NDArray[Any]

NOISE = 0.01
"""Standard deviation of the noise on imputed points, as published, in units of the image."""

_TOLERANCE = 1e-3
_ROUNDS = 300
_TOGETHER = 32


def impute(image: Array, hidden: Array, *, noise: Array | None = None) -> npt.NDArray[np.float32]:
    """Return the image with each set of hidden points imputed, (set, *space).

    Parameters
    ----------
    image
        (y, x), or (wavelength,); NaN where there is nothing to look at or to impute.
    hidden
        (set, *space) bool: the points to impute.
    noise
        (*space) added to what was imputed; None for none.

    Notes
    -----
    Each hidden point is the weighted mean of its neighbours, 1/6 of each that shares a side and
    1/12 of each that shares a corner, over those that exist, hidden or not: one linear system a
    set. In two dimensions it is solved by conjugate gradients from a pyramid of means, until the
    residual is a thousandth of the image's standard deviation. In one dimension the solution is the
    straight line between the nearest points left, constant beyond the last, and is taken as such.
    Where nothing is left there is the image's mean.

    References
    ----------
    Rong et al. 2022, A Consistent and Efficient Evaluation Strategy for Attribution Methods,
    arXiv:2202.00449, §5.
    """
    there = np.isfinite(image)
    holes = np.asarray(hidden & there)
    plain = np.where(there, image, image[there].mean() if there.any() else 0).astype(np.float32)
    solve = _lines if image.ndim == 1 else _planes
    made = np.where(holes, solve(plain, there, holes), plain)
    if noise is not None:
        made = made + np.where(holes, noise, 0)
    return np.where(there, made, np.nan).astype(np.float32)


def _lines(image: Array, there: Array, holes: Array) -> Array:
    """Return straight lines over the holes of a spectrum, (set, wavelength)."""
    places = np.arange(image.size)
    made = np.empty(holes.shape, dtype=np.float64)
    for row, hole in enumerate(holes):
        left = there & ~hole
        made[row] = np.interp(places, places[left], image[left]) if left.any() else image.mean()
    return made


def _planes(image: Array, there: Array, holes: Array) -> Array:
    """Return the solution of the linear system of each set, those of one size together."""
    made = np.empty(holes.shape, dtype=np.float32)
    sizes = np.argsort(holes.sum(axis=(1, 2)), kind="stable")
    for rows in np.array_split(sizes, max(-(-len(sizes) // _TOGETHER), 1)):
        made[rows] = _solved(*(torch.from_numpy(a).float() for a in (image, there, holes[rows])))
    return made


def _solved(plane: Tensor, exists: Tensor, open_: Tensor) -> Array:
    """Return the solution of the linear system of each set, (set, y, x)."""
    known = exists - open_
    middle = plane[exists > 0].mean() if bool(exists.any()) else plane.mean()
    excess = (plane - middle) * known
    weight = _neighbours(exists[None])
    found = _pyramid(excess, known) * open_
    residual = (_neighbours(excess + found) - weight * found) * open_
    enough = _TOLERANCE * float(plane[exists > 0].std()) if int(exists.sum()) > 1 else 0.0
    return np.asarray((_descend(found, residual, weight, open_, enough) + middle).numpy())


def _descend(x: Tensor, residual: Tensor, weight: Tensor, open_: Tensor, enough: float) -> Tensor:
    """Return the solution of Σ_j w_ij (x_i − x_j) = known part, by conjugate gradients.

    A set that is solved stays as it is, so that none depends on those beside it.
    """
    direction, power = residual, _dot(residual, residual)
    for _ in range(_ROUNDS):
        unsolved = residual.abs().amax(dim=(1, 2), keepdim=True) > enough
        if not bool(unsolved.any()):
            break
        turned = (weight * direction - _neighbours(direction)) * open_
        step = unsolved * power / _dot(direction, turned).clamp_min(1e-30)
        x = x + step * direction
        residual = residual - step * turned
        before, power = power, _dot(residual, residual)
        direction = residual + power / before.clamp_min(1e-30) * direction
    return x


def _neighbours(planes: Tensor) -> Tensor:
    """Return the weighted sum of the eight neighbours of each pixel, (set, y, x)."""
    wide = functional.pad(planes, (1, 1, 1, 1))
    rows = wide[..., :-2] + 2 * wide[..., 1:-1] + wide[..., 2:]
    squares = rows[..., :-2, :] + 2 * rows[..., 1:-1, :] + rows[..., 2:, :]
    return squares / 12 - planes / 3


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=(1, 2), keepdim=True)


def _pyramid(excess: Tensor, known: Tensor) -> Tensor:
    """Return what is known where it is, elsewhere the mean of the least block that knows any."""
    size = known.shape[1:]
    if max(size) == 1:
        return excess
    shares = functional.avg_pool2d(known[:, None], 2, ceil_mode=True, count_include_pad=False)
    sums = functional.avg_pool2d(excess[:, None], 2, ceil_mode=True, count_include_pad=False)
    means = torch.where(shares > 0, sums / shares.clamp_min(1e-6), 0.0)[:, 0]
    coarse = _pyramid(means, (shares > 0).float()[:, 0])[:, None]
    smooth = functional.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.where(known > 0, excess, smooth[:, 0, : size[0], : size[1]])
