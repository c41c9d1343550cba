r"""The first layer of a network apart from the rest: a straight path stays straight behind it.

Where the first layer is :math:`z = S x + b`, points of the path from x′ to x give points of the
path from z′ to z, and the gradient to the image is :math:`S^T` times that to z. So only the ends of
paths pass the first layer; the points between them start behind it.

The first layer is taken apart where it gives no more values than it takes: otherwise a point costs
more behind it than before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from solarxai.engine.convolutions import gradient_to_input
from solarxai.engine.preparation import Prepared
from solarxai.engine.tracing import Traced

__all__ = ["Stem", "stem_of"]

_KEY = "stem"


@dataclass(frozen=True, kw_only=True, eq=False)
class Stem:
    """The first layer of a network, or nothing.

    Parameters
    ----------
    layer
        The convolution or the linear layer; None where the network is not taken apart.
    flat
        Whether the layer reads flattened images.
    size
        (channel, *space) of the images; empty where there is no layer.
    rest
        What follows, from what the layer gives to the scores; None for the whole network.
    """

    layer: nn.Conv1d | nn.Conv2d | nn.Linear | None = None
    flat: bool = False
    size: tuple[int, ...] = ()
    rest: nn.Module | None = None

    def ahead(self, x: Tensor) -> Tensor:
        """Return what the rest reads of images (image, channel, *space)."""
        if self.layer is None:
            return x
        with torch.no_grad():
            made: Tensor = self.layer(x.flatten(1) if self.flat else x)
        return made

    def back(self, slope: Tensor) -> Tensor:
        """Return the gradient to the image from that to what the rest reads, one row an image."""
        if self.layer is None:
            return slope
        if isinstance(self.layer, nn.Linear):
            return (slope @ self.layer.weight.detach()).reshape(-1, *self.size)
        return gradient_to_input(self.layer, slope, self.size)


def stem_of(prepared: Prepared) -> Stem:
    """Return the first layer of a prepared network, made when it is first asked for."""
    if _KEY not in prepared.memo:
        fast = prepared.traced if prepared.form == "folded" else None
        prepared.memo[_KEY] = Stem() if fast is None else _taken_apart(fast)
    found: Stem = prepared.memo[_KEY]
    return found


def _taken_apart(traced: Traced) -> Stem:
    source = next(node for node in traced.graph.graph.nodes if node.op == "placeholder")
    after = _only_user(source)
    flat = after is not None and _flattens(traced, after)
    first = _only_user(after) if flat else after
    layer = _module(traced, first)
    if first is None or not isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
        return Stem()
    size, given = (traced.shapes[node.name][1:] for node in (source, first))
    if math.prod(given) > math.prod(size) or not _pads_with_zeros(layer):
        return Stem()
    return Stem(layer=layer, flat=flat, size=size, rest=_behind(traced.graph, first))


def _only_user(node: fx.Node | None) -> fx.Node | None:
    return next(iter(node.users)) if node is not None and len(node.users) == 1 else None


def _flattens(traced: Traced, node: fx.Node) -> bool:
    return isinstance(_module(traced, node), nn.Flatten) and len(traced.shapes[node.name]) == 2


def _module(traced: Traced, node: fx.Node | None) -> nn.Module | None:
    if node is None or node.op != "call_module":
        return None
    return traced.graph.get_submodule(str(node.target))


def _pads_with_zeros(layer: nn.Module) -> bool:
    padding = getattr(layer, "padding", 0)
    return getattr(layer, "padding_mode", "zeros") == "zeros" and not isinstance(padding, str)


def _behind(graph: fx.GraphModule, first: fx.Node) -> fx.GraphModule:
    """Return the graph of what follows a node, sharing its modules."""
    made, known = fx.Graph(), dict[fx.Node, fx.Node]()
    before = {first, *first.all_input_nodes}
    for node in graph.graph.nodes:
        if node is first:
            known[node] = made.placeholder("given")
        elif node.op != "placeholder" and node not in before:
            known[node] = made.node_copy(node, known.__getitem__)
    return fx.GraphModule(graph, made)
