"""Mg II profiles whose shift, width and peaks are known, as means over pixels."""

import astropy.units as u
import numpy as np
from scipy.special import erf

from solarxai.spectra import study_grid

C = 299792.458  # km/s
K, H = 2796.352, 2803.530
AXES = {
    "study": study_grid().value,
    "native": np.arange(2790.65, 2809, 0.02546),
    "raster": np.linspace(2790.4893, 2806.5800, 63),
}


def gaussian(axis, centre, sigma, height=1.0):
    """Return the means over pixels (n, w) of a Gaussian at each of the centres (n,)."""
    middle = (axis[1:] + axis[:-1]) / 2
    edges = np.concatenate([[2 * axis[0] - middle[0]], middle, [2 * axis[-1] - middle[-1]]])
    centre = np.atleast_1d(centre)[:, None]
    integral = sigma * np.sqrt(np.pi / 2) * erf((edges - centre) / sigma / np.sqrt(2))
    return height * np.diff(integral, axis=1) / np.diff(edges)


def spectrum(axis, *, shift=0.0, peak=1.0, continuum=0.1, kh=1.25, triplet=0.1, sigma=0.16):
    """Return one spectrum (1, w): k, h and the triplet over a flat continuum, in DN."""
    lines = gaussian(axis, K + shift, sigma) + gaussian(axis, H + shift, sigma) / kh
    return peak * (continuum + lines + triplet * gaussian(axis, 2798.79 + shift, 0.08))


def noisy(spectra, seed):
    """Return spectra in DN with photon and read noise."""
    rng = np.random.default_rng(seed)
    return rng.poisson(spectra * 18) / 18 + rng.normal(0, 1.2, spectra.shape)


def angstrom(name):
    return AXES[name] * u.AA
