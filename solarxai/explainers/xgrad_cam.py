"""XGrad-CAM: channels weighted by their gradients where they are active."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from solarxai.errors import ExplainerRefusal
from solarxai.explainers._class_activation import ChannelWeighting

__all__ = ["XGradCAM"]

_CANCELLATION = 1e-5
"""Least |ΣA| / Σ|A| of a channel: below it the sum is float32 rounding."""


@dataclass(frozen=True, kw_only=True)
class XGradCAM(ChannelWeighting):
    r"""The activations of a layer, channels weighted by the mean of gradients over activations.

    Notes
    -----
    .. math:: L = \sum_k \alpha_k A^k, \quad \alpha_k = \sum_{ij}
              \frac{A^k_{ij}}{\sum_{ab} A^k_{ab}} \frac{\partial y}{\partial A^k_{ij}}

    The cells of a channel sum to those of HiResCAM, so for a head that is linear in the layer they
    sum to the score without its bias; where in the channel they lie is decided by the activations
    alone. Behind a global average pooling it equals Grad-CAM. A channel that is zero everywhere has
    no part in the map; one whose activations cancel is refused.

    References
    ----------
    Fu et al. 2020, Axiom-based Grad-CAM, arXiv:2008.02312.
    """

    linear: ClassVar[bool] = True
    title: ClassVar[str] = "XGrad-CAM"

    def cells(self, features: Tensor, gradient: Tensor) -> Tensor:
        """Return Σ_k α_k A^k, (image, 1, *cells)."""
        axes = tuple(range(2, features.ndim))
        total = features.sum(dim=axes, keepdim=True)
        size = features.abs().sum(dim=axes, keepdim=True)
        if bool(((total.abs() < _CANCELLATION * size) & (size > 0)).any()):
            raise ExplainerRefusal(
                "the activations of a channel sum to zero, by which XGrad-CAM would divide",
                remedy="Name a layer behind a ReLU, or use hires_cam.",
            )
        weighted = (features * gradient).sum(dim=axes, keepdim=True)
        weights = weighted / torch.where(size > 0, total, 1)
        return (weights * features).sum(dim=1, keepdim=True)
