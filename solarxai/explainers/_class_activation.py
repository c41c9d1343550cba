"""What class activation maps share: a layer read, its channels summed, its cells put in place."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from solarxai.engine.features import Layer, watch_layer
from solarxai.engine.gradients import check_finite
from solarxai.engine.resampling import resample
from solarxai.explainers import Attribution, Explainer, FeatureMap, Problem

__all__ = ["ClassActivation"]


@dataclass(frozen=True, kw_only=True)
class ClassActivation(Explainer):
    """A map made of the activations of one layer and their gradients.

    Parameters
    ----------
    layer
        Name of the layer to read, such as "stages.2"; None for the last feature map of the
        convolutions, which is what a global average pooling averages.
    """

    layer: str | None = None

    def may_fold(self) -> bool:
        """Return whether batch norm may be folded: not where a layer is read by its name."""
        return self.layer is None

    def attribute(self, problem: Problem) -> Attribution:
        """Return the map in units of the score: at feature resolution, and on the input's pixels.

        The map on the pixels is linear between the centres of the cells' receptive fields, with
        the amplitude of the cells, and the same for every channel of the input.
        """
        x = problem.x
        layer = watch_layer(problem.prepared, self.layer)
        self.check_layer(layer)
        read = layer.read(problem.stream, x, problem.weights)
        cells = torch.cat([self.cells(features, gradient) for features, gradient in read])
        features = _located(check_finite(cells), layer)
        values = resample(features.values, features.centres, x.shape[2:])
        return Attribution(values=values.expand(x.shape), features=features)

    @abstractmethod
    def cells(self, features: Tensor, gradient: Tensor) -> Tensor:
        """Return the map (image, 1, *cells) from two tensors (image, channel, *cells)."""

    def check_layer(self, layer: Layer) -> None:
        """Warn or refuse where the method has no meaning for the layer."""


def _located(cells: Tensor, layer: Layer) -> FeatureMap:
    sizes = cells.shape[2:]
    centres = tuple(grid.centres(n) for grid, n in zip(layer.grids, sizes, strict=True))
    return FeatureMap(values=cells.contiguous(), centres=centres)
