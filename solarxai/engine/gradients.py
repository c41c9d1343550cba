"""Scores and gradients in parts of bounded size, with every pass counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from solarxai.engine.preparation import Prepared
from solarxai.errors import ExplainerRefusal

__all__ = ["Stream", "apart", "check_finite"]


class Stream:
    """Sends images through a prepared network in parts of at most `batch_size`, and counts them.

    Parameters
    ----------
    prepared
        The network; what its check cost is counted from the start.
    batch_size
        Most images in one pass: memory is that of one such pass, whatever the number of images.
    precision
        "float32", or "bfloat16" for the convolutions and products inside the network.
    compiled
        Whether `torch.compile` makes the network before its first pass.

    Attributes
    ----------
    how
        Size of passes and precision, in words.
    forward, backward
        Images sent so far.
    """

    def __init__(
        self,
        prepared: Prepared,
        *,
        batch_size: int,
        precision: str = "float32",
        compiled: bool = False,
    ) -> None:
        self.prepared = prepared
        self._half = precision == "bfloat16"
        self._compiles = compiled
        self.batch_size = batch_size
        self.how = f"{batch_size} in {precision}" + ", compiled" * compiled
        self.forward = prepared.passes
        self.backward = prepared.passes

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return x in the fewest parts of at most `batch_size`, as even as can be."""
        return torch.tensor_split(x, -(-len(x) // self.batch_size))

    def scores(self, x: Tensor) -> Tensor:
        """Return the scores (image, class) of x (image, channel, *space)."""
        with torch.no_grad():
            found = [self.run(part) for part in self.parts(x)]
        return torch.cat(found)

    def gradient(self, x: Tensor, weights: Tensor) -> Tensor:
        """Return the gradient of the weighted scores to x, in one pass of all of x.

        Parameters
        ----------
        x
            (image, channel, *space), at most `batch_size` images.
        weights
            (image, class) of `target_weights`.
        """
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            explained = (self.run(leaf) * weights.to(leaf)).sum()
            (gradient,) = torch.autograd.grad(explained, leaf)
        self.backward += len(x)
        return gradient

    def run(self, x: Tensor, network: nn.Module | None = None) -> Any:
        """Return what the network gives for a copy of x, so that it may work in place.

        Parameters
        ----------
        x
            (image, channel, *space), at most `batch_size` images.
        network
            A form of the prepared network that gives more than its scores, or the part of it that
            reads x; None for itself.
        """
        self.forward += len(x)
        chosen = self._made(self.prepared.network if network is None else network)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._half):
            layout = self.prepared.memory_format if x.ndim == 4 else torch.contiguous_format
            return chosen(x.clone(memory_format=layout))

    def _made(self, network: nn.Module) -> Callable[[Tensor], Any]:
        if not self._compiles:
            return network
        key = ("compiled", network)
        if key not in self.prepared.memo:
            self.prepared.memo[key] = torch.compile(network)
        made: Callable[[Tensor], Any] = self.prepared.memo[key]
        return made


@contextmanager
def apart() -> Iterator[None]:
    """Keep what a network does to torch's global random numbers and autograd mode to itself."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices), torch.inference_mode(False), torch.enable_grad():
        yield


def check_finite(values: Tensor, *, what: str = "gradient", whose: str = "images") -> Tensor:
    """Return the values (image, ...) unchanged if they are finite.

    Parameters
    ----------
    values
        One row an image.
    what, whose
        Words for the refusal.

    Raises
    ------
    ExplainerRefusal
        naming the images whose values are not.

    Notes
    -----
    A sum is finite only if its terms are: that is one pass over the values, where `isfinite` makes
    four.
    """
    if bool(torch.isfinite(values.sum())):
        return values
    bad = (~torch.isfinite(values)).flatten(1).any(dim=1).nonzero().flatten().tolist()
    if bad:
        raise ExplainerRefusal(
            f"the {what} of the network is not finite for {whose} {bad}",
            remedy="Look for infinite weights, or a square root or logarithm at zero.",
        )
    return values
