"""Normal noise of an image, drawn in parts without the parts mattering."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

__all__ = ["Noise"]


class Noise:
    """Independent normal noise on every value of an image.

    Parameters
    ----------
    image
        (channel, *space).
    fraction
        Standard deviation as a part of the image's largest less its smallest value.
    generator
        Of the image. Its numbers are used in order, so how many are drawn at a time plays no role.

    References
    ----------
    Smilkov et al. 2017, SmoothGrad, arXiv:1706.03825, section 3.2.
    """

    def __init__(self, image: Tensor, *, fraction: float, generator: np.random.Generator) -> None:
        self._image = image
        self._generator = generator
        self._deviation = fraction * float(image.max() - image.min())

    def draw(self, n: int) -> Tensor:
        """Return (n, channel, *space), of the image's type and on its device."""
        shape = (n, *self._image.shape)
        drawn = self._generator.standard_normal(shape, dtype=np.float32)
        return torch.from_numpy(drawn).to(self._image).mul_(self._deviation)

    def parts(self, n: int, *, at_most: int) -> Iterator[Tensor]:
        """Yield `n` draws in the fewest, most even parts of at most that many."""
        for part in np.array_split(np.arange(n), -(-n // at_most)):
            yield self.draw(len(part))
