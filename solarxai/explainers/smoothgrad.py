"""The gradient of a score averaged over noise on the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from solarxai.engine.moments import Moments
from solarxai.explainers._noise import NoisyGradients

__all__ = ["SmoothGrad"]


@dataclass(frozen=True, kw_only=True)
class SmoothGrad(NoisyGradients):
    r"""The gradient of the score averaged over normal noise on the image, signed.

    Notes
    -----
    .. math:: \Big\langle \frac{\partial f}{\partial x}(x + \epsilon) \Big\rangle, \qquad
              \epsilon \sim N(0, \sigma^2),

    which is the gradient of the score smoothed by that noise. Each noise is used with both signs,
    so what is odd in it cancels and a quadratic score has no error; an odd number of samples is
    rounded down. The standard error is that of the mean of such pairs.

    References
    ----------
    Smilkov et al. 2017, SmoothGrad, arXiv:1706.03825.
    """

    units: ClassVar[str] = "logit per unit of the input"
    linear: ClassVar[bool] = True
    paired: ClassVar[bool] = True

    def moments(self) -> Moments:
        """Return moments that have taken nothing yet."""
        return Moments()

    def summed_up(self, moments: Moments) -> tuple[Tensor, Tensor]:
        """Return the mean and its standard error."""
        return moments.mean, moments.stderr()
