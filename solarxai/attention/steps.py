"""What may be done to maps when they are read: each step by name, none of it in the store."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.signal import savgol_filter

from solarxai.errors import ContractError

__all__ = ["clip", "normalise", "shift_up", "smooth"]

Array = npt.NDArray[Any]


def smooth(maps: xr.DataArray, *, window: int = 41, order: int = 3) -> xr.DataArray:
    """Return the maps under a Savitzky-Golay filter along the wavelength.

    Parameters
    ----------
    maps
        (..., wavelength), any unit.
    window, order
        Points of the filter and degree of its polynomial; the defaults are those of the study.

    Raises
    ------
    ContractError
        when the window is longer than a spectrum, not odd, or not longer than the order.

    Notes
    -----
    A spectrum with a missing value stays as it is where it is NaN throughout, and becomes NaN
    where it is not: a polynomial has no values to go through. The filter broadens a feature of one
    point to some 20 points, 0.9 Å of the 240-point grid.

    References
    ----------
    Panos, Kleint & Zbinden 2023, A&A 671, A73, arXiv:2301.01560.
    """
    length = maps.sizes["wavelength"]
    if not (window % 2 and order < window <= length):
        raise ContractError(
            f"a filter of {window} points and order {order} does not fit spectra of {length}",
            remedy=f"Give an odd window above the order and up to {length}.",
        )
    values = maps.transpose(..., "wavelength").values
    made = np.full(values.shape, np.nan, dtype=values.dtype)
    whole = np.isfinite(values).all(axis=-1)
    if whole.any():
        made[whole] = savgol_filter(values[whole], window, order, axis=-1)
    return _noted(maps, made, f"smooth(window={window}, order={order})")


def shift_up(maps: xr.DataArray) -> xr.DataArray:
    """Return the maps with |minimum| added to each spectrum whose minimum is negative.

    Notes
    -----
    As the study did before drawing. Zero then no longer means *no contribution*, and the share of
    a wavelength depends on the most negative one: it is here to reproduce, not to conclude from.

    References
    ----------
    Panos, Kleint & Zbinden 2023, arXiv:2301.01560, and the function `utils_attributions` of
    https://github.com/brandonlpanos/explainable-ai.
    """
    values = maps.transpose(..., "wavelength").values
    lowest = np.fmin.reduce(values, axis=-1, keepdims=True)
    return _noted(maps, values + np.fmax(-lowest, 0), "shift_up()")


def clip(maps: xr.DataArray, *, percentile: float = 99.5) -> xr.DataArray:
    """Return the maps limited to ± the percentile of |a| over all of them.

    Raises
    ------
    ContractError
        when the percentile is not in (0, 100].
    """
    if not 0 < percentile <= 100:
        raise ContractError(
            f"percentile {percentile} is not in (0, 100]", remedy="Give for example 99.5."
        )
    values = maps.transpose(..., "wavelength").values
    known = np.abs(values[np.isfinite(values)])
    top = float(np.percentile(known, percentile)) if known.size else 0.0
    return _noted(maps, np.clip(values, -top, top), f"clip(percentile={percentile:g})")


def normalise(maps: xr.DataArray) -> xr.DataArray:
    """Return the maps divided by the sum of |a| of their spectrum, so that each has the sum 1.

    Spectra without any attribution become NaN. The unit is lost.
    """
    values = maps.transpose(..., "wavelength").values
    total = np.nansum(np.abs(values), axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        made = values / np.where(total > 0, total, np.nan)
    noted = _noted(maps, made, "normalise()")
    noted.attrs["units"] = "1"
    return noted


def _noted(maps: xr.DataArray, values: Array, step: str) -> xr.DataArray:
    """Return values in the place of the maps', with the step written down."""
    made = maps.transpose(..., "wavelength").copy(data=values.astype(maps.dtype))
    steps = [text for text in (maps.attrs.get("steps", ""), step) if text]
    return made.assign_attrs(steps="; ".join(steps))
