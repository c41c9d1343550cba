"""Counterfactual Grad-CAM: where the image speaks against the score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from solarxai.explainers._class_activation import ChannelWeighting

__all__ = ["CounterfactualGradCAM"]


@dataclass(frozen=True, kw_only=True)
class CounterfactualGradCAM(ChannelWeighting):
    r"""The activations of a layer, channels weighted by their negative mean gradient, signed.

    Notes
    -----
    .. math:: L = \sum_k \alpha_k A^k, \quad \alpha_k = \frac{1}{Z} \sum_{ij}
              -\frac{\partial y}{\partial A^k_{ij}}

    Positive cells lower the score: their removal would raise it. Signed,
    it is Grad-CAM with its sign turned; with `relu` it is the map of the paper, which shows what
    Grad-CAM with `relu` hides.

    References
    ----------
    Selvaraju et al. 2017, Grad-CAM, doi:10.1109/ICCV.2017.74.
    """

    linear: ClassVar[bool] = True
    title: ClassVar[str] = "counterfactual Grad-CAM"

    def cells(self, features: Tensor, gradient: Tensor) -> Tensor:
        """Return Σ_k α_k A^k, (image, 1, *cells)."""
        weights = -gradient.mean(dim=tuple(range(2, gradient.ndim)), keepdim=True)
        return (weights * features).sum(dim=1, keepdim=True)
