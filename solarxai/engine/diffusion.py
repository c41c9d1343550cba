"""An image smoothed by any amount, exactly: heat that flows until nothing is left but the mean."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["Diffusion"]


class Diffusion:
    r"""An image under Gaussian smoothing that is reflected at the borders.

    Parameters
    ----------
    image
        (channel, *space).

    Notes
    -----
    With the cosine transform of each axis of N pixels, smoothing by σ multiplies the k-th component
    by :math:`\exp(-\tfrac{1}{2} (\pi k \sigma / N)^2)`: no kernel is cut off, smoothing twice is
    smoothing once by the root of the summed squares, and a zero σ gives the image.
    """

    def __init__(self, image: Tensor) -> None:
        self._image = image
        self._bases = [_cosines(n).to(image.device) for n in image.shape[1:]]
        components = image.double()
        for axis, basis in enumerate(self._bases, start=1):
            components = _along(components, basis, axis)
        self._components = components

    def at(self, sigmas: Tensor) -> Tensor:
        """Return the image smoothed by each of (point,) pixels: (point, channel, *space)."""
        found = self._components[None]
        for axis, basis in enumerate(self._bases, start=2):
            found = _along(found * self._damping(sigmas, axis, len(basis)), basis.T, axis)
        return found.to(self._image)

    def _damping(self, sigmas: Tensor, axis: int, pixels: int) -> Tensor:
        """Return what is left of each component of one axis, (point, 1, ..., component, ..., 1)."""
        frequencies = torch.arange(pixels, dtype=torch.float64) * (math.pi / pixels)
        left = torch.exp(-0.5 * (sigmas.double().cpu()[:, None] * frequencies) ** 2)
        shape = [len(sigmas), *[1] * self._image.ndim]
        shape[axis] = pixels
        return left.to(self._image.device).view(shape)


def _cosines(pixels: int) -> Tensor:
    """Return the orthonormal cosine transform (component, pixel), float64."""
    places = (torch.arange(pixels, dtype=torch.float64) + 0.5) * (math.pi / pixels)
    basis = torch.cos(torch.arange(pixels, dtype=torch.float64)[:, None] * places)
    basis *= math.sqrt(2 / pixels)
    basis[0] /= math.sqrt(2)
    return basis


def _along(values: Tensor, matrix: Tensor, axis: int) -> Tensor:
    found: Tensor = torch.tensordot(values, matrix, dims=([axis], [1]))
    return found.movedim(-1, axis)
