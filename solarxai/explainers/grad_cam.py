"""Grad-CAM: the channels of a layer, each weighted by its mean gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from solarxai.explainers._class_activation import ChannelWeighting

__all__ = ["GradCAM"]


@dataclass(frozen=True, kw_only=True)
class GradCAM(ChannelWeighting):
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
    title: ClassVar[str] = "Grad-CAM"

    def cells(self, features: Tensor, gradient: Tensor) -> Tensor:
        """Return Σ_k α_k A^k, (image, 1, *cells)."""
        weights = gradient.mean(dim=tuple(range(2, gradient.ndim)), keepdim=True)
        return (weights * features).sum(dim=1, keepdim=True)
