"""What methods share that compare with given baselines or, without any, with one even image."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from solarxai.errors import ContractError
from solarxai.explainers import Explainer, Problem

__all__ = ["Comparing"]


@dataclass(frozen=True, kw_only=True)
class Comparing(Explainer):
    """A method that compares an image with baselines, and needs none to be given.

    Parameters
    ----------
    baseline_value
        Of every pixel of the baseline where the call gives no `baselines`, in units of the input.
    n_baselines
        How many training images to draw as baselines where the caller draws them; read by
        `solarxai.attribution`.
    """

    takes_baselines: ClassVar[bool] = True

    baseline_value: float = 0.0
    n_baselines: int = field(default=0, metadata={"minimum": 0})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not math.isfinite(self.baseline_value):
            raise ContractError(
                f"{type(self).__name__}: baseline_value is {self.baseline_value!r}",
                remedy="Give a finite number in units of the input.",
            )

    def alone(self) -> Explainer:
        """Return the method itself: its passes hold one image each already."""
        return self

    def compared(self, problem: Problem) -> Tensor:
        """Return the baselines (baseline, channel, *space)."""
        if problem.baselines is not None:
            return problem.baselines
        return torch.full_like(problem.x[:1], self.baseline_value)
