"""Convolutions whose kernel is laid out once, and not at every pass.

On a CPU oneDNN reads a kernel in blocks that suit the processor, and PyTorch makes them anew each
time: a fifth of a pass of a small network of spectra, next to nothing of one of images. Here they
are made when a layer first sees images of a size. Where a gradient is wanted, elsewhere than on a
CPU, and in other numbers than float32 the convolution is PyTorch's own; the answers are the same to
rounding.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Convolution"]


class _Options(NamedTuple):
    """Numbers of a convolution of images, as oneDNN takes them."""

    padding: list[int]
    stride: list[int]
    dilation: list[int]
    groups: int


class Convolution:
    """A convolution of images with a fixed kernel.

    Parameters
    ----------
    kernel, bias
        (channel out, channel in / groups, y, x) and (channel out,) or None; no gradient reaches
        them.
    stride, padding, dilation, groups
        As of `torch.nn.functional.conv2d`, padding with zeros.
    """

    def __init__(
        self,
        kernel: Tensor,
        bias: Tensor | None,
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        dilation: tuple[int, ...],
        groups: int,
    ) -> None:
        self.kernel = kernel.detach()
        self.bias = None if bias is None else bias.detach()
        self._options = _Options(list(padding), list(stride), list(dilation), groups)
        self._packed: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, images: Tensor) -> Tensor:
        """Return the convolution of images (image, channel, y, x)."""
        return self._by_packed(images) if self._can_be_packed(images) else self._plain(images)

    def _by_packed(self, images: Tensor) -> Tensor:
        size = tuple(images.shape)
        if size[1:] not in self._packed:
            self._packed[size[1:]] = _packed(self.kernel, self._options, size)
        made: Tensor = torch.ops.mkldnn._convolution_pointwise(
            images, self._packed[size[1:]], self.bias, *self._options, "none", [], ""
        )
        return made

    def _plain(self, images: Tensor) -> Tensor:
        padding, stride, dilation, groups = self._options
        return functional.conv2d(images, self.kernel, self.bias, stride, padding, dilation, groups)

    def _can_be_packed(self, images: Tensor) -> bool:
        kind = images.dtype == self.kernel.dtype == torch.float32
        place = images.device.type == self.kernel.device.type == "cpu"
        if not (kind and place and len(images)) or torch.compiler.is_compiling():
            return False
        if torch.is_autocast_enabled("cpu") or (torch.is_grad_enabled() and images.requires_grad):
            return False
        return _works()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy is made of: a packed kernel cannot be copied, and is made again."""
        return {**self.__dict__, "_packed": {}}


def _packed(kernel: Tensor, options: _Options, size: tuple[int, ...]) -> Tensor:
    pack = torch._C._nn.mkldnn_reorder_conv2d_weight
    laid: Tensor = pack(kernel.to_mkldnn(), *options, size)  # type: ignore[call-arg]
    return laid


@functools.cache
def _works() -> bool:
    """Return whether this build of PyTorch packs kernels, by packing one."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    images, kernel = torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3)
    try:
        made = Convolution(kernel, None, (1, 1), (1, 1), (1, 1), 1)._by_packed(images)
    except (AttributeError, RuntimeError, TypeError):  # names that PyTorch does not promise
        return False
    return torch.equal(made, functional.conv2d(images, kernel, padding=1))
