"""What each operation of a traced network is to a rule: a layer, an activation, a sum, a routing.

Rules change how an explanation goes back through an operation, so they must know every operation on
the way, whether a module or a function does it: a name that is not known here is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules import activation, dropout
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.padding import _ConstantPadNd, _ReflectionPadNd, _ReplicationPadNd
from torch.nn.modules.pooling import (
    _AdaptiveAvgPoolNd,
    _AdaptiveMaxPoolNd,
    _AvgPoolNd,
    _MaxPoolNd,
)

from solarxai.engine.preparation import Prepared
from solarxai.engine.receptive_field import operation
from solarxai.engine.tracing import Traced
from solarxai.errors import ExplainerRefusal

__all__ = [
    "Kind",
    "Operations",
    "changes_in_place",
    "follow",
    "is_rectifier",
    "out_of_place",
    "without_rule",
]


class Kind(Enum):
    """What an operation does with what it gets.

    CONVOLUTION and DENSE are sums with weights, AFFINE any other sum whose weights do not depend on
    the image, ROUTING leaves values as they are and moves them, PRODUCT multiplies or compares
    values that all depend on the image. CONSTANT does not depend on the image.
    """

    CONSTANT = "constant"
    CONVOLUTION = "convolution"
    DENSE = "dense"
    AFFINE = "affine"
    ACTIVATION = "activation"
    MAXIMUM = "maximum"
    ROUTING = "routing"
    PRODUCT = "product"
    UNKNOWN = "unknown"


_ACTIVATIONS = """
    ELU Hardshrink Hardsigmoid Hardtanh Hardswish LeakyReLU LogSigmoid PReLU ReLU ReLU6 SELU CELU
    GELU Sigmoid SiLU Mish Softplus Softshrink Softsign Tanh Tanhshrink Threshold
""".split()  # noqa: SIM905

_MODULES: tuple[tuple[tuple[type, ...], Kind], ...] = (
    ((_ConvNd,), Kind.CONVOLUTION),
    ((nn.Linear,), Kind.DENSE),
    (tuple(getattr(activation, name) for name in _ACTIVATIONS), Kind.ACTIVATION),
    ((_MaxPoolNd, _AdaptiveMaxPoolNd), Kind.MAXIMUM),
    ((_BatchNorm, _AvgPoolNd, _AdaptiveAvgPoolNd, nn.Upsample), Kind.AFFINE),
    ((_ConstantPadNd, _ReflectionPadNd, _ReplicationPadNd), Kind.AFFINE),
    ((nn.Identity, nn.Flatten, nn.Unflatten, nn.PixelShuffle, dropout._DropoutNd), Kind.ROUTING),
    ((nn.LayerNorm, nn.GroupNorm, nn.Softmax, nn.LogSoftmax, nn.Softmin), Kind.PRODUCT),
)

_FUNCTIONS = {
    Kind.CONVOLUTION: "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d",
    Kind.DENSE: "linear",
    Kind.ACTIVATION: """relu relu_ relu6 leaky_relu leaky_relu_ elu elu_ selu selu_ celu celu_ gelu
        silu mish sigmoid sigmoid_ tanh tanh_ softplus softsign hardtanh hardtanh_ hardswish
        hardsigmoid logsigmoid tanhshrink clamp clamp_ clamp_min clamp_min_ clip""",
    Kind.MAXIMUM: """max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d
        adaptive_max_pool3d""",
    Kind.AFFINE: """avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
        adaptive_avg_pool3d mean sum batch_norm interpolate upsample pad neg add add_ iadd sub sub_
        isub rsub""",
    Kind.ROUTING: """flatten unflatten reshape reshape_as view view_as permute transpose swapaxes
        movedim squeeze unsqueeze t contiguous clone getitem chunk split unbind narrow select
        index_select expand expand_as repeat cat concat concatenate stack flip roll pixel_shuffle
        dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout float double to type
        type_as""",
    Kind.PRODUCT: """softmax log_softmax layer_norm group_norm instance_norm matmul bmm mm einsum
        pow square sqrt exp log abs norm normalize var std amax amin maximum minimum
        scaled_dot_product_attention""",
}
_KIND_OF_FUNCTION = {name: kind for kind, names in _FUNCTIONS.items() for name in names.split()}
_PRODUCTS = ("mul", "mul_", "imul", "multiply")
_QUOTIENTS = ("div", "div_", "truediv", "itruediv", "true_divide")
_TUPLES = ("chunk", "split", "unbind")
_QUESTIONS = ("size", "dim", "numel", "getattr", "ndimension", "len")
_WEIGHTED = (Kind.CONVOLUTION, Kind.DENSE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Operations:
    """A traced network with the kind of each operation.

    Parameters
    ----------
    traced
        The network.
    kinds
        Kind of each node.
    """

    traced: Traced
    kinds: Mapping[fx.Node, Kind]

    def of(self, *wanted: Kind) -> list[fx.Node]:
        """Return the nodes of these kinds, in the order they run."""
        return [node for node, kind in self.kinds.items() if kind in wanted]

    def depends(self, node: fx.Node) -> bool:
        """Return whether what a node gives depends on the image."""
        return self.kinds[node] is not Kind.CONSTANT

    def called(self, node: fx.Node) -> str:
        """Return the words for a node: what it calls and its name."""
        return f"{operation(self.traced, node)[1]} (at {node.name})"


def follow(prepared: Prepared, *, rule: str) -> Operations:
    """Return a network's operations with their kinds.

    Parameters
    ----------
    prepared
        The network.
    rule
        Whose rules they are for, for the words of a refusal.

    Raises
    ------
    ExplainerRefusal
        when the network could not be traced, has an operation that is not known, or changes a
        tensor in place that is read again later.
    """
    traced = prepared.traced
    if traced is None:
        raise ExplainerRefusal(
            f"the data flow of the network cannot be followed ({prepared.reason})",
            remedy="Write its forward method without control flow that depends on values, "
            "or use a gradient method, which needs no rules.",
        )
    kinds = dict[fx.Node, Kind]()
    for node in traced.graph.graph.nodes:
        kinds[node] = _kind(traced, node, kinds)
    found = Operations(traced=traced, kinds=kinds)
    for node in found.of(Kind.UNKNOWN):
        raise without_rule(found, node, rule=rule)
    _check_places(found)
    return found


def without_rule(operations: Operations, node: fx.Node, *, rule: str) -> ExplainerRefusal:
    """Return the refusal of an operation that has no rule."""
    return ExplainerRefusal(
        f"{rule} has no rule for {operations.called(node)}",
        remedy="Use a method that needs only gradients, such as integrated_gradients, or build the "
        "network from convolutions, dense layers, ReLU, poolings and sums.",
    )


def is_rectifier(operations: Operations, node: fx.Node) -> bool:
    """Return whether an activation is max(0, x), by whatever name."""
    module, name = operation(operations.traced, node)
    if module is not None:
        return type(module) is nn.ReLU
    if name in ("relu", "relu_"):
        return True
    bounds = dict(zip(("min", "max"), node.args[1:], strict=False)) | dict(node.kwargs)
    clamps = name in ("clamp", "clamp_", "clamp_min", "clamp_min_", "clip")
    return bool(clamps and bounds.get("min") == 0 and bounds.get("max") is None)


def _kind(traced: Traced, node: fx.Node, kinds: Mapping[fx.Node, Kind]) -> Kind:
    module, name = operation(traced, node)
    given = [n for n in node.all_input_nodes if kinds[n] is not Kind.CONSTANT]
    if node.op in ("placeholder", "output"):
        return Kind.ROUTING
    if not given or name in _QUESTIONS:
        return Kind.CONSTANT
    if node.name not in traced.shapes and name not in _TUPLES:
        return Kind.UNKNOWN
    if module is not None:
        return next((kind for types, kind in _MODULES if isinstance(module, types)), Kind.UNKNOWN)
    kind = _scaling(node, name, given) or _KIND_OF_FUNCTION.get(name, Kind.UNKNOWN)
    return Kind.PRODUCT if kind in _WEIGHTED and len(given) > 1 else kind


def _scaling(node: fx.Node, name: str, given: list[fx.Node]) -> Kind | None:
    """Return the kind of a product or a quotient, None for anything else."""
    if name not in (*_PRODUCTS, *_QUOTIENTS):
        return None
    factors = [n for n in (*node.args, *node.kwargs.values()) if n in given]
    divides = name in _QUOTIENTS and node.args[:1] != (given[0],)
    return Kind.PRODUCT if len(factors) > 1 or divides else Kind.AFFINE


def out_of_place(name: str) -> Any:
    """Return the function of that name that writes into a new tensor."""
    return getattr(torch, name.rstrip("_"), None) or getattr(nn.functional, name.rstrip("_"))


def changes_in_place(node: fx.Node) -> bool:
    """Return whether a node writes into its first argument."""
    name: Any = node.target if isinstance(node.target, str) else node.target.__name__
    if node.op == "call_module" or name.startswith("__"):
        return False
    named = name.endswith("_") or name in ("iadd", "isub", "imul", "itruediv")
    return named or bool(node.kwargs.get("inplace"))


def _check_places(operations: Operations) -> None:
    order = {node: place for place, node in enumerate(operations.kinds)}
    for node in operations.kinds:
        if node.op not in ("call_function", "call_method") or not changes_in_place(node):
            continue
        shared = _sharing_memory(operations, node)
        if any(order[user] > order[node] for one in shared for user in one.users):
            raise ExplainerRefusal(
                f"{operations.called(node)} changes a tensor in place that is read again later",
                remedy="Write the operation without in-place changes.",
            )


def _sharing_memory(operations: Operations, node: fx.Node) -> list[fx.Node]:
    """Return the nodes whose memory a node writes into: its first input and what that looks at."""
    found = list[fx.Node]()
    before = node.all_input_nodes[:1]
    while before:
        found += before
        looks = operations.kinds[before[0]] is Kind.ROUTING
        before = before[0].all_input_nodes[:1] if looks else []
    return found
