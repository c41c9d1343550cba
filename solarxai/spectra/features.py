"""Features of Mg II spectra: triplet emission, flows, width, asymmetry, central reversal."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, NamedTuple

import astropy.units as u
import numpy as np
import numpy.typing as npt

from solarxai.spectra._axis import Floats, angstrom, axis_angstrom, pixels_of
from solarxai.spectra._profile import at_wavelength, quantiles, window_flux
from solarxai.spectra._reversal import central_reversal
from solarxai.spectra.lines import REST, velocity

__all__ = ["FEATURES", "Feature", "line_features"]


class Feature(NamedTuple):
    """Unit of a feature, as text, and what it is."""

    unit: str
    description: str


FEATURES: Mapping[str, Feature] = types.MappingProxyType(
    {
        "triplet_emission": Feature(
            "1", "ln(I(2798.77)/I(2799.32)): above 0 in emission, below in absorption"
        ),
        "k_width": Feature("km / s", "between the quartiles of the flux within 1.5 A of k"),
        "k_asymmetry": Feature(
            "km / s", "upper quartile to median less median to lower quartile: above 0, a red tail"
        ),
        "k_doppler": Feature("km / s", "median of the flux within 1.5 A of k; to the red above 0"),
        "kh_ratio": Feature("1", "flux within 1.5 A of k by that within 1.5 A of h"),
        "k3_height": Feature("1", "intensity at k3 by the mean of those at k2v and k2r"),
        "k2_ratio": Feature("1", "intensity at k2v by that at k2r"),
        "k2_separation": Feature("km / s", "from k2v to k2r"),
    }
)
"""Unit and description by name, in the order of `line_features`."""

HALF_WIDTH = 1.5  # Angstrom
TRIPLET, REFERENCE = 2798.77, 2799.32  # Angstrom
BLOCK = 1024  # spectra measured at a time, to bound the memory
CORE = 0.75  # Angstrom: holds k2v and k2r, leaves out Mn at 2795.641 and the shoulder behind it
DEPTH = 0.05  # of the highest peak: four times the photon noise of a peak of 420 DN
COARSEST = 0.1  # Angstrom: pixels wider than this do not show k3
QUARTILES = (0.25, 0.5, 0.75)


def line_features(
    spectra: npt.NDArray[Any], grid: u.Quantity, *, pixel_width: u.Quantity | None = None
) -> dict[str, npt.NDArray[np.float32]]:
    """Return the features (n,) of spectra (n, g), float32, by the names in `FEATURES`.

    Parameters
    ----------
    spectra
        Flux per wavelength in any unit: no feature depends on the scale.
    grid
        Their axis, increasing.
    pixel_width
        Width of the pixels they were measured with, where the grid is finer than those: a finer
        grid shows peaks and dips that are not there.

    Returns
    -------
    dict
        NaN where a feature cannot be measured: the axis does not cover it, a value needed is NaN
        or a flux not positive, there are no two peaks, or the pixels are wider than 0.1 Angstrom
        (k3 and k2 only).

    Raises
    ------
    ContractError
        when the axis does not increase or the shapes do not fit.

    Notes
    -----
    The definitions are those of Panos et al. 2023 (A&A 671 A73), measured between pixels. The
    continuum is not subtracted: it widens the line and draws the median towards the rest
    wavelength. Peaks are looked for within 0.75 Angstrom of k (81 km/s), and count as two when
    the lower rises out of k3 by 5 % of the higher.
    """
    axis = axis_angstrom(grid)
    values = np.atleast_2d(np.asarray(spectra))
    pixels_of(values, axis, "spectra", dims=(2,))
    widest = 0.0 if pixel_width is None else float(angstrom(pixel_width, "pixel_width"))
    found = {name: np.full(len(values), np.nan, dtype=np.float32) for name in FEATURES}
    for start in range(0, len(values), BLOCK):
        rows = slice(start, start + BLOCK)
        for name, measured in _measure(values[rows], axis, widest).items():
            beyond = np.abs(measured) > np.finfo(np.float32).max
            found[name][rows] = np.where(beyond, np.nan, measured)
    return found


def _measure(spectra: npt.NDArray[Any], axis: Floats, widest: float) -> dict[str, Floats]:
    line, reference = (at_wavelength(spectra, axis, each) for each in (TRIPLET, REFERENCE))
    k, h = (window_flux(spectra, axis, *_window(name)) for name in ("k", "h"))
    return {
        "triplet_emission": np.log(_positive(line) / _positive(reference)),
        "kh_ratio": _positive(k) / _positive(h),
        **_flow(spectra, axis),
        **_reversal(spectra, axis, widest),
    }


def _flow(spectra: npt.NDArray[Any], axis: Floats) -> dict[str, Floats]:
    low, middle, high = velocity(quantiles(spectra, axis, *_window("k"), QUARTILES), "k").T
    return {
        "k_width": high - low,
        "k_asymmetry": (high - middle) - (middle - low),
        "k_doppler": middle,
    }


def _reversal(spectra: npt.NDArray[Any], axis: Floats, widest: float) -> dict[str, Floats]:
    core = np.abs(axis - REST["k"]) <= CORE
    profile = spectra[:, core].astype(np.float64)
    names = ("k3_height", "k2_ratio", "k2_separation")
    measured = np.full((len(names), len(spectra)), np.nan)
    good = np.isfinite(profile).all(axis=1) & (profile > 0).any(axis=1)
    if good.any() and widest <= COARSEST and _resolves(axis, core):
        peaks = central_reversal(profile[good], axis[core], depth=DEPTH)
        height = (peaks.violet_height + peaks.red_height) / 2
        apart = velocity(peaks.red, "k") - velocity(peaks.violet, "k")
        measured[:, good] = (
            peaks.dip_height / height, peaks.violet_height / peaks.red_height, apart,
        )  # fmt: skip
    return dict(zip(names, measured, strict=True))


def _resolves(axis: Floats, core: npt.NDArray[np.bool_]) -> bool:
    """Return whether the axis covers the core of k with pixels fine enough to show k3."""
    inside = axis[core]
    if len(inside) < 5 or np.diff(inside).max() > COARSEST:
        return False
    reach = inside[[0, -1]] - REST["k"]
    return bool(-reach[0] > CORE - COARSEST and reach[1] > CORE - COARSEST)


def _positive(flux: Floats) -> Floats:
    return np.where(flux > 0, flux, np.nan)


def _window(line: str) -> tuple[float, float]:
    return REST[line] - HALF_WIDTH, REST[line] + HALF_WIDTH
