"""New texture with the statistics of the quiet surroundings of a structure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from solarxai.errors import ExplainerRefusal

__all__ = ["quiet_pixels", "quiet_texture"]

Plane = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_FEWEST = 64
_CLIP = 4.0
_ROUNDS = 20


def quiet_texture(plane: Plane, generator: np.random.Generator) -> Plane:
    """Return a new field (y, x) with the values and the power spectrum of the quiet pixels.

    Parameters
    ----------
    plane
        (y, x) one channel of an image.
    generator
        Of the random phases.

    Raises
    ------
    ExplainerRefusal
        when fewer than 64 pixels are quiet.

    Notes
    -----
    White noise is filtered by the square root of the power spectrum, then its ranks are given the
    quiet values: mean, variance and skewness are those of the quiet pixels; the ranking changes
    the power spectrum by a few per cent. Channels are drawn apart: how they go together is lost.

    References
    ----------
    Theiler et al. 1992, doi:10.1016/0167-2789(92)90102-S: amplitude-adjusted surrogate data.
    """
    quiet = quiet_pixels(plane)
    if quiet.sum() < _FEWEST:
        raise ExplainerRefusal(
            f"{int(quiet.sum())} pixels around the structures are too few to learn a texture from",
            remedy=f'Offer images with at least {_FEWEST} quiet pixels, or the fill "mean".',
        )
    white = generator.standard_normal(plane.shape)
    field = np.fft.ifft2(np.fft.fft2(white) * np.sqrt(_power(plane, quiet))).real
    rank = np.empty(field.size)
    rank[np.argsort(field, axis=None, kind="stable")] = np.linspace(0, 1, field.size)
    values = np.sort(plane[quiet])
    drawn: Plane = np.interp(rank, np.linspace(0, 1, len(values)), values)
    return drawn.reshape(plane.shape)


def quiet_pixels(plane: Plane) -> Mask:
    """Return which pixels (y, x) lie in the central range of brightness.

    Notes
    -----
    Pixels more than four standard deviations from the median are left out until none is, the
    standard deviation taken as 1.4826 times the median absolute deviation. That finds the quiet
    pixels as long as they are more than half of the image. The neighbours of what is left out are
    left out too: they hold the edges. The bright tail of granules loses a little: at a contrast of
    5 % the mean is low by up to 0.4 % and the contrast by up to a tenth of itself.
    """
    quiet = np.ones(plane.shape, dtype=bool)
    for _ in range(_ROUNDS):
        middle = np.median(plane[quiet])
        spread = 1.4826 * np.median(np.abs(plane[quiet] - middle))
        inside = np.abs(plane - middle) <= _CLIP * spread
        if np.array_equal(inside, quiet):
            break
        quiet = inside
    return _without_single(quiet)


def _without_single(quiet: Mask) -> Mask:
    """Leave out the neighbours of what is not quiet, but for pixels that stand out alone.

    The tails of a skewed texture reach that far in places: those are no structure.
    """
    padded = np.pad(~quiet, 1)
    shifts = [(y, x) for y in range(3) for x in range(3)]
    ny, nx = quiet.shape
    around = np.sum([padded[y : y + ny, x : x + nx] for y, x in shifts], axis=0)
    structure = np.pad(~quiet & (around > 2), 1)
    near = np.any([structure[y : y + ny, x : x + nx] for y, x in shifts], axis=0)
    return np.asarray(~near & (quiet | (around <= 2)))


def _power(plane: Plane, quiet: Mask) -> Plane:
    """Return the power spectrum of the quiet pixels, whatever their outline.

    It is the transform of the autocovariance, averaged over the pairs of quiet pixels at each lag
    and tapered to zero at half the image.
    """
    pairs = _correlated(quiet.astype(np.float64))
    excess = np.where(quiet, plane - plane[quiet].mean(), 0.0)
    covariance = np.where(pairs > 0.5, _correlated(excess) / np.maximum(pairs, 0.5), 0.0)
    lags = np.meshgrid(*(np.fft.fftfreq(n) * n for n in plane.shape), indexing="ij")
    share = np.minimum(np.hypot(*lags) / (min(plane.shape) / 2), 1)
    power = np.fft.fft2(covariance * (0.5 + 0.5 * np.cos(np.pi * share))).real
    return np.asarray(np.maximum(power, 0))


def _correlated(a: Plane) -> Plane:
    """Return Σ a(x)a(x + lag) without wrapping, at the lags of a transform of a's shape."""
    padded = [2 * n for n in a.shape]
    full = np.fft.irfft2(np.abs(np.fft.rfft2(a, s=padded)) ** 2, s=padded)
    lags = [np.round(np.fft.fftfreq(n) * n).astype(int) for n in a.shape]
    return np.asarray(full[np.ix_(*lags)])
