"""Random changes of images and spectra that leave their label: what is no part of the Sun."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from solarxai.errors import TrainingError

__all__ = ["Augmentation", "Draws", "SpectralAugmentation"]


class Draws:
    """Random numbers for a part of a batch, those that it has in the whole batch.

    Parameters
    ----------
    generator
        Moves on by the numbers of the whole batch, whatever the part.
    rows
        Of the whole batch.
    part
        Which of its rows are here.
    """

    def __init__(self, generator: torch.Generator, rows: int, part: slice) -> None:
        self._generator = generator
        self._rows = rows
        self._part = part

    @classmethod
    def of(cls, generator: torch.Generator | Draws, rows: int) -> Draws:
        """Return draws as they are, or those of a generator for a whole batch."""
        return generator if isinstance(generator, Draws) else cls(generator, rows, slice(None))

    def uniform(self) -> Tensor:
        """Return a number in (0, 1) for each row."""
        return torch.rand(self._rows, generator=self._generator)[self._part]

    def symmetric(self) -> Tensor:
        """Return a number in (-1, 1) for each row."""
        return 2 * self.uniform() - 1

    def whole(self, most: int) -> Tensor:
        """Return a whole number below `most` for each row."""
        return torch.randint(most, (self._rows,), generator=self._generator)[self._part]

    def normal(self, shape: torch.Size) -> Tensor:
        """Return numbers of standard deviation 1 in the shape of the part."""
        return torch.randn((self._rows, *shape[1:]), generator=self._generator)[self._part]


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

    def __call__(self, images: Tensor, generator: torch.Generator | Draws) -> Tensor:
        """Return changed copies of images (batch, 1, y, x), intensities relative to quiet Sun."""
        draws = Draws.of(generator, len(images))
        out = _orient(images, draws) if self.orientations else images
        out = _blur(self._resample(out, draws), self.blur_px, draws)
        contrast = 1 + self.contrast * draws.symmetric().view(-1, 1, 1, 1)
        brightness = 1 + self.brightness * draws.symmetric().view(-1, 1, 1, 1)
        sigma = self.noise * draws.uniform().view(-1, 1, 1, 1)
        noise = sigma * draws.normal(out.shape)
        return brightness * (1 + contrast * (out - 1)) + noise

    def _resample(self, images: Tensor, draws: Draws) -> Tensor:
        """Rotate, foreshorten, zoom and shift in one bilinear interpolation, edges mirrored."""
        pixels = images.shape[2:]
        warped = draws.uniform() < self.warp
        low, high = (math.log(z) for z in self.zoom)
        zoom = torch.exp(low + (high - low) * draws.uniform())
        ratio = 1 - (1 - self.foreshortening) * draws.uniform()
        first, second = (math.pi * draws.symmetric() for _ in range(2))
        stretch = torch.diag_embed(torch.stack([1 / zoom, 1 / (zoom * ratio)], dim=1))
        linear = _rotation(first) @ stretch @ _rotation(second)
        linear = torch.where(warped.view(-1, 1, 1), linear, torch.eye(2))
        shift = self.shift_px * torch.stack([draws.symmetric() for _ in range(2)], dim=1)
        shift = torch.where(warped.view(-1, 1), shift, torch.trunc(shift))
        columns = 2 * shift / torch.tensor([pixels[1], pixels[0]])
        affine = torch.cat([linear, columns[:, :, None]], dim=2)
        grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
        return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _orient(images: Tensor, draws: Draws) -> Tensor:
    """Return each image in one of the eight orientations of the square."""
    choice = draws.whole(8)
    out = images.clone()
    for k in range(1, 8):
        rows = choice == k
        turned = torch.rot90(images[rows], k % 4, (2, 3))
        out[rows] = turned.flip(3) if k >= 4 else turned
    return out


def _rotation(angle: Tensor) -> Tensor:
    """Return rotation matrices (n, 2, 2)."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)


def _blur(images: Tensor, most: float, draws: Draws) -> Tensor:
    """Return images (n, 1, y, x), each convolved with a Gaussian of sigma uniform in (0, most)."""
    sigma = most * draws.uniform()
    radius = max(1, math.ceil(3 * most))
    offsets = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-0.5 * (offsets / sigma.clamp(min=1e-3)[:, None]) ** 2)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    padded = functional.pad(images.transpose(0, 1), (radius,) * 4, mode="reflect")
    n = len(images)
    along_x = functional.conv2d(padded, kernel.view(n, 1, 1, -1), groups=n)
    return functional.conv2d(along_x, kernel.view(n, 1, -1, 1), groups=n).transpose(0, 1)


@dataclass(frozen=True, kw_only=True)
class SpectralAugmentation:
    """Random changes of spectra that leave their label: what another exposure would also change.

    Every spectrum of the batch is changed by its own draw; all slit positions of a spectrogram are
    shifted alike, since they share the wavelength scale of their exposure. Then noise is added,
    then each spectrum is brought back to the maximum it had, as cleaning divides it by its own,
    and at last scaled. An amount of 0 or None switches that change off; rows of NaN stay NaN.

    Parameters
    ----------
    shift_km_s
        Largest Doppler shift either way, km/s: errors of the wavelength scale, and flows of the
        whole atmosphere. The default is less than half a point of the grid of 5.19 km/s.
    noise_level
        Largest standard deviation of white noise, as a fraction of the spectrum's maximum: photon
        and read noise (18 photons a DN and 1.2 DN make 0.01–0.03 of a maximum of 100–1000 DN).
    scaling
        Largest relative change of a whole spectrum, after the noise: errors of the maximum that it
        was divided by.

    Raises
    ------
    TrainingError
        when an amount is negative or not finite.
    """

    shift_km_s: float | None = 2.0
    noise_level: float | None = 0.01
    scaling: float | None = 0.02

    def __post_init__(self) -> None:
        amounts = (self.shift_km_s or 0.0, self.noise_level or 0.0, self.scaling or 0.0)
        if not all(math.isfinite(amount) and amount >= 0 for amount in amounts):
            raise TrainingError(
                f"{self} is out of range: all amounts >= 0 and finite",
                remedy="Correct the augmentation; 0 switches an amount off.",
            )

    def __call__(
        self, spectra: Tensor, generator: torch.Generator | Draws, *, point_km_s: float
    ) -> Tensor:
        """Return changed copies of spectra.

        Parameters
        ----------
        spectra
            (batch, 1, w) or (batch, 1, slit, w), intensity relative to the maximum.
        generator
            Draws every amount.
        point_km_s
            Doppler width of a point of the grid, km/s.
        """
        draws, one = Draws.of(generator, len(spectra)), [1] * (spectra.ndim - 1)
        shift = (self.shift_km_s or 0.0) / point_km_s * draws.symmetric()
        out = _shifted(spectra, shift)
        level = (self.noise_level or 0.0) * draws.uniform().view(-1, *one)
        peak = spectra.amax(dim=-1, keepdim=True)
        out = out + level * peak * draws.normal(out.shape)
        top = out.amax(dim=-1, keepdim=True)
        kept = torch.where((top > 0) & (peak > 0), peak / top, torch.ones_like(top))
        change = 1 + (self.scaling or 0.0) * draws.symmetric().view(-1, *one)
        return out * kept * change


def _shifted(spectra: Tensor, points: Tensor) -> Tensor:
    """Return spectra (n, ..., w) moved by `points` (n,) to the red, the ends going on.

    Cubic through the four nearest points (Catmull & Rom 1974), exact where nothing moves.
    """
    n, w = len(spectra), spectra.shape[-1]
    place = torch.arange(w) - points[:, None]
    base = place.floor()
    t = (place - base).view(n, *[1] * (spectra.ndim - 2), w)
    weights = (
        t * (-0.5 + t * (1 - 0.5 * t)),
        1 + t * t * (-2.5 + 1.5 * t),
        t * (0.5 + t * (2 - 1.5 * t)),
        t * t * (-0.5 + 0.5 * t),
    )
    moved = torch.zeros_like(spectra)
    for offset, weight in zip(range(-1, 3), weights, strict=True):
        index = (base.long() + offset).clamp(0, w - 1).view(t.shape).expand_as(spectra)
        moved = moved + weight * spectra.gather(-1, index)
    return moved
