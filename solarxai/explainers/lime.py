"""LIME: a linear model of the score in the neighbourhood of the image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from solarxai.engine.coalitions import Coalitions
from solarxai.engine.least_squares import fit_weighted
from solarxai.errors import ContractError
from solarxai.explainers._players import Estimate, SampledGame, Worths, few_samples

__all__ = ["Lime"]

Floats = npt.NDArray[np.float64]
Present = npt.NDArray[np.bool_]

DISTANCES = ("cosine", "l2")
_WIDTHS = {"cosine": 0.25, "l2": 0.75}


@dataclass(frozen=True, kw_only=True)
class Lime(SampledGame):
    r"""The slope of a local linear model of the score in the presence of each player.

    Parameters
    ----------
    distance
        Between a coalition z ∈ {0, 1}ⁿ and the whole image: "cosine", 1 − √(Σz/n), or "l2",
        √(n − Σz) ÷ √n.
    kernel_width
        σ of the weight exp(−d²/2σ²); None for 0.25 (cosine) or 0.75 (l2).
    ridge
        Penalty of the squared slopes, per unit of weight.

    Notes
    -----
    Coalitions have each player with probability one half, and a weighted ridge regression with an
    intercept is fitted to their scores. It is a local surrogate: the slopes sum to no difference
    of scores, and depend on the kernel and the ridge. With ridge λ they are those of
    scikit-learn's `Ridge` with alpha λ times the sum of the weights. The standard error is the
    jackknife's over coalitions, for the surrogate itself, not for the network.

    References
    ----------
    Ribeiro, Singh & Guestrin 2016, doi:10.1145/2939672.2939778.
    """

    distance: str = "cosine"
    kernel_width: float | None = None
    ridge: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.distance not in DISTANCES:
            raise ContractError(
                f"Lime: distance is {self.distance!r}",
                remedy=f"Choose one of {', '.join(DISTANCES)}.",
            )
        sound = self.kernel_width is None or self.kernel_width > 0
        if not sound or not 0 <= self.ridge < math.inf:
            raise ContractError(
                f"Lime: kernel_width is {self.kernel_width!r} and ridge {self.ridge!r}",
                remedy="Give a width above 0 and a ridge of 0 or more.",
            )

    def estimate(self, game: Coalitions, generator: np.random.Generator) -> Estimate:
        """Return the surrogate without a coalition yet."""
        return _Surrogate(self, game, generator)

    def weights(self, present: Present) -> Floats:
        """Return the weight of each coalition (coalition, player)."""
        share = present.mean(axis=1)
        distance = 1 - np.sqrt(share) if self.distance == "cosine" else np.sqrt(1 - share)
        width = _WIDTHS[self.distance] if self.kernel_width is None else self.kernel_width
        found: Floats = np.exp(-0.5 * (distance / width) ** 2)
        return found


class _Surrogate:
    """Coalitions, their scores, and the regression on them."""

    def __init__(self, lime: Lime, game: Coalitions, generator: np.random.Generator) -> None:
        self._lime = lime
        self._game = game
        self._generator = generator
        self._present = np.zeros((0, game.players.number), dtype=bool)
        self._scores = np.zeros(0)

    def add(self, budget: int) -> None:
        """Draw coalitions and ask for their scores."""
        number = self._game.players.number
        if not len(self._scores) and budget < number + 2:
            raise few_samples(budget, number, number + 2)
        drawn = self._generator.random((budget, number)) < 0.5
        scores = self._game.values(budget, lambda rows: drawn[rows])
        self._present = np.concatenate([self._present, drawn])
        self._scores = np.concatenate([self._scores, scores])

    def worths(self) -> Worths:
        """Return the slopes, with the jackknife's standard error."""
        design = np.insert(self._present.astype(np.float64), 0, 1.0, axis=1)
        penalty = np.full(design.shape[1], self._lime.ridge)
        penalty[0] = 0.0
        weights = self._lime.weights(self._present)
        fit = fit_weighted(design, self._scores, weights, penalty=penalty)
        stderr = np.sqrt((fit.influence**2).sum(axis=0))
        return Worths(fit.coefficients[1:], stderr[1:])
