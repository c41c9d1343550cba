"""What class activation maps share: a layer read, its channels summed, its cells put in place."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from solarxai.engine.features import Layer, watch_layer
from solarxai.engine.gradients import Stream, apart, check_finite
from solarxai.engine.preparation import prepare
from solarxai.engine.resampling import resample
from solarxai.engine.targets import target_weights
from solarxai.explainers import Attribution, Explainer, FeatureMap, Passes, Target

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

    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        *,
        target: Target = "difference",
        baselines: Tensor | None = None,  # noqa: ARG002
    ) -> Attribution:
        """Return the map in units of the score: at feature resolution, and on the input's pixels.

        The map on the pixels is linear between the centres of the cells' receptive fields, with
        the amplitude of the cells, and the same for every channel of the input. Baselines are
        unused.

        Raises
        ------
        ContractError
            when x is not a finite floating-point tensor (batch, channel, *space).
        ExplainerRefusal
            when the model cannot be explained as it is, its data flow cannot be followed, or the
            cells of the layer cannot be located.
        """
        x = x.detach()
        with apart():
            prepared = prepare(model, x, fold=self.layer is None)
            weights = target_weights(target, batch=len(x), classes=prepared.classes)
            layer = watch_layer(prepared, self.layer)
            self.check_layer(layer)
            stream = Stream(layer.prepared, batch_size=self.batch_size)
            read = layer.read(stream, x, weights)
            cells = torch.cat([self.cells(features, gradient) for features, gradient in read])
        features = _located(check_finite(cells), layer)
        values = resample(features.values, features.centres, x.shape[2:])
        return Attribution(
            values=values.expand(x.shape).contiguous(),
            features=features,
            passes=Passes(forward=stream.forward, backward=stream.backward),
        )

    @abstractmethod
    def cells(self, features: Tensor, gradient: Tensor) -> Tensor:
        """Return the map (image, 1, *cells) from two tensors (image, channel, *cells)."""

    def check_layer(self, layer: Layer) -> None:
        """Warn or refuse where the method has no meaning for the layer."""


def _located(cells: Tensor, layer: Layer) -> FeatureMap:
    sizes = cells.shape[2:]
    centres = tuple(grid.centres(n) for grid, n in zip(layer.grids, sizes, strict=True))
    return FeatureMap(values=cells.contiguous(), centres=centres)
