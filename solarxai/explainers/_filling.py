"""What methods share that hide parts of an image: what stands in their place."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from solarxai.engine.fills import FILLS, fill_images
from solarxai.engine.masking import Masking
from solarxai.errors import ContractError
from solarxai.explainers import Explainer, Problem

__all__ = ["Filling"]


@dataclass(frozen=True, kw_only=True)
class Filling(Explainer):
    """A method that hides parts of an image, in all channels at once.

    Parameters
    ----------
    fill
        What stands where the image is hidden: "mean" (its own, by channel), "value", "blur",
        "baselines" (their mean; the call then needs `baselines`) or "granulation" (new texture with
        the statistics of the image's quiet surroundings; images only).
    fill_value
        For the fill "value", in units of the input.
    n_baselines
        How many training images to draw as baselines where the caller draws them; read by
        `solarxai.attribution`.
    """

    takes_baselines: ClassVar[bool] = True

    fill: str = "mean"
    fill_value: float = 0.0
    n_baselines: int = field(default=0, metadata={"minimum": 0})

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(self.fill in FILLS, "fill", f"Choose one of {', '.join(FILLS)}.")
        self._check(math.isfinite(self.fill_value), "fill_value", "Give a finite number.")

    def _check(self, good: bool, option: str, remedy: str) -> None:
        if not good:
            raise ContractError(
                f"{type(self).__name__}: {option} is {getattr(self, option)!r}", remedy=remedy
            )

    def alone(self) -> Explainer:
        """Return the method itself: its passes hold one image each already."""
        return self

    def masking(self, problem: Problem, image: Tensor, weight: Tensor) -> Masking:
        """Return what asks the network about one image (channel, *space) with parts hidden."""
        given = problem.baselines
        (fill,) = fill_images(self.fill, image[None], value=self.fill_value, baselines=given)
        return Masking(problem.stream, image, fill, weight)
