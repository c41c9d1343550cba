"""LayerCAM: the activations of a layer times their positive gradients."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from solarxai.explainers._class_activation import GradientActivation

__all__ = ["LayerCAM"]


@dataclass(frozen=True, kw_only=True)
class LayerCAM(GradientActivation):
    r"""The activations of a layer times the positive part of their gradients, summed over channels.

    Notes
    -----
    .. math:: L_{ij} = \sum_k A^k_{ij}\, \max\left(0, \frac{\partial y}{\partial A^k_{ij}}\right)

    Each cell has its own weight, so the map keeps its meaning for early layers: name one with
    `layer` for a finer map. Cells are negative only where activations are; behind a ReLU the map
    shows what supports the score and is silent about what opposes it.

    References
    ----------
    Jiang et al. 2021, LayerCAM, doi:10.1109/TIP.2021.3089943.
    """

    def cells(self, features: Tensor, gradient: Tensor) -> Tensor:
        """Return Σ_k A^k max(0, ∂y/∂A^k), (image, 1, *cells)."""
        return (features * gradient.clamp_min(0)).sum(dim=1, keepdim=True)
