"""Extremal perturbation: the part of given area that keeps most of the score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from solarxai.explainers._mask_optimisation import Game, MaskOptimisation

__all__ = ["ExtremalPerturbation"]

_COLDNESS = 20.0
"""Inverse temperature of the smooth maximum, as in TorchRay, the authors' program."""

_GROWTH = 100.0
"""How much the weight of the area grows from the first step to the last."""

_REACH = 1.5
"""Where the profile of the kernel ends, in radii: 0.14 there."""


@dataclass(frozen=True, kw_only=True)
class ExtremalPerturbation(MaskOptimisation):
    r"""The smooth mask of a fixed area that keeps most of the score, averaged over areas.

    Parameters
    ----------
    areas
        Parts of the image that a mask may leave, each between 0 and 1. Each has its own search;
        the map is the mean of their masks, so a pixel that even the smallest area keeps is 1.
    radius
        Radius in pixels of the smallest spot that a mask can leave.
    area_weight
        Weight of the area's constraint in the first step; it grows to 100 times that.

    Notes
    -----
    For each area a the mask m maximises

    .. math:: s(m) - \lambda_t \langle (\operatorname{sort}(m) - r_a)^2 \rangle, \qquad
              s(m) = \frac{f(m) - f(\text{fill})}{f(x) - f(\text{fill})},

    where r_a is zero for a part 1 − a of the pixels and one for the rest. The mask is the
    max-convolution of a coarse grid g of cells with a kernel k that is flat to half a radius,

    .. math:: m(u) = \operatorname{smax}_v \, k(u - v)\, g(v), \qquad
              \operatorname{smax}(z) = \frac{\sum z \exp(20 z)}{\sum \exp(20 z)}, \qquad
              k(u) = \exp\big(-2 \max(0, |u|/r - 1/2)^2\big).

    It starts from one half everywhere; the first step follows the score alone, as the sorting has
    nothing but ties. The paper's random jitter is left out, so nothing is random.

    References
    ----------
    Fong, Patrick & Vedaldi 2019, doi:10.1109/ICCV.2019.00304, arXiv:1910.08485,
    section 3; kernel and temperature as in TorchRay, the authors' program.
    """

    areas: tuple[float, ...] = (0.05, 0.1, 0.2)
    radius: float = 3.0
    area_weight: float = 3.0
    rate: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        parts = isinstance(self.areas, tuple) and bool(self.areas)
        good = parts and all(0 < area < 1 for area in self.areas)
        self._check(good, "areas", "Give a tuple of numbers between 0 and 1, such as (0.1, 0.2).")
        for option in ("radius", "area_weight"):
            self._check(getattr(self, option) > 0, option, "Give a number above 0.")

    def found(self, game: Game) -> Tensor:
        """Return the mean over areas of what is left, (1, *space)."""
        masks = _SmoothMasks(game.image, self.radius)
        return torch.stack([self._kept(game, masks, area) for area in self.areas]).mean(dim=0)

    def _kept(self, game: Game, masks: _SmoothMasks, area: float) -> Tensor:
        pixels = game.image[0].numel()
        wanted = (torch.arange(pixels, device=game.image.device) >= (1 - area) * pixels).float()
        growth = math.log(_GROWTH) / max(self.steps - 1, 1)

        def loss(cells: Tensor, step: int) -> Tensor:
            mask = masks.made(cells)
            miss = (mask.flatten().sort().values - wanted).square().mean()
            weight = self.area_weight * math.exp(growth * step) if step else 0.0
            return weight * miss - game.share(mask)

        cells = game.descend(masks.start(), loss, steps=self.steps, rate=self.rate)
        return masks.made(cells)


class _SmoothMasks:
    """Makes masks whose spots have at least some radius, from numbers on a coarse grid."""

    def __init__(self, image: Tensor, radius: float) -> None:
        self._space: Sequence[int] = image.shape[1:]
        self._step = max(1, round(radius / 2))
        self._reach = math.ceil(_REACH * radius / self._step)
        self._cells = [-(-n // self._step) for n in self._space]
        self._weights = self._profile(radius).to(image)

    def start(self) -> Tensor:
        """Return one half in each cell, (1, *cells)."""
        return self._weights.new_full((1, *self._cells), 0.5)

    def made(self, cells: Tensor) -> Tensor:
        """Return the mask (1, *space) of cells (1, *cells), with its graph."""
        near = torch.nn.functional.pad(cells, (self._reach,) * 2 * len(self._cells))
        for axis in range(1, cells.ndim):
            near = near.unfold(axis, 2 * self._reach + 1, 1)
        near = near.flatten(cells.ndim)
        for axis in range(len(self._cells)):
            near = near.unsqueeze(2 * axis + 2)
        smooth = _smooth_maximum(near * self._weights)
        sizes = [n * self._step for n in self._cells]
        return smooth.reshape(1, *sizes)[(slice(None), *(slice(n) for n in self._space))]

    def _profile(self, radius: float) -> Tensor:
        """Return the kernel between the pixels of a cell and the cells near it, by axis pairs."""
        within = torch.arange(self._step) - (self._step - 1) / 2
        away = torch.arange(-self._reach, self._reach + 1) * self._step
        squares = (within[:, None] - away).square()
        if len(self._cells) == 1:
            distance = squares.sqrt()
            return _kernel(distance / radius)[None]
        distance = (squares[:, None, :, None] + squares[None, :, None, :]).sqrt().flatten(2)
        return _kernel(distance / radius)[None, :, None, :]


def _kernel(distance: Tensor) -> Tensor:
    return torch.exp(-2 * (distance - 0.5).clamp_min(0).square())


def _smooth_maximum(values: Tensor) -> Tensor:
    return (values * torch.softmax(_COLDNESS * values, dim=-1)).sum(dim=-1)
