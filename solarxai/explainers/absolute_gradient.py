"""The magnitude of the gradient of a score with respect to the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from solarxai.explainers import Attribution, Explainer, Problem

__all__ = ["AbsoluteGradient"]


@dataclass(frozen=True, kw_only=True)
class AbsoluteGradient(Explainer):
    r"""The magnitude of the gradient of the score with respect to each input value.

    Notes
    -----
    :math:`|\partial f / \partial x|`, a value for each channel; the maximum over channels that
    the reference shows for colour images is left to the reader.

    References
    ----------
    Simonyan, Vedaldi & Zisserman 2014, Deep Inside Convolutional Networks, arXiv:1312.6034.
    """

    units: ClassVar[str] = "logit per unit of the input"
    signed: ClassVar[bool] = False

    def attribute(self, problem: Problem) -> Attribution:
        """Return the magnitude, in units of the score per unit of the input."""
        parts = [problem.stream.gradient(*part).abs() for part in problem.parts()]
        return Attribution(values=torch.cat(parts))
