"""The variance of the gradient of a score under noise on the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from solarxai.engine.moments import Moments
from solarxai.explainers._noise import NoisyGradients

__all__ = ["VarGrad"]


@dataclass(frozen=True, kw_only=True)
class VarGrad(NoisyGradients):
    r"""The variance of the gradient of the score under normal noise on the image.

    Notes
    -----
    .. math:: \Big\langle \Big( \frac{\partial f}{\partial x}(x + \epsilon) \Big)^2 \Big\rangle
              - \Big\langle \frac{\partial f}{\partial x}(x + \epsilon) \Big\rangle^2,
              \qquad \epsilon \sim N(0, \sigma^2),

    without bias (sums of squares over n − 1), zero for a linear score: it sees where the score
    bends, not where it rises. The standard error needs the fourth moments of the gradient, which
    a few samples know badly where it is rarely large: take hundreds to rely on it.

    References
    ----------
    Adebayo, Gilmer, Goodfellow & Kim 2018, Local Explanation Methods for Deep Neural Networks Lack
    Sensitivity to Parameter Values, arXiv:1810.03307.
    """

    units: ClassVar[str] = "logit² per squared unit of the input"
    signed: ClassVar[bool] = False

    def moments(self) -> Moments:
        """Return moments that have taken nothing yet."""
        return Moments(fourth=True)

    def summed_up(self, moments: Moments) -> tuple[Tensor, Tensor]:
        """Return the variance and its standard error."""
        return moments.variance(), moments.variance_stderr()
