"""The layer that a class activation map is read from: found, watched, located."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.conv import _ConvNd

from solarxai.engine.gradients import Stream
from solarxai.engine.overwriting import overwriting
from solarxai.engine.pooled_head import averages_all, pooled_head
from solarxai.engine.preparation import Prepared
from solarxai.engine.receptive_field import Grids, grids, is_pointwise, operation
from solarxai.engine.tracing import Traced
from solarxai.errors import ExplainerRefusal
from solarxai.registry import near_name

__all__ = ["Layer", "watch_layer"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A feature map inside a network, ready to be read.

    Parameters
    ----------
    name
        The layer as the network names it, or the operation that gives it.
    grids
        Where its cells look, one grid an axis.
    pooled
        Whether a global average pooling stands between it and the scores.
    traced, node
        The graph of the prepared network, and where in it the layer is.
    network
        The prepared network, changed to return the feature map beside the scores.
    slopes
        (class, channel): gradient of each score to every cell of a channel, where the scores are
        means of the cells through at most one linear layer; None where it depends on the image.
    """

    name: str
    grids: Grids
    pooled: bool
    traced: Traced
    node: fx.Node
    network: nn.Module
    slopes: Tensor | None

    def centres(self, cells: Sequence[int]) -> tuple[Tensor, ...]:
        """Return the input pixel at the centre of each cell, one tensor an axis."""
        return tuple(grid.centres(n) for grid, n in zip(self.grids, cells, strict=True))

    def activations(self, stream: Stream, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return activations (image, channel, *cells) and scores (image, class) in one pass.

        Parameters
        ----------
        stream
            Of the network that the layer belongs to; it counts the pass.
        x
            (image, channel, *space), at most `batch_size` images.
        """
        with torch.no_grad():
            features, scores = stream.run(x, self.network)
        return features.detach().to(x), scores.to(x)

    def read(self, stream: Stream, x: Tensor, weights: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield activations and their gradient, each (image, channel, *cells), part by part.

        Parameters
        ----------
        stream
            Of the network that the layer belongs to; it counts the passes.
        x, weights
            Images (image, channel, *space) and target weights (image, class).
        """
        for part, weight in zip(stream.parts(x), stream.parts(weights), strict=True):
            if self.slopes is not None:
                features, _ = self.activations(stream, part)
                each = weight.to(features) @ self.slopes.to(features)
                yield features, each.reshape(*each.shape, *_ones(features)).expand_as(features)
                continue
            with torch.enable_grad():
                features, scores = stream.run(part, self.network)
                if not scores.requires_grad:
                    raise ExplainerRefusal(
                        f"the scores do not depend on the layer {self.name}",
                        remedy="Name a layer that the scores are made from.",
                    )
                explained = (scores * weight.to(scores)).sum()
                (gradient,) = torch.autograd.grad(explained, features)
            stream.backward += len(part)
            yield features.detach().to(x), gradient.to(x)


def watch_layer(prepared: Prepared, layer: str | None) -> Layer:
    """Return a layer of a network: by name, or the last feature map of its convolutions.

    Parameters
    ----------
    prepared
        The network; prepared without folding where a layer is named.
    layer
        Name of a module, such as "stages.2"; None for the last convolution with the activations
        and sums that follow it, which is what a global average pooling averages.

    Raises
    ------
    ExplainerRefusal
        when the network cannot be traced, has no convolution or no layer of that name, or when the
        cells of the layer cannot be located.
    """
    key = ("layer", layer)
    if key not in prepared.memo:
        prepared.memo[key] = _watched(prepared, layer)
    found: Layer = prepared.memo[key]
    return found


def _watched(prepared: Prepared, layer: str | None) -> Layer:
    traced = prepared.traced
    if traced is None:
        raise ExplainerRefusal(
            f"the data flow of the network cannot be followed ({prepared.reason})",
            remedy="Write its forward method without control flow that depends on values, "
            "or use a gradient method, which needs no layer.",
        )
    node = _last_feature_map(traced) if layer is None else _named(traced, layer)
    located = grids(traced, node)
    return Layer(
        name=layer or node.name,
        grids=located,
        pooled=_pooled(traced, node),
        traced=traced,
        node=node,
        network=_watching(traced.graph, node),
        slopes=_slopes(traced, node),
    )


def _slopes(traced: Traced, node: fx.Node) -> Tensor | None:
    try:
        head = pooled_head(traced, node)
    except ExplainerRefusal:
        return None
    return head.weight / math.prod(traced.shapes[node.name][2:]) if head.exact else None


def _ones(features: Tensor) -> tuple[int, ...]:
    return (1,) * (features.ndim - 2)


def _named(traced: Traced, layer: str) -> fx.Node:
    if layer not in traced.layers:
        known = sorted(name for name in traced.layers if name)
        raise ExplainerRefusal(
            f"the network has no layer {layer!r} that its forward method calls",
            remedy=near_name(layer, known) or f"Its layers are {', '.join(known)}.",
        )
    return traced.node(traced.layers[layer])


def _last_feature_map(traced: Traced) -> fx.Node:
    convolutions = [node for node in traced.graph.graph.nodes if _maps_features(traced, node)]
    if not convolutions:
        raise ExplainerRefusal(
            "the network has no convolution that gives a feature map",
            remedy="Name a layer, or use a gradient method, which needs no layer.",
        )
    found: fx.Node = convolutions[-1]
    while len(found.users) == 1:
        after = next(iter(found.users))
        if not is_pointwise(traced, after) or _cells(traced, after) != _cells(traced, found):
            break
        found = after
    beside = [node for node in convolutions if found not in (node, *_descendants(node))]
    if beside:
        raise ExplainerRefusal(
            f"the scores are made from several feature maps side by side, such as those of "
            f"{beside[-1].name} and {convolutions[-1].name}",
            remedy="Explain the members of an ensemble one by one, or name the layer to read.",
        )
    return found


def _maps_features(traced: Traced, node: fx.Node) -> bool:
    """Return whether a node is a convolution that gives a feature map of several cells."""
    module, name = operation(traced, node)
    convolves = isinstance(module, _ConvNd) or name in ("conv1d", "conv2d")
    return convolves and bool(_cells(traced, node))


def _cells(traced: Traced, node: fx.Node) -> tuple[int, ...]:
    """Return the number of cells an axis, or nothing for what is not a map of two cells."""
    cells = traced.shapes.get(node.name, ())[2:]
    return cells if math.prod(cells) > 1 else ()


def _pooled(traced: Traced, layer: fx.Node) -> bool:
    after = _descendants(layer)
    return any(
        averages_all(traced, node) and not any(_cells(traced, n) for n in _descendants(node))
        for node in after
    )


def _descendants(node: fx.Node) -> list[fx.Node]:
    found = {node: None}
    for step in node.graph.nodes:
        if any(before in found for before in step.all_input_nodes):
            found[step] = None
    return list(found)[1:]


def _watching(module: fx.GraphModule, node: fx.Node) -> fx.GraphModule:
    """Return the graph with `node` as the leaf of its gradients, given beside the scores."""
    graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    scores = graph.graph_copy(module.graph, copies)
    watched = copies[node]
    with graph.inserting_after(watched):
        leaf = graph.call_function(_leaf, (watched,))
    with graph.inserting_after(leaf):
        going_on = graph.call_function(torch.clone, (leaf,))
    watched.replace_all_uses_with(going_on, delete_user_cb=lambda user: user is not leaf)
    graph.output((leaf, scores))
    return overwriting(fx.GraphModule(module, graph))


def _leaf(features: Tensor) -> Tensor:
    return features.detach().requires_grad_()
