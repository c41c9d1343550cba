"""The squared gradient of a score averaged over noise on the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from solarxai.engine.moments import Moments
from solarxai.explainers._noise import NoisyGradients

__all__ = ["SmoothGradSquared"]


@dataclass(frozen=True, kw_only=True)
class SmoothGradSquared(NoisyGradients):
    r"""The squared gradient of the score averaged over normal noise on the image.

    Notes
    -----
    .. math:: \Big\langle \Big( \frac{\partial f}{\partial x}(x + \epsilon) \Big)^2 \Big\rangle,
              \qquad \epsilon \sim N(0, \sigma^2),

    the square of SmoothGrad plus VarGrad. It says how strongly the score reacts near the image,
    not in which direction.

    References
    ----------
    Hooker, Erhan, Kindermans & Kim 2019, A Benchmark for Interpretability Methods in Deep Neural
    Networks, arXiv:1806.10758.
    """

    units: ClassVar[str] = "logit² per squared unit of the input"
    signed: ClassVar[bool] = False

    def moments(self) -> Moments:
        """Return moments that have taken nothing yet."""
        return Moments()

    def seen(self, gradients: Tensor) -> Tensor:
        """Return the squares."""
        return gradients.square()

    def summed_up(self, moments: Moments) -> tuple[Tensor, Tensor]:
        """Return the mean and its standard error."""
        return moments.mean, moments.stderr()
