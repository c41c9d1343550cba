"""What methods that read attention share: the matrices found, a token's share put in place."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from solarxai.engine.attention import Attentions, watch_attention
from solarxai.engine.resampling import resample
from solarxai.explainers import Attribution, Explainer, FeatureMap, Problem

__all__ = ["AttentionMap"]


@dataclass(frozen=True, kw_only=True)
class AttentionMap(Explainer):
    """A map made of the attention matrices of a transformer."""

    signed: ClassVar[bool] = False

    def attribute(self, problem: Problem) -> Attribution:
        """Return the map of the patches and, linear between their centres, of the pixels.

        It is the same for every channel of the input.
        """
        attentions = watch_attention(problem.stream, problem.x)
        parts = [
            attentions.placed(self.followed(self.steps(problem, attentions, *part), attentions))
            for part in problem.parts()
        ]
        cells = torch.cat(parts).to(problem.x)
        features = FeatureMap(values=cells, centres=attentions.centres())
        values = resample(cells, features.centres, problem.x.shape[2:])
        return Attribution(values=values.expand(problem.x.shape), features=features)

    @abstractmethod
    def steps(
        self, problem: Problem, attentions: Attentions, x: Tensor, weights: Tensor
    ) -> list[Tensor]:
        """Return how each layer, first to last, mixes tokens: (image, token, token) float64."""

    def followed(self, steps: list[Tensor], attentions: Attentions) -> Tensor:
        """Return the mean row of the tokens read in the product of all steps, (image, token)."""
        share = attentions.start(steps[-1])
        for step in reversed(steps):
            share = torch.matmul(share[:, None], step)[:, 0]
        return share
