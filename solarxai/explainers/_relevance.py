"""What relevance methods share: rules chosen, relevance pulled back, its sum checked."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from solarxai.engine.relevance import Relevant
from solarxai.engine.rules import Composite
from solarxai.errors import ContractError, ExplainerRefusal
from solarxai.explainers import Attribution, Explainer, Problem

__all__ = ["Relevance", "checked_box"]


@dataclass(frozen=True, kw_only=True)
class Relevance(Explainer):
    """A method that shares out the score among the inputs, layer by layer."""

    linear: ClassVar[bool] = True
    rule: ClassVar[str]

    def attribute(self, problem: Problem) -> Attribution:
        """Return the relevance and how far its sum is from that of the scores."""
        composite = self.rules()
        if composite.box is not None:
            _check_inside(problem.x, *composite.box)
        network = Relevant(problem.prepared, composite, rule=self.rule)
        found = network.relevance(problem.stream, problem.x, self.start, problem.weights)
        values, gaps = (torch.cat(parts) for parts in zip(*found, strict=True))
        return Attribution(values=values, completeness_error=gaps)

    @abstractmethod
    def rules(self) -> Composite:
        """Return the rules."""

    def start(self, scores: Tensor, weights: Tensor) -> Tensor:
        """Return the relevance of the scores, (image, class): their share of what is explained."""
        return scores * weights


def checked_box(name: str, low: float | None, high: float | None) -> tuple[float, float] | None:
    """Return both ends of the range of the images, or None where there are none.

    Raises
    ------
    ContractError
        when one end is missing, or they are the wrong way round.
    """
    if low is None and high is None:
        return None
    if low is None or high is None or not low < high:
        raise ContractError(
            f"{name}: low is {low!r} and high is {high!r}",
            remedy="Give both ends of the range of the images, low below high, or none.",
        )
    return low, high


def _check_inside(x: Tensor, low: float, high: float) -> None:
    """Refuse images with values outside the box that the rule of the first layer relies on."""
    least, most = float(x.min()), float(x.max())
    if least < low or most > high:
        raise ExplainerRefusal(
            f"the images reach from {least:.6g} to {most:.6g}, outside the box {low} to {high}",
            remedy="Give low and high that hold for every image.",
        )
