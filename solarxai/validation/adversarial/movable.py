"""Saliency maps with a slope of their own: how they change with the image can be followed.

A network of ReLUs is linear in pieces, so the gradient of its score does not change within one and
says nothing of where a map could be led. With softplus in their place it does.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, fx, nn

from solarxai.engine.features import watch_layer
from solarxai.engine.operations import Kind, follow, is_rectifier, without_rule
from solarxai.engine.preparation import prepare
from solarxai.engine.rewriting import Rewriting, finish
from solarxai.errors import ValidationError
from solarxai.registry import near_name

__all__ = ["MOVABLE", "Movable", "MovableMap"]

Movable = Literal["grad_cam", "gradient"]
MOVABLE: tuple[Movable, ...] = get_args(Movable)
"""Maps that can be led."""

_RULE = "an attack on the explanation"


class MovableMap:
    """A smoothed network and one map of it, both with slopes.

    Parameters
    ----------
    network
        In evaluation mode; it is copied.
    x
        Images it takes, for their shape.
    method
        "grad_cam" or "gradient".
    sharpness
        β of softplus_β(z) = ln(1 + exp(βz))/β, which is a ReLU for β → ∞; in the units of what
        goes into the rectifiers.

    Raises
    ------
    ValidationError
        when the method is neither.
    ExplainerRefusal
        when the network cannot be followed, or has activations other than ReLU.

    References
    ----------
    Dombrowski et al. 2019, Explanations can be manipulated and geometry is to blame,
    arXiv:1906.07983, equation 3 and section 2.2.
    """

    def __init__(
        self, network: nn.Module, x: Tensor, *, method: Movable, sharpness: float = 30.0
    ) -> None:
        if method not in MOVABLE:
            raise ValidationError(
                f"no attack leads the map {method!r}",
                remedy=near_name(method, list(MOVABLE)) or f"Choose one of {', '.join(MOVABLE)}.",
            )
        prepared = prepare(network, x)
        layer = watch_layer(prepared, None)
        operations = follow(prepared, rule=_RULE)

        def smooth(rewriting: Rewriting, node: fx.Node) -> fx.Node | None:
            if operations.kinds[node] is not Kind.ACTIVATION:
                return None
            if not is_rectifier(operations, node):
                raise without_rule(operations, node, rule=_RULE)
            before = rewriting.made[node.all_input_nodes[0]]
            return rewriting.call(nn.functional.softplus, before, beta=sharpness)

        self.network = finish(Rewriting(operations), smooth, beside=[layer.node])
        self._layer = layer
        self._reads_layer = method == "grad_cam"

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the map (image, *cells) of the margin, and the margin (image,).

        Cells are those of the layer for Grad-CAM, the pixels for the gradient.
        """
        scores, features = self.network(x)
        margin: Tensor = scores[:, 1] - scores[:, 0]
        along = features if self._reads_layer else x
        (slope,) = torch.autograd.grad(margin.sum(), along, create_graph=True)
        if not self._reads_layer:
            return slope[:, 0], margin
        weights = slope.mean(dim=tuple(range(2, slope.ndim)), keepdim=True)
        return (weights * features).sum(dim=1), margin

    def cells_in(self, place: Tensor) -> Tensor:
        """Return which cells look at a place: masks (image, *space) at the cells' centres."""
        if not self._reads_layer:
            return place
        with torch.no_grad():
            _, features = self.network(torch.zeros_like(place[:1, None], dtype=torch.float32))
        found = place
        for axis, centres in enumerate(self._layer.centres(features.shape[2:])):
            inside = centres.round().long().clamp(0, place.shape[1 + axis] - 1)
            found = found.index_select(1 + axis, inside)
        return found
