"""The map that the 2023 study of IRIS spectra calls Grad-CAM, for replication."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from solarxai.engine.features import Layer
from solarxai.engine.receptive_field import Grid
from solarxai.errors import ContractError
from solarxai.explainers import Attribution, Problem
from solarxai.explainers._class_activation import GradientActivation

__all__ = ["PublishedGradCAM"]

_PLACEMENTS = ("registered", "stretched")


@dataclass(frozen=True, kw_only=True)
class PublishedGradCAM(GradientActivation):
    r"""The mean activation of each cell times its mean gradient, as a 2023 study of IRIS has it.

    Parameters
    ----------
    placement
        "registered": cells at the centres of their receptive fields; "stretched": cells evenly from
        pixel 0 to the number of pixels, as the study draws them.

    Notes
    -----
    .. math:: L_{ij} = \left(\frac{1}{K} \sum_k A^k_{ij}\right)
              \left(\frac{1}{K} \sum_k \frac{\partial y}{\partial A^k_{ij}}\right)

    The code of the study averages the gradients over channels, where Grad-CAM averages them over
    cells. So this is not Grad-CAM: a channel that raises the score and one that lowers it cancel,
    and a cell keeps the gradient of its own place, of all channels together. Only with a single
    channel does it equal another map, HiResCAM.

    The study explains the score of the class it predicts (`target`), sets negative cells to zero
    (`relu`), stretches the cells over the spectrum (`placement`) and divides each map by its
    largest value, which is left to the reader.

    References
    ----------
    Panos, Kleint & Zbinden 2023, A&A 671, A73, arXiv:2301.01560, with its code
    https://github.com/brandonlpanos/explainable-ai.
    """

    linear: ClassVar[bool] = True

    placement: str = "registered"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.placement not in _PLACEMENTS:
            raise ContractError(
                f"{type(self).__name__}: placement is {self.placement!r}",
                remedy=f"Choose one of {', '.join(_PLACEMENTS)}.",
            )

    def cells(self, features: Tensor, gradient: Tensor) -> Tensor:
        """Return ⟨A⟩⟨∂y/∂A⟩ over channels, (image, 1, *cells)."""
        return features.mean(dim=1, keepdim=True) * gradient.mean(dim=1, keepdim=True)

    def read(self, problem: Problem, layer: Layer) -> Attribution:
        """Return the map, its cells where the placement puts them."""
        if self.placement == "stretched":
            sizes = layer.traced.shapes[layer.node.name][2:]
            pixels = zip(problem.x.shape[2:], sizes, strict=True)
            spread = tuple(Grid(stride=n / max(cells - 1, 1)) for n, cells in pixels)
            layer = replace(layer, grids=spread)
        return super().read(problem, layer)
