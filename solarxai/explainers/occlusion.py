"""Occlusion: how much the score drops when a window is hidden."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from solarxai.engine.masking import Masking
from solarxai.errors import ContractError
from solarxai.explainers import Attribution, Problem
from solarxai.explainers._filling import Filling

__all__ = ["Occlusion"]

SHAPES = ("square", "circle")


@dataclass(frozen=True, kw_only=True)
class Occlusion(Filling):
    r"""The mean drop of the score over the windows that hide each pixel, signed.

    Parameters
    ----------
    window
        Pixels across the window; at most those of the image.
    stride
        Pixels from one window to the next along each axis.
    shape
        "square" or "circle"; both are an interval in a spectrum.

    Notes
    -----
    With the windows W that contain pixel i,

    .. math:: a_i = \frac{1}{|\{W \ni i\}|} \sum_{W \ni i} f(x) - f(x_{W \to \text{fill}}),

    so a value is the drop for a whole window, not the share of one pixel: the sum over the image
    is no score, and grows with the window. Squares begin at the first pixel and the last ones are
    cut at the far edge; circles begin half a window before it, as no corner would be in one
    otherwise. Pixels at the edges are in fewer windows. All channels are hidden at once and each
    holds the same value.

    References
    ----------
    Zeiler & Fergus 2014, doi:10.1007/978-3-319-10590-1_53, section 4.2.
    """

    linear: ClassVar[bool] = True

    batch_size: int = 16
    window: int = 8
    stride: int = 4
    shape: str = "square"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(self.shape in SHAPES, "shape", f"Choose one of {', '.join(SHAPES)}.")

    def attribute(self, problem: Problem) -> Attribution:
        """Return the mean drops, in units of the score."""
        space = problem.x.shape[2:]
        if self.window > min(space):
            raise ContractError(
                f"a window of {self.window} pixels does not fit into images {tuple(space)}",
                remedy=f"Give a window of at most {min(space)} pixels.",
            )
        wide = self.shape == "circle" and len(space) == 2
        margin = self.window // 2 if wide else 0
        windows = _Windows(space, self._footprint(len(space)), self.stride, margin)
        pairs = zip(problem.x, problem.weights, strict=True)
        found = [self._explain(problem, windows, *pair) for pair in pairs]
        return Attribution(values=torch.stack(found))

    def _footprint(self, axes: int) -> Tensor:
        """Return which pixels a window hides, (window,) * axes."""
        place = torch.arange(self.window) - (self.window - 1) / 2
        if self.shape == "square" or axes == 1:
            return torch.ones((self.window,) * axes, dtype=torch.bool)
        grid = torch.meshgrid(*[place] * axes, indexing="ij")
        return torch.stack(grid).square().sum(dim=0) <= (self.window / 2) ** 2

    def _explain(
        self, problem: Problem, windows: _Windows, image: Tensor, weight: Tensor
    ) -> Tensor:
        drops = _drops(self.masking(problem, image, weight), windows, problem.stream.batch_size)
        return windows.averaged(drops).to(image).expand_as(image)


def _drops(masking: Masking, windows: _Windows, at_most: int) -> Tensor:
    """Return the drop of the score for each window, float64; the first pass has the image too."""
    numbers = torch.arange(-1, windows.number)
    parts = numbers.tensor_split(-(-len(numbers) // at_most))
    scores = torch.cat([masking.scores(windows.keep(part)) for part in parts])
    return scores[0] - scores[1:]


class _Windows:
    """The windows over an image of some shape: what they hide, and means over them.

    Parameters
    ----------
    space
        Pixels of the image, one number an axis.
    footprint
        (window,) * axes: which pixels of the window are hidden.
    stride
        Pixels from one window to the next.
    margin
        Pixels before the image at which the first window begins, and after which the last ends.

    Raises
    ------
    ContractError
        when a pixel is in no window.
    """

    def __init__(self, space: Sequence[int], footprint: Tensor, stride: int, margin: int) -> None:
        self._space = tuple(space)
        self._footprint = footprint
        self._stride = stride
        self._margin = margin
        window = len(footprint)
        self._grid = [math.ceil((n + 2 * margin - window) / stride) + 1 for n in space]
        self.number = math.prod(self._grid)
        self._overlap = self._summed(torch.ones(self.number, dtype=torch.float64))
        if not bool((self._overlap > 0).all()):
            raise ContractError(
                f"with a stride of {stride} some pixels are in no window",
                remedy=f"Give a smaller stride than {stride}, or a larger window.",
            )
        self._canvas = self._around()

    def keep(self, numbers: Tensor) -> Tensor:
        """Return masks (window, *space), 0 where a window hides; -1 is the number of no window."""
        return torch.stack([self._view(number) for number in numbers.tolist()])

    def averaged(self, drops: Tensor) -> Tensor:
        """Return (*space): the mean over the windows that contain a pixel."""
        return self._summed(drops) / self._overlap

    def _summed(self, values: Tensor) -> Tensor:
        transposed = functional.conv_transpose2d if len(self._grid) == 2 else _along
        kernel = self._footprint.double()[None, None]
        spread = transposed(values.reshape(1, 1, *self._grid), kernel, stride=self._stride)
        return spread[0, 0][tuple(slice(self._margin, self._margin + n) for n in self._space)]

    def _around(self) -> Tensor:
        """Return a field of ones with one window in it, of which every mask is a view."""
        window = len(self._footprint)
        canvas = torch.ones([2 * (n + window) for n in self._space])
        hole = tuple(slice(n + window, n + 2 * window) for n in self._space)
        canvas[hole] = 1 - self._footprint.to(canvas)
        return canvas

    def _view(self, number: int) -> Tensor:
        if number < 0:
            return torch.ones(self._space)
        window = len(self._footprint)
        starts = [self._stride * i - self._margin for i in _unravelled(number, self._grid)]
        corners = [n + window - start for n, start in zip(self._space, starts, strict=True)]
        pairs = zip(corners, self._space, strict=True)
        return self._canvas[tuple(slice(corner, corner + n) for corner, n in pairs)]


def _along(values: Tensor, kernel: Tensor, stride: int) -> Tensor:
    return functional.conv_transpose1d(values, kernel, stride=stride)


def _unravelled(number: int, grid: Sequence[int]) -> list[int]:
    places = []
    for size in reversed(grid):
        number, place = divmod(number, size)
        places.append(place)
    return places[::-1]
