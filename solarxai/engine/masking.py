"""The scores of one image with parts of it replaced, in parts of bounded size."""

from __future__ import annotations

import torch
from torch import Tensor

from solarxai.engine.gradients import Stream

__all__ = ["Masking"]


class Masking:
    """Asks a network what it says of an image of which only some places are left.

    Parameters
    ----------
    stream
        The network; it counts the passes.
    image, fill
        (channel, *space): the image, and what stands where it is hidden.
    weight
        (class,) of `target_weights`.
    """

    def __init__(self, stream: Stream, image: Tensor, fill: Tensor, weight: Tensor) -> None:
        self._stream = stream
        self._fill = fill
        self._way = image - fill
        self._weight = weight.double()

    def scores(self, keep: Tensor) -> Tensor:
        """Return the explained score of each mixture, (mask,) float64 on the CPU.

        Parameters
        ----------
        keep
            (mask, *space) from 0, hidden, to 1, left. Any number of masks: the passes are bounded,
            the masks themselves are the caller's.
        """
        with torch.no_grad():
            found = [self._of(part) for part in self._stream.parts(keep)]
        return torch.cat(found)

    def _of(self, keep: Tensor) -> Tensor:
        mixed = self._fill + keep.to(self._way)[:, None] * self._way
        scores: Tensor = self._stream.run(mixed)
        return scores.double().cpu() @ self._weight
