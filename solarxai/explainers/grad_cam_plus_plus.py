"""Grad-CAM++: channels weighted by their positive gradients, each gradient by its share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from solarxai.errors import ExplainerRefusal
from solarxai.explainers._class_activation import ChannelWeighting

__all__ = ["GradCAMPlusPlus"]


@dataclass(frozen=True, kw_only=True)
class GradCAMPlusPlus(ChannelWeighting):
    r"""The activations of a layer, channels weighted by a mean of their positive gradients.

    Notes
    -----
    With Y = exp(y), where y is the explained score before any softmax, and g its gradient,

    .. math:: L = \sum_k w_k A^k, \quad w_k = \sum_{ij} \alpha^k_{ij} \max(0, g^k_{ij}), \quad
              \alpha^k_{ij} = \frac{(g^k_{ij})^2}
              {2 (g^k_{ij})^2 + (g^k_{ij})^3 \sum_{ab} A^k_{ab}}

    The second and third derivatives of Y are Yg² and Yg³, exact where the head is piecewise linear.
    The factor Y common to all cells of an image is left out: it overflows for large scores, and
    without it the map has the units of the score. Weights are never negative, so evidence against
    the score does not show.

    The weights divide by 2 + g ΣA; where that is not positive, as it may be for activations that
    have not passed a ReLU, the method has no meaning and refuses.

    References
    ----------
    Chattopadhay et al. 2018, Grad-CAM++, doi:10.1109/WACV.2018.00097.
    """

    title: ClassVar[str] = "Grad-CAM++"

    def cells(self, features: Tensor, gradient: Tensor) -> Tensor:
        """Return Σ_k w_k A^k, (image, 1, *cells)."""
        axes = tuple(range(2, features.ndim))
        rising = gradient.clamp_min(0)
        divisor = 2 + rising * features.sum(dim=axes, keepdim=True)
        if bool((divisor <= 0).any()):
            raise ExplainerRefusal(
                "the sum of a channel's activations is so negative that its weights in Grad-CAM++ "
                "change their sign",
                remedy="Name a layer behind a ReLU, or use layer_cam or hires_cam.",
            )
        weights = torch.sum(rising / divisor, dim=axes, keepdim=True)
        return (weights * features).sum(dim=1, keepdim=True)
