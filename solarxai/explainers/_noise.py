"""What methods share that look at an image through noise."""

from __future__ import annotations

import math
from abc import abstractmethod
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
from solarxai.engine.seeds import image_generator
from solarxai.errors import ContractError
from solarxai.explainers import Attribution, Explainer, Problem
from solarxai.explainers._sampling import Sampling

__all__ = ["Journey", "NoiseSampling", "NoisyContributions", "NoisyGradients"]

_FEWEST = 4


@dataclass(frozen=True, kw_only=True)
class NoiseSampling(Sampling):
    """A method that adds normal noise to the image.

    Parameters
    ----------
    noise
        Standard deviation of the noise, as a part of the image's largest less its smallest value.
    """

    least_noise: ClassVar[str] = "above 0"
    """Which noise is allowed: "above 0", or "of 0 or more" where none is a case of the method."""

    samples: int = field(default=50, metadata={"minimum": _FEWEST})
    noise: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = self.noise > 0 or (self.noise == 0 and self.least_noise != "above 0")
        if not allowed or not math.isfinite(self.noise):
            raise ContractError(
                f"{type(self).__name__}: noise is {self.noise!r}",
                remedy=f"Give a number {self.least_noise}, such as 0.15 for 15 % of the range.",
            )
        if self.max_passes is not None and self.max_passes < _FEWEST:
            raise ContractError(
                f"{type(self).__name__}: max_passes is {self.max_passes!r}",
                remedy=f"Give a whole number of {_FEWEST} or more.",
            )

    def alone(self) -> Explainer:
        """Return the method itself: its passes hold one image each already."""
        return self

    def settled(self, values: Tensor, stderr: Tensor) -> bool:
        """Return whether to stop: the map is sure enough, or will never be finite."""
        return self.enough(values, stderr) or not bool(torch.isfinite(values).all())


@dataclass(frozen=True, kw_only=True, eq=False)
class Journey:
    """What one image is explained with.

    Parameters
    ----------
    stream
        The network.
    weight
        (class,) of the explained score.
    image, baselines
        (channel, *space) and (baseline, channel, *space).
    noise, generator
        Random numbers of the image.
    """

    stream: Stream
    weight: Tensor
    image: Tensor
    baselines: Tensor
    noise: Noise
    generator: np.random.Generator


@dataclass(frozen=True, kw_only=True)
class NoisyContributions(NoiseSampling):
    """A method that averages contributions on paths from baselines to an image with noise."""

    def attribute(self, problem: Problem) -> Attribution:
        """Return the contributions, in units of the score, with standard and completeness error."""
        baselines = self.compared(problem)
        difference = ScoreDifference(problem.stream, baselines)
        pairs = zip(problem.x, problem.weights, strict=True)
        found = [self._explain(problem.stream, baselines, difference, *pair) for pair in pairs]
        values, stderr, gaps = (torch.stack(part) for part in zip(*found, strict=True))
        return Attribution(values=values, stderr=stderr, completeness_error=gaps)

    @abstractmethod
    def compared(self, problem: Problem) -> Tensor:
        """Return the baselines (baseline, channel, *space)."""

    @abstractmethod
    def parts(self, journey: Journey, samples: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the ends of paths, and the contributions along them."""

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
        journey = Journey(
            stream=stream, weight=weight, image=image, baselines=baselines, noise=noise,
            generator=generator,
        )  # fmt: skip
        moments, scores = Moments(), Moments()
        for samples in self.rounds():
            for ends, contributions in self.parts(journey, samples):
                if self.noise or not scores.count:
                    scores.add(stream.scores(ends))
                moments.add(contributions)
            if self.settled(moments.mean, moments.stderr()):
                break
        gap = difference.error_of(moments.mean, scores.mean, weight)
        return moments.mean.to(image), moments.stderr().to(image), gap


@dataclass(frozen=True, kw_only=True)
class NoisyGradients(NoiseSampling):
    """A method that sums up the gradients of an image with noise, round by round."""

    paired: ClassVar[bool] = False
    """Whether each noise is used with both signs, and the two gradients averaged."""

    def attribute(self, problem: Problem) -> Attribution:
        """Return what the gradients come to, with its standard error."""
        pairs = zip(problem.x, problem.weights, strict=True)
        found = [self._explain(problem.stream, *pair) for pair in pairs]
        values, stderr = (torch.stack(part) for part in zip(*found, strict=True))
        return Attribution(values=values, stderr=stderr)

    @abstractmethod
    def summed_up(self, moments: Moments) -> tuple[Tensor, Tensor]:
        """Return the map and its standard error, from the moments of what `seen` returned."""

    @abstractmethod
    def moments(self) -> Moments:
        """Return moments that have taken nothing yet."""

    def seen(self, gradients: Tensor) -> Tensor:
        """Return what is averaged, of the gradients (sample, channel, *space)."""
        return gradients

    def _explain(self, stream: Stream, image: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        generator = image_generator(self.seed, image)
        noise = Noise(image, fraction=self.noise, generator=generator)
        moments = self.moments()
        for samples in self.rounds():
            self._take(moments, noise, stream, image, weight, samples)
            values, stderr = self.summed_up(moments)
            if self.settled(values, stderr):
                break
        return values.to(image), stderr.to(image)

    def _take(
        self,
        moments: Moments,
        noise: Noise,
        stream: Stream,
        image: Tensor,
        weight: Tensor,
        samples: int,
    ) -> None:
        signs = 2 if self.paired else 1
        for deviation in noise.parts(samples // signs, at_most=max(1, stream.batch_size // signs)):
            points = torch.cat([image + sign * deviation for sign in (1, -1)[:signs]])
            weights = weight.expand(len(points), -1)
            parts = zip(stream.parts(points), stream.parts(weights), strict=True)
            found = self.seen(torch.cat([stream.gradient(*part) for part in parts]))
            moments.add(found.view(signs, *deviation.shape).mean(dim=0) if signs > 1 else found)
