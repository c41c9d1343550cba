"""Shapley values from random orders, each taken forth and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from solarxai.engine.coalitions import Coalitions
from solarxai.engine.moments import Moments
from solarxai.engine.permutations import draw_walks, gains, present_along
from solarxai.explainers._players import Estimate, SampledGame, Worths, few_samples

__all__ = ["ShapleySampling"]


@dataclass(frozen=True, kw_only=True)
class ShapleySampling(SampledGame):
    r"""The mean change of the score when a player joins the others, over random orders.

    Notes
    -----
    A random order of n players costs n − 1 scores beside v(∅) and v(all), which all orders share.
    Each order is followed by the same order reversed, and the standard error is that of the mean
    over such pairs. The changes along an order sum to v(all) − v(∅), so the map's sum is exact
    whatever the number of samples.

    References
    ----------
    Castro, Gómez & Tejada 2009, doi:10.1016/j.cor.2008.04.004.
    Štrumbelj & Kononenko 2014, doi:10.1007/s10115-013-0679-x.
    Mitchell et al. 2022, Sampling Permutations for Shapley Value Estimation, JMLR 23, 43.
    """

    def estimate(self, game: Coalitions, generator: np.random.Generator) -> Estimate:
        """Return the mean over no orders yet."""
        return _Walks(game, generator)


class _Walks:
    """The mean gains over pairs of orders."""

    def __init__(self, game: Coalitions, generator: np.random.Generator) -> None:
        self._game = game
        self._generator = generator
        self._moments = Moments()
        self._number = game.players.number

    def add(self, budget: int) -> None:
        """Walk as many pairs of orders as the budget allows."""
        cost = max(1, 2 * (self._number - 1))
        if not self._moments.count:
            if budget < 2 + 2 * cost:
                raise few_samples(budget, self._number, 2 + 2 * cost)
            self._empty, self._full = self._game.ends()
            budget -= 2
        if budget >= cost:
            self._walk(budget // cost)

    def worths(self) -> Worths:
        """Return the mean gains, with the standard error over pairs."""
        values, stderr = self._moments.mean.numpy(), self._moments.stderr().numpy()
        return Worths(values, stderr, self._full - self._empty)

    def _walk(self, pairs: int) -> None:
        ranks = draw_walks(self._generator, players=self._number, pairs=pairs)
        steps = len(ranks) * (self._number - 1)
        inner = self._game.values(steps, lambda rows: present_along(ranks, rows))
        found = gains(ranks, inner, empty=self._empty, full=self._full)
        self._moments.add(torch.from_numpy(found.reshape(pairs, 2, -1).mean(axis=1)))
