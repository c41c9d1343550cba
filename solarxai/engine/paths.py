"""Gradients along straight paths from baselines to an image, summed as they come."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from solarxai.engine.baselines import draw_design, shape_of, tour
from solarxai.engine.gradients import Stream, check_finite
from solarxai.engine.tour_error import TourError

__all__ = ["Paths"]


class Paths:
    """The paths from a set of baselines; their scores and tours are computed once.

    Parameters
    ----------
    stream
        The network.
    baselines
        (baseline, channel, *space).
    """

    def __init__(self, stream: Stream, baselines: Tensor) -> None:
        self._stream = stream
        self._baselines = baselines
        scores = check_finite(stream.scores(baselines), what="score", whose="baselines")
        self._scores = scores.double().cpu().numpy()
        self._tours: dict[tuple[float, ...], npt.NDArray[np.intp]] = {}

    def integrate(
        self, image: Tensor, weight: Tensor, *, samples: int, generator: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the mean of (x − x′)·gradient over the paths, and its standard error.

        Parameters
        ----------
        image
            (channel, *space).
        weight
            (class,) of `target_weights`.
        samples
            Most gradients to take.
        generator
            Of the image; see `draw_design`.
        """
        shape = shape_of(samples, len(self._baselines))
        design = draw_design(self._tour(weight), shape, generator)
        rows = torch.from_numpy(np.repeat(design.baselines, shape.strata)).to(image.device)
        alphas = torch.from_numpy(design.alphas.ravel()).to(image)
        total = torch.zeros_like(image, dtype=torch.float64)
        error = TourError(shape)
        parts = zip(self._stream.parts(rows), self._stream.parts(alphas), strict=True)
        for row, alpha in parts:
            contributions = self._contributions(image, weight, row, alpha)
            total += contributions.sum(dim=0, dtype=torch.float64)
            error.add(contributions)
        return (total / shape.samples).to(image), error.stderr()

    def completeness_error(self, values: Tensor, image: Tensor, weight: Tensor) -> Tensor:
        """Return Σ values − (f(x) − ⟨f(x′)⟩), a scalar, for contributions of that image."""
        score = self._stream.scores(image[None]).double().cpu() @ weight.double()
        expected = score[0] - float(self._explained(weight).mean())
        return (values.double().sum().cpu() - expected).to(torch.float32)

    def _contributions(self, image: Tensor, weight: Tensor, row: Tensor, alpha: Tensor) -> Tensor:
        baselines = self._baselines[row]
        way = image - baselines
        points = baselines + alpha.view(-1, *[1] * image.ndim) * way
        return self._stream.gradient(points, weight.expand(len(row), -1)) * way

    def _explained(self, weight: Tensor) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = self._scores @ weight.double().numpy()
        return found

    def _tour(self, weight: Tensor) -> npt.NDArray[np.intp]:
        key = tuple(weight.tolist())
        if key not in self._tours:
            flat = self._baselines.flatten(1).cpu().numpy()
            self._tours[key] = tour(flat, self._explained(weight))
        return self._tours[key]
