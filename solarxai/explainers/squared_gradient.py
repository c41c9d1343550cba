"""The square of the gradient of a score with respect to the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from solarxai.explainers import Attribution, Explainer, Problem

__all__ = ["SquaredGradient"]


@dataclass(frozen=True, kw_only=True)
class SquaredGradient(Explainer):
    r"""The sensitivity of the score to each input value: its squared gradient.

    Notes
    -----
    :math:`(\partial f / \partial x)^2`: the part of each value in the variance of the score under
    small independent noise of equal size on all values.

    References
    ----------
    Zurada, Malinowski & Cloete 1994, Sensitivity analysis for minimization of input data dimension
    for feedforward neural network, doi:10.1109/ISCAS.1994.409622.
    """

    units: ClassVar[str] = "logit² per squared unit of the input"
    signed: ClassVar[bool] = False

    def attribute(self, problem: Problem) -> Attribution:
        """Return the square, in squared units of the score per squared unit of the input."""
        parts = [problem.stream.gradient(*part).square() for part in problem.parts()]
        return Attribution(values=torch.cat(parts))
