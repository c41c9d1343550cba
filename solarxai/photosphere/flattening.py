"""The intensity of an image relative to the local quiet Sun: without limb darkening and trends.

Whole images are gone through in strips of rows, so that a full disk of 4096² pixels needs little
more memory than the arrays that come out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import ndimage

from solarxai.errors import IngestError
from solarxai.instruments import Thresholds
from solarxai.photosphere.heliographic import cosine_of_heliocentric_angle
from solarxai.photosphere.smoothing import smooth, smoothing
from solarxai.photosphere.strips import strips

__all__ = ["flatten", "flattened", "limb_darkening"]

_JSOC = (1.0, 0.459224, 0.132395, 0.019601, 0.000802, -4.31934e-5)
_DARKEST_LIMB = 0.1
_BLOCK_MM = 1.5
_LOCAL_MM = 25.0
_MOST_BLOCKS = 256
_LEAST_SINGULAR = 1e-7
"""On the plane of the sky μ² is a polynomial of degree 2 in x and y, so that away from the limb the
terms are linearly dependent but for rounding; what is smaller than this is not fitted."""


Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def limb_darkening(mu: npt.ArrayLike) -> npt.NDArray[np.floating]:
    """Return the continuum intensity at 617.3 nm relative to disk centre, as a function of μ.

    Parameters
    ----------
    mu
        Cosine of the heliocentric angle, any shape; NaN is returned where it is not positive.

    Returns
    -------
    numpy.ndarray
        Of its shape; float32 if that is what it is, else float64.

    Notes
    -----
    I(μ)/I(1) = 1 + .459224 ξ + .132395 ξ² + .019601 ξ³ + .000802 ξ⁴ − 4.31934·10⁻⁵ ξ⁵ with
    ξ = ln μ: the form and coefficients of JSOC's `limb_darkening` for hmi.Ic_noLimbDark.
    It agrees with Neckel & Labs within 0.12 % for μ ≥ 0.2.

    References
    ----------
    Neckel & Labs 1994, Sol. Phys. 153, 91, doi:10.1007/BF00712494
    """
    mu = np.asarray(mu)
    kind = np.float32 if mu.dtype == np.float32 else np.float64
    logarithm = np.log(np.where(mu > 0, mu, np.nan), dtype=kind)
    darkening = np.full_like(logarithm, _JSOC[-1])
    for coefficient in _JSOC[-2::-1]:
        darkening *= logarithm
        darkening += coefficient
    return darkening


def flatten(observation: xr.Dataset, thresholds: Thresholds) -> Image:
    """Return the intensity relative to the local quiet Sun: float32 (y, x), NaN where invalid.

    Parameters
    ----------
    observation
        An Observation; its attribute `limb_darkened` (true if absent) says whether limb
        darkening is still in it.
    thresholds
        What counts as a dark structure and is kept out of the quiet level.

    Raises
    ------
    IngestError
        if no pixel is valid and on the disk.

    Notes
    -----
    After division by the limb darkening, the level is fitted to the means of quiet blocks of
    1.5 Mm (a granule; larger where an image would have more than 256 to a side) by a polynomial
    of degree 0, 1 or 2 for fields below 30, below 60 and above 60 Mm, with two terms in μ where
    the field spans enough of it, then followed locally by an average of the residual over 25 Mm.
    Blocks that are dark or bright are dropped and the fit is repeated; then the dark structures
    themselves are masked and all is done once more.
    """
    return flattened(observation, cosine_of_heliocentric_angle(observation), thresholds)


def flattened(observation: xr.Dataset, angle: Image, thresholds: Thresholds) -> Image:
    """Return what `flatten` does, given the cosine of the heliocentric angle of every pixel.

    Raises
    ------
    IngestError
        if no pixel is valid and on the disk.
    """
    scale = float(observation.attrs["scale_mm"])
    flat = _without_limb(observation, angle)
    size = _block_size(flat.shape, scale)
    terms = _orthonormal_terms(_block_means(angle, size), width_mm=min(flat.shape) * scale)
    sigma = _LOCAL_MM / (size * scale)
    _divide(flat, _quiet_level(_block_means(flat, size), terms, sigma=sigma), size)
    dark = smooth(flat, smoothing(thresholds, scale)) < thresholds.penumbra
    _divide(flat, _quiet_level(_block_means(flat, size, dark), terms, sigma=sigma), size)
    return flat


def _without_limb(observation: xr.Dataset, angle: Image) -> Image:
    """Return the intensity over its limb darkening; NaN where invalid or too near the limb."""
    intensity, valid = observation["intensity"].values, observation["valid"].values
    darkened = observation.attrs.get("limb_darkened", True)
    flat: Image = np.empty(intensity.shape, dtype=np.float32)
    found = False
    for rows in strips(flat.shape):
        cosine: Image = angle[rows]
        part: Image = intensity[rows].astype(np.float32, copy=False)
        if darkened:
            part = part / limb_darkening(cosine)
        usable = valid[rows] & np.isfinite(part) & (cosine > _DARKEST_LIMB)
        found = found or bool(usable.any())
        flat[rows] = part
        flat[rows][~usable] = np.nan
    if not found:
        raise IngestError(
            f"{observation.attrs['source']}: no pixel is valid and on the disk",
            remedy="Check the world coordinates and the validity mask of the file.",
        )
    return flat


def _block_size(shape: tuple[int, ...], scale_mm: float) -> int:
    """Return the pixels along a side of the blocks whose means a quiet level is fitted to."""
    size = max(1, min(round(_BLOCK_MM / scale_mm), min(shape) // 8))
    return max(size, -(-max(shape) // _MOST_BLOCKS))


def _quiet_level(means: Floats, terms: Floats, *, sigma: float) -> Floats:
    """Return the intensity of the quiet Sun at the centres of blocks; one number for all if few.

    `means` are of the blocks (NaN where unknown), `sigma` is the reach of the local average, in
    blocks.
    """
    known = np.isfinite(means)
    level = np.full(means.shape, np.percentile(means[known], 75))
    quiet = np.zeros_like(known)
    for tolerance in (0.08, 0.05, 0.05, 0.05):
        fitted, ratio = quiet, np.where(known, means / level, 1.0)
        dark = ndimage.binary_dilation(ratio < 1 - tolerance, iterations=2)
        quiet = known & ~dark & (ratio < 1 + tolerance)
        if quiet.sum() < 4 * terms.shape[-1]:
            return np.asarray(np.median(means[known]))
        if np.array_equal(quiet, fitted):
            break
        level = terms @ _fit(terms, means, quiet)
    return level * _local_residual(means / level, quiet, sigma=sigma)


def _fit(terms: Floats, means: Floats, quiet: Mask) -> Floats:
    """Return the least-squares coefficients of the terms, of which none depends on the others."""
    basis = terms.reshape(-1, terms.shape[-1])
    chosen = basis * quiet.reshape(-1, 1)
    known = np.where(quiet, means, 0.0).ravel()
    found = np.linalg.lstsq(chosen.T @ basis, chosen.T @ known, rcond=_LEAST_SINGULAR**2)[0]
    return np.asarray(found, dtype=np.float64)


def _block_means(image: Image, size: int, left_out: Mask | None = None) -> Floats:
    """Return the means of square blocks; NaN where fewer than half of the pixels are known."""
    extent = np.multiply.outer(*(_block_lengths(length, size) for length in image.shape))
    sums, counts = [], []
    for rows in strips(image.shape, multiple=size):
        known = np.isfinite(image[rows])
        if left_out is not None:
            known &= ~left_out[rows]
        part = image[rows].copy()
        part[~known] = 0
        sums.append(_block_sums(part, size))
        counts.append(_block_sums(known, size))
    count = np.concatenate(counts)
    mean = np.concatenate(sums) / np.maximum(count, 1)
    return np.where(count >= extent / 2, mean, np.nan)


def _block_lengths(length: int, size: int) -> Floats:
    """Return the pixels along an axis of each of its blocks, of which the last may be shorter."""
    starts = np.arange(0.0, length, size)
    return np.asarray(np.minimum(size, length - starts))


def _block_sums(values: npt.NDArray[np.float32] | Mask, size: int) -> Floats:
    """Return the sums of square blocks, float64; what lies beyond the border counts as nothing."""
    spare = [(0, -length % size) for length in values.shape]
    padded = np.pad(values, spare) if np.any(spare) else values
    rows, columns = (length // size for length in padded.shape)
    down = padded.reshape(rows, size, columns * size).sum(axis=1, dtype=np.float64)
    return np.asarray(down.reshape(rows, columns, size) @ np.ones(size))


def _orthonormal_terms(angles: Floats, *, width_mm: float) -> Floats:
    """Return combinations of `_terms` that are orthonormal over the blocks of known angle.

    A combination that vanishes there but for rounding is not among them.
    """
    terms = _terms(angles, width_mm=width_mm)
    _, size, mixture = np.linalg.svd(terms[np.isfinite(angles)], full_matrices=False)
    kept = size > _LEAST_SINGULAR * size[0]
    return np.asarray(terms @ (mixture[kept].T / size[kept]))


def _terms(angles: Floats, *, width_mm: float) -> Floats:
    """Return the functions a quiet level is made of: float64 (block row, block column, term)."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in angles.shape), indexing="ij")
    terms = [np.ones(angles.shape)]
    if width_mm >= 30:
        terms += [x, y]
    if width_mm >= 60:
        terms += [x * x, x * y, y * y]
    known = angles[np.isfinite(angles)]
    if np.ptp(known) > 0.3:
        limb = 1 - np.nan_to_num(angles)
        terms += [limb, limb**2]
    return np.stack(terms, axis=-1)


def _local_residual(ratio: Floats, quiet: Mask, *, sigma: float) -> Floats:
    """Return the quiet blocks' average over a Gaussian neighbourhood; 1 where there are none."""
    down, across = (_gaussian(length, sigma) for length in quiet.shape)
    weight = down @ quiet @ across
    local = down @ np.where(quiet, ratio - 1, 0.0) @ across
    return np.asarray(1 + local / np.maximum(weight, 0.05))


def _gaussian(length: int, sigma: float) -> Floats:
    """Return the symmetric matrix that lays a Gaussian over an axis, zero beyond its ends."""
    reach = int(4 * sigma + 0.5)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    away = np.abs(np.subtract.outer(np.arange(length), np.arange(length)))
    kernel = np.pad(bell[reach:] / bell.sum(), (0, length))
    return kernel[np.minimum(away, reach + 1)]


def _divide(flat: Image, level: Floats, size: int) -> None:
    """Divide an image, in place, by a level given at the centres of blocks, or by one number."""
    grid: Image = level.astype(np.float32)
    if not grid.ndim:
        flat /= grid
        return
    places = [(np.arange(length) + 0.5) / size - 0.5 for length in flat.shape]
    wide = _interpolated(grid, places[1], axis=1)
    for rows in strips(flat.shape):
        flat[rows] /= _interpolated(wide, places[0][rows], axis=0)


def _interpolated(grid: Image, places: Floats, *, axis: int) -> Image:
    """Return a field at places along an axis, in steps of its grid, linear beyond its ends."""
    last = max(grid.shape[axis] - 2, 0)
    below = np.clip(np.floor(places).astype(int), 0, last)
    above = np.minimum(below + 1, grid.shape[axis] - 1)
    weight = np.expand_dims((places - below).astype(np.float32), 1 - axis)
    mixed: Image = np.take(grid, below, axis)
    mixed *= 1 - weight
    mixed += np.take(grid, above, axis) * weight
    return mixed
