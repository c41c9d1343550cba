"""The paths to one image, walked in rounds until somebody has seen enough."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from solarxai.engine.baselines import Leg, Shape, draw_design
from solarxai.engine.paths import Paths, Slopes, along, beyond_control
from solarxai.engine.positions import Positions
from solarxai.engine.shared_passes import Asking
from solarxai.engine.tour_error import TourError, smoothed

__all__ = ["Walk"]


class _Points(NamedTuple):
    """Where to take gradients: the row of the baseline, the position, its weight and its leg."""

    row: Tensor
    alpha: Tensor
    weight: Tensor
    leg: Tensor


class _Sum:
    """The mean of what one leg of a design contributes, and the variance of that mean."""

    def __init__(self, shape: Shape, like: Tensor, *, reached: float) -> None:
        self._samples = shape.samples
        self._total = torch.zeros_like(like, dtype=torch.float64)
        self._error = TourError(shape, reached=reached)

    def add(self, contributions: Tensor) -> None:
        """Take the next contributions (sample, channel, *space)."""
        self._total += contributions.sum(dim=0)
        self._error.add(contributions)

    def mean(self) -> Tensor:
        """Return the mean of all contributions, float64."""
        return self._total / self._samples

    def noise(self) -> Tensor | None:
        """Return the variance of the mean times the samples, or None where nobody knows."""
        variance = self._error.variance()
        return None if variance is None else variance.double() * self._samples


class Walk:
    """The paths to one image, walked in rounds of independent designs.

    Parameters
    ----------
    paths
        From all baselines.
    image
        (channel, *space).
    generator
        Of the image; see `draw_design`.
    """

    def __init__(self, paths: Paths, image: Tensor, generator: np.random.Generator) -> None:
        self._paths = paths
        self._image = image
        self._end = paths.stem.ahead(image[None])
        self._generator = generator
        self._slope: Tensor | None = None
        self._control: Tensor | None = None
        self._score = 0.0
        self._mean = torch.zeros_like(image, dtype=torch.float64)
        self._variance = torch.zeros_like(self._mean)
        self._samples = 0
        self._reached = 0.0

    def go(self, samples: int) -> Asking[None]:
        """Take that many more gradients, asked for; the first round takes one more, at the image.

        See `solarxai.engine.shared_passes` and `Paths.scored`.
        """
        legs = draw_design(self._paths.order, samples, self._generator)
        visited = sum(leg.shape.visited for leg in legs)
        self._reached = visited / len(self._paths.order)
        sums = [_Sum(leg.shape, self._image, reached=self._reached) for leg in legs]
        yield from self._visit(legs, sums)
        shares = [leg.shape.visited / visited for leg in legs]
        new = samples / (self._samples + samples)
        self._mean *= 1 - new
        for share, found in zip(shares, sums, strict=True):
            self._mean += new * share * found.mean()
        self._variance *= (1 - new) ** 2
        self._variance += new**2 * _variance(legs, sums, shares)
        self._samples += samples

    def values(self) -> Tensor:
        """Return the mean of (x − x′)·gradient over the paths, (channel, *space)."""
        if self._slope is None:
            raise ValueError("no gradient was taken")
        if self._control is None:
            self._control = self._paths.control_mean(self._image, self._slope)
        return (self._mean + self._control).to(self._image)

    def stderr(self) -> Tensor:
        """Return the standard error of `values`, of the same shape."""
        return smoothed(self._variance, reached=self._reached).sqrt().to(self._image)

    def completeness_error(self) -> Tensor:
        """Return Σ values − (f(x) − ⟨f(x′)⟩), a scalar."""
        gap = self.values().double().sum().cpu() - (self._score - self._paths.expected)
        return gap.to(torch.float32)

    def _visit(self, legs: tuple[Leg, ...], sums: list[_Sum]) -> Asking[None]:
        points = _points(legs, self._paths.positions)
        size, first = self._paths.stream.batch_size, self._slope is None
        for start, stop in _parts(len(points.row), size, first=first):
            part = _Points(*(column[start:stop] for column in points))
            shares = torch.bincount(part.leg, minlength=len(sums)).tolist()
            each = torch.split((yield from self._contributions(part)), shares)
            for one, mine in zip(sums, each, strict=True):
                if len(mine):
                    one.add(mine)

    def _contributions(self, part: _Points) -> Asking[Tensor]:
        paths, rows = self._paths, part.row.to(self._image.device)
        alpha = along(part.alpha, self._end[0])
        start = paths.starts.index_select(0, rows)
        between = yield from self._gradients(torch.lerp(start, self._end, alpha))
        slopes = Slopes(between, None, None)
        if paths.ends is not None:
            first = paths.ends.gradients.index_select(0, rows)
            slopes = Slopes(between, first, self._slope)
        found = beyond_control(alpha, slopes) * along(part.weight, self._end[0])
        way = paths.baselines.index_select(0, rows).neg_().add_(self._image)
        return way.mul_(paths.stem.back(found))

    def _gradients(self, points: Tensor) -> Asking[Tensor]:
        """Return the gradients at points; the image itself goes along in the first pass."""
        if self._slope is not None:
            return (yield points)[1]
        scores, gradients = yield torch.cat([self._end, points])
        self._score, self._slope = float(scores[0]), gradients[0]
        return gradients[1:]


def _variance(legs: tuple[Leg, ...], sums: list[_Sum], shares: list[float]) -> Tensor:
    """Return the variance of all legs' mean; a leg that cannot say is as noisy as the last."""
    noises = [found.noise() for found in sums]
    known = next(noise for noise in reversed(noises) if noise is not None)
    total = torch.zeros_like(known)
    for leg, noise, share in zip(legs, noises, shares, strict=True):
        total += share**2 / leg.shape.samples * (known if noise is None else noise)
    return total


def _points(legs: tuple[Leg, ...], positions: Positions) -> _Points:
    places = [positions.places(leg.quantiles.ravel()) for leg in legs]
    columns = (
        [np.repeat(leg.baselines, leg.shape.strata) for leg in legs],
        [place.alphas for place in places],
        [place.weights for place in places],
        [np.full(leg.shape.samples, number) for number, leg in enumerate(legs)],
    )
    return _Points(*(torch.from_numpy(np.concatenate(column)) for column in columns))


def _parts(samples: int, batch_size: int, *, first: bool) -> list[tuple[int, int]]:
    """Return starts and stops of the fewest even parts, one shorter where the image goes along."""
    extra = int(first)
    edges = np.linspace(0, samples + extra, -(-(samples + extra) // batch_size) + 1).round()
    edges = np.maximum(edges.astype(int) - extra, 0)
    return [(int(a), int(b)) for a, b in itertools.pairwise(edges)]
