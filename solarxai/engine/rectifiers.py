"""Networks whose rectifiers pull a gradient back by another rule: DeconvNet, guided backprop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx

from solarxai.engine.gradients import Stream
from solarxai.engine.operations import Kind, Operations, follow, is_rectifier, without_rule
from solarxai.engine.preparation import Prepared
from solarxai.engine.rewriting import Rewriting, pull_back, rewrite
from solarxai.errors import ExplainerRefusal

__all__ = ["Rectified"]


class Rectified:
    """A network whose rectifiers let only positive gradients back.

    Parameters
    ----------
    prepared
        The network.
    guided
        Whether a rectifier that was off stops the gradient as well, as in guided backprop;
        DeconvNet looks at the gradient alone.
    rule
        The method, for the words of a refusal.

    Raises
    ------
    ExplainerRefusal
        when the network cannot be followed, has no ReLU or another activation beside it.
    """

    def __init__(self, prepared: Prepared, *, guided: bool, rule: str) -> None:
        operations = follow(prepared, rule=rule)
        _check_activations(operations, rule)
        pass_back = _guided if guided else _deconvolved

        def replace(rewriting: Rewriting, node: fx.Node) -> fx.Node | None:
            if operations.kinds[node] is not Kind.ACTIVATION:
                return None
            return rewriting.call(pass_back, rewriting.made[node.all_input_nodes[0]])

        self._network = rewrite(operations, replace)

    def gradients(self, stream: Stream, x: Tensor, weights: Tensor) -> Iterator[Tensor]:
        """Yield the changed gradient of the weighted scores, part by part.

        Parameters
        ----------
        stream
            Of the network; it counts the passes.
        x, weights
            Images (image, channel, *space) and target weights (image, class).
        """
        for part, weight in zip(stream.parts(x), stream.parts(weights), strict=True):
            yield pull_back(stream, self._network, part, lambda _, w=weight: w)[0]  # type: ignore[misc]


class _Guided(torch.autograd.Function):
    """max(0, x); back go positive gradients where x is positive (Springenberg et al. 2015)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        given = x.relu()
        ctx.save_for_backward(given)
        return given

    @staticmethod
    def backward(ctx: Any, came: Tensor) -> Any:
        (given,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(came.relu(), given, 0)


class _Deconvolved(torch.autograd.Function):
    """max(0, x); back go positive gradients, whatever x (Zeiler & Fergus 2014)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return x.relu()

    @staticmethod
    def backward(ctx: Any, came: Tensor) -> Any:  # noqa: ARG004
        return came.relu()


def _guided(x: Tensor) -> Tensor:
    given: Tensor = _Guided.apply(x)  # type: ignore[no-untyped-call]
    return given


def _deconvolved(x: Tensor) -> Tensor:
    given: Tensor = _Deconvolved.apply(x)  # type: ignore[no-untyped-call]
    return given


def _check_activations(operations: Operations, rule: str) -> None:
    found = operations.of(Kind.ACTIVATION)
    for node in found:
        if not is_rectifier(operations, node):
            raise without_rule(operations, node, rule=rule)
    if not found:
        raise ExplainerRefusal(
            f"{rule} changes how gradients pass ReLUs, and the network has none",
            remedy="Use gradient, which is what would come out.",
        )
