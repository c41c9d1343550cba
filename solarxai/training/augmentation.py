"""Random changes of images that leave their label: what another telescope would also change."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from solarxai.errors import TrainingError

__all__ = ["Augmentation"]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of an image that leave its label: what a real telescope would also change.

    Parameters
    ----------
    orientations
        Whether each image takes one of the eight orientations of the square.
    warp
        Fraction of images that are also rotated by any angle, zoomed and foreshortened.
    zoom
        Smallest and largest magnification (log-uniform).
    foreshortening
        Smallest ratio of axes (uniform up to 1), along any direction.
    shift_px
        Largest shift along each axis; whole pixels for images that are not warped.
    blur_px
        Largest standard deviation of an extra Gaussian point-spread function.
    brightness
        Largest relative change of all intensities.
    contrast
        Largest relative change of the distance from the quiet Sun, I = 1.
    noise
        Largest standard deviation of white noise.

    Raises
    ------
    TrainingError
        when a number is outside its range.
    """

    orientations: bool = True
    warp: float = 0.6
    zoom: tuple[float, float] = (0.8, 1.25)
    foreshortening: float = 0.75
    shift_px: float = 2.5
    blur_px: float = 1.0
    brightness: float = 0.03
    contrast: float = 0.2
    noise: float = 0.01

    def __post_init__(self) -> None:
        amounts = (self.shift_px, self.blur_px, self.brightness, self.contrast, self.noise)
        sound = 0 <= self.warp <= 1 and 0 < self.foreshortening <= 1
        if not sound or not 0 < self.zoom[0] <= self.zoom[1] or min(amounts) < 0:
            raise TrainingError(
                f"{self} is out of range: warp in [0, 1], foreshortening in (0, 1], "
                "0 < zoom[0] <= zoom[1], all others >= 0",
                remedy="Correct the augmentation; 0 switches an amount off.",
            )

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return changed copies of images (batch, 1, y, x), intensities relative to quiet Sun."""
        out = _orient(images, generator) if self.orientations else images
        out = _blur(self._resample(out, generator), self.blur_px, generator)
        n = len(out)
        contrast = 1 + self.contrast * _symmetric(n, generator).view(-1, 1, 1, 1)
        brightness = 1 + self.brightness * _symmetric(n, generator).view(-1, 1, 1, 1)
        sigma = self.noise * torch.rand(n, generator=generator).view(-1, 1, 1, 1)
        noise = sigma * torch.randn(out.shape, generator=generator)
        return brightness * (1 + contrast * (out - 1)) + noise

    def _resample(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Rotate, foreshorten, zoom and shift in one bilinear interpolation, edges mirrored."""
        n, _, *pixels = images.shape
        warped = torch.rand(n, generator=generator) < self.warp
        low, high = (math.log(z) for z in self.zoom)
        zoom = torch.exp(low + (high - low) * torch.rand(n, generator=generator))
        ratio = 1 - (1 - self.foreshortening) * torch.rand(n, generator=generator)
        first, second = (math.pi * _symmetric(n, generator) for _ in range(2))
        stretch = torch.diag_embed(torch.stack([1 / zoom, 1 / (zoom * ratio)], dim=1))
        linear = _rotation(first) @ stretch @ _rotation(second)
        linear = torch.where(warped.view(-1, 1, 1), linear, torch.eye(2))
        shift = self.shift_px * torch.stack([_symmetric(n, generator) for _ in range(2)], dim=1)
        shift = torch.where(warped.view(-1, 1), shift, torch.trunc(shift))
        columns = 2 * shift / torch.tensor([pixels[1], pixels[0]])
        affine = torch.cat([linear, columns[:, :, None]], dim=2)
        grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
        return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _orient(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return each image in one of the eight orientations of the square."""
    choice = torch.randint(8, (len(images),), generator=generator)
    out = images.clone()
    for k in range(1, 8):
        rows = choice == k
        turned = torch.rot90(images[rows], k % 4, (2, 3))
        out[rows] = turned.flip(3) if k >= 4 else turned
    return out


def _symmetric(n: int, generator: torch.Generator) -> Tensor:
    """Return n numbers uniform in (-1, 1)."""
    return 2 * torch.rand(n, generator=generator) - 1


def _rotation(angle: Tensor) -> Tensor:
    """Return rotation matrices (n, 2, 2)."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)


def _blur(images: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Return images (n, 1, y, x), each convolved with a Gaussian of sigma uniform in (0, most)."""
    sigma = most * torch.rand(len(images), generator=generator)
    radius = max(1, math.ceil(3 * most))
    offsets = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-0.5 * (offsets / sigma.clamp(min=1e-3)[:, None]) ** 2)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    padded = functional.pad(images.transpose(0, 1), (radius,) * 4, mode="reflect")
    n = len(images)
    along_x = functional.conv2d(padded, kernel.view(n, 1, 1, -1), groups=n)
    return functional.conv2d(along_x, kernel.view(n, 1, -1, 1), groups=n).transpose(0, 1)
