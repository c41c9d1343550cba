"""What class activation maps share: a layer read, its channels summed, its cells put in place."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from solarxai.engine.features import Layer, watch_layer
from solarxai.engine.gradients import check_finite
from solarxai.engine.resampling import resample
from solarxai.explainers import Attribution, Explainer, ExplainerWarning, FeatureMap, Problem

__all__ = ["ChannelWeighting", "ClassActivation", "GradientActivation"]


@dataclass(frozen=True, kw_only=True)
class ClassActivation(Explainer):
    """A map made of the activations of one layer.

    Parameters
    ----------
    layer
        Name of the layer to read, such as "stages.2"; None for the last feature map of the
        convolutions, which is what a global average pooling averages.
    relu
        Whether negative cells are set to zero, as most papers draw their maps; raw and signed
        otherwise.
    """

    layer: str | None = None
    relu: bool = False

    def may_fold(self) -> bool:
        """Return whether batch norm may be folded: not where a layer is read by its name."""
        return self.layer is None

    def attribute(self, problem: Problem) -> Attribution:
        """Return the map at feature resolution and on the input's pixels.

        The map on the pixels is linear between the centres of the cells' receptive fields, with
        the amplitude of the cells, and the same for every channel of the input.
        """
        layer = watch_layer(problem.prepared, self.layer)
        self.check_layer(layer)
        return self.read(problem, layer)

    @abstractmethod
    def read(self, problem: Problem, layer: Layer) -> Attribution:
        """Return the attribution that a layer gives; `placed` makes it from the cells."""

    def check_layer(self, layer: Layer) -> None:
        """Warn or refuse where the method has no meaning for the layer."""

    def placed(self, cells: Tensor, layer: Layer, x: Tensor) -> Attribution:
        """Return the attribution of cells (batch, 1, *cells) to the pixels of x."""
        check_finite(cells, what="map")
        shown = cells.clamp_min(0) if self.relu else cells.contiguous()
        features = FeatureMap(values=shown, centres=layer.centres(cells.shape[2:]))
        values = resample(shown, features.centres, x.shape[2:])
        return Attribution(values=values.expand(x.shape), features=features)


@dataclass(frozen=True, kw_only=True)
class GradientActivation(ClassActivation):
    """A map made of the activations of one layer and the gradient of the score to them."""

    def read(self, problem: Problem, layer: Layer) -> Attribution:
        """Return the map, after one pass forward and one backward through the head."""
        parts = layer.read(problem.stream, problem.x, problem.weights)
        cells = torch.cat([self.cells(features, gradient) for features, gradient in parts])
        return self.placed(cells, layer, problem.x)

    @abstractmethod
    def cells(self, features: Tensor, gradient: Tensor) -> Tensor:
        """Return the map (image, 1, *cells) from two tensors (image, channel, *cells)."""


@dataclass(frozen=True, kw_only=True)
class ChannelWeighting(GradientActivation):
    """A map of activations in which each channel has one weight, whatever the place."""

    title: ClassVar[str]
    """The method as a warning names it."""

    def check_layer(self, layer: Layer) -> None:
        """Warn when no global average pooling stands between the layer and the scores."""
        if not layer.pooled:
            warnings.warn(
                f"no global average pooling follows {layer.name}: {self.title} gives each channel "
                "one weight, which has no meaning for this head; use hires_cam",
                ExplainerWarning,
                stacklevel=3,
            )
