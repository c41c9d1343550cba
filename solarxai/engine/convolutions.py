r"""Convolutions that answer faster: spectra laid out as images, and a quick gradient to the image.

**Spectra.** A convolution along one axis is computed as that of an image one pixel high, with
channels next to each other in memory and the kernel laid out beforehand; where no more than 256
values come in and go out, as the product with the matrix that it is.

**The gradient to the image.** Where few channels come in and the stride is s, pixels of one phase,
i = sm + r, all see the same part of the kernel (k points, p of padding):

.. math:: \frac{\partial y}{\partial x_{sm + r}} = \sum_e g_{m + e} \, w_{r + p - se},

so the gradient is a convolution of g at the coarse grid whose outputs, s an axis, are interleaved.

References
----------
Shi et al. 2016, Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
Convolutional Neural Network, arXiv:1609.05158.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.nn.grad import conv1d_input, conv2d_input

from solarxai.engine.packing import Convolution

__all__ = ["gradient_to_input", "speed_up_convolutions"]

_MOST_PHASES = 16
"""Most outputs of the gradient's convolution for which it is the faster way."""

_MOST_VALUES = 256
"""Most values of a spectrum, in and out, for which a product with a matrix is the faster way."""

Module = TypeVar("Module", bound=nn.Module)


def speed_up_convolutions(graph: fx.GraphModule) -> fx.GraphModule:
    """Return the graph with faster convolutions, changed in place.

    Convolutions that pad otherwise than with a number of zeros stay as they are; so does the
    gradient of those that are dilated, grouped, or not the first to see the image.
    """
    first = {
        str(node.target)
        for node in graph.graph.nodes
        if node.op == "call_module" and node.args and node.args[0].op == "placeholder"
    }
    for name, module in list(graph.named_modules()):
        kind = _kind(module, first=name in first)
        if kind is not None:
            graph.set_submodule(name, _remade(module, kind))
    return graph


def _kind(module: nn.Module, *, first: bool) -> type[nn.Module] | None:
    if not isinstance(module, nn.Conv1d | nn.Conv2d) or isinstance(module.padding, str):
        return None
    if module.padding_mode != "zeros" or type(module) not in (nn.Conv1d, nn.Conv2d):
        return None
    undilated = module.groups == 1 and set(module.dilation) == {1}
    phases = module.in_channels * math.prod(module.stride)
    one_axis = isinstance(module, nn.Conv1d)
    if first and undilated and 1 < phases <= _MOST_PHASES:
        return _FirstRow if one_axis else _FirstImage
    return _Row if one_axis else None


def _remade(module: nn.Module, kind: type[Module]) -> Module:
    """Return the same layer as another class, sharing its parameters."""
    made = kind.__new__(kind)
    made.__dict__ = dict(module.__dict__)
    return made


def _kept(module: nn.Module, name: str, make: Callable[[Any], Any]) -> Any:
    """Return what is made of a layer's parameters, made again when it has others."""
    parameters = tuple(module._parameters.values())
    kept = module.__dict__.get(name)
    if kept is None or any(a is not b for a, b in zip(kept[0], parameters, strict=True)):
        kept = module.__dict__[name] = (parameters, make(module))
    return kept[1]


def _as_image(row: nn.Conv1d) -> Convolution:
    """Return the convolution of an image one pixel high."""
    kernel = row.weight.detach().unsqueeze(2).contiguous(memory_format=torch.channels_last)
    places = (0, *_numbers(row.padding))
    return Convolution(kernel, row.bias, (1, *row.stride), places, (1, *row.dilation), row.groups)


class _Row(nn.Conv1d):
    """A convolution along one axis, computed as that of an image one pixel high."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of x (batch, channel, length)."""
        matrix = _matrix(self, x.shape[2])
        if matrix is not None:
            return _product(matrix, x)
        image = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        made: Tensor = _kept(self, "image", _as_image)(image)
        return made.contiguous(memory_format=torch.channels_last).squeeze(2)


class _FirstRow(_Row):
    """The first convolution of a network of spectra."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of x (batch, channel, length)."""
        matrix = _matrix(self, x.shape[2])
        if matrix is not None:
            return _product(matrix, x)
        return _phased(x, super().forward, self)


class _Matrix(NamedTuple):
    """What a convolution of short spectra multiplies with, adds, and gives (channel, length)."""

    kernel: Tensor
    bias: Tensor | None
    given: tuple[int, int]


def _matrix(row: nn.Conv1d, length: int) -> _Matrix | None:
    """Return the matrix (channel·length in, channel·length out), or None where it is too large."""
    found: _Matrix | None = _kept(row, f"matrix {length}", lambda one: _as_matrix(one, length))
    return found


def _as_matrix(row: nn.Conv1d, length: int) -> _Matrix | None:
    values, kernel = row.in_channels * length, row.weight.detach()
    if values > _MOST_VALUES:
        return None
    units = torch.eye(values, dtype=kernel.dtype, device=kernel.device)
    places = _numbers(row.padding)
    spread = units.view(values, row.in_channels, length)
    made = functional.conv1d(spread, kernel, None, row.stride, places, row.dilation, row.groups)
    if made[0].numel() > _MOST_VALUES:
        return None
    bias = None if row.bias is None else row.bias.detach()[:, None]
    return _Matrix(made.flatten(1), bias, (made.shape[1], made.shape[2]))


def _product(matrix: _Matrix, x: Tensor) -> Tensor:
    made = (x.flatten(1) @ matrix.kernel).view(-1, *matrix.given)
    return made if matrix.bias is None else made + matrix.bias


class _FirstImage(nn.Conv2d):
    """The first convolution of a network of images."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of x (batch, channel, y, x)."""
        return _phased(x, super().forward, self)


def _phased(
    x: Tensor, convolve: Callable[[Tensor], Tensor], module: nn.Conv1d | nn.Conv2d
) -> Tensor:
    if not (torch.is_grad_enabled() and x.requires_grad):
        return convolve(x)
    found: Tensor = _Phased.apply(x, convolve, module)  # type: ignore[no-untyped-call]
    return found


class _Phased(torch.autograd.Function):
    """A convolution whose gradient to its input is computed phase by phase."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, convolve: Any, module: nn.Module) -> Tensor:
        """Return the convolution."""
        ctx.module, ctx.size, ctx.dtype = module, x.shape[2:], x.dtype
        made: Tensor = convolve(x)
        return made

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient to x."""
        return _gradient(gradients[0], ctx.module, ctx.size).to(ctx.dtype), None, None


def gradient_to_input(module: nn.Conv1d | nn.Conv2d, g: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return the gradient to the input of a convolution from that to its output.

    Parameters
    ----------
    module
        One of those that `speed_up_convolutions` leaves, which pads with a number of zeros.
    g
        (batch, channel, *cells).
    size
        (channel, *space) of the input.
    """
    matrix = _matrix(module, size[1]) if isinstance(module, _Row) else None
    if matrix is not None:
        return (g.flatten(1) @ matrix.kernel.T).view(-1, *size)
    if isinstance(module, _FirstRow | _FirstImage):
        return _gradient(g, module, size[1:])
    one_axis = isinstance(module, nn.Conv1d)
    transposed: Callable[..., Tensor] = conv1d_input if one_axis else conv2d_input
    options = (module.stride, module.padding, module.dilation, module.groups)
    return transposed((len(g), *size), module.weight.detach(), g, *options)


def _gradient(g: Tensor, module: nn.Conv1d | nn.Conv2d, size: tuple[int, ...]) -> Tensor:
    """Return the gradient to the input of a convolution from that to its output."""
    axes, stride = len(size), module.stride
    kernel, first = _kept(module, "phases", _phase_kernel)
    coarse = [-(-n // s) for n, s in zip(size, stride, strict=True)]
    pads = [
        (-e, m + e + k - 1 - out)
        for e, k, m, out in zip(first, kernel.shape[-axes:], coarse, g.shape[2:], strict=True)
    ]
    padded = functional.pad(g, [n for pair in reversed(pads) for n in pair])
    rows = padded if axes == 2 else padded.unsqueeze(2)
    found = functional.conv2d(rows, kernel.to(g))
    split = found.reshape(len(g), module.in_channels, *stride, *coarse)
    order = [n for axis in range(axes) for n in (2 + axes + axis, 2 + axis)]
    full = [m * s for m, s in zip(coarse, stride, strict=True)]
    fine = split.permute(0, 1, *order).reshape(len(g), module.in_channels, *full)
    for axis, n in enumerate(size):
        fine = fine.narrow(2 + axis, 0, n)
    return fine


def _phase_kernel(module: nn.Conv1d | nn.Conv2d) -> tuple[Tensor, list[int]]:
    """Return the kernel (channel·phase, out, y, x) of the gradient, and its first e an axis."""
    places = [
        _places(k, s, p)
        for k, s, p in zip(module.kernel_size, module.stride, _numbers(module.padding), strict=True)
    ]
    weight = functional.pad(module.weight.detach(), [0, 1] * len(places))
    phases = []
    for chosen in itertools.product(*(rows for rows, _ in places)):
        part = weight
        for axis, points in enumerate(chosen):
            part = part.index_select(2 + axis, torch.tensor(points, device=weight.device))
        phases.append(part.transpose(0, 1))
    kernel = torch.stack(phases, dim=1).flatten(0, 1)
    image = kernel if kernel.ndim == 4 else kernel.unsqueeze(2)
    return image, [first for _, first in places]


def _places(kernel: int, stride: int, padding: int) -> tuple[list[list[int]], int]:
    """Return for each phase the points of the kernel from the first e to the last, and the first e.

    Points beyond the kernel are given as its size, where it is padded with zero.
    """
    first, last = -((kernel - 1 - padding) // stride), (stride - 1 + padding) // stride
    rows = []
    for phase in range(stride):
        points = [phase + padding - stride * e for e in range(first, last + 1)]
        rows.append([a if 0 <= a < kernel else kernel for a in points])
    return rows, first


def _numbers(padding: Any) -> tuple[int, ...]:
    return tuple(padding)
