"""What methods share that search a mask: the score as a part of what hiding all of it changes."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from solarxai.engine.gradients import Stream, check_finite
from solarxai.engine.masking import Masking
from solarxai.errors import ExplainerRefusal
from solarxai.explainers import Attribution, Problem
from solarxai.explainers._filling import Filling

__all__ = ["Game", "MaskOptimisation"]

_LEAST_CHANGE = 1e-5
"""Least change of the score, of its size, that is more than rounding."""


class Game:
    """The score of an image with parts hidden: 1 with none, 0 with all of it, by definition.

    Parameters
    ----------
    masking
        What asks the network.
    stream
        The network; the game counts its gradients on it.
    image
        (channel, *space).

    Raises
    ------
    ExplainerRefusal
        when hiding the whole image does not change the score.
    """

    def __init__(self, masking: Masking, stream: Stream, image: Tensor) -> None:
        self._masking = masking
        self._stream = stream
        self.image = image
        whole, hidden = (
            masking.scores(torch.full((1, *image.shape[1:]), keep, device=image.device))
            for keep in (1.0, 0.0)
        )
        check_finite(torch.stack([whole, hidden]), what="score", whose="mixtures")
        self._hidden = float(hidden)
        self._change = float(whole) - self._hidden
        if abs(self._change) <= _LEAST_CHANGE * max(abs(float(whole)), abs(self._hidden)):
            raise ExplainerRefusal(
                f"hiding a whole image changes its score by {self._change:.1e}: there is nothing "
                "to search for",
                remedy="Choose another fill or target.",
            )

    def share(self, keep: Tensor) -> Tensor:
        """Return what is left of the score with mask keep (1, *space), a number with its graph."""
        return (self._masking.explained(keep)[0] - self._hidden) / self._change

    def descend(
        self, parameters: Tensor, loss: Callable[[Tensor, int], Tensor], *, steps: int, rate: float
    ) -> Tensor:
        """Return the parameters (1, *cells) from 0 to 1 after steps of Adam down the loss.

        Parameters
        ----------
        parameters
            Where to begin.
        loss
            Of parameters and the number of the step; it calls `share` once.
        steps, rate
            Of the descent.

        References
        ----------
        Kingma & Ba 2015, arXiv:1412.6980.
        """
        leaf = parameters.clone().requires_grad_()
        optimiser = torch.optim.Adam([leaf], lr=rate)
        for step in range(steps):
            (leaf.grad,) = torch.autograd.grad(loss(leaf, step), leaf)
            self._stream.backward += 1
            optimiser.step()
            with torch.no_grad():
                leaf.clamp_(0, 1)
        return leaf.detach()


@dataclass(frozen=True, kw_only=True)
class MaskOptimisation(Filling):
    """A method that searches, by gradient descent, a mask that answers a question.

    Each image is searched by itself, one mask in a pass, so neither its neighbours nor
    `batch_size` play a role. Nothing is random. The search follows changes of the score that a
    score in bfloat16 does not show, so only float32 is allowed.

    Parameters
    ----------
    steps
        Of the descent: as many passes forward and backward.
    rate
        Of the descent (Adam), in units of the mask.
    """

    units: ClassVar[str] = "1"
    signed: ClassVar[bool] = False
    precisions: ClassVar[tuple[str, ...]] = ("float32",)

    steps: int = 300
    rate: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(self.rate > 0 and math.isfinite(self.rate), "rate", "Give a number above 0.")

    def attribute(self, problem: Problem) -> Attribution:
        """Return the masks, from 0 to 1."""
        pairs = zip(problem.x, problem.weights, strict=True)
        found = [self._explain(problem, *pair) for pair in pairs]
        return Attribution(values=torch.stack(found))

    def _explain(self, problem: Problem, image: Tensor, weight: Tensor) -> Tensor:
        game = Game(self.masking(problem, image, weight), problem.stream, image)
        return self.found(game)[0].to(image).expand_as(image)

    @abstractmethod
    def found(self, game: Game) -> Tensor:
        """Return the mask (1, *space) of one image."""
