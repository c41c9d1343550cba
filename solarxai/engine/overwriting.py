"""Values that nobody reads again, overwritten by what is made of them.

A rectifier or a sum that writes where it reads needs no memory of its own, and a small network
spends much of a pass on taking and filling memory. Where a gradient is wanted nothing is changed.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

__all__ = ["overwriting"]

_RECTIFIERS = (torch.relu, functional.relu)
_SUMS = (operator.add, torch.add)
_MAKERS = (nn.Conv1d, nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d)
"""Layers whose answer shares no memory with what they read."""


def overwriting(graph: fx.GraphModule) -> fx.GraphModule:
    """Return a network whose rectifiers and sums write where nobody else reads.

    Parameters
    ----------
    graph
        The network; it is not changed, and shares its layers with what is returned.
    """
    made = fx.GraphModule(graph, copy.deepcopy(graph.graph))
    own = set[fx.Node]()
    for node in made.graph.nodes:
        if _rectifies(node, made):
            _change(node, _rectified, node.args, own)
        elif _adds(node):
            _change(node, _added, sorted(node.args, key=lambda n: not _is_free(n, own)), own)
        elif not (node.op == "call_module" and _is_maker(node, made)):
            continue
        own.add(node)
    made.graph.lint()
    made.recompile()
    return made


def _rectifies(node: fx.Node, graph: fx.GraphModule) -> bool:
    if node.op == "call_module":
        return type(graph.get_submodule(str(node.target))) is nn.ReLU
    return node.op == "call_function" and node.target in _RECTIFIERS


def _adds(node: fx.Node) -> bool:
    two = len(node.args) == 2 and all(isinstance(n, fx.Node) for n in node.args)
    return node.op == "call_function" and node.target in _SUMS and two and not node.kwargs


def _is_maker(node: fx.Node, graph: fx.GraphModule) -> bool:
    return isinstance(graph.get_submodule(str(node.target)), _MAKERS)


def _is_free(node: fx.Node, own: Collection[fx.Node]) -> bool:
    """Return whether a value has memory of its own and one reader."""
    return node in own and len(node.users) == 1


def _change(
    node: fx.Node,
    function: Callable[..., Tensor],
    inputs: Sequence[fx.Node],
    own: Collection[fx.Node],
) -> None:
    """Make a node write into the first of its inputs, if that is free."""
    if _is_free(inputs[0], own):
        node.op, node.target = "call_function", function
        node.args, node.kwargs = tuple(inputs), {}


def _rectified(value: Tensor) -> Tensor:
    return torch.relu_(value) if _may_write(value) else torch.relu(value)


def _added(value: Tensor, other: Tensor) -> Tensor:
    same = value.shape == other.shape and value.dtype == other.dtype
    if same and _may_write(value) and _may_write(other):
        return value.add_(other)
    return value + other


def _may_write(value: Tensor) -> bool:
    """Return whether no gradient is wanted, which might need what stands here."""
    return not (torch.is_grad_enabled() and value.requires_grad)
