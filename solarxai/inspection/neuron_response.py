"""Where a unit of a layer responds to an image, and which images excite it most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from solarxai.engine.features import Layer, watch_layer
from solarxai.engine.gradients import Stream, apart, check_finite
from solarxai.engine.preparation import Snapshot, prepare
from solarxai.engine.resampling import resample
from solarxai.errors import ContractError
from solarxai.explainers import FeatureMap, Passes

__all__ = ["NeuronResponse", "Strongest", "neuron_response", "strongest_images"]


@dataclass(frozen=True, kw_only=True, eq=False)
class NeuronResponse:
    """The activation of one unit, on the pixels of the images.

    Parameters
    ----------
    values
        (batch, 1, *space), raw and signed, linear between the centres of the cells' receptive
        fields.
    features
        The same at the resolution of the layer.
    strongest
        (batch,): the highest activation of each image.
    places
        (batch, axis): input pixel (0-based) at the centre of the cell that has it.
    passes
        Images sent forward and backward.
    """

    values: Tensor
    features: FeatureMap
    strongest: Tensor
    places: Tensor
    passes: Passes


@dataclass(frozen=True, kw_only=True, eq=False)
class Strongest:
    """The images that excite a unit most, highest first.

    Parameters
    ----------
    images
        (image,) int64: their numbers, counted through all batches.
    activations
        (image,): the highest activation of the unit in each.
    places
        (image, axis): input pixel (0-based) at the centre of the cell that has it.
    passes
        Images sent forward and backward.
    """

    images: Tensor
    activations: Tensor
    places: Tensor
    passes: Passes


def neuron_response(
    model: nn.Module | Snapshot, x: Tensor, *, layer: str, unit: int, batch_size: int = 32
) -> NeuronResponse:
    """Return the activation of a unit where its receptive fields look.

    Parameters
    ----------
    model
        Network in evaluation mode: (batch, channel, *space) to scores (batch, class). It is not
        changed.
    x
        (batch, channel, *space) float32.
    layer
        Name of a module that gives a feature map, such as "stages.2".
    unit
        Channel of the feature map.
    batch_size
        Most images in one pass through the network.

    Raises
    ------
    ContractError
        when the layer has no such unit, or the images are no good.
    ExplainerRefusal
        when the network cannot be traced, has no such layer, or its cells cannot be located.

    Notes
    -----
    A response is not an explanation: that a unit responds to penumbrae does not say that the score
    depends on it. The cell's receptive field is wider than the cell.

    References
    ----------
    Erhan et al. 2009, Visualizing Higher-Layer Features of a Deep Network, University of Montreal
    report 1341. Zhou et al. 2015, Object Detectors Emerge in Deep Scene CNNs, arXiv:1412.6856.
    """
    x = x.detach()
    with apart():
        watched = _Unit(model, x, layer, unit, batch_size)
        cells = torch.cat(list(watched.cells(x)))
    features = FeatureMap(values=cells, centres=watched.layer.centres(cells.shape[2:]))
    strongest, places = _peaks(features)
    return NeuronResponse(
        values=resample(cells, features.centres, x.shape[2:]),
        features=features,
        strongest=strongest,
        places=places,
        passes=watched.passes,
    )


def strongest_images(
    model: nn.Module | Snapshot,
    batches: Tensor | Iterable[Tensor],
    *,
    layer: str,
    unit: int,
    count: int = 9,
    batch_size: int = 32,
) -> Strongest:
    """Return the images that excite a unit most, and where.

    Parameters
    ----------
    model, layer, unit, batch_size
        As for `neuron_response`.
    batches
        Images (batch, channel, *space) of one shape, or batches of them, which are read one at a
        time: memory is that of one batch.
    count
        How many to return; all, where there are fewer.

    Raises
    ------
    ContractError
        as for `neuron_response`, and when there are no images or none is asked for.
    ExplainerRefusal
        as for `neuron_response`.

    Notes
    -----
    Equal activations stand in the order of the images.
    """
    if count < 1:
        raise ContractError(f"{count} images were asked for", remedy="Ask for 1 or more.")
    found: list[tuple[Tensor, ...]] = []
    watched: _Unit | None = None
    seen = 0
    with apart():
        for x in [batches] if isinstance(batches, Tensor) else batches:
            if watched is None:
                watched = _Unit(model, x, layer, unit, batch_size)
            for cells in watched.cells(x.detach()):
                centres = watched.layer.centres(cells.shape[2:])
                peaks = _peaks(FeatureMap(values=cells, centres=centres))
                found = [_best([*found, (torch.arange(len(cells)) + seen, *peaks)], count)]
                seen += len(cells)
    if watched is None:
        raise ContractError("there are no images", remedy="Give one batch or more.")
    images, activations, places = found[0]
    return Strongest(images=images, activations=activations, places=places, passes=watched.passes)


class _Unit:
    """A unit of a layer of a network, ready to be read."""

    def __init__(
        self, model: nn.Module | Snapshot, x: Tensor, layer: str, unit: int, batch_size: int
    ) -> None:
        self._stream = Stream(prepare(model, x, fold=False), batch_size=batch_size)
        self.layer: Layer = watch_layer(self._stream.prepared, layer)
        self._unit = unit
        units = self.layer.traced.shapes[self.layer.node.name][1]
        if not 0 <= unit < units:
            raise ContractError(
                f"the layer {layer} has no unit {unit!r}", remedy=f"Give one of 0 to {units - 1}."
            )

    @property
    def passes(self) -> Passes:
        """Images sent so far."""
        return Passes(forward=self._stream.forward, backward=self._stream.backward)

    def cells(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the activations of the unit (image, 1, *cells), part by part."""
        for part in self._stream.parts(x):
            activations, _ = self.layer.activations(self._stream, part)
            chosen = activations[:, self._unit : self._unit + 1].contiguous()
            yield check_finite(chosen, what="activation")


def _peaks(features: FeatureMap) -> tuple[Tensor, Tensor]:
    """Return the highest activation of each image (image,) and its place (image, axis)."""
    strongest, where = features.values.flatten(1).max(dim=1)
    cells = torch.unravel_index(where.cpu(), features.values.shape[2:])
    places = [along[cell] for along, cell in zip(features.centres, cells, strict=True)]
    return strongest.cpu(), torch.stack(places, dim=1)


def _best(found: list[tuple[Tensor, ...]], count: int) -> tuple[Tensor, ...]:
    joined = [torch.cat(column) for column in zip(*found, strict=True)]
    order = torch.sort(joined[1], descending=True, stable=True).indices[:count]
    return tuple(column[order] for column in joined)
