"""Random masks of low resolution, enlarged linearly and shifted, made as they are needed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["RandomMasks"]


class RandomMasks:
    r"""Draws masks of which every pixel has the same mean and the same variance.

    Parameters
    ----------
    space
        Pixels of the image, one number an axis (one or two).
    grid
        Cells along each axis.
    keep
        Probability that a cell is left.
    generator
        Of the image. Its numbers are used in order, so how many masks are drawn at a time plays no
        role.

    Attributes
    ----------
    variance
        Of every pixel, exactly.

    Notes
    -----
    Pixel λ of a mask shifted by s, with cells of c pixels, lies at (λ + s)/c = j + t between nodes
    j and j + 1, which are 1 with probability p and 0 otherwise: M = (1 − t) n_j + t n_{j+1} along
    each axis. As s is uniform on 0 … c − 1, t is uniform on 0, 1/c, … at every pixel, so the mean
    is p and the variance

    .. math:: p (1 - p) \prod_\text{axes} \Big\langle (1 - t)^2 + t^2 \Big\rangle_t .

    There are nodes beyond the image on all sides, so the edges are like the rest.

    References
    ----------
    Petsiuk, Das & Saenko 2018, arXiv:1806.07421, section 3.2: masks of cells enlarged by bilinear
    interpolation, cut at a random shift.
    """

    def __init__(
        self, space: Sequence[int], *, grid: int, keep: float, generator: np.random.Generator
    ) -> None:
        self._generator = generator
        self._keep = keep
        self._cells = [math.ceil(n / grid) for n in space]
        pairs = list(zip(space, self._cells, strict=True))
        self._tables = [_interpolation(n, cell) for n, cell in pairs]
        first = self._tables[0]
        self._whole = torch.cat([first[0], first[1:, -1]])
        self._pixels = torch.arange(space[0])
        phases = [(np.arange(cell) / cell) for cell in self._cells]
        mixing = math.prod(float(np.mean((1 - t) ** 2 + t**2)) for t in phases)
        self.variance = keep * (1 - keep) * mixing

    def draw(self, n: int) -> Tensor:
        """Return (n, *space) float32 on the CPU."""
        nodes = [table.shape[-1] for table in self._tables]
        axes = len(nodes)
        drawn = self._generator.random((n, math.prod(nodes) + axes))
        mask = torch.from_numpy((drawn[:, axes:] < self._keep).astype(np.float32))
        shifts = torch.from_numpy((drawn[:, :axes] * self._cells).astype(np.int64))
        mask = mask.reshape(n, *nodes)
        if axes == 1:
            return (mask @ self._whole.T).gather(1, self._pixels + shifts)
        rows, columns = (table[shifts[:, i]] for i, table in enumerate(self._tables))
        return torch.bmm(torch.bmm(rows, mask), columns.mT)


def _interpolation(pixels: int, cell: int) -> Tensor:
    """Return weights (shift, pixel, node) of linear interpolation."""
    place = (torch.arange(pixels) + torch.arange(cell)[:, None]) / cell
    nodes = torch.arange((pixels + cell - 2) // cell + 2)
    return (1 - (place[..., None] - nodes).abs()).clamp_min(0)
