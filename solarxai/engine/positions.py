"""Where on a path to stand, and what a gradient there counts: densities of positions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["BINS", "Places", "Positions", "bridge", "learned", "uniform"]

Floats = npt.NDArray[np.float64]

BINS = 16
"""Bins of a density that is learnt."""

_CELLS = 1024
_EVEN = 0.2


class Places(NamedTuple):
    """Positions on paths, 0 at the baseline and 1 at the image, and the weight of each."""

    alphas: Floats
    weights: Floats


class Positions:
    """A density of positions on the path, constant in each of many cells.

    Parameters
    ----------
    density
        (cell,) above 0, up to a factor.
    """

    def __init__(self, density: Floats) -> None:
        self.density: Floats = density / density.mean()
        self._edges = np.linspace(0.0, 1.0, len(density) + 1)
        self._below = np.concatenate([[0.0], np.cumsum(self.density)]) / len(density)
        self._below[-1] = 1.0

    def places(self, quantiles: Floats) -> Places:
        """Return the positions below which those parts of the density lie, and 1/density there."""
        cells = np.searchsorted(self._below, quantiles, side="right") - 1
        cells = np.clip(cells, 0, len(self.density) - 1)
        alphas = np.interp(quantiles, self._below, self._edges)
        return Places(alphas, 1.0 / self.density[cells])

    def cost(self, squares: Floats) -> float:
        """Return the mean square of a weighted contribution.

        Parameters
        ----------
        squares
            (bin,) mean square of a contribution in even bins of the path.
        """
        return float((_in_cells(squares) / self.density).mean())


def uniform() -> Positions:
    """Return the same density everywhere."""
    return Positions(np.ones(_CELLS))


def bridge() -> Positions:
    r"""Return a density mostly ∝ √(α(1−α)), for what vanishes at both ends of the path.

    Notes
    -----
    That is the spread of a random walk tied down at both ends, as the gradient of a ReLU network
    is once its values at the ends are taken off. A fifth is even, which bounds the weights.
    """
    middle = (np.arange(_CELLS) + 0.5) / _CELLS
    return _mixed(np.sqrt(middle * (1.0 - middle)))


def learned(squares: Floats) -> Positions:
    """Return a density mostly ∝ the root of mean squares (bin,), a fifth of it even."""
    return _mixed(np.sqrt(_in_cells(squares)))


def _in_cells(squares: Floats) -> Floats:
    middle = (np.arange(_CELLS) + 0.5) / _CELLS
    return np.interp(middle, (np.arange(len(squares)) + 0.5) / len(squares), squares)


def _mixed(shape: Floats) -> Positions:
    mean = shape.mean()
    return Positions(_EVEN + (1.0 - _EVEN) * shape / mean if mean > 0 else np.ones_like(shape))
