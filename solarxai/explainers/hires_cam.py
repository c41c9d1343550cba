"""HiResCAM: the activations of a layer times their own gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from solarxai.explainers._class_activation import GradientActivation

__all__ = ["HiResCAM"]


@dataclass(frozen=True, kw_only=True)
class HiResCAM(GradientActivation):
    r"""The activations of a layer times their gradients, summed over channels, signed.

    Notes
    -----
    .. math:: L_{ij} = \sum_k A^k_{ij} \frac{\partial y}{\partial A^k_{ij}}

    For any head that is linear in the layer (flatten and dense included) the sum of the cells is
    the score without its bias. Behind a global average pooling it equals Grad-CAM.

    References
    ----------
    Draelos & Carin 2020, Use HiResCAM instead of Grad-CAM, arXiv:2011.08891.
    """

    linear: ClassVar[bool] = True

    def cells(self, features: Tensor, gradient: Tensor) -> Tensor:
        """Return Σ_k A^k ∂y/∂A^k, (image, 1, *cells)."""
        return (features * gradient).sum(dim=1, keepdim=True)
