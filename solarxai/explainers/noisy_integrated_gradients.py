"""Integrated Gradients averaged over noise on the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from solarxai.engine.gradients import Stream
from solarxai.engine.path_integrals import line_contributions
from solarxai.errors import ContractError
from solarxai.explainers import Problem
from solarxai.explainers._baseline import Comparing
from solarxai.explainers._noise import Journey, NoisyContributions

__all__ = ["NoisyIntegratedGradients"]


@dataclass(frozen=True, kw_only=True)
class NoisyIntegratedGradients(NoisyContributions, Comparing):
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

    def compared(self, problem: Problem) -> Tensor:
        """Return the baselines (baseline, channel, *space)."""
        return Comparing.compared(self, problem)

    def parts(self, journey: Journey, samples: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the ends of paths, and the contributions along them."""
        image, baselines = journey.image, journey.baselines
        at_most = max(1, self.batch_size // self._group)
        for deviations in journey.noise.parts(samples // self._group, at_most=at_most):
            drawn = torch.from_numpy(journey.generator.random((len(deviations), 2)))
            rows, shifts = drawn.T
            ends = torch.stack([image + deviations, image - deviations], dim=1)
            starts = baselines[(rows * len(baselines)).long().to(baselines.device)]
            found = self._integrals(journey.stream, journey.weight, starts, ends, shifts)
            yield ends.flatten(0, 1), found

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
