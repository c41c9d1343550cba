"""The gradient of a score times the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from solarxai.explainers import Attribution, Explainer, Problem

__all__ = ["InputXGradient"]


@dataclass(frozen=True, kw_only=True)
class InputXGradient(Explainer):
    r"""Each input value times the gradient of the score with respect to it, signed.

    Notes
    -----
    :math:`x \, \partial f / \partial x`, the score's linear part against an image of zeros. It sums
    to the score for piecewise linear networks without any bias (Euler's theorem) and for no others,
    so no completeness error is given. What is zero in the units of the input gets nothing: the
    normalisation of the images decides what that is.

    References
    ----------
    Shrikumar, Greenside, Shcherbina & Kundaje 2016, Not Just a Black Box, arXiv:1605.01713.
    """

    linear: ClassVar[bool] = True

    def attribute(self, problem: Problem) -> Attribution:
        """Return the product, in units of the score."""
        parts = [x * problem.stream.gradient(x, weights) for x, weights in problem.parts()]
        return Attribution(values=torch.cat(parts))
