"""GradientSHAP: contributions to the score, averaged over random baselines and places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from solarxai.engine.path_integrals import line_contributions
from solarxai.explainers import Problem
from solarxai.explainers._noise import Journey, NoisyContributions

__all__ = ["GradientShap"]


@dataclass(frozen=True, kw_only=True)
class GradientShap(NoisyContributions):
    r"""The contribution of each input value to the score, against random baselines.

    Parameters
    ----------
    n_baselines
        How many training images to draw as baselines where the caller draws them; read by
        `solarxai.attribution`.

    Notes
    -----
    The mean of independent samples, as the reference and its followers draw them, of

    .. math:: (x + \epsilon - x') \, \frac{\partial f}{\partial x}
              \big(x' + \alpha (x + \epsilon - x')\big)

    with a baseline x′ from those given, α even on [0, 1] and :math:`\epsilon \sim N(0, \sigma^2)`.
    Without noise this is Expected Gradients by plain Monte Carlo: `expected_gradients` has the same
    limit and needs several times fewer samples for the same error. It is here to be compared with.
    The values sum to ⟨f(x + ε)⟩ − ⟨f(x′)⟩ in the limit, the mean over the noise drawn and over all
    baselines given; the completeness error is the rest. With noise it costs one forward pass more
    a sample. The standard error is for the given baselines.

    References
    ----------
    Lundberg & Lee 2017, arXiv:1705.07874. Erion et al. 2021, doi:10.1038/s42256-021-00343-w.
    """

    uses_baselines: ClassVar[bool] = True
    linear: ClassVar[bool] = True
    least_noise: ClassVar[str] = "of 0 or more"

    samples: int = field(default=200, metadata={"minimum": 4})
    noise: float = 0.0
    n_baselines: int = 100

    def compared(self, problem: Problem) -> Tensor:
        """Return the baselines (baseline, channel, *space)."""
        return problem.given_baselines()

    def parts(self, journey: Journey, samples: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the ends of paths, and the contributions along them."""
        stream, image, baselines = journey.stream, journey.image, journey.baselines
        for row, alpha in _places(samples, len(baselines), stream.batch_size, journey.generator):
            ends = image + journey.noise.draw(len(row)) if self.noise else image[None]
            starts = baselines[row.to(baselines.device)]
            yield ends, line_contributions(stream, journey.weight, starts, ends, alpha)


def _places(
    samples: int, baselines: int, at_most: int, generator: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the baseline and the position of each sample of a pass, independent and even."""
    parts = -(-samples // at_most)
    for part in range(parts):
        drawn = generator.random(((samples + part) // parts, 2))
        rows, alphas = torch.from_numpy(drawn).T
        yield (rows * baselines).long(), alphas
