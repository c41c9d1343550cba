"""From the cells of a feature map to the pixels of the input, by where the cells' centres are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["resample"]


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
    Each image has its own product: one over the batch sums in an order that depends on its size.
    """
    weights = [_interpolation(c, n).to(values) for c, n in zip(centres, shape, strict=True)]
    return torch.cat([_weighted(image, weights) for image in torch.split(values, 1)])


def _weighted(values: Tensor, weights: Sequence[Tensor]) -> Tensor:
    for axis, matrix in enumerate(weights, start=2):
        values = torch.tensordot(values, matrix, dims=([axis], [1])).movedim(-1, axis)
    return values.contiguous()


def _interpolation(centres: Tensor, pixels: int) -> Tensor:
    """Return weights (pixel, cell) of linear interpolation."""
    centres = centres.double()
    if len(centres) == 1:
        return torch.ones(pixels, 1, dtype=torch.float64)
    stride = float(centres[1] - centres[0])
    cell = (torch.arange(pixels, dtype=torch.float64) - centres[0]) / stride
    last = len(centres) - 1
    if float(centres[0]) - stride < 0:
        cell = cell.clamp_min(0)
    if float(centres[-1]) + stride > pixels - 1:
        cell = cell.clamp_max(last)
    distance = (cell[:, None] - torch.arange(last + 1)).abs()
    return (1 - distance).clamp_min(0)
