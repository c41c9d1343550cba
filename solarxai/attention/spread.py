"""How far the models of an ensemble differ, wavelength by wavelength."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.special import ndtr

from solarxai.attention.wavelengths import maps_of
from solarxai.errors import QueryError

__all__ = ["spread_by_wavelength"]

Array = npt.NDArray[np.float64]


def spread_by_wavelength(samples: xr.Dataset, method: str) -> xr.Dataset:
    """Return how the models of an ensemble agree at each wavelength, on (wavelength).

    Parameters
    ----------
    samples
        Samples with the maps `method` (the mean over the models) and `<method>_spread` (their
        standard deviation).
    method
        Name of the maps.

    Returns
    -------
    xarray.Dataset
        `relative_spread`, the sum of the spreads over the sum of |mean|: above 1 the models differ
        by more than they say; `sign_agreement`, the mean probability that a model has the sign of
        the mean, were models normally distributed: 0.5 for none, 1 for all; `spectra`.

    Raises
    ------
    QueryError
        when there are no maps, or none of their spread.
    """
    mean = maps_of(samples, method)
    if f"{method}_spread" not in samples.data_vars:
        raise QueryError(
            f"the samples have no {method}_spread: one model alone does not spread",
            remedy="Attribute with an ensemble of classifiers.",
        )
    spread = maps_of(samples, f"{method}_spread")
    width = mean.sizes["wavelength"]
    sums = np.zeros((4, width))
    for row in range(mean.sizes["sample"]):
        one, other = (part.isel(sample=row).values.reshape(-1, width) for part in (mean, spread))
        sums += _summed(one.astype(np.float64), other.astype(np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {"relative_spread": sums[0] / sums[1], "sign_agreement": sums[2] / sums[3]}
    made = {k: (("wavelength",), v, {"units": "1"}) for k, v in found.items()}
    made["spectra"] = (("wavelength",), sums[3].astype(np.int64), {})
    return xr.Dataset(made, coords={"wavelength": samples["wavelength"]}, attrs={"method": method})


def _summed(mean: Array, spread: Array) -> Array:
    """Return the sums over spectra of spread, |mean|, agreement and count, (4, wavelength)."""
    known = np.isfinite(mean) & np.isfinite(spread)
    size, width = np.where(known, np.abs(mean), 0), np.where(known, spread, 0)
    agreement = ndtr(size / np.where(width > 0, width, 1))
    agreement = np.where(width > 0, agreement, np.where(size > 0, 1.0, 0.5))
    parts = (width, size, np.where(known, agreement, 0), known)
    return np.stack([part.sum(axis=0, dtype=float) for part in parts])
