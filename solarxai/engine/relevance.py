"""Relevance pulled back through a network, operation by operation, each by its rule."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from solarxai.engine.gradients import Stream
from solarxai.engine.operations import Kind, Operations, follow, is_rectifier, without_rule
from solarxai.engine.preparation import Prepared
from solarxai.engine.receptive_field import operation
from solarxai.engine.rewriting import Rewriting, attribute_of, carry, pull_back, rewrite
from solarxai.engine.rules import Composite, Part, Rule, Term, stabilised

__all__ = ["Relevant"]

Call = Callable[[Tensor], Tensor]

_ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = (*_ARGUMENTS[:5], "output_padding", "groups", "dilation")
_LAYERS = (Kind.CONVOLUTION, Kind.DENSE)
_SUMS = ("add", "add_", "iadd", "__add__")


class Relevant:
    """A network made to pull relevance back.

    Parameters
    ----------
    prepared
        The network.
    composite
        Its rules.
    rule
        The method, for the words of a refusal.

    Raises
    ------
    ExplainerRefusal
        when the network cannot be followed or has an operation without a rule.

    Notes
    -----
    One pass forward and one back: the graph gives the scores of the network, and each operation in
    it sends back shares of relevance where autograd would send a gradient. Activations hand on what
    they get, maxima give it to the largest input, linear operations and sums share it in proportion
    to contributions (:math:`R_i = x_i (J^T R / z)_i`), layers by the rule of the composite.
    """

    def __init__(self, prepared: Prepared, composite: Composite, *, rule: str) -> None:
        self._operations = follow(prepared, rule=rule)
        self._composite = composite
        self._check(rule)
        self._first = _first_layers(self._operations)
        self._network = rewrite(self._operations, self._replaced)

    def relevance(
        self, stream: Stream, x: Tensor, start: Callable[[Tensor, Tensor], Tensor], weights: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the relevance of images and how far its sum is from that of the start, in parts.

        Parameters
        ----------
        stream
            Of the network; it counts the passes.
        x, weights
            Images (image, channel, *space) and target weights (image, class).
        start
            From scores and weights to the relevance of the scores, (image, class).
        """
        for part, weight in zip(stream.parts(x), stream.parts(weights), strict=True):
            begin = partial(_started, start, weight)
            found, scores = pull_back(stream, self._network, part, begin)
            wanted = begin(scores).double().sum(dim=1)
            yield found, (found.double().flatten(1).sum(dim=1) - wanted).to(found)

    def _check(self, rule: str) -> None:
        operations = self._operations
        for node in operations.of(Kind.PRODUCT):
            raise without_rule(operations, node, rule=rule)
        for node in operations.of(*_LAYERS):
            if any(n.op != "get_attr" for n in node.all_input_nodes[1:]):
                raise without_rule(operations, node, rule=rule)
        for node in operations.of(Kind.ACTIVATION):
            if self._composite.rectifiers_only and not is_rectifier(operations, node):
                raise without_rule(operations, node, rule=rule)

    def _replaced(self, rewriting: Rewriting, node: fx.Node) -> fx.Node | None:
        kind = self._operations.kinds[node]
        if kind is Kind.ACTIVATION:
            before = rewriting.made[node.all_input_nodes[0]]
            return rewriting.call(_hand_on, rewriting.copy(node), before)
        if kind in _LAYERS and (rule := self._rule(node, kind)) is not None:
            source = rewriting.made[node.all_input_nodes[0]]
            return rewriting.call_module(node.name, self._layer(node, rule), source)
        if kind is Kind.AFFINE and self._composite.positive_sums and _adds(self._operations, node):
            return self._shared(rewriting, node, _positive_contribution)
        if kind in (*_LAYERS, Kind.AFFINE):
            return self._shared(rewriting, node, _contribution)
        return None

    def _rule(self, node: fx.Node, kind: Kind) -> Rule:
        composite = self._composite
        if node in self._first and not isinstance(composite.first, str):
            return composite.first
        return composite.dense if kind is Kind.DENSE else composite.convolution

    def _shared(
        self, rewriting: Rewriting, node: fx.Node, contribution: Callable[[Tensor], Tensor]
    ) -> fx.Node:
        """Share in proportion to contributions to what the operation gives."""
        layer = self._operations.kinds[node] in _LAYERS
        epsilon = self._composite.epsilon if layer else self._composite.stabiliser

        def weighed(given: fx.Node) -> fx.Node:
            return rewriting.call(contribution, given)

        changed = rewriting.copy(node, weighed)
        value = changed if contribution is _contribution else rewriting.copy(node)
        return rewriting.call(_divide, value, changed, epsilon=epsilon)

    def _layer(self, node: fx.Node, rule: tuple[Part, ...]) -> _RuledLayer:
        made = _changed_layer(self._operations, node)
        return _RuledLayer(made, rule, self._composite.stabiliser)


class _RuledLayer(nn.Module):
    """A layer whose relevance goes back by a rule."""

    def __init__(self, make: Callable[[Term | None], Call], rule: Rule, epsilon: float) -> None:
        super().__init__()
        self._plain = make(None)
        self._parts = [(part, [(term, make(term)) for term in part.terms]) for part in rule or ()]
        self._epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        source = x.detach()
        with torch.no_grad():
            given = self._plain(source)
        pairs = list[Tensor]()
        for part, terms in self._parts:
            came, total = _summed(x, source, terms)
            pairs += [part.factor(total, given, self._epsilon), came]
        return carry(given, *pairs)


def _summed(x: Tensor, source: Tensor, terms: list[tuple[Term, Call]]) -> tuple[Tensor, Tensor]:
    """Return the terms' sum as what takes relevance back, and with signs as the denominator."""
    came, total = list[Tensor](), list[Tensor]()
    for term, call in terms:
        if came and term.vanishes(source):
            continue
        value = term.inputs(source)
        product = call(carry(value, term.sign * value, x))
        came.append(product)
        total.append(term.sign * product.detach())
    return sum(came[1:], came[0]), sum(total[1:], total[0])


def _hand_on(given: Tensor, before: Tensor) -> Tensor:
    return carry(given, torch.ones_like(given), before)


def _contribution(x: Tensor) -> Tensor:
    return carry(x, x.detach(), x)


def _positive_contribution(x: Tensor) -> Tensor:
    value = x.detach().clamp_min(0)
    return carry(value, value, x)


def _divide(value: Tensor, changed: Tensor, *, epsilon: float) -> Tensor:
    return carry(value, stabilised(changed.detach(), epsilon).reciprocal(), changed)


def _started(start: Callable[[Tensor, Tensor], Tensor], weight: Tensor, scores: Tensor) -> Tensor:
    return start(scores, weight.to(scores))


def _adds(operations: Operations, node: fx.Node) -> bool:
    several = sum(map(operations.depends, node.all_input_nodes)) > 1
    return several and operation(operations.traced, node)[1] in _SUMS


def _first_layers(operations: Operations) -> set[fx.Node]:
    """Return the layers that no other layer stands before."""
    after, first = set[fx.Node](), set[fx.Node]()
    for node, kind in operations.kinds.items():
        if kind in _LAYERS and not any(n in after for n in node.all_input_nodes):
            first.add(node)
        if kind in _LAYERS or any(n in after for n in node.all_input_nodes):
            after.add(node)
    return first


def _changed_layer(operations: Operations, node: fx.Node) -> Callable[[Term | None], Call]:
    """Return what makes a layer with the weights of a term, or itself for None."""
    module, name = operation(operations.traced, node)
    if module is not None:
        return partial(_changed_module, module)
    names = _TRANSPOSED if name.startswith("conv_transpose") else _ARGUMENTS
    given: dict[str, Any] = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    given.pop("input")
    graph = operations.traced.graph
    fixed = {k: attribute_of(graph, v) if isinstance(v, fx.Node) else v for k, v in given.items()}
    return partial(_changed_function, node.target, fixed)


def _changed_module(module: nn.Module, term: Term | None) -> Call:
    if term is None:
        return module
    changed = copy.copy(module)
    changed._parameters = dict(module._parameters)
    for name, change in (("weight", term.weight), ("bias", term.bias)):
        changed._parameters[name] = _changed(module._parameters[name], change)
    call: Call = changed.forward
    return call


def _changed_function(function: Any, given: dict[str, Any], term: Term | None) -> Call:
    if term is None:
        return partial(function, **given)
    weight = _changed(given["weight"], term.weight)
    bias = _changed(given.get("bias"), term.bias)
    return partial(function, **(given | {"weight": weight, "bias": bias}))


def _changed(
    values: Tensor | None, change: Callable[[Tensor], Tensor] | None
) -> nn.Parameter | None:
    if values is None or change is None:
        return None
    return nn.Parameter(change(values.detach()), requires_grad=False)
