"""A network as a graph of operations: traced, batch norm folded, shapes known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["ShapeRecorder", "Traced", "fold_batch_norm", "trace"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Traced:
    """A network as a graph of operations.

    Parameters
    ----------
    graph
        The executable graph.
    layers
        Name of the graph's node that a module of the network returns, by the module's name.
    shapes
        Shape of what a node gives for one image, by the node's name; empty until a
        `ShapeRecorder` has run it.
    """

    graph: fx.GraphModule
    layers: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]

    def node(self, name: str) -> fx.Node:
        """Return the node of that name."""
        found: fx.Node = next(n for n in self.graph.graph.nodes if n.name == name)
        return found


class _LayerTracer(fx.Tracer):
    """Records which node each module returned."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: dict[str, str] = {}

    def call_module(
        self, m: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        given = super().call_module(m, forward, args, kwargs)
        if isinstance(given, fx.Proxy):
            self.layers[self.path_of_module(m)] = given.node.name
        return given


class ShapeRecorder(fx.Interpreter):
    """Runs a graph and keeps the shape of every tensor in it."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[str, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Return what the node gives."""
        given = super().run_node(n)
        if isinstance(given, Tensor):
            self.shapes[n.name] = tuple(given.shape)
        return given


def trace(network: nn.Module) -> Traced:
    """Return the graph of a network; raises whatever `torch.fx` raises on dynamic control flow."""
    tracer = _LayerTracer()
    graph = tracer.trace(network)
    return Traced(graph=fx.GraphModule(network, graph), layers=tracer.layers, shapes={})


def fold_batch_norm(graph: fx.GraphModule) -> fx.GraphModule:
    """Return the graph with each batch norm that follows a convolution folded into its weights.

    Only pairs where the convolution feeds nothing else and both modules are used once are folded.
    The graph is changed in place; the modules it no longer names stay behind unused.
    """
    modules = dict(graph.named_modules())
    calls = Counter(str(n.target) for n in graph.graph.nodes if n.op == "call_module")
    for norm in list(graph.graph.nodes):
        convolution = _folds_into(norm, modules, calls)
        if convolution is None:
            continue
        fused = fuse_conv_bn_eval(modules[str(convolution.target)], modules[str(norm.target)])
        name = f"folded_{norm.name}"
        graph.add_submodule(name, fused)
        convolution.target = name
        norm.replace_all_uses_with(convolution)
        graph.graph.erase_node(norm)
    graph.graph.lint()
    graph.recompile()
    return graph


def _folds_into(
    norm: fx.Node, modules: Mapping[str, nn.Module], calls: Mapping[str, int]
) -> fx.Node | None:
    if norm.op != "call_module" or not isinstance(
        modules[str(norm.target)], nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
    ):
        return None
    before = norm.args[0]
    if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
        return None
    convolution = modules.get(str(before.target))
    single = calls[str(before.target)] == 1 and calls[str(norm.target)] == 1
    folds = isinstance(convolution, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    return before if single and folds else None
