"""RISE: how the score of randomly masked images goes with what each mask leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from solarxai.engine.random_masks import RandomMasks
from solarxai.engine.seeds import image_generator
from solarxai.explainers import Attribution, Problem
from solarxai.explainers._filling import Filling
from solarxai.explainers._sampling import Sampling

__all__ = ["Rise"]


@dataclass(frozen=True, kw_only=True)
class Rise(Sampling, Filling):
    r"""How much the score rises with each pixel that random masks leave, signed.

    Parameters
    ----------
    samples
        Masks an image; with `stop_at_stderr`, in one round.
    grid
        Cells of a mask along each axis.
    keep
        Probability that a cell is left.
    centred
        Whether to return the covariance of score and mask over the mask's variance, or else the
        mean score of the masks that leave a pixel, as published.

    Notes
    -----
    With masks M (`solarxai.engine.random_masks`) and scores f of the mixtures of image and fill,

    .. math:: a_i = \frac{\operatorname{cov}(f, M_i)}{\operatorname{var}(M_i)}
              \qquad\text{or, not centred,}\qquad
              a_i = \frac{\langle f M_i \rangle}{\langle M_i \rangle}.

    In expectation the two maps differ by a factor and a constant, the mean score; the published
    one has the fluctuation of ΣM times the mean score as noise. The covariance is the sample's and
    the variance and the mean of the masks are exact, so neither has a bias. For a linear score the
    centred map is the contribution w(x − fill), summed with the autocorrelation of the masks as
    weights: about what a cell holds. All channels are hidden at once and each holds the same value.

    References
    ----------
    Petsiuk, Das & Saenko 2018, RISE, arXiv:1806.07421, section 3.
    """

    linear: ClassVar[bool] = True

    batch_size: int = 16
    samples: int = field(default=1000, metadata={"minimum": 2})
    grid: int = 8
    keep: float = 0.5
    centred: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(0 < self.keep < 1, "keep", "Give a probability between 0 and 1, such as 0.5.")

    def attribute(self, problem: Problem) -> Attribution:
        """Return the slopes, in units of the score, with their standard error."""
        pairs = zip(problem.x, problem.weights, strict=True)
        found = [self._explain(problem, *pair) for pair in pairs]
        values, stderr = (torch.stack(part) for part in zip(*found, strict=True))
        return Attribution(values=values, stderr=stderr)

    def _explain(self, problem: Problem, image: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        generator = image_generator(self.seed, image)
        masks = RandomMasks(image.shape[1:], grid=self.grid, keep=self.keep, generator=generator)
        masking = self.masking(problem, image, weight)
        products = _Products(self.keep if self.centred else 0.0)
        scale = masks.variance if self.centred else self.keep
        for samples in self.rounds():
            for number in _parts(samples, problem.stream.batch_size):
                drawn = masks.draw(number)
                products.add(drawn, masking.scores(drawn))
            values, stderr = (v / scale for v in products.mean(centred=self.centred))
            if self.enough(values, stderr) or not bool(torch.isfinite(values).all()):
                break
        return values.to(image).expand_as(image), stderr.to(image).expand_as(image)


def _parts(samples: int, at_most: int) -> Iterator[int]:
    """Yield the sizes of the fewest parts, as even as can be: small passes are slow ones."""
    less, more = divmod(samples, -(-samples // at_most))
    for part in range(-(-samples // at_most)):
        yield less + (part < more)


class _Products:
    """Sums of scores times masks, in float64, from which means of their products follow.

    Parameters
    ----------
    level
        What is taken off the masks.
    """

    def __init__(self, level: float) -> None:
        self._level = level
        self._origin: Tensor | None = None
        self._count = 0
        self._scores = torch.zeros((), dtype=torch.float64)
        self._first = torch.zeros((), dtype=torch.float64)
        self._second = torch.zeros((), dtype=torch.float64)

    def add(self, masks: Tensor, scores: Tensor) -> None:
        """Take masks (mask, *space) and their scores (mask,) float64."""
        if self._origin is None:
            self._origin = scores[0] if self._level else torch.zeros_like(scores[0])
        score = scores - self._origin
        powers = torch.stack([torch.ones_like(score), score, score**2])
        excess = masks.flatten(1).double() - self._level
        self._shape = masks.shape[1:]
        self._count += len(score)
        self._scores = self._scores + score.sum()
        self._first = self._first + powers[:2] @ excess
        self._second = self._second + powers @ excess.square_()

    def mean(self, *, centred: bool) -> tuple[Tensor, Tensor]:
        """Return the mean product (*space) and its standard error.

        Parameters
        ----------
        centred
            Whether the scores' mean is taken off: then it is their sample covariance.
        """
        n = self._count
        level = self._scores / n if centred else torch.zeros_like(self._scores)
        product = self._first[1] - level * self._first[0]
        value = product / (n - 1 if centred else n)
        square = self._second[2] - 2 * level * self._second[1] + level**2 * self._second[0]
        variance = (square / n - value**2).clamp_min(0) / (n - 1)
        return value.reshape(self._shape), variance.sqrt().reshape(self._shape)
