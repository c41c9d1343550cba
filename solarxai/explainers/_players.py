"""What methods share whose answer is one number a player: a superpixel, a segment, a pixel."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from solarxai.engine.coalitions import Coalitions
from solarxai.engine.fills import FILLS, fill_images
from solarxai.engine.players import Players, check_kind, divide
from solarxai.engine.seeds import image_generator
from solarxai.errors import ContractError
from solarxai.explainers import Attribution, Explainer, Problem
from solarxai.explainers._sampling import Sampling

__all__ = [
    "Estimate",
    "Hiding",
    "Playing",
    "SampledGame",
    "Worths",
    "attribution_of",
    "few_samples",
    "settled",
]

_EACH = "each_baseline"


class Worths(NamedTuple):
    """What a method found for the players of one image.

    Parameters
    ----------
    values
        (player,).
    stderr
        (player,), or None for deterministic methods.
    total
        What the values should sum to, or None without that axiom.
    """

    values: npt.NDArray[np.float64]
    stderr: npt.NDArray[np.float64] | None = None
    total: float | None = None


class Estimate(Protocol):
    """An answer that becomes surer with more evaluations."""

    def add(self, budget: int) -> None:
        """Spend at most `budget` evaluations; raise `ContractError` if the first are too few."""

    def worths(self) -> Worths:
        """Return the answer so far."""


@dataclass(frozen=True, kw_only=True)
class Playing(Explainer):
    """A method whose answer is one number a player.

    Parameters
    ----------
    players
        "segments": those given in the call, or superpixels where none are given; "superpixels"
        (windows of equal length for a 1-D input); "grid": blocks; or "pixels".
    n_players
        Most superpixels or blocks.
    """

    linear: ClassVar[bool] = True

    players: str = "segments"
    n_players: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        check_kind(self.players)

    def alone(self) -> Explainer:
        """Return the method itself: its passes hold one image each already."""
        return self

    def players_of(self, problem: Problem, row: int) -> Players:
        """Return the players of one image."""
        segments = None if problem.segments is None else problem.segments[row]
        return divide(
            problem.x[row], kind=self.players, n_players=self.n_players, segments=segments
        )


def attribution_of(
    problem: Problem, players: Sequence[Players], found: Sequence[Worths]
) -> Attribution:
    """Return the numbers of players as maps whose sum is theirs.

    Parameters
    ----------
    problem
        With images (batch, channel, *space).
    players, found
        One an image.
    """
    values = torch.empty_like(problem.x)
    stderr = torch.empty_like(problem.x) if found[0].stderr is not None else None
    gaps = [0.0] * len(found)
    for row, (who, worths) in enumerate(zip(players, found, strict=True)):
        values[row] = who.spread(worths.values, problem.x[row])
        gaps[row] = float(values[row].double().sum()) - (worths.total or 0.0)
        if stderr is not None and worths.stderr is not None:
            stderr[row] = who.spread(worths.stderr, problem.x[row])
    complete = found[0].total is not None
    error = torch.tensor(gaps, dtype=torch.float32) if complete else None
    return Attribution(values=values, stderr=stderr, completeness_error=error)


@dataclass(frozen=True, kw_only=True)
class Hiding(Playing):
    """A method that hides players behind a fill.

    Parameters
    ----------
    fill
        What stands where a player is absent: "mean" (of the image, by channel), "value", "blur",
        "baselines" (their mean image), or "each_baseline" (the mean of the scores over all
        baselines, each put there in turn, at as many times the passes).
    fill_value
        For the fill "value", in units of the input.
    n_baselines
        How many training images to draw as baselines where the caller draws them, for the fills
        that need some; read by `solarxai.attribution`.
    """

    takes_baselines: ClassVar[bool] = True

    fill: str = "mean"
    fill_value: float = 0.0
    n_baselines: int = field(default=0, metadata={"minimum": 0})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fill not in (*FILLS, _EACH) or not math.isfinite(self.fill_value):
            raise ContractError(
                f"{type(self).__name__}: fill is {self.fill!r} with the value {self.fill_value!r}",
                remedy=f"Choose one of {', '.join((*FILLS, _EACH))}, and a finite value.",
            )

    def game(self, problem: Problem, row: int, players: Players) -> Coalitions:
        """Return the game of one image."""
        image, weight = problem.x[row], problem.weights[row]
        return Coalitions(problem.stream, image, self._fills(problem, row), weight, players)

    def attribute(self, problem: Problem) -> Attribution:
        """Return the number of each player, spread over its pixels and channels."""
        players = [self.players_of(problem, row) for row in range(len(problem.x))]
        found = [self.solve(self.game(problem, row, who)) for row, who in enumerate(players)]
        return attribution_of(problem, players, found)

    @abstractmethod
    def solve(self, game: Coalitions) -> Worths:
        """Return the numbers of the players of one image."""

    def _fills(self, problem: Problem, row: int) -> Tensor:
        baselines = problem.baselines
        if self.fill == _EACH and baselines is not None:
            return baselines
        kind = "baselines" if self.fill == _EACH else self.fill
        one = problem.x[row : row + 1]
        return fill_images(kind, one, value=self.fill_value, baselines=baselines)


@dataclass(frozen=True, kw_only=True)
class SampledGame(Hiding, Sampling):
    """A method that draws coalitions and hides the absent players.

    Parameters
    ----------
    samples
        Coalitions evaluated an image; with `stop_at_stderr`, in one round.
    """

    samples: int = field(default=512, metadata={"minimum": 2})

    def solve(self, game: Coalitions) -> Worths:
        """Return the numbers of the players of one image, with standard errors."""
        generator = image_generator(self.seed, game.image)
        return settled(self, self.estimate(game, generator), game.players, game.image)

    @abstractmethod
    def estimate(self, game: Coalitions, generator: np.random.Generator) -> Estimate:
        """Return the answer for one image before its first evaluation."""


def settled(method: Sampling, estimate: Estimate, players: Players, image: Tensor) -> Worths:
    """Return the answer of an estimate that is as sure as the method wants it to be."""
    for budget in method.rounds():
        estimate.add(budget)
        worths = estimate.worths()
        stderr = np.zeros(players.number) if worths.stderr is None else worths.stderr
        if method.enough(players.spread(worths.values, image), players.spread(stderr, image)):
            break
    return worths


def few_samples(samples: int, players: int, needed: int) -> ContractError:
    """Return the refusal of a budget that cannot tell the players apart."""
    return ContractError(
        f"{samples} samples are too few for {players} players",
        remedy=f"Take {needed} samples or more, or fewer players.",
    )
