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
        self._image = image
        self._fill = fill
        self._weight = weight

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

    def explained(self, keep: Tensor) -> Tensor:
        """Return the explained score of each mixture in one pass, with its graph.

        Parameters
        ----------
        keep
            (mask, *space), at most `batch_size` masks. Who takes a gradient through the result
            counts it on the stream.

        Returns
        -------
        Tensor
            (mask,) of the type of the scores, on the device of the image.
        """
        scores: Tensor = self._stream.run(self.mixed(keep))
        return scores @ self._weight.to(scores)

    def mixed(self, keep: Tensor) -> Tensor:
        """Return the mixtures (mask, channel, *space): exactly the image, or the fill, at the ends.

        Notes
        -----
        fill + keep·(image − fill) differs from the image by rounding where keep is 1, and so would
        every score.
        """
        return torch.lerp(self._fill, self._image, keep.to(self._image)[:, None])

    def _of(self, keep: Tensor) -> Tensor:
        scores: Tensor = self._stream.run(self.mixed(keep))
        return scores.double().cpu() @ self._weight.double().cpu()
