"""Gradients along straight paths from baselines to an image, summed as they come."""

from __future__ import annotations

import hashlib
from copy import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from solarxai.engine.baselines import tour
from solarxai.engine.gradients import Stream, check_finite
from solarxai.engine.positions import BINS, Floats, Positions, bridge, learned, uniform
from solarxai.engine.stems import stem_of

__all__ = ["IMPORTANCE", "Paths", "Slopes", "along", "beyond_control", "paths_from"]

IMPORTANCE = ("auto", "on", "off")
"""Whether the density of positions is learnt: where it is worth it, always, or never."""

_KEPT = 4
"""Sets of paths kept with a network: of two targets, with and without the control."""

_PAIRS = 4
_WORTH = 1.5


class Slopes(NamedTuple):
    """Gradients between the ends of paths, at the start and at the end, to what the rest reads."""

    between: Tensor
    first: Tensor | None
    last: Tensor | None


class _Ends(NamedTuple):
    """The gradient at each baseline, to what the rest reads, and means of those to the image.

    The control's mean needs that of the gradients and that of baseline times gradient.
    """

    gradients: Tensor
    mean: Tensor
    product: Tensor


def paths_from(
    stream: Stream, baselines: Tensor, weight: Tensor, *, control: bool, importance: str
) -> Paths:
    """Return the `Paths` with these arguments, kept with the network for the next call."""
    kept: dict[bytes, Paths] = stream.prepared.memo.setdefault("paths", {})
    how = f"{stream.how}, {baselines.device}, {control}, {importance}".encode()
    arrays = [given.cpu().numpy().tobytes() for given in (baselines, weight)]
    key = hashlib.sha256(b"".join([how, *arrays])).digest()
    if key not in kept:
        while len(kept) >= _KEPT:
            del kept[next(iter(kept))]
        kept[key] = Paths(stream, baselines, weight, control=control, importance=importance)
    return kept[key].through(stream)


class Paths:
    """The paths from a set of baselines, for one score; what they share is computed once.

    Parameters
    ----------
    stream
        The network.
    baselines
        (baseline, channel, *space).
    weight
        (class,) of `target_weights`: the score explained.
    control
        Whether the gradients at both ends of a path are taken off those between: one gradient a
        baseline.
    importance
        One of `IMPORTANCE`. Learning takes 64 gradients on paths between baselines.

    Attributes
    ----------
    stem
        The first layer, where it may be taken apart from the rest (`solarxai.engine.stems`).
    starts
        What the rest reads of each baseline.
    """

    def __init__(
        self,
        stream: Stream,
        baselines: Tensor,
        weight: Tensor,
        *,
        control: bool = True,
        importance: str = "auto",
    ) -> None:
        self.stream = stream
        self.baselines = baselines
        self._weight = weight
        self._middle = baselines.mean(dim=0, dtype=torch.float64)
        self.stem = stem_of(stream.prepared)
        self.starts = baselines
        if self.stem.layer is not None:
            self.starts = torch.cat([self.stem.ahead(part) for part in stream.parts(baselines)])
        scores, self.ends = self._at_baselines(control)
        self.expected = float(scores.mean())
        self.order = tour(baselines.flatten(1).cpu().numpy(), scores.numpy())
        self.positions = self._positions(importance)

    def through(self, stream: Stream) -> Paths:
        """Return the same paths through another stream of the same network."""
        found = copy(self)
        found.stream = stream
        return found

    def scored(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the explained score (point,), float64, and its gradient at each point.

        Points are what the rest reads, and so are gradients.
        """
        with torch.enable_grad():
            leaf = points.detach().requires_grad_()
            scores = self.stream.run(leaf, self.stem.rest)
            (gradient,) = torch.autograd.grad((scores * self._weight.to(scores)).sum(), leaf)
        self.stream.backward += len(points)
        return scores.detach().double().cpu() @ self._weight.double(), gradient.to(points)

    def control_mean(self, image: Tensor, slope: Tensor) -> Tensor:
        """Return the mean of the control over all paths to the image, float64.

        The slope is the gradient at the image, to what the rest reads.
        """
        if self.ends is None:
            return torch.zeros_like(self._middle)
        x = image.double()
        starts = x * self.ends.mean - self.ends.product
        last = self.stem.back(slope[None])[0].double()
        return (starts + (x - self._middle) * last) / 2

    def _at_baselines(self, control: bool) -> tuple[Tensor, _Ends | None]:
        if not control:
            scores = check_finite(
                self.stream.scores(self.baselines), what="score", whose="baselines"
            )
            return scores.double().cpu() @ self._weight.double(), None
        found = [self.scored(part) for part in self.stream.parts(self.starts)]
        explained, gradients = (torch.cat(part) for part in zip(*found, strict=True))
        check_finite(explained[:, None], what="score", whose="baselines")
        check_finite(gradients, whose="baselines")
        total, product = torch.zeros_like(self._middle), torch.zeros_like(self._middle)
        parts = map(self.stream.parts, (self.baselines, gradients))
        for baselines, slopes in zip(*parts, strict=True):
            backs = self.stem.back(slopes)
            total += backs.sum(dim=0, dtype=torch.float64)
            product += (baselines.double() * backs).sum(dim=0)
        return explained, _Ends(gradients, total / len(gradients), product / len(gradients))

    def _positions(self, importance: str) -> Positions:
        plain = uniform() if self.ends is None else bridge()
        if importance == "off" or len(self.baselines) == 1:
            return plain
        squares = self._squares()
        found = learned(squares)
        gain = plain.cost(squares) / max(found.cost(squares), 1e-300)
        return found if importance == "on" or gain > _WORTH else plain

    def _squares(self) -> Floats:
        """Return the mean square of contributions in bins of the paths between far baselines."""
        half, pairs = len(self.order) // 2, min(_PAIRS, len(self.order) // 2)
        starts = self.order[np.arange(pairs) * half // pairs]
        ends = self.order[np.arange(pairs) * half // pairs + half]
        squares = torch.zeros(BINS, dtype=torch.float64)
        alphas = ((torch.arange(BINS) + 0.5) / BINS).to(self.baselines)
        for pair in zip(starts, ends, strict=True):
            for bins in self.stream.parts(torch.arange(BINS)):
                squares[bins] += self._squares_between(*pair, alphas[bins.to(alphas.device)])
        return (squares / pairs).numpy()

    def _squares_between(self, start: np.intp, end: np.intp, alphas: Tensor) -> Tensor:
        first, last = self.starts[[start]], self.starts[[end]]
        alpha = along(alphas, first[0])
        _, between = self.scored(torch.lerp(first, last, alpha))
        slopes = Slopes(between, None, None)
        if self.ends is not None:
            gradients = self.ends.gradients
            slopes = Slopes(between, gradients[[start]], gradients[[end]])
        way = self.baselines[[end]] - self.baselines[[start]]
        found = self.stem.back(beyond_control(alpha, slopes)) * way
        return found.flatten(1).square().mean(dim=1, dtype=torch.float64).cpu()


def beyond_control(alpha: Tensor, slopes: Slopes) -> Tensor:
    """Return the gradient between the ends of paths less the control, where there is one.

    Parameters
    ----------
    alpha
        (point, 1, …), from 0 at the start to 1 at the end.
    slopes
        Gradients (point, …) between, at the start and at the end, or (1, …) where all points share
        an end.
    """
    between, first, last = slopes
    if first is None or last is None:
        return between
    return between - torch.lerp(first, last, alpha)


def along(values: Tensor, image: Tensor) -> Tensor:
    """Return values (point,) in a shape that multiplies points like an image (channel, *space)."""
    return values.to(image).view(-1, *[1] * image.ndim)
