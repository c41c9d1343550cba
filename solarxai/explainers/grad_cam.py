"""Grad-CAM: the channels of a layer, each weighted by its mean gradient."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from solarxai.engine.features import Layer
from solarxai.explainers import ExplainerWarning
from solarxai.explainers._class_activation import ClassActivation

__all__ = ["GradCAM"]


@dataclass(frozen=True, kw_only=True)
class GradCAM(ClassActivation):
    r"""The activations of a layer, channels weighted by their mean gradient, signed.

    Notes
    -----
    Equations 1 and 2 of the paper without its ReLU,

    .. math:: L = \sum_k \alpha_k A^k, \quad \alpha_k = \frac{1}{Z} \sum_{ij}
              \frac{\partial y}{\partial A^k_{ij}}.

    Behind a global average pooling and a linear head Z·L is the class activation map, whose mean is
    the score without its bias. Without the pooling a channel has no single weight, and the mean
    discards what the head knows of places: a warning recommends `hires_cam`.

    References
    ----------
    Selvaraju et al. 2017, Grad-CAM, doi:10.1109/ICCV.2017.74.
    """

    linear: ClassVar[bool] = True

    def cells(self, features: Tensor, gradient: Tensor) -> Tensor:
        """Return Σ_k α_k A^k, (image, 1, *cells)."""
        axes = tuple(range(2, gradient.ndim))
        weights = gradient.mean(dim=axes, keepdim=True)
        return (weights * features).sum(dim=1, keepdim=True)

    def check_layer(self, layer: Layer) -> None:
        """Warn when no global average pooling stands between the layer and the scores."""
        if not layer.pooled:
            warnings.warn(
                f"no global average pooling follows {layer.name}: Grad-CAM weights its channels by "
                "mean gradients that have no meaning for this head; use hires_cam",
                ExplainerWarning,
                stacklevel=3,
            )
