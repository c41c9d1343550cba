"""A network's graph copied node by node, with some nodes replaced, and pulled back through."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, fx, nn

from solarxai.engine.gradients import Stream
from solarxai.engine.operations import Operations, changes_in_place, out_of_place

__all__ = ["Rewriting", "attribute_of", "carry", "finish", "pull_back", "rewrite"]

_OUT_OF_PLACE = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}


class Rewriting:
    """A graph being made from that of a network.

    Parameters
    ----------
    operations
        The network.
    """

    def __init__(self, operations: Operations) -> None:
        self.operations = operations
        self._graph = fx.Graph()
        self._parts = dict[str, Any]()
        self.made = dict[fx.Node, fx.Node]()

    def copy(self, node: fx.Node, change: Callable[[fx.Node], fx.Node] | None = None) -> fx.Node:
        """Return a copy of a node, without changes in place.

        Parameters
        ----------
        node
            Of the network.
        change
            From the new node of an input that depends on the image to what is read in its stead.
        """
        changed = {
            n: change(self.made[n])
            for n in node.all_input_nodes
            if change is not None and self.operations.depends(n)
        }
        if node.op in ("call_module", "get_attr"):
            self._parts[str(node.target)] = attribute_of(self.operations.traced.graph, node)
        made = self._graph.node_copy(node, lambda n: changed.get(n, self.made[n]))
        if node.op in ("call_function", "call_method") and changes_in_place(node):
            _keep_input(made)
        return made

    def call(self, function: Callable[..., Any], *inputs: fx.Node, **options: Any) -> fx.Node:
        """Return a new node that calls a function of new nodes."""
        return self._graph.call_function(function, inputs, options)

    def call_module(self, name: str, module: nn.Module, *inputs: fx.Node) -> fx.Node:
        """Return a new node that calls a module of new nodes."""
        self._parts[f"rule_{name}"] = module
        return self._graph.call_module(f"rule_{name}", inputs)

    def placeholder(self, name: str) -> fx.Node:
        """Return a new input of the graph."""
        return self._graph.placeholder(name)

    def output(self, *nodes: fx.Node) -> fx.GraphModule:
        """Return the graph as a network that gives the scores, or a tuple of them and more."""
        self._graph.output(nodes if len(nodes) > 1 else nodes[0])
        return fx.GraphModule(self._parts, self._graph)


def rewrite(
    operations: Operations, replace: Callable[[Rewriting, fx.Node], fx.Node | None]
) -> fx.GraphModule:
    """Return a network's graph with some nodes replaced.

    Parameters
    ----------
    operations
        The network.
    replace
        Makes the new node of a node that depends on the image; None for a copy.
    """
    return finish(Rewriting(operations), replace)


def finish(
    rewriting: Rewriting,
    replace: Callable[[Rewriting, fx.Node], fx.Node | None] | None = None,
    *,
    beside: Iterable[fx.Node] = (),
) -> fx.GraphModule:
    """Return the graph of a rewriting that may have begun already.

    Parameters
    ----------
    rewriting
        The graph being made.
    replace
        As of `rewrite`; None for a plain copy.
    beside
        Nodes of the network whose values are given beside the scores.
    """
    operations = rewriting.operations
    *nodes, output = operations.kinds
    for node in nodes:
        if node in rewriting.made:
            continue
        asked = node.op != "placeholder" and operations.depends(node)
        replaced = replace(rewriting, node) if replace is not None and asked else None
        rewriting.made[node] = rewriting.copy(node) if replaced is None else replaced
    more = [rewriting.made[node] for node in beside]
    return rewriting.output(rewriting.made[output.all_input_nodes[0]], *more)


class _Carry(torch.autograd.Function):
    """Gives a value forward; back, what comes goes to each carrier, times its factor."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, *pairs: Tensor) -> Tensor:
        ctx.save_for_backward(*pairs[::2])
        ctx.kinds = [carrier.dtype for carrier in pairs[1::2]]
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, came: Tensor) -> Any:
        found: list[Tensor | None] = [None]
        for factor, kind in zip(ctx.saved_tensors, ctx.kinds, strict=True):
            found += [None, (came * factor).to(kind)]
        return tuple(found)


def carry(value: Tensor, *pairs: Tensor) -> Tensor:
    """Return a value forward, and send what comes back elsewhere.

    Parameters
    ----------
    value
        What to give.
    pairs
        Factor and carrier, one or more times: a carrier gets what comes back times its factor, of
        the carrier's shape.
    """
    given: Tensor = _Carry.apply(value.detach(), *pairs)  # type: ignore[no-untyped-call]
    return given


def pull_back(
    stream: Stream, network: nn.Module, x: Tensor, start: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Return what comes back at the images, and the scores (image, class).

    Parameters
    ----------
    stream
        Of the network that was rewritten; it counts one pass forward and one back.
    network
        The rewritten graph.
    x
        (image, channel, *space), at most `batch_size` images.
    start
        From the scores (image, class) to what is sent back from them, of the same shape.
    """
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        scores = stream.run(leaf, network)
        begun = start(scores.detach()).to(scores)
        (found,) = torch.autograd.grad(scores, leaf, grad_outputs=begun)
    stream.backward += len(x)
    return found, scores.detach()


def _keep_input(made: fx.Node) -> None:
    """Turn a node that writes into its first argument into one that does not."""
    kept = {name: value for name, value in made.kwargs.items() if name != "inplace"}
    made.kwargs = kept
    if isinstance(made.target, str):
        made.target = made.target.rstrip("_")
    elif made.target in _OUT_OF_PLACE:
        made.target = _OUT_OF_PLACE[made.target]
    elif made.target.__name__.endswith("_"):
        made.target = out_of_place(made.target.__name__)


def attribute_of(graph: fx.GraphModule, node: fx.Node) -> Any:
    """Return the module or tensor that a node names."""
    found: Any = graph
    for name in str(node.target).split("."):
        found = getattr(found, name)
    return found
