"""Integrated Gradients averaged over noise on the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from solarxai.engine.completeness import ScoreDifference
from solarxai.engine.gradients import Stream
from solarxai.engine.moments import Moments
from solarxai.engine.noise import Noise
from solarxai.engine.path_integrals import line_contributions
from solarxai.engine.seeds import image_generator
from solarxai.errors import ContractError
from solarxai.explainers import Attribution, Problem
from solarxai.explainers._baseline import Comparing
from solarxai.explainers._noise import NoiseSampling

__all__ = ["NoisyIntegratedGradients"]


@dataclass(frozen=True, kw_only=True)
class NoisyIntegratedGradients(NoiseSampling, Comparing):
    r"""The contribution of each input value to the score, averaged over noise on the image.

    Parameters
    ----------
    places
        Gradients along the path to each noisy image: even steps from a random start.

    Notes
    -----
    The mean over noise ε and over the baselines x′ (drawn evenly, where several are given) of

    .. math:: (x + \epsilon - x') \int_0^1 \frac{\partial f}{\partial x}
              \big(x' + \alpha (x + \epsilon - x')\big) \, d\alpha, \qquad
              \epsilon \sim N(0, \sigma^2).

    Each noise is used with both signs and the same places; the standard error is that of the mean
    of such pairs, of which there are samples/(2·places), rounded down. The map sums to
    ⟨f(x + ε)⟩ − ⟨f(x′)⟩, not to the score difference of the image itself; the completeness error
    compares it with the former, over the noise drawn, for one forward pass more a noisy image.

    References
    ----------
    Smilkov et al. 2017, SmoothGrad, arXiv:1706.03825.
    Sundararajan, Taly & Yan 2017, arXiv:1703.01365.
    """

    linear: ClassVar[bool] = True

    samples: int = field(default=200, metadata={"minimum": 4})
    places: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        fewest = min(self.samples, self.max_passes or self.samples)
        if fewest < 2 * self._group:
            raise ContractError(
                f"NoisyIntegratedGradients: {fewest} samples are too few for {self.places} places",
                remedy=f"Give {2 * self._group} samples or more, or fewer places.",
            )

    @property
    def _group(self) -> int:
        """Gradients of one noise: both signs at all places."""
        return 2 * self.places

    def attribute(self, problem: Problem) -> Attribution:
        """Return the contributions, in units of the score, with standard and completeness error."""
        baselines = self.compared(problem)
        difference = ScoreDifference(problem.stream, baselines)
        pairs = zip(problem.x, problem.weights, strict=True)
        found = [self._explain(problem.stream, baselines, difference, *pair) for pair in pairs]
        values, stderr, gaps = (torch.stack(part) for part in zip(*found, strict=True))
        return Attribution(values=values, stderr=stderr, completeness_error=gaps)

    def _explain(
        self,
        stream: Stream,
        baselines: Tensor,
        difference: ScoreDifference,
        image: Tensor,
        weight: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        generator = image_generator(self.seed, image)
        noise = Noise(image, fraction=self.noise, generator=generator)
        moments, scores = Moments(), Moments()
        for samples in self.rounds():
            for rows, shifts, deviations in self._draws(noise, len(baselines), samples, generator):
                ends = torch.stack([image + deviations, image - deviations], dim=1)
                scores.add(stream.scores(ends.flatten(0, 1)))
                starts = baselines[rows.to(baselines.device)]
                moments.add(self._integrals(stream, weight, starts, ends, shifts))
            if self.settled(moments.mean, moments.stderr()):
                break
        gap = difference.error_of(moments.mean, scores.mean, weight)
        return moments.mean.to(image), moments.stderr().to(image), gap

    def _draws(
        self, noise: Noise, baselines: int, samples: int, generator: np.random.Generator
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield baseline, start and noise of as many pairs as fill a pass."""
        at_most = max(1, self.batch_size // self._group)
        for deviations in noise.parts(samples // self._group, at_most=at_most):
            rows, shifts = torch.from_numpy(generator.random((len(deviations), 2))).T
            yield (rows * baselines).long(), shifts, deviations

    def _integrals(
        self, stream: Stream, weight: Tensor, starts: Tensor, ends: Tensor, shifts: Tensor
    ) -> Tensor:
        """Return the mean over signs and places for each pair, (pair, channel, *space) float64."""
        alphas = (torch.arange(self.places) + shifts[:, None, None]) / self.places
        flat = alphas.expand(-1, 2, -1).flatten()
        index = torch.arange(len(flat), device=starts.device)
        total = torch.zeros_like(starts, dtype=torch.float64)
        for one, alpha in zip(stream.parts(index), stream.parts(flat), strict=True):
            pair, sign = one // self._group, one // self.places % 2
            found = line_contributions(stream, weight, starts[pair], ends[pair, sign], alpha)
            for place, contribution in zip(pair.tolist(), found, strict=True):
                total[place] += contribution
        return total / self._group
