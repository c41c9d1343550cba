"""Multipliers of DeepLIFT: differences from a reference, pulled back by the rescale rule."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from solarxai.engine.gradients import Stream
from solarxai.engine.operations import (
    Kind,
    Operations,
    follow,
    is_rectifier,
    out_of_place,
    without_rule,
)
from solarxai.engine.preparation import Prepared
from solarxai.engine.receptive_field import operation
from solarxai.engine.rewriting import Rewriting, carry, finish, pull_back

__all__ = ["Reference", "Rescaled"]

_NARROW = 1e-5
"""Differences below this are widened to it: the slope of a smooth function between two points."""


class Rescaled:
    """A network whose activations send back the slope between two inputs.

    Parameters
    ----------
    prepared
        The network.
    rule
        The method, for the words of a refusal.

    Raises
    ------
    ExplainerRefusal
        when the network cannot be followed or has an operation without a rule.
    """

    def __init__(self, prepared: Prepared, *, rule: str) -> None:
        operations = follow(prepared, rule=rule)
        for node in operations.of(Kind.PRODUCT):
            raise without_rule(operations, node, rule=rule)
        self._bent = operations.of(Kind.ACTIVATION, Kind.MAXIMUM)
        read = [node.all_input_nodes[0] for node in self._bent]
        self._watched = finish(Rewriting(operations), beside=read)
        self._network = self._against(operations)

    def against(self, stream: Stream, reference: Tensor) -> Reference:
        """Return the network with multipliers against one image, which makes one pass forward.

        Parameters
        ----------
        stream
            Of the network; it counts the passes.
        reference
            (1, channel, *space).
        """
        with torch.no_grad():
            given = stream.run(reference, self._watched)
        scores, inputs = (given[0], given[1:]) if self._bent else (given, ())
        return Reference(reference, scores, _Against(self._network, inputs))

    def _against(self, operations: Operations) -> fx.GraphModule:
        rewriting = Rewriting(operations)
        image = next(node for node in operations.kinds if node.op == "placeholder")
        rewriting.made[image] = rewriting.copy(image)
        references = {node: rewriting.placeholder(f"reference_{node.name}") for node in self._bent}

        def replace(rewriting: Rewriting, node: fx.Node) -> fx.Node | None:
            if node not in references:
                return None
            source = rewriting.made[node.all_input_nodes[0]]
            module = _bent_module(operations, node)
            return rewriting.call_module(node.name, module, source, references[node])

        return finish(rewriting, replace)


class Reference:
    """A network with multipliers against one image.

    Parameters
    ----------
    image
        (1, channel, *space).
    scores
        (1, class), its own.
    network
        The rewritten network.
    """

    def __init__(self, image: Tensor, scores: Tensor, network: nn.Module) -> None:
        self.image = image
        self.scores = scores
        self._network = network

    def contributions(self, stream: Stream, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return (x − reference) times the multipliers, and the scores of x (image, class).

        Parameters
        ----------
        stream
            Of the network; it counts the passes.
        x, weights
            At most `batch_size` images (image, channel, *space), target weights (image, class).
        """
        multipliers, scores = pull_back(stream, self._network, x, lambda _: weights)
        return (x - self.image) * multipliers, scores


class _Against(nn.Module):
    """A graph of an image and of what a reference gave inside the network."""

    def __init__(self, graph: fx.GraphModule, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self._graph = graph
        self._inputs = tuple(inputs)

    def forward(self, x: Tensor) -> Any:
        return self._graph(x, *self._inputs)


class _Rectifier(nn.Module):
    """max(0, x), with the slope between x and the reference."""

    def forward(self, x: Tensor, reference: Tensor) -> Tensor:
        value = x.detach()
        given, width = value.relu(), value - reference
        slope = torch.where(width != 0, (given - reference.relu()) / width, (value > 0).to(value))
        return carry(given, slope, x)


class _Activation(nn.Module):
    """Any function of single values, with the slope between x and the reference.

    Slopes are taken in double precision between the two values, or where they are nearer than
    `_NARROW`, between two values that far apart about their middle.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: Tensor, reference: Tensor) -> Tensor:
        value, other = x.detach().double(), reference.double()
        width = torch.where((value - other).abs() < _NARROW, _NARROW, value - other)
        middle = (value + other) / 2
        ends = (self._function(middle + width / 2), self._function(middle - width / 2))
        slope = (ends[0] - ends[1]) / width
        return carry(self._function(value).to(x), slope.to(x), x)


class _Maximum(nn.Module):
    """A maximum of windows: its difference belongs to the place of the larger of two maxima."""

    def __init__(self, pool: Callable[[Tensor], tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self._pool = pool

    def forward(self, x: Tensor, reference: Tensor) -> Tensor:
        value = x.detach()
        (given, here), (other, there) = self._pool(value), self._pool(reference)
        places = torch.where(given >= other, here, there.expand_as(here)).flatten(2)
        taken = x.flatten(2).gather(2, places)
        before = reference.expand_as(value).flatten(2).gather(2, places)
        width = taken.detach() - before
        ratio = (given - other).flatten(2) / torch.where(width != 0, width, 1)
        slope = torch.where(width != 0, ratio, torch.ones_like(width))
        return carry(given, slope.reshape(given.shape), taken.reshape(given.shape))


def _bent_module(operations: Operations, node: fx.Node) -> nn.Module:
    if operations.kinds[node] is Kind.MAXIMUM:
        return _Maximum(_pool(operations, node))
    if is_rectifier(operations, node):
        return _Rectifier()
    return _Activation(_function(operations, node))


def _function(operations: Operations, node: fx.Node) -> Callable[[Tensor], Tensor]:
    """Return an activation as a function of double precision."""
    module, name = operation(operations.traced, node)
    if module is not None:
        return copy.deepcopy(module).double()
    options = {key: value for key, value in node.kwargs.items() if key not in ("input", "inplace")}
    target = out_of_place(name)

    def function(values: Tensor) -> Tensor:
        given: Tensor = target(values, *node.args[1:], **options)
        return given

    return function


def _pool(operations: Operations, node: fx.Node) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Return a maximum pooling that says where its maxima are."""
    module, name = operation(operations.traced, node)
    if module is not None:
        changed = copy.copy(module)
        changed.return_indices = True  # type: ignore[assignment]
        return changed
    options = {key: value for key, value in node.kwargs.items() if key != "input"}
    target = partial(getattr(nn.functional, name), **(options | {"return_indices": True}))

    def pool(values: Tensor) -> tuple[Tensor, Tensor]:
        given: tuple[Tensor, Tensor] = target(values, *node.args[1:])
        return given

    return pool
