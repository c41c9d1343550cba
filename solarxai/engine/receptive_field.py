"""Where in the input a feature map looks: the centre of each cell's receptive field.

Along an axis the centres are start + stride·j (0-based input pixels). A window (convolution,
pooling) of kernel k, step s, dilation d and p pixels of padding before the first moves start by
((k − 1)d/2 − p)·stride and multiplies the stride by s.

References
----------
Araujo, Norris & Sim 2019, Computing Receptive Fields of Convolutional Neural Networks,
doi:10.23915/distill.00021.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules import activation, dropout
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.padding import (
    _CircularPadNd,
    _ConstantPadNd,
    _ReflectionPadNd,
    _ReplicationPadNd,
)
from torch.nn.modules.pooling import (
    _AdaptiveAvgPoolNd,
    _AdaptiveMaxPoolNd,
    _AvgPoolNd,
    _MaxPoolNd,
)

from solarxai.engine.tracing import Traced
from solarxai.errors import ExplainerRefusal

__all__ = ["Grid", "Grids", "grids", "is_pointwise", "operation"]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The centres of a row of cells along one axis of the input, in input pixels (0-based).

    Parameters
    ----------
    start
        Centre of the first cell.
    stride
        Step from one cell to the next.
    """

    start: float = 0.0
    stride: float = 1.0

    def window(self, kernel: float, step: float, padding: float, dilation: float) -> Grid:
        """Return the grid of what a window gives that steps over these cells."""
        moved = (kernel - 1) * dilation / 2 - padding
        return Grid(start=self.start + moved * self.stride, stride=self.stride * step)

    def centres(self, cells: int) -> Tensor:
        """Return the centres of that many cells, (cells,) float32."""
        return self.start + self.stride * torch.arange(cells, dtype=torch.float32)


Grids = tuple[Grid, ...]

_POINTWISE_MODULES = (
    _NormBase, nn.Identity, nn.GroupNorm, nn.LocalResponseNorm, dropout._DropoutNd,
    *(getattr(activation, n) for n in activation.__all__ if n not in ("MultiheadAttention", "GLU")),
)  # fmt: skip

_POINTWISE_FUNCTIONS = """
    add sub mul truediv neg pow iadd isub imul itruediv abs exp log sqrt square relu relu_ relu6
    gelu silu elu selu celu leaky_relu prelu softplus softsign hardtanh hardswish hardsigmoid mish
    sigmoid tanh clamp clip clamp_min maximum minimum dropout dropout1d dropout2d batch_norm
    instance_norm group_norm cat concat concatenate clone contiguous float add_ sub_ mul_ div div_
    true_divide
""".split()  # noqa: SIM905

_POOLS = (_MaxPoolNd, _AvgPoolNd)
_PADS = (_CircularPadNd, _ConstantPadNd, _ReflectionPadNd, _ReplicationPadNd)
_RESIZES = (_AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, nn.Upsample)

_ARGUMENTS = {
    "conv": ("input", "weight", "bias", "stride", "padding", "dilation"),
    "max_pool": ("input", "kernel_size", "stride", "padding", "dilation"),
    "avg_pool": ("input", "kernel_size", "stride", "padding"),
    "pad": ("input", "padding"),
    "interpolate": ("input", "size", "scale_factor", "mode", "align_corners"),
    "adaptive_avg_pool": ("input", "output_size"),
    "adaptive_max_pool": ("input", "output_size"),
}
"""Arguments of the functions of `torch.nn.functional`, in order, without the number of axes."""


def grids(traced: Traced, node: fx.Node) -> Grids:
    """Return the grid of each axis of the cells that a node of a network gives.

    Parameters
    ----------
    traced
        The network, with shapes.
    node
        One of its nodes, which gives (batch, channel, *cells).

    Raises
    ------
    ExplainerRefusal
        when something on the way moves pixels in a way that is not known, or joins branches of
        different strides.

    Notes
    -----
    Where branches of the same stride and different centres are joined, as by a residual sum whose
    shortcut pools, the mean of the centres is taken.
    """
    source = next(n for n in traced.graph.graph.nodes if n.op == "placeholder")
    axes = len(traced.shapes[source.name]) - 2
    found: dict[str, Grids | str] = {source.name: (Grid(),) * axes}
    for step in traced.graph.graph.nodes:
        cells = traced.shapes.get(step.name, ())[2:]
        seen = [n for n in step.all_input_nodes if n.name in found]
        if seen and len(cells) == axes and max(cells) > 1:
            found[step.name] = _step(traced, step, seen, found)
    given = found.get(node.name, "it is not a feature map (batch, channel, *cells) of two cells")
    if isinstance(given, str):
        raise ExplainerRefusal(
            f"the cells of {node.name} cannot be located: {given}",
            remedy="Name another layer, or use a gradient method, which needs no layer.",
        )
    return given


def operation(traced: Traced, node: fx.Node) -> tuple[nn.Module | None, str]:
    """Return the module that a node calls, or None, and the name of what it calls."""
    if node.op == "call_module":
        module = traced.graph.get_submodule(str(node.target))
        return module, type(module).__name__
    return None, getattr(node.target, "__name__", str(node.target))


def is_pointwise(traced: Traced, node: fx.Node) -> bool:
    """Return whether a node leaves every value at its place: an activation, a norm, a sum."""
    module, name = operation(traced, node)
    if module is not None:
        return isinstance(module, _POINTWISE_MODULES)
    return name in _POINTWISE_FUNCTIONS


def _step(
    traced: Traced, step: fx.Node, seen: Sequence[fx.Node], found: Mapping[str, Grids | str]
) -> Grids | str:
    before = [found[n.name] for n in (seen if is_pointwise(traced, step) else seen[:1])]
    located = [grid for grid in before if not isinstance(grid, str)]
    if len(located) < len(before):
        return next(grid for grid in before if isinstance(grid, str))
    module, name = operation(traced, step)
    if is_pointwise(traced, step):
        return _joined(located, step)
    sizes = (traced.shapes[seen[0].name][2:], traced.shapes[step.name][2:])
    axes = len(located[0])
    if module is not None:
        options = _of_module(module, axes)
    else:
        options = _of_function(traced, step, name, axes)
    if options is None:
        return f"it is not known how {name} (at {step.name}) moves pixels"
    return tuple(
        _moved(grid, {k: v[axis] for k, v in options.items()}, sizes[0][axis], sizes[1][axis])
        for axis, grid in enumerate(located[0])
    )


def _joined(branches: Sequence[Grids], step: fx.Node) -> Grids | str:
    made = []
    for along in zip(*branches, strict=True):
        if len({grid.stride for grid in along}) > 1:
            return f"{step.name} joins branches of strides {[grid.stride for grid in along]}"
        start = sum(grid.start for grid in along) / len(along)
        made.append(Grid(start=start, stride=along[0].stride))
    return tuple(made)


def _moved(grid: Grid, options: Mapping[str, Any], before: int, after: int) -> Grid:
    """Return the grid after a window, a change of size (no options) or a transposed window."""
    if not options:
        return grid.window(before / after, before / after, 0, 1)
    kernel, dilation = options.get("kernel_size", 1), options.get("dilation", 1)
    padding, step = options.get("padding", 0), options.get("stride", 1)
    if padding == "same":
        padding = dilation * (kernel - 1) // 2
    if options.get("transposed"):
        step = 1 / step
        return grid.window(1, step, (dilation * (kernel - 1) / 2 - padding) * step, 1)
    return grid.window(kernel, step, 0 if padding == "valid" else padding, dilation)


def _of_module(module: nn.Module, axes: int) -> dict[str, tuple[Any, ...]] | None:
    options: dict[str, Any] = {}
    if isinstance(module, (_ConvNd, *_POOLS)):
        names = ("kernel_size", "stride", "padding", "dilation")
        options = {n: getattr(module, n) for n in names if hasattr(module, n)}
        if isinstance(module, _ConvTransposeNd):
            options["transposed"] = True
    elif isinstance(module, _PADS):
        options = {"padding": module.padding[0::2][::-1]}
    elif not isinstance(module, _RESIZES) or getattr(module, "align_corners", False):
        return None
    return {name: _each(value, axes) for name, value in options.items()}


def _of_function(
    traced: Traced, step: fx.Node, name: str, axes: int
) -> dict[str, tuple[Any, ...]] | None:
    kind = name[:-2] if name[-2:] in ("1d", "2d", "3d") else name
    if kind not in _ARGUMENTS:
        return None
    given: dict[str, Any] = dict(zip(_ARGUMENTS[kind], step.args, strict=False)) | dict(step.kwargs)
    if kind == "interpolate":
        return None if given.get("align_corners") else {}
    if kind.startswith("adaptive"):
        return {}
    if kind == "pad":
        pads = tuple(given.get("padding", given.get("pad", ())))
        return {"padding": ((0,) * axes + pads[0::2][::-1])[-axes:]}
    if kind == "conv":
        given["kernel_size"] = traced.shapes[given["weight"].name][2:]
    elif given.get("stride") is None:
        given["stride"] = given["kernel_size"]
    wanted = ("kernel_size", "stride", "padding", "dilation")
    return {n: _each(given[n], axes) for n in wanted if n in given}


def _each(value: Any, axes: int) -> tuple[Any, ...]:
    """Return one value an axis; a single value stands for all of them."""
    several = isinstance(value, Sequence) and not isinstance(value, str)
    many = tuple(value) if several else (value,) * axes
    return many * axes if len(many) == 1 else many
