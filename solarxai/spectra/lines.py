"""Lines of the Mg II window: rest wavelengths, Doppler velocities, windows around them."""

from __future__ import annotations

import types
from collections.abc import Mapping

import astropy.constants
import astropy.units as u
import numpy as np
import numpy.typing as npt

from solarxai.errors import ContractError
from solarxai.spectra._axis import Floats, angstrom, axis_angstrom

__all__ = [
    "LINES",
    "PHOTOSPHERIC",
    "REST",
    "WINDOWS",
    "line_velocity",
    "line_windows",
    "velocity",
    "velocity_wavelength",
]

REST: Mapping[str, float] = types.MappingProxyType(
    {"k": 2796.352, "h": 2803.530, "triplet": 2798.8, "triplet_blue": 2791.599}
)
"""Those of `LINES` in Angstrom."""

LINES: Mapping[str, u.Quantity] = types.MappingProxyType(
    {name: wavelength * u.AA for name, wavelength in REST.items()}
)
"""Rest wavelength in vacuum by name; *triplet* is the blend of 2798.754 and 2798.823 Angstrom."""

_PHOTOSPHERE = (
    ("Fe", 2793.223), ("Mn", 2795.641), ("Fe", 2798.600), ("Mn", 2799.094), ("Ni", 2799.474),
    ("Fe", 2799.972), ("Cr", 2801.584), ("Mn", 2801.907), ("Fe", 2805.346), ("Fe", 2805.690),
    ("Ni", 2805.904),
)  # fmt: skip

PHOTOSPHERIC: tuple[tuple[str, u.Quantity], ...] = tuple(
    (element, wavelength * u.AA) for element, wavelength in _PHOTOSPHERE
)
"""Element and vacuum wavelength of photospheric absorption lines in the window."""

WINDOWS: Mapping[str, int] = types.MappingProxyType(
    {"wings": 0, "k": 1, "h": 2, "triplet": 3, "continuum": 4}
)
"""Number of each window of `line_windows`; *continuum* lies between the triplet and h."""

LIGHT = float(astropy.constants.c.to_value(u.km / u.s))
TRIPLET_SHARE = 1 / 3
"""Half width of the triplet's window as a part of that of k and h."""


def line_velocity(wavelength: u.Quantity, line: str) -> u.Quantity:
    """Return the Doppler velocity in km/s, positive to the red, of wavelengths (any shape).

    Parameters
    ----------
    wavelength
        Vacuum wavelengths.
    line
        A name in `LINES`.

    Raises
    ------
    ContractError
        for an unknown line, or wavelengths without a unit of length.

    Notes
    -----
    v = c (λ − λ₀) / λ₀, the non-relativistic form: at 300 km/s it is 0.15 km/s off.
    """
    _rest(line)
    return velocity(angstrom(wavelength, "the wavelength"), line) * u.km / u.s


def velocity(wavelength: Floats, line: str) -> Floats:
    """Return the Doppler velocity in km/s of wavelengths in Angstrom; see `line_velocity`."""
    return (wavelength - REST[line]) / REST[line] * LIGHT


def velocity_wavelength(velocity: u.Quantity, line: str) -> u.Quantity:
    """Return the wavelength in Angstrom of a Doppler velocity: the inverse of `line_velocity`.

    Raises
    ------
    ContractError
        for an unknown line, or velocities without a unit of velocity.
    """
    unit = getattr(velocity, "unit", None)
    if unit is None or not unit.is_equivalent(u.km / u.s):
        raise ContractError(
            f"the velocity has the unit {unit}, which is no velocity",
            remedy="Give an astropy Quantity, such as 20 * u.km / u.s.",
        )
    share = (velocity / astropy.constants.c).to_value(u.dimensionless_unscaled)
    return _rest(line) * (1 + share) * u.AA


def line_windows(
    wavelength: u.Quantity, *, half_width: u.Quantity = 1.5 * u.AA
) -> npt.NDArray[np.int64]:
    """Return the number in `WINDOWS` of the window that each wavelength (w,) lies in.

    Parameters
    ----------
    wavelength
        Increasing vacuum wavelengths.
    half_width
        Half width of the windows of k and h; the triplet's is a third of it. The default is the
        window of the k features (Panos et al. 2023, 10.1051/0004-6361/202244835).

    Raises
    ------
    ContractError
        when the axis does not increase, or the half width is not a positive length.

    Notes
    -----
    Where two windows overlap, the point belongs to the line it is nearer to in units of the
    line's half width. What lies between the triplet's window and that of h is *continuum*.
    """
    axis, reach = axis_angstrom(wavelength), angstrom(half_width, "the half width")
    if reach.ndim or not reach > 0:
        raise ContractError(
            f"the half width of the windows is {half_width}",
            remedy="Give one positive length, such as 1.5 * u.AA.",
        )
    names = ("k", "h", "triplet")
    reaches = reach * np.array([1.0, 1.0, TRIPLET_SHARE])
    distance = np.abs(axis[:, None] - [_rest(name) for name in names]) / reaches
    number = np.array([WINDOWS[name] for name in names])[distance.argmin(axis=1)]
    between = (axis > _rest("triplet")) & (axis < _rest("h"))
    outside = np.where(between, WINDOWS["continuum"], WINDOWS["wings"])
    return np.where(distance.min(axis=1) <= 1, number, outside).astype(np.int64)


def _rest(line: str) -> float:
    if line not in LINES:
        raise ContractError(
            f"{line!r} is no line of the Mg II window",
            remedy=f"Take one of {', '.join(LINES)}.",
        )
    return REST[line]
