"""Mean and standard deviation of images, read once each and to the bits of numpy's own sums.

Images of an archive do not fit in memory, and a sum depends on the order of its terms. These add
in the order in which numpy adds an array in memory, so that the input contract of a classifier,
and with it its hash, is the same whether the images were in memory or not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from solarxai.schema import PATCH, Kind
from solarxai.training.shards import Images

__all__ = ["moments"]

Values = npt.NDArray[np.floating]

_BUFFER = 8192
"""Terms that numpy converts to float64 and adds at a time."""

_LEAF = 1 << 18
"""Most terms that are squared at a time."""

_ROWS_A_BLOCK = 65_536


def moments(images: Images, kind: Kind) -> tuple[float, float]:
    """Return mean and standard deviation of the finite values, (sample, *space)."""
    if kind is PATCH:
        size = math.prod(images.shape)
        mean = _sum(_pieces(images)) / size
        return mean, math.sqrt(_pairwise(_squares(images, mean), 0, size) / size)
    parts = range(0, len(images), _ROWS_A_BLOCK)

    def total(change: Callable[[Values], Values]) -> float:
        return sum(_sum(map(change, _pieces(images, s, s + _ROWS_A_BLOCK))) for s in parts)

    n = total(lambda piece: np.isfinite(piece).astype(np.float32))
    mean = total(_filled) / n
    return mean, math.sqrt(total(lambda piece: _filled((piece - mean) ** 2)) / n)


def _filled(values: Values) -> Values:
    return np.where(np.isnan(values), np.zeros((), values.dtype), values)


def _pieces(images: Images, start: int = 0, stop: int | None = None) -> Iterator[Values]:
    """Yield the images in order, about `_LEAF` values at once."""
    rows = max(1, _LEAF // math.prod(images.shape[1:]))
    stop = len(images) if stop is None else min(stop, len(images))
    for first in range(start, stop, rows):
        yield images[first : min(first + rows, stop)]


def _sum(pieces: Iterator[Values]) -> float:
    """Return the sum, `_BUFFER` terms at a time whatever the pieces."""
    total, rest = 0.0, np.zeros(0, np.float64)
    for piece in pieces:
        values = np.concatenate([rest, piece.ravel().astype(np.float64)])
        whole = len(values) // _BUFFER * _BUFFER
        for part in values[:whole].reshape(-1, _BUFFER).sum(axis=1).tolist():
            total += part
        rest = values[whole:]
    return total + float(rest.sum()) if len(rest) else total


def _pairwise(values: Callable[[int, int], Values], start: int, n: int) -> float:
    """Return the sum of n terms, cut into halves of multiples of eight as numpy does."""
    if n <= _LEAF:
        return float(np.add.reduce(values(start, start + n)))
    half = n // 2
    half -= half % 8
    first = _pairwise(values, start, half)
    return first + _pairwise(values, start + half, n - half)


def _squares(images: Images, mean: float) -> Callable[[int, int], Values]:
    """Return what gives the squared distances from the mean of a range of values."""
    size = math.prod(images.shape[1:])

    def read(start: int, stop: int) -> Values:
        first = start // size
        rows = images[first : -(-stop // size)].ravel()
        apart = rows[start - first * size : stop - first * size].astype(np.float64) - mean
        return apart * apart

    return read
