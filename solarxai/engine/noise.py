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
        Of the image. The noise comes from a place 2¹²⁸ numbers further in its sequence, and in
        order: neither how much is drawn at a time nor what else is drawn plays a role.

    References
    ----------
    Smilkov et al. 2017, SmoothGrad, arXiv:1706.03825.
    """

    def __init__(self, image: Tensor, *, fraction: float, generator: np.random.Generator) -> None:
        self._image = image
        self._generator = _jumped(generator)
        self._deviation = fraction * float(image.max() - image.min())

    def draw(self, n: int) -> Tensor:
        """Return (n, channel, *space), of the image's type and on its device."""
        shape = (n, *self._image.shape)
        drawn = self._generator.standard_normal(shape, dtype=np.float32)
        return torch.from_numpy(drawn).to(self._image).mul_(self._deviation)

    def parts(self, n: int, *, at_most: int) -> Iterator[Tensor]:
        """Yield `n` draws in the fewest, most even parts of at most that many."""
        parts = -(-n // at_most)
        for part in range(parts):
            yield self.draw((n + part) // parts)


def _jumped(generator: np.random.Generator) -> np.random.Generator:
    bits = generator.bit_generator
    if not isinstance(bits, np.random.Philox):
        raise TypeError(f"noise is drawn from Philox, not {type(bits).__name__}")
    return np.random.Generator(bits.jumped())
