"""Guided Integrated Gradients: contributions along a path that avoids steep places."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from solarxai.engine.completeness import ScoreDifference
from solarxai.engine.gradients import Stream
from solarxai.engine.guided_path import advance
from solarxai.errors import ContractError
from solarxai.explainers import Attribution, Problem
from solarxai.explainers._baseline import Comparing

__all__ = ["GuidedIntegratedGradients"]


@dataclass(frozen=True, kw_only=True)
class GuidedIntegratedGradients(Comparing):
    r"""The contribution of each input value to the score, along a path guided by the network.

    Parameters
    ----------
    steps
        Gradients along the path from each baseline, one after the other.
    fraction
        Part of the values that move together, those with the smallest gradients first.
    max_distance
        How far a value may be behind or ahead of the straight path, as a part of its way; 0 is the
        straight path, 1 leaves the path free.

    Notes
    -----
    In each step the values with the smallest gradient go on first, until the whole has gone the
    same part of its way (in the sum of absolute differences). Noise that comes from steep places
    between baseline and image is avoided; the path is another for each score, so the maps of two
    scores do not add up to the map of their sum. The map sums to f(x) − ⟨f(x′)⟩ as the steps
    become many; the completeness error says how far it is from that. A step needs the gradient of
    the step before, so each pass holds one image: it is slower than its number of gradients says.

    References
    ----------
    Kapishnikov et al. 2021, Guided Integrated Gradients: an Adaptive Path Method for Removing
    Noise, arXiv:2106.09788.
    """

    steps: int = 200
    fraction: float = 0.25
    max_distance: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.fraction <= 1:
            raise ContractError(
                f"fraction is {self.fraction!r}", remedy="Give a number above 0 and at most 1."
            )
        if not 0 <= self.max_distance <= 1:
            raise ContractError(
                f"max_distance is {self.max_distance!r}", remedy="Give a number from 0 to 1."
            )

    def attribute(self, problem: Problem) -> Attribution:
        """Return the contributions, in units of the score, with the completeness error."""
        stream, baselines = problem.stream, self.compared(problem)
        difference = ScoreDifference(stream, baselines)
        values, gaps = list[Tensor](), list[Tensor]()
        for image, weight in zip(problem.x, problem.weights, strict=True):
            total = torch.zeros_like(image, dtype=torch.float64)
            for baseline in baselines:
                total += self._guided(stream, weight, baseline, image)
            found = total / len(baselines)
            values.append(found.to(image))
            gaps.append(difference.error(found, image[None], weight))
        return Attribution(values=torch.stack(values), completeness_error=torch.stack(gaps))

    def _guided(self, stream: Stream, weight: Tensor, baseline: Tensor, image: Tensor) -> Tensor:
        """Return the contributions along the path from one baseline, float64."""
        start = baseline.double()
        way = image.double() - start
        lengths = way.abs().flatten()
        places = torch.zeros_like(lengths)
        total = torch.zeros_like(way)
        for step in range(self.steps):
            point = (start + places.view_as(way) * way).to(image)
            gradient = stream.gradient(point[None], weight[None])[0].double()
            after = advance(
                places,
                gradient.abs().flatten(),
                lengths,
                alpha=(step + 1) / self.steps,
                max_distance=self.max_distance,
                fraction=self.fraction,
            )
            total += (after - places).view_as(way) * way * gradient
            places = after
        return total
