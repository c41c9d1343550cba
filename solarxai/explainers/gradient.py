"""The gradient of a score with respect to the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from solarxai.explainers import Attribution, Explainer, Problem

__all__ = ["Gradient"]


@dataclass(frozen=True, kw_only=True)
class Gradient(Explainer):
    """The gradient of the score with respect to each input value, signed.

    References
    ----------
    Baehrens et al. 2010, How to Explain Individual Classification Decisions, JMLR 11, 1803.
    Simonyan, Vedaldi & Zisserman 2014, Deep Inside Convolutional Networks, arXiv:1312.6034.
    """

    units: ClassVar[str] = "logit per unit of the input"
    linear: ClassVar[bool] = True

    def attribute(self, problem: Problem) -> Attribution:
        """Return the gradient, in units of the score per unit of the input."""
        parts = [problem.stream.gradient(*part) for part in problem.parts()]
        return Attribution(values=torch.cat(parts))
