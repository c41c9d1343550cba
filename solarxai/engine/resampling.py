"""From the cells of a feature map to the pixels of the input, by where the cells' centres are."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["resample"]

_TOGETHER = 32
"""Maps made at once: few enough to stay in a processor's cache."""


def resample(values: Tensor, centres: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    """Return the map on the pixels of the input, linear between the centres of its cells.

    Parameters
    ----------
    values
        (batch, channel, *cells).
    centres
        One increasing, evenly spaced tensor (cells,) an axis: input pixel of each cell's centre.
    shape
        Pixels of the input, one number an axis.

    Returns
    -------
    Tensor
        (batch, channel, *shape): at a cell's centre its own value (amplitudes are kept, sums are
        not). Beyond the outermost centre the value is held to the border; where a further cell
        would still lie inside the image but there is none (a network without padding), it falls to
        zero at the place of that cell.

    Notes
    -----
    A pixel is the weighted sum of two cells an axis, written out element by element, so that a map
    is the same to the last bit whatever stands beside it in the batch.
    """
    mixes = [_mix(tuple(c.tolist()), n, values.dtype) for c, n in zip(centres, shape, strict=True)]
    found = values.new_empty((*values.shape[:2], *shape))
    pairs = zip(torch.split(values, _TOGETHER), torch.split(found, _TOGETHER), strict=True)
    for part, into in pairs:
        for axis in reversed(range(2, values.ndim)):
            part = _mixed(part, axis, mixes[axis - 2])
        into.copy_(part)
    return found


class _Mix(NamedTuple):
    """The two cells that make each pixel of an axis, and the part of each, all (pixel,)."""

    before: Tensor
    after: Tensor
    near: Tensor
    far: Tensor


@functools.lru_cache(maxsize=32)
def _mix(centres: tuple[float, ...], pixels: int, dtype: torch.dtype) -> _Mix:
    cell, last = _cell(centres, pixels), len(centres) - 1
    before = cell.floor().clamp(0, last)
    near = (1 - (cell - before).abs()).clamp_min(0)
    far = (cell - before).clamp_min(0) * (before < last)
    after = (before + 1).clamp_max(last)
    return _Mix(before.long(), after.long(), near.to(dtype), far.to(dtype))


def _mixed(values: Tensor, axis: int, mix: _Mix) -> Tensor:
    shape = [len(mix.near) if n == axis else 1 for n in range(values.ndim)]
    before, after, near, far = (part.to(values.device) for part in mix)
    found = values.index_select(axis, before).mul_(near.reshape(shape))
    return found.addcmul_(values.index_select(axis, after), far.reshape(shape))


def _cell(centres: Sequence[float], pixels: int) -> Tensor:
    """Return the place of each pixel in units of cells, (pixel,) float64.

    It is held to the outermost cell where no further cell would lie inside the image.
    """
    places = torch.arange(pixels, dtype=torch.float64)
    if len(centres) == 1:
        return torch.zeros_like(places)
    first, stride, last = centres[0], centres[1] - centres[0], len(centres) - 1
    cell = (places - first) / stride
    if first - stride < 0:
        cell = cell.clamp_min(0)
    if first + stride * (last + 1) > pixels - 1:
        cell = cell.clamp_max(last)
    return cell
