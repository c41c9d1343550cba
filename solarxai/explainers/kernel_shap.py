"""Shapley values as a weighted regression on coalitions and their complements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, islice
from math import comb

import numpy as np
import numpy.typing as npt

from solarxai.engine.coalitions import Coalitions
from solarxai.engine.least_squares import fit_weighted
from solarxai.explainers._players import Estimate, SampledGame, Worths, few_samples

__all__ = ["KernelShap"]

Floats = npt.NDArray[np.float64]
Present = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class KernelShap(SampledGame):
    r"""The mean change of the score when a player joins the others, by regression.

    Notes
    -----
    Shapley values are the φ that minimise

    .. math:: \sum_S \frac{n - 1}{\binom{n}{|S|} |S| (n - |S|)}
              \Big(v(S) - v(\emptyset) - \sum_{i \in S} \phi_i\Big)^2

    under Σφ = v(all) − v(∅), here kept exactly. Every coalition is taken with its complement; then
    only v(S) − v(complement) matters, so a pair is one row. Sizes from 1 upwards are taken whole
    while the samples allow it, size 1 always; the rest are drawn by their weight. The standard
    error is the jackknife's over the pairs drawn, and zero where all coalitions were taken.

    References
    ----------
    Lundberg & Lee 2017, arXiv:1705.07874, theorem 2.
    Covert & Lee 2021, Improving KernelSHAP, arXiv:2012.01536 (pairs).
    """

    def estimate(self, game: Coalitions, generator: np.random.Generator) -> Estimate:
        """Return the regression without a row yet."""
        return _Pairs(game, generator)


class _Pairs:
    """Rows of the regression: first the sizes taken whole, then pairs drawn by weight."""

    def __init__(self, game: Coalitions, generator: np.random.Generator) -> None:
        self._game = game
        self._generator = generator
        self._number = game.players.number
        self._left = _pair_sizes(self._number)
        self._whole = _Rows.none(self._number)
        self._drawn = _Rows.none(self._number)
        self._started = False

    def add(self, budget: int) -> None:
        """Take the whole sizes with the first budget, and draw pairs with the rest of it."""
        if not self._started:
            budget = self._start(budget)
        if self._left and budget >= 2:
            self._drawn = self._drawn.and_those(self._asked(self._draw(budget // 2)))

    def worths(self) -> Worths:
        """Return the values, whose sum is exact, with their standard error."""
        rest = sum(_mass(self._number, size) for size in self._left)
        drawn = len(self._drawn.present)
        rows = self._whole.and_those(self._drawn)
        weights = np.concatenate([self._weights(), np.full(drawn, rest / max(drawn, 1))])
        signs = np.where(rows.present, 0.5, -0.5)
        total = self._full - self._empty
        answers = rows.differences / 2 - signs[:, -1] * total
        fit = fit_weighted(signs[:, :-1] - signs[:, -1:], answers, weights)
        values = np.append(fit.coefficients, total - fit.coefficients.sum())
        return Worths(values, _jackknife(fit.influence[len(weights) - drawn :]), total)

    def _start(self, budget: int) -> int:
        """Ask for the ends and the sizes taken whole; return what is left of the budget."""
        left = (budget - 2) // 2
        needed = min(self._number + 2, 2 ** (self._number - 1) - 1)
        if left < needed:
            raise few_samples(budget, self._number, 2 + 2 * needed)
        self._empty, self._full = self._game.ends()
        while self._left and _taken_whole(self._number, self._left, left):
            size = self._left.pop(0)
            left -= _pair_count(self._number, size)
            self._whole = self._whole.and_those(self._asked(_all_of(self._number, size)))
        self._started = True
        return 2 * left

    def _weights(self) -> Floats:
        sizes = self._whole.present.sum(axis=1)
        return np.array([_mass(self._number, s) / _pair_count(self._number, s) for s in sizes])

    def _draw(self, pairs: int) -> Present:
        masses = np.array([_mass(self._number, size) for size in self._left])
        sizes = self._generator.choice(self._left, size=pairs, p=masses / masses.sum())
        ranks = self._generator.random((pairs, self._number)).argsort(axis=1).argsort(axis=1)
        present: Present = ranks < sizes[:, None]
        return present

    def _asked(self, present: Present) -> _Rows:
        def member(rows: npt.NDArray[np.intp]) -> Present:
            chosen: Present = present[rows // 2] ^ (rows % 2 == 1)[:, None]
            return chosen

        worth = self._game.values(2 * len(present), member).reshape(-1, 2)
        return _Rows(present=present, differences=worth[:, 0] - worth[:, 1])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """Coalitions (pair, player) and by how much each is worth more than its complement."""

    present: Present
    differences: Floats

    @classmethod
    def none(cls, players: int) -> _Rows:
        return cls(present=np.zeros((0, players), dtype=bool), differences=np.zeros(0))

    def and_those(self, more: _Rows) -> _Rows:
        return _Rows(
            present=np.concatenate([self.present, more.present]),
            differences=np.concatenate([self.differences, more.differences]),
        )


def _pair_sizes(players: int) -> list[int]:
    """Return the sizes of the smaller halves of pairs."""
    return list(range(1, players // 2 + 1))


def _pair_count(players: int, size: int) -> int:
    halves = comb(players, size)
    return halves // 2 if 2 * size == players else halves


def _mass(players: int, size: int) -> float:
    """Return the weight of all pairs of a size together, up to a constant."""
    both = 1 / (size * (players - size))
    return both / 2 if 2 * size == players else both


def _taken_whole(players: int, sizes: list[int], left: int) -> bool:
    """Return whether the first of the sizes left is taken whole by so many pairs."""
    count = _pair_count(players, sizes[0])
    if len(sizes) == 1:
        return left >= count
    share = _mass(players, sizes[0]) / sum(_mass(players, size) for size in sizes)
    return left - count >= 2 and (sizes[0] == 1 or left * share >= count)


def _all_of(players: int, size: int) -> Present:
    """Return all coalitions of a size, one of each pair of complements."""
    members: Iterator[tuple[int, ...]] = combinations(range(players), size)
    chosen = np.array(list(islice(members, _pair_count(players, size))))
    present = np.zeros((len(chosen), players), dtype=bool)
    np.put_along_axis(present, chosen, True, axis=1)
    return present


def _jackknife(influence: Floats) -> Floats:
    """Return the standard errors of all players; those of the last follow from the sum."""
    all_players = np.append(influence, -influence.sum(axis=1, keepdims=True), axis=1)
    rows = len(all_players)
    if rows < 2:
        return np.zeros(all_players.shape[1])
    stderr: Floats = all_players.std(axis=0, ddof=1) * np.sqrt(rows)
    return stderr
