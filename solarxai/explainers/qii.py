"""Quantitative input influence: what becomes of the score when players are those of others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from solarxai.engine.coalitions import Coalitions, all_but_one
from solarxai.engine.gradients import check_finite
from solarxai.engine.moments import Moments
from solarxai.engine.permutations import draw_walks, gains, present_along
from solarxai.engine.players import Players
from solarxai.engine.seeds import image_generator
from solarxai.errors import ContractError
from solarxai.explainers import Attribution, Problem
from solarxai.explainers._players import (
    Estimate,
    Playing,
    Worths,
    attribution_of,
    few_samples,
    settled,
)
from solarxai.explainers._sampling import Sampling

__all__ = ["Qii"]

AGGREGATES = ("unary", "shapley")


@dataclass(frozen=True, kw_only=True)
class Qii(Playing, Sampling):
    r"""How much the score falls, on average, when a player's values are those of other images.

    Parameters
    ----------
    samples
        Images sent forward for one; with `stop_at_stderr`, in one round.
    aggregate
        "unary": one player at a time, by as many baselines as the samples allow; "shapley": the
        mean fall over all orders in which players are replaced, by a baseline drawn for each
        order and its reverse.
    n_baselines
        How many training images to draw as baselines where the caller draws them; read by
        `solarxai.attribution`.

    Notes
    -----
    The unary influence of player i is

    .. math:: f(x) - \big\langle f(x_{-i} u_i) \big\rangle,

    where u is one of the given baselines: its pixels stand in the place of the player's. Baselines
    are drawn without repetition, so with all of them the standard error is zero: it is that for
    the *given* baselines. The Shapley influences sum to f(x) − ⟨f(u)⟩ but for the choice of the
    baselines that were drawn; the completeness error says by how much.

    References
    ----------
    Datta, Sen & Zick 2016, Algorithmic Transparency via Quantitative Input Influence,
    doi:10.1109/SP.2016.42.
    """

    uses_baselines: ClassVar[bool] = True

    samples: int = field(default=512, metadata={"minimum": 2})
    aggregate: str = "unary"
    n_baselines: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.aggregate not in AGGREGATES:
            raise ContractError(
                f"Qii: aggregate is {self.aggregate!r}",
                remedy=f"Choose one of {', '.join(AGGREGATES)}.",
            )

    def attribute(self, problem: Problem) -> Attribution:
        """Return the influence of each player, spread over its pixels and channels."""
        players = [self.players_of(problem, row) for row in range(len(problem.x))]
        scores = self._scores(problem)
        found = []
        for row, who in enumerate(players):
            swaps = _Swaps(problem, row, who)
            generator = image_generator(self.seed, problem.x[row])
            estimate: Estimate = _Unary(swaps, generator)
            if scores is not None:
                worth = (scores @ problem.weights[row].double().cpu()).numpy()
                estimate = _Shapley(swaps, generator, worth)
            found.append(settled(self, estimate, who, problem.x[row]))
        return attribution_of(problem, players, found)

    def _scores(self, problem: Problem) -> Tensor | None:
        """Return the scores (baseline, class) of the baselines where their sum is wanted."""
        if self.aggregate == "unary":
            return None
        scores = problem.stream.scores(problem.given_baselines())
        return check_finite(scores, what="score", whose="baselines").double().cpu()


class _Swaps:
    """The games of one image, one a baseline."""

    def __init__(self, problem: Problem, row: int, players: Players) -> None:
        self.number = players.number
        self._given = (problem.x[row], problem.weights[row], players)
        self._stream = problem.stream
        self.baselines = problem.given_baselines()

    def game(self, baseline: int) -> Coalitions:
        """Return the game whose absent players have the values of a baseline."""
        image, weight, players = self._given
        fills = self.baselines[baseline : baseline + 1]
        return Coalitions(self._stream, image, fills, weight, players)

    def full(self) -> float:
        """Return the score of the image itself."""
        everybody = np.ones((1, self.number), dtype=bool)
        return float(self.game(0).values(1, lambda rows: everybody[rows])[0])


class _Unary:
    """The mean falls over baselines, each taken once."""

    def __init__(self, swaps: _Swaps, generator: np.random.Generator) -> None:
        self._swaps = swaps
        self._left = generator.permutation(len(swaps.baselines)).tolist()
        self._all = len(self._left)
        self._moments = Moments()

    def add(self, budget: int) -> None:
        """Replace every player by its like in as many baselines as the budget allows."""
        number = self._swaps.number
        if not self._moments.count:
            needed = 1 + min(2, self._all) * number
            if budget < needed:
                raise few_samples(budget, number, needed)
            self._full = self._swaps.full()
            budget -= 1
        for baseline in self._left[: budget // number]:
            worth = self._swaps.game(baseline).values(number, all_but_one(number))
            self._moments.add(torch.from_numpy(self._full - worth)[None])
        self._left = self._left[budget // number :]

    def worths(self) -> Worths:
        """Return the mean falls; the standard error knows how many baselines are left."""
        values, share = self._moments.mean.numpy(), self._moments.count / self._all
        if not self._left:
            return Worths(values, np.zeros_like(values))
        return Worths(values, self._moments.stderr().numpy() * np.sqrt(1 - share))


class _Shapley:
    """The mean gains along pairs of orders, each against one baseline drawn with repetition."""

    def __init__(
        self, swaps: _Swaps, generator: np.random.Generator, scores: npt.NDArray[np.float64]
    ) -> None:
        self._swaps = swaps
        self._generator = generator
        self._scores = scores
        self._moments = Moments()

    def add(self, budget: int) -> None:
        """Walk as many pairs of orders as the budget allows."""
        number = self._swaps.number
        cost = max(1, 2 * (number - 1))
        if not self._moments.count:
            if budget < 1 + 2 * cost:
                raise few_samples(budget, number, 1 + 2 * cost)
            self._full = self._swaps.full()
            budget -= 1
        for baseline in self._generator.integers(len(self._scores), size=budget // cost):
            self._moments.add(torch.from_numpy(self._pair(int(baseline)))[None])

    def worths(self) -> Worths:
        """Return the mean gains, with the standard error over pairs."""
        total = self._full - float(self._scores.mean())
        return Worths(self._moments.mean.numpy(), self._moments.stderr().numpy(), total)

    def _pair(self, baseline: int) -> npt.NDArray[np.float64]:
        """Return the mean gains along one order and its reverse."""
        number = self._swaps.number
        ranks = draw_walks(self._generator, players=number, pairs=1)
        game = self._swaps.game(baseline)
        inner = game.values(2 * (number - 1), lambda rows: present_along(ranks, rows))
        found = gains(ranks, inner, empty=float(self._scores[baseline]), full=self._full)
        mean: npt.NDArray[np.float64] = found.mean(axis=0)
        return mean
