"""Draw Mg II h and k spectra: what the Sun sends between 2790 and 2807 Å and what IRIS counts.

Counts are DN in 8 s and a pixel of 25.46 mÅ unless said otherwise; wavelengths are vacuum Å,
velocities km/s, positive away from the observer.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = [
    "ACTIVE",
    "FULL_WELL",
    "NATIVE_SAMPLING",
    "PREFLARE",
    "QUIET",
    "TRAITS",
    "TRIPLET",
    "H",
    "K",
    "count",
    "expected_counts",
    "traits_at",
]

Array = npt.NDArray[np.float64]

K, H = 2796.352, 2803.530
"""Vacuum wavelengths of Mg II k and h, Å."""

TRIPLET = (2791.599, 2798.754, 2798.823)
"""Vacuum wavelengths of the Mg II subordinate lines, Å."""

NATIVE_SAMPLING = 0.02546
"""Wavelength step of the near-ultraviolet detector, Å."""

QUIET, ACTIVE, PREFLARE = 0, 1, 2
"""States of the chromosphere, the columns of `TRAITS`."""

_STATES = (QUIET, ACTIVE, PREFLARE)

PHOTONS_A_DN = 18.0
READ_NOISE = 1.2
FULL_WELL = 16383.0
"""De Pontieu et al. 2014, Sol. Phys. 289, 2733: photons per DN, read noise in DN, 14 bits."""

_SPEED_OF_LIGHT = 299792.458
_CORE_SPEEDS = np.arange(-150.0, 151.0, 3.0)
_INSTRUMENT_SIGMA = 0.053 / 2.3548
_CONTINUUM = 140.0
_FLOOR = 0.23
_DAMPING = ((K, 4.5), (H, 3.1))
"""Level, floor and damping widths (Å) that run through the median of the rasters of 2014-03-29."""

_ABSORPTION = (
    (2791.00, 0.25, 0.06), (2792.25, 0.40, 0.07), (2793.223, 0.20, 0.06), (2795.641, 0.45, 0.05),
    (2797.25, 0.12, 0.06), (2798.600, 0.55, 0.05), (2799.094, 0.72, 0.07), (2799.474, 0.20, 0.06),
    (2799.972, 0.40, 0.06), (2801.584, 0.30, 0.06), (2801.907, 0.85, 0.10), (2804.55, 0.15, 0.06),
    (2805.346, 0.30, 0.06), (2805.690, 0.25, 0.06), (2805.904, 0.25, 0.06),
)  # fmt: skip
"""Photospheric lines: vacuum wavelength (Å), depth, width (sigma, Å)."""

TRAITS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "amplitude": ((4.72, 6.05, 6.40), (0.36, 0.38, 0.45)),
    "separation": ((34.0, 24.0, 12.0), (5.0, 6.0, 7.0)),
    "width": ((11.0, 17.0, 21.0), (1.5, 3.0, 5.0)),
    "reversal": ((0.62, 0.25, 0.08), (0.10, 0.14, 0.08)),
    "broad": ((0.06, 0.12, 0.25), (0.02, 0.05, 0.10)),
    "broad_width": ((35.0, 48.0, 75.0), (6.0, 9.0, 18.0)),
    "triplet": ((-0.35, -0.12, 0.70), (0.10, 0.18, 0.70)),
    "ratio": ((1.25, 1.20, 1.17), (0.04, 0.05, 0.06)),
    "asymmetry": ((0.0, 0.0, 0.0), (0.10, 0.20, 0.25)),
    "velocity": ((0.0, 0.0, 0.5), (2.0, 3.0, 5.0)),
    "level": ((0.0, 0.0, 0.0), (0.12, 0.18, 0.22)),
    "slope": ((0.0, 0.0, 0.0), (0.012, 0.012, 0.012)),
    "blanketing": ((1.0, 1.0, 1.0), (0.12, 0.12, 0.12)),
}
"""Mean and standard deviation of each trait in the quiet, active and pre-flare state.

amplitude: logarithm of the peak of k, DN; separation of the peaks, their width (sigma) and the
broad component's width, km/s; reversal: depth of k3; broad: peak of the broad component relative
to the amplitude; triplet: relative to the continuum there; ratio: k/h; asymmetry of the peaks;
velocity of the lines, km/s; level: logarithm of the continuum over its median; slope: of the
continuum, per Å; blanketing: depth of the photospheric lines over its mean.
"""

_LIMITS = {
    "separation": (0.0, 70.0),
    "width": (6.0, 60.0),
    "reversal": (0.0, 0.9),
    "broad": (0.0, 1.0),
    "broad_width": (15.0, 200.0),
    "triplet": (-0.8, 6.0),
    "ratio": (1.0, 2.0),
    "asymmetry": (-0.8, 0.8),
}


def traits_at(state: Array, deviates: dict[str, Array]) -> dict[str, Array]:
    """Return the traits of spectra, each of its shape, within physical limits.

    Parameters
    ----------
    state
        0 quiet, 1 active, 2 pre-flare; between them means and deviations are interpolated.
    deviates
        Of each of `TRAITS`, a standard normal deviate a spectrum.
    """
    found = {}
    for name, (means, spreads) in TRAITS.items():
        mean, spread = (np.interp(state, _STATES, row) for row in (means, spreads))
        low, high = _LIMITS.get(name, (-np.inf, np.inf))
        found[name] = np.clip(mean + spread * deviates[name], low, high)
    return found


def expected_counts(wavelength: Array, traits: dict[str, Array]) -> Array:
    """Return the spectra before noise: (spectrum, wavelength), DN.

    Parameters
    ----------
    wavelength
        (wavelength,) centres of the pixels in equal steps, Å; any step, the counts are those of a
        native pixel.
    traits
        As `traits_at` returns them, each (spectrum,).

    Notes
    -----
    I = continuum · wings · Π(1 − d G) + a · Σ_{k,h} [(1+A) G₋ + (1−A) G₊] (1 − R G₃), the bracket
    scaled to a peak of 1, + a broad component (1 + (v/w)²)^−1.5 + the triplet; convolved with
    53 mÅ (FWHM) and averaged over each pixel, four points a pixel.
    """
    step = wavelength[1] - wavelength[0]
    margin = int(np.ceil(0.15 / step))
    number = 4 * (wavelength.size + 2 * margin)
    fine = wavelength[0] + ((np.arange(number) + 0.5) / 4 - 0.5 - margin) * step
    light = _background(fine, traits)
    for centre, share in ((K, np.ones_like(traits["ratio"])), (H, 1 / traits["ratio"])):
        light += (np.exp(traits["amplitude"]) * share)[:, None] * _emission(fine, centre, traits)
    light = np.apply_along_axis(np.convolve, 1, light, _response(step / 4), mode="same")
    pixels = light.reshape(light.shape[0], -1, 4).mean(axis=2)
    return np.asarray(np.maximum(pixels[:, margin:-margin], 0.0))


def count(expected: Array, gain: float, rng: np.random.Generator) -> Array:
    """Return what the detector reads: photon and read noise, in DN, no more than 14 bits hold.

    Parameters
    ----------
    expected
        DN in 8 s and a native pixel.
    gain
        Exposure time in units of 8 s times the number of native pixels summed on the chip.
    """
    photons = rng.poisson(np.maximum(expected, 0) * gain * PHOTONS_A_DN)
    noise = rng.normal(0, READ_NOISE, expected.shape)
    return np.asarray(np.minimum(photons / PHOTONS_A_DN + noise, FULL_WELL))


def _background(fine: Array, traits: dict[str, Array]) -> Array:
    """Return the continuum with its damping wings, absorption lines and the triplet."""
    damping = sum((width / np.maximum(np.abs(fine - line), 1e-3)) ** 2 for line, width in _DAMPING)
    wings = _FLOOR + (1 - _FLOOR) / (1 + damping)
    tilt = 1 + traits["slope"][:, None] * (fine - (K + H) / 2)
    continuum = _CONTINUUM * np.exp(traits["level"])[:, None] * tilt * wings
    light = continuum.copy()
    for line, depth, width in _ABSORPTION:
        near = np.abs(fine - line) < 5 * width
        shape = np.exp(-((fine[near] - line) ** 2) / (2 * width**2))
        light[:, near] *= np.maximum(1 - depth * traits["blanketing"][:, None] * shape, 0.05)
    for line in TRIPLET:
        near = np.abs(fine - line) < 0.8
        shape = _gaussian(_speed(fine[near], line), traits["velocity"], 0.6 * traits["width"])
        light[:, near] += traits["triplet"][:, None] * continuum[:, near] * shape
    return light


def _emission(fine: Array, line: float, traits: dict[str, Array]) -> Array:
    """Return one resonance line: narrow peaks with their reversal, and the broad component."""
    near = np.abs(fine - line) < 3.5
    speed = _speed(fine[near], line)
    away = (speed - traits["velocity"][:, None]) / traits["broad_width"][:, None]
    peak = _peaks(_CORE_SPEEDS, traits).max(axis=1, keepdims=True)
    emission = np.zeros((peak.size, fine.size))
    emission[:, near] = _peaks(speed, traits) / peak
    emission[:, near] += traits["broad"][:, None] * (1 + away**2) ** -1.5
    return emission


def _peaks(speed: Array, traits: dict[str, Array]) -> Array:
    """Return the violet and the red peak with the reversal between them."""
    half, centre, width = traits["separation"] / 2, traits["velocity"], traits["width"]
    violet = (1 + traits["asymmetry"])[:, None] * _gaussian(speed, centre - half, width)
    red = (1 - traits["asymmetry"])[:, None] * _gaussian(speed, centre + half, width)
    core = _gaussian(speed, centre, 0.55 * width)
    return np.asarray((violet + red) * (1 - traits["reversal"][:, None] * core))


def _speed(wavelength: Array, line: float) -> Array:
    return np.asarray((wavelength / line - 1) * _SPEED_OF_LIGHT)


def _gaussian(speed: Array, centre: Array, width: Array) -> Array:
    return np.asarray(np.exp(-(((speed - centre[:, None]) / width[:, None]) ** 2) / 2))


def _response(step: float) -> Array:
    """Return the spectral point-spread function on points `step` Å apart, its sum 1."""
    half = int(np.ceil(4 * _INSTRUMENT_SIGMA / step))
    shape = np.exp(-((np.arange(-half, half + 1) * step / _INSTRUMENT_SIGMA) ** 2) / 2)
    return np.asarray(shape / shape.sum())
