"""Wavelength axes as plain numbers: checked, in Angstrom, with the edges of their pixels."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt

from solarxai.errors import ContractError

__all__ = ["Floats", "angstrom", "axis_angstrom", "pixel_edges", "pixels_of"]

Floats = npt.NDArray[np.float64]


def angstrom(value: u.Quantity, what: str) -> Floats:
    """Return a length in Angstrom (float64, any shape), or refuse what has no unit of length."""
    unit = getattr(value, "unit", None)
    if unit is None or not unit.is_equivalent(u.AA):
        raise ContractError(
            f"{what} has the unit {unit}, which is no length",
            remedy="Give an astropy Quantity, such as 2796.352 * u.AA.",
        )
    return np.asarray(value.to_value(u.AA), dtype=np.float64)


def axis_angstrom(wavelength: u.Quantity, what: str = "the wavelength axis") -> Floats:
    """Return a wavelength axis (w,) in Angstrom, or say why it is none."""
    axis = angstrom(wavelength, what)
    if axis.ndim != 1 or len(axis) < 2:
        raise ContractError(
            f"{what} has the shape {axis.shape}",
            remedy="Give one dimension with at least two points.",
        )
    if not (np.isfinite(axis).all() and (np.diff(axis) > 0).all()):
        raise ContractError(
            f"{what} does not increase from point to point",
            remedy="Sort the spectra by wavelength and leave out points without one.",
        )
    return axis


def pixel_edges(axis: Floats) -> Floats:
    """Return the edges (w + 1,) of pixels centred on the axis: midway, the ends by half a step."""
    middle = (axis[1:] + axis[:-1]) / 2
    first, last = 2 * axis[0] - middle[0], 2 * axis[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])


def pixels_of(
    values: npt.NDArray[Any], axis: Floats, what: str, *, dims: tuple[int, ...] = ()
) -> None:
    """Refuse values whose last dimension is not that of the axis, or with too many dimensions."""
    fit = values.ndim >= 1 and values.shape[-1] == len(axis)
    if not fit or (dims and values.ndim not in dims):
        raise ContractError(
            f"{what} of shape {values.shape} and {len(axis)} wavelengths do not fit",
            remedy="Give spectra as (spectrum, wavelength).",
        )
