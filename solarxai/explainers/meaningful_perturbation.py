"""Meaningful perturbation: the least that must be hidden for the score to be gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from solarxai.explainers._mask_optimisation import Game, MaskOptimisation

__all__ = ["MeaningfulPerturbation"]


@dataclass(frozen=True, kw_only=True)
class MeaningfulPerturbation(MaskOptimisation):
    r"""The smallest smooth mask that takes the score away, 1 where the image must be hidden.

    Parameters
    ----------
    cells
        Numbers of the mask along each axis, at most the pixels; it is linear between them.
    area_weight
        Cost of hiding the image: a pixel is worth hiding where it holds at least this many times
        the mean contribution.
    smoothness
        Cost of the mask's total variation.
    exponent
        Power β of the total variation.

    Notes
    -----
    The mask m, 1 where the image is left, minimises

    .. math:: \max(s(m), 0) + \lambda_1 \langle 1 - m \rangle
              + \lambda_2 \sum_\text{axes} \langle |\Delta m|^\beta \rangle, \qquad
              s(m) = \frac{f(m) - f(\text{fill})}{f(x) - f(\text{fill})},

    with means over cells, Δ the difference of neighbouring cells, and 1 − m returned. The paper
    takes the probability of a class for s and sums over cells; a logit has no floor, so it ends at
    the score of the fill, and dividing by the change makes the weights independent of its scale.
    It starts from one half everywhere; the paper's random jitter is left out, so nothing is random.

    References
    ----------
    Fong & Vedaldi 2017, doi:10.1109/ICCV.2017.371, arXiv:1704.03296, section 4.
    """

    cells: int = 16
    area_weight: float = 2.0
    smoothness: float = 0.2
    exponent: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("area_weight", "smoothness"):
            self._check(getattr(self, option) >= 0, option, "Give a number of 0 or more.")
        self._check(self.exponent >= 1, "exponent", "Give a number of 1 or more.")

    def found(self, game: Game) -> Tensor:
        """Return what must be hidden, (1, *space)."""
        space = game.image.shape[1:]
        cells = [min(self.cells, n) for n in space]
        start = torch.full((1, *cells), 0.5, dtype=game.image.dtype, device=game.image.device)

        def loss(mask: Tensor, _: int) -> Tensor:
            left = game.share(_enlarged(mask, space)).clamp_min(0)
            hidden = (1 - mask).mean()
            return left + self.area_weight * hidden + self.smoothness * self._variation(mask)

        mask = game.descend(start, loss, steps=self.steps, rate=self.rate)
        return 1 - _enlarged(mask, space)

    def _variation(self, mask: Tensor) -> Tensor:
        axes = [axis for axis in range(1, mask.ndim) if mask.shape[axis] > 1]
        steps = [mask.diff(dim=axis).abs().pow(self.exponent).mean() for axis in axes]
        return torch.stack(steps).sum() if steps else mask.new_zeros(())


def _enlarged(mask: Tensor, space: Sequence[int]) -> Tensor:
    """Return (1, *space), linear between the centres of the cells."""
    mode = "linear" if len(space) == 1 else "bilinear"
    return functional.interpolate(mask[:, None], tuple(space), mode=mode, align_corners=False)[:, 0]
