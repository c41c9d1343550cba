"""A head of global average pooling and one linear layer, found in the graph of a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AvgPoolNd

from solarxai.engine.receptive_field import operation
from solarxai.engine.tracing import Traced
from solarxai.errors import ExplainerRefusal

__all__ = ["PooledHead", "averages_all", "pooled_head"]

_WINDOWED = ("avg_pool1d", "avg_pool2d")
_AVERAGES = ("mean", "adaptive_avg_pool1d", "adaptive_avg_pool2d", *_WINDOWED)

_RESHAPES = ("flatten", "view", "reshape", "squeeze", "unflatten")
_IDLE = ("dropout", "dropout1d", "dropout2d", "contiguous", "clone")


@dataclass(frozen=True, kw_only=True, eq=False)
class PooledHead:
    """Scores as a linear function of the mean of each channel.

    Parameters
    ----------
    weight
        (class, channel).
    bias
        (class,).
    exact
        Whether the pooling is a mean over all cells by what it is, and not only if its window is.
    """

    weight: Tensor
    bias: Tensor
    exact: bool


def pooled_head(traced: Traced, layer: fx.Node) -> PooledHead:
    """Return the head that turns a feature map into scores.

    Parameters
    ----------
    traced
        The network, with shapes.
    layer
        The node of the feature map.

    Returns
    -------
    PooledHead
        Where the pooled channels are the scores themselves, the weight is the identity.

    Raises
    ------
    ExplainerRefusal
        naming the first operation after the layer that is not part of a global average pooling
        followed by at most one linear layer.
    """
    pooled, linear, exact = False, None, False
    for before, node in _way_out(traced, layer):
        module, name = operation(traced, node)
        if isinstance(module, nn.Identity | _DropoutNd) or name in _IDLE:
            continue
        if not pooled and averages_all(traced, node):
            pooled, exact = True, not (isinstance(module, _AvgPoolNd) or name in _WINDOWED)
        elif pooled and linear is None and isinstance(module, nn.Linear):
            linear = module
        elif not _keeps_channels(traced, before, node, name):
            raise _refusal(layer, f"{name} (at {node.name}) follows")
    if not pooled:
        raise _refusal(layer, "nothing that averages follows")
    return _head(linear, exact, channels=traced.shapes[layer.name][1])


def averages_all(traced: Traced, node: fx.Node) -> bool:
    """Return whether a node averages each channel over all cells."""
    module, name = operation(traced, node)
    average = isinstance(module, _AdaptiveAvgPoolNd | _AvgPoolNd) or name in _AVERAGES
    if not average or not node.all_input_nodes:
        return False
    before = traced.shapes.get(node.all_input_nodes[0].name, ())
    given = traced.shapes.get(node.name, ())
    if name == "mean" and not _spatial(node, len(before)):
        return False
    return math.prod(before[2:]) > 1 and math.prod(given[2:]) == 1 and given[:2] == before[:2]


def _spatial(mean: fx.Node, axes: int) -> bool:
    """Return whether a mean runs over all axes but the first two."""
    over = mean.args[1] if len(mean.args) > 1 else mean.kwargs.get("dim")
    chosen = over if isinstance(over, Sequence) else (over,)
    return all(isinstance(axis, int) for axis in chosen) and (
        {axis % axes for axis in chosen if isinstance(axis, int)} == set(range(2, axes))
    )


def _way_out(traced: Traced, layer: fx.Node) -> list[tuple[fx.Node, fx.Node]]:
    """Return the steps from the layer to the scores, each with the one before it."""
    steps, node = list[tuple[fx.Node, fx.Node]](), layer
    while True:
        after = [n for n in node.users if n.op == "output" or n.name in traced.shapes]
        if len(after) != 1:
            raise _refusal(layer, f"{node.name} feeds {len(after)} operations")
        if after[0].op == "output":
            return steps
        steps.append((node, after[0]))
        node = after[0]


def _keeps_channels(traced: Traced, before: fx.Node, node: fx.Node, name: str) -> bool:
    """Return whether a step only writes the cells of each channel in another shape."""
    old, new = traced.shapes[before.name], traced.shapes[node.name]
    same = old[:2] == new[:2] and math.prod(old[2:]) == math.prod(new[2:])
    return name.lower() in _RESHAPES and same


def _head(linear: nn.Linear | None, exact: bool, *, channels: int) -> PooledHead:
    if linear is None:
        return PooledHead(weight=torch.eye(channels), bias=torch.zeros(channels), exact=exact)
    bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias
    return PooledHead(weight=linear.weight.detach(), bias=bias.detach(), exact=exact)


def _refusal(layer: fx.Node, reason: str) -> ExplainerRefusal:
    return ExplainerRefusal(
        f"the head is no global average pooling of {layer.name} and one linear layer: {reason}",
        remedy="Use hires_cam, which needs no pooling, or retrain with a pooled head.",
    )
