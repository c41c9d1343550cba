"""Processes that train one network together: what each does, and what they tell each other.

Every process draws the same order and the same augmentation, learns from its part of each batch,
and ends each step with the same weights. A process alone is a team of one and tells nobody.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from solarxai.errors import TrainingError

__all__ = ["Team"]

_STRIDES = "Grad strides do not match bucket view strides"
"""What torch says of kernels of one pixel, whose channels lie together in either order."""


@dataclass(frozen=True, kw_only=True)
class Team:
    """One of `size` processes that train together; torch's default process group must be there.

    Parameters
    ----------
    rank, size
        Number of this process from 0, and of how many.
    device
        Where this process computes, "cpu" or such as "cuda:1".
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise TrainingError(
                f"rank {self.rank} is not one of {self.size} processes",
                remedy=f"Give 0 to {self.size - 1}.",
            )
        wanted = torch.device(self.device)
        if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
            raise TrainingError(
                f"device {self.device} was asked for, and this machine has "
                f"{torch.cuda.device_count()} CUDA devices",
                remedy="Give device: cpu, or no more processes a node than it has devices.",
            )

    @property
    def leads(self) -> bool:
        """Return whether this process writes and tells what all of them do."""
        return self.rank == 0

    def part(self, rows: int) -> slice:
        """Return which of the rows of a batch are this process's: runs that differ by one row."""
        less, more = divmod(rows, self.size)
        start = self.rank * less + min(self.rank, more)
        return slice(start, start + less + (self.rank < more))

    def told(self, found: Any) -> Any:
        """Return what the leading process found, in every process."""
        if self.size == 1:
            return found
        held = [found]
        distributed.broadcast_object_list(held, src=0, device=torch.device(self.device))
        return held[0]

    def gathered(self, mine: Any) -> list[Any]:
        """Return what each process has, in the order of ranks, in every process."""
        if self.size == 1:
            return [mine]
        every: list[Any] = [None] * self.size
        distributed.all_gather_object(every, mine)
        return every

    def sums(self, *mine: float) -> list[float]:
        """Return the sums of numbers over the processes."""
        if self.size == 1:
            return list(mine)
        total = torch.tensor(mine, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return [float(value) for value in total.tolist()]

    @contextmanager
    def together(self, network: nn.Module) -> Iterator[Callable[[Tensor], Tensor]]:
        """Give what to call in place of the network, so that gradients are those of all batches.

        Each gradient is the mean over the processes, and batch norms take mean and variance of
        the whole batch, which makes the step that of one process with all rows. The network is
        left as it was, but for its values.
        """
        network.to(self.device)
        single = _join_norms(network) if self.size > 1 else []
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=_STRIDES)
                yield network if self.size == 1 else DistributedDataParallel(network)
        finally:
            for owner, name, norm in single:
                setattr(owner, name, norm)
            network.to("cpu")


def _join_norms(network: nn.Module) -> list[tuple[nn.Module, str, nn.Module]]:
    """Replace the batch norms of a network, and return what was where."""
    found = [
        (owner, name, module)
        for owner in network.modules()
        for name, module in owner.named_children()
        if isinstance(module, _BatchNorm)
    ]
    for owner, name, module in found:
        setattr(owner, name, _JointNorm(module))
    return [(owner, name, module) for owner, name, module in found]


class _JointNorm(nn.Module):
    """A batch norm over the rows of all processes, sharing weights and statistics with another.

    torch's SyncBatchNorm computes the same, on accelerators only.
    """

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(norm, name))
        self.eps, self.momentum = norm.eps, norm.momentum

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalised, channel by channel."""
        if not self.training and self.running_mean is not None:
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        along = [0, *range(2, x.ndim)]
        wide = [1, -1, *[1] * (x.ndim - 2)]
        rows = torch.full((1,), x.numel() / x.shape[1], dtype=x.dtype, device=x.device)
        sums = _summed(torch.cat([x.sum(along), rows]))
        mean, n = sums[:-1] / sums[-1], float(sums[-1].detach())
        apart = x - mean.view(wide)
        variance = _summed((apart * apart).sum(along)) / n
        self._follow(mean.detach(), variance.detach() * n / max(1.0, n - 1))
        scale = torch.rsqrt(variance + self.eps)
        out = apart * (scale if self.weight is None else scale * self.weight).view(wide)
        return out if self.bias is None else out + self.bias.view(wide)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        share = self.momentum or 0.0
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                share = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def _summed(mine: Tensor) -> Tensor:
    total: Tensor = _Summed.apply(mine)  # type: ignore[no-untyped-call]
    return total


class _Summed(torch.autograd.Function):
    """The sum of a tensor over the processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor) -> Tensor:  # noqa: ARG004
        total = mine.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total
