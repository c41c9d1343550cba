"""Images of the Sun that never were: the same spot without its penumbra, a pore with one.

Texture comes from the patch itself. Every function returns a new image of the shape and unit it was
given (intensity relative to the quiet Sun) and leaves its argument alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy import ndimage

from solarxai.errors import ValidationError
from solarxai.schema import PORE

__all__ = [
    "Granulation",
    "PenumbraShape",
    "grow_umbra",
    "measure_granulation",
    "paint_penumbra",
    "place_on_quiet",
    "replace_by_granulation",
]

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_ARCSEC_MM = 0.7253
"""Mm an arcsec at the centre of the disk, seen from 1 au."""
_OVERSAMPLING = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Granulation:
    """The texture of a piece of quiet Sun.

    Parameters
    ----------
    values
        Sorted intensities of its pixels: the marginal distribution.
    amplitude
        (y, x) square root of the power at each frequency of the discrete Fourier transform.
    """

    values: npt.NDArray[np.float64]
    amplitude: npt.NDArray[np.float64]

    def draw(self, seed: int) -> Image:
        """Return a new field (y, x) with random phases, this power spectrum and these values.

        Notes
        -----
        White noise is filtered by the amplitude, then its ranks are given the measured values, so
        that mean, variance and skewness are those of the quiet Sun; the ranking changes the power
        spectrum by a few per cent.
        """
        shape = self.amplitude.shape
        white = np.random.default_rng(seed).standard_normal(shape)
        field = scipy.fft.ifft2(scipy.fft.fft2(white) * self.amplitude).real
        rank = np.empty(field.size)
        rank[np.argsort(field, axis=None, kind="stable")] = np.linspace(0, 1, field.size)
        grid = np.linspace(0, 1, len(self.values))
        drawn = np.interp(rank, grid, self.values)
        return drawn.reshape(shape).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class PenumbraShape:
    """What a painted penumbra looks like.

    Parameters
    ----------
    width_mm
        Least and greatest width; each seed draws one between them.
    inner, outer
        Intensity at the umbral and at the outer edge, of the quiet Sun.
    spacing_mm
        Distance of the finest filaments; they clump up to twice as wide.
    contrast
        Root-mean-square contrast of the filaments before the point-spread function.
    raggedness
        Root-mean-square change of the width along the edge, as a fraction.
    psf_arcsec
        Full width at half maximum of the point-spread function.

    Notes
    -----
    The defaults are those of the synthetic Sun: 0.62 to 0.86, filaments of 0.45–0.65 Mm.
    """

    width_mm: tuple[float, float] = (2.0, 4.0)
    inner: float = 0.62
    outer: float = 0.86
    spacing_mm: float = 0.55
    contrast: float = 0.1
    raggedness: float = 0.12
    psf_arcsec: float = 1.05


def measure_granulation(image: Image, quiet: Mask) -> Granulation:
    """Return the texture of the quiet pixels of an image (y, x).

    Parameters
    ----------
    image
        Intensity relative to the quiet Sun.
    quiet
        Which pixels to measure, of any outline.

    Raises
    ------
    ValidationError
        when fewer than 64 pixels are quiet.

    Notes
    -----
    The power spectrum is the Fourier transform of the autocovariance, which is averaged over the
    pairs of quiet pixels at each lag (an irregular outline does no harm) and tapered to zero at
    half the patch.
    """
    count = int(quiet.sum())
    if count < 64:
        raise ValidationError(
            f"{count} pixels of quiet Sun are too few to measure granulation",
            remedy="Give a patch with at least 64 quiet pixels, or the texture of a neighbour.",
        )
    values = np.sort(image[quiet].astype(np.float64))
    excess = np.where(quiet, image - values.mean(), 0.0)
    pairs = _correlate(quiet.astype(np.float64))
    covariance = np.where(pairs > 0.5, _correlate(excess) / np.maximum(pairs, 0.5), 0.0)
    lag = np.hypot(*np.meshgrid(*(_lags(n) for n in image.shape), indexing="ij"))
    reach = min(image.shape) / 2
    taper = np.where(lag < reach, 0.5 + 0.5 * np.cos(np.pi * np.minimum(lag / reach, 1)), 0.0)
    power = scipy.fft.fft2(covariance * taper).real
    return Granulation(values=values, amplitude=np.sqrt(np.maximum(power, 0)))


def replace_by_granulation(
    image: Image,
    mask: Mask,
    quiet_mask: Mask,
    *,
    seed: int,
    keep: Mask | None = None,
    granulation: Granulation | None = None,
    feather: float = 1.0,
) -> Image:
    """Return the image (y, x) with granulation in place of the masked pixels.

    Parameters
    ----------
    image
        Intensity relative to the quiet Sun.
    mask
        Pixels to replace.
    quiet_mask
        Pixels of quiet Sun, whose texture is copied.
    seed
        Of the random phases.
    keep
        Pixels (the umbra) that stay exactly as they are. Within about two pixels of them their
        border is mixed into the granulation as a point-spread function of standard deviation
        `feather` would, so that the umbra gets a rim like a pore's.
    granulation
        Use this texture instead of the patch's own.
    feather
        Width in pixels of the transition to what surrounds the mask.

    Notes
    -----
    Outside the mask the weight w of the new texture falls as a Gaussian of the distance. There the
    deviations from the mean m are mixed as m + √w (new − m) + √(1 − w) (old − m), so that the
    contrast does not drop in the seam.
    """
    texture = granulation or measure_granulation(image, quiet_mask)
    kept = np.zeros_like(mask) if keep is None else keep
    filled = texture.draw(seed)
    mean = float(texture.values.mean())
    weight = np.exp(-0.5 * (ndimage.distance_transform_edt(~mask) / max(feather, 1e-6)) ** 2)
    seam = mean + np.sqrt(weight) * (filled - mean) + np.sqrt(1 - weight) * (image - mean)
    made = np.where(weight > 0.01, seam, image)
    if kept.any():
        share = ndimage.gaussian_filter(kept.astype(np.float64), feather)
        made = np.where(mask, share * _nearest(image, kept) + (1 - share) * filled, made)
        made = np.where(kept, image, made)
    return np.asarray(made, dtype=np.float32)


def grow_umbra(image: Image, penumbra: Mask, umbra: Mask) -> tuple[Image, Mask]:
    """Return the image with a larger umbra that alone holds the deficit of umbra and penumbra.

    Parameters
    ----------
    image
        Intensity relative to the quiet Sun.
    penumbra, umbra
        Pixels of each.

    Returns
    -------
    image, mask
        The image in which the umbra and the penumbral pixels nearest to it are at most as bright as
        the umbra's median, and the larger umbra.

    Raises
    ------
    ValidationError
        when no pixel is umbra.

    Notes
    -----
    Pixels are added until Σ(1 − I) over the new umbra is that of umbra and penumbra before: once
    the rest of the penumbra is replaced by granulation the structure is as dark as it was.
    """
    if not umbra.any():
        raise ValidationError(
            "the structure has no umbra that could grow", remedy="Choose a sunspot with an umbra."
        )
    darkness = float(np.median(image[umbra]))
    dimmed = np.minimum(image, np.float32(darkness))
    missing = float(np.sum(1 - image[umbra | penumbra].astype(np.float64)))
    missing -= float(np.sum(1 - dimmed[umbra].astype(np.float64)))
    grown = umbra | _nearest_pixels(penumbra, umbra, round(missing / max(1 - darkness, 1e-3)))
    return np.where(grown, dimmed, image).astype(np.float32), grown


def paint_penumbra(
    image: Image,
    segmentation: npt.NDArray[np.uint8],
    central: Mask,
    *,
    scale_mm: float,
    seed: int,
    shape: PenumbraShape | None = None,
) -> Image:
    """Return the image with radial filaments painted around the core of the central pore.

    Parameters
    ----------
    image
        (y, x) intensity relative to the quiet Sun.
    segmentation, central
        Its segmentation, and the pixels of the pore.
    scale_mm
        Plate scale in Mm per pixel.
    seed
        Of the width, the outline and the filaments.
    shape
        The penumbra to paint.

    Raises
    ------
    ValidationError
        when no central pixel is darker than the inner edge of the penumbra.

    Notes
    -----
    Drawn at four times the resolution around the half-depth contour of the pore, smoothed by the
    point-spread function, and averaged down to pixels.
    """
    shape = shape or PenumbraShape()
    pore = central & (segmentation == PORE)
    if not (pore & (image < shape.inner)).any():
        raise ValidationError(
            f"no pixel of the central pore is darker than {shape.inner}: it has no core",
            remedy="Choose a pore with a core.",
        )
    level = min(shape.inner, (float(image[pore].min()) + 1) / 2)
    sigma = shape.psf_arcsec * _ARCSEC_MM / 2.3548 / scale_mm
    core = _enlarged(image, pore, level)
    pattern, inside = _filaments(core, scale_mm / _OVERSAMPLING, shape, seed)
    smooth = [
        _averaged(ndimage.gaussian_filter(part, sigma * _OVERSAMPLING))
        for part in (pattern * inside, inside, core.astype(np.float64))
    ]
    painted, weight, dark = smooth
    inner_image = np.where(image < level, image, _nearest(image, pore & (image < level)))
    around = image * (1 - np.minimum(weight + dark, 1))
    return np.asarray(
        np.where(weight + dark > 0.01, painted + dark * inner_image + around, image),
        dtype=np.float32,
    )


def place_on_quiet(mask: Mask, quiet: Mask) -> Mask:
    """Return as many quiet pixels as the mask has, in its shape as far as the quiet Sun allows.

    The mask is turned, mirrored and shifted (the patch taken as periodic) to where most of it is
    quiet; what does not fit is made up by the quiet pixels nearest to it. Fewer pixels come back
    when the patch has fewer.
    """
    spectrum = scipy.fft.rfft2(quiet.astype(np.float64))
    best, placed = -1.0, mask
    for turned in _turned(mask):
        overlap = scipy.fft.irfft2(
            spectrum * np.conj(scipy.fft.rfft2(turned.astype(np.float64))), s=quiet.shape
        )
        overlap = np.round(overlap)
        if overlap.max() > best:
            best = float(overlap.max())
            shift = np.unravel_index(int(np.argmax(overlap)), quiet.shape)
            placed = np.roll(turned, shift, axis=(0, 1))
    chosen = placed & quiet
    if not chosen.any():
        return chosen
    extra = _nearest_pixels(quiet & ~chosen, chosen, int(mask.sum()) - int(chosen.sum()))
    return np.asarray(chosen | extra)


def _turned(mask: Mask) -> list[Mask]:
    """Return the mask turned by quarter turns and mirrored; half turns if it is not square."""
    steps = range(4) if mask.shape[0] == mask.shape[1] else (0, 2)
    return [np.rot90(m, k) for m in (mask, mask[:, ::-1]) for k in steps]


def _correlate(a: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return Σ a(x)a(x + lag) without wrapping, at the lags of a transform of a's shape."""
    padded = [scipy.fft.next_fast_len(2 * n) for n in a.shape]
    spectrum = scipy.fft.rfft2(a, s=padded)
    full = scipy.fft.irfft2(np.abs(spectrum) ** 2, s=padded)
    lags = [_lags(n).astype(int) for n in a.shape]
    return np.asarray(full[np.ix_(*lags)])


def _lags(n: int) -> npt.NDArray[np.float64]:
    return np.asarray(np.round(np.fft.fftfreq(n) * n))


def _nearest(image: npt.NDArray[Any], where: Mask) -> npt.NDArray[Any]:
    """Return, at every pixel, the value of the nearest pixel of `where`."""
    index = ndimage.distance_transform_edt(~where, return_distances=False, return_indices=True)
    return np.asarray(image[tuple(index)])


def _nearest_pixels(candidates: Mask, target: Mask, count: int) -> Mask:
    """Return the `count` candidates nearest to the target, or all if there are fewer."""
    chosen = np.zeros_like(candidates)
    if count <= 0:
        return chosen
    places = np.flatnonzero(candidates)
    distance = ndimage.distance_transform_edt(~target).ravel()[places]
    chosen.ravel()[places[np.argsort(distance, kind="stable")[:count]]] = True
    return chosen


def _enlarged(image: Image, pore: Mask, level: float) -> Mask:
    """Return the core, the pore's pixels below `level`, on the finer grid."""
    size = tuple(_OVERSAMPLING * n for n in image.shape)
    grid = np.meshgrid(*((np.arange(n) + 0.5) / _OVERSAMPLING - 0.5 for n in size), indexing="ij")
    near = ndimage.binary_dilation(pore, iterations=2)
    level_set = np.where(near, image, 1.0).astype(np.float64)
    fine = ndimage.map_coordinates(level_set, grid, order=1, mode="nearest")
    return np.asarray(fine < level)


def _averaged(fine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    y, x = (n // _OVERSAMPLING for n in fine.shape)
    return np.asarray(fine.reshape(y, _OVERSAMPLING, x, _OVERSAMPLING).mean(axis=(1, 3)))


def _filaments(
    core: Mask, pixel_mm: float, shape: PenumbraShape, seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the intensity of a penumbra around the core and its outline (1 inside), fine grid."""
    rng = np.random.default_rng(seed)
    distance = ndimage.distance_transform_edt(~core) * pixel_mm
    centre = ndimage.center_of_mass(core)
    y, x = (np.arange(n) - c for n, c in zip(core.shape, centre, strict=True))
    angle = np.arctan2(y[:, None], x[None, :])
    outline = _harmonics(angle, range(2, 7), rng)
    width = rng.uniform(*shape.width_mm) * np.maximum(1 + shape.raggedness * outline, 0.5)
    depth = distance / width
    radius = np.sqrt(core.sum() / np.pi) * pixel_mm + width.mean() / 2
    number = max(6, round(2 * np.pi * radius / shape.spacing_mm))
    ripple = _harmonics(angle, range(max(2, number // 2), number + 1), rng)
    ramp = shape.inner + (shape.outer - shape.inner) * np.clip(depth, 0, 1)
    return ramp * (1 + shape.contrast * ripple), ((depth <= 1) & ~core).astype(np.float64)


def _harmonics(
    angle: npt.NDArray[np.float64], orders: range, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return a random periodic function of the angle with unit root mean square."""
    phases = rng.uniform(0, 2 * np.pi, len(orders))
    total = sum(np.cos(m * angle + phase) for m, phase in zip(orders, phases, strict=True))
    return np.asarray(total * np.sqrt(2 / len(orders)))
