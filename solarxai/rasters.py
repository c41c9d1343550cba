"""Rows of exposures put back into the rasters they were cut from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from solarxai.errors import SchemaError

__all__ = ["NO_EXPOSURE", "rasters_by_observation", "to_rasters"]

NO_EXPOSURE = 254
"""Value of `quality` where the rows hold no exposure of that raster and step."""

_PLACE = ("observation", "raster", "step")


def rasters_by_observation(samples: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    """Yield the name of each observation and its `to_rasters`, in order of their names.

    Observations differ in their numbers of rasters and steps, so each is a dataset of its own.
    """
    _check_columns(samples)
    names = samples["observation"].values.astype(str)
    for name in np.unique(names):
        yield str(name), to_rasters(samples.isel(sample=np.flatnonzero(names == name)))


def to_rasters(samples: xr.Dataset) -> xr.Dataset:
    """Return the exposures of one observation on (raster, step, slit, wavelength).

    Parameters
    ----------
    samples
        Spectrogram Samples of one observation, in any order, with maps or without.

    Returns
    -------
    xarray.Dataset
        Every variable and column with (raster, step) in the place of (sample): `time` and the
        centres of the slit `solar_x`, `solar_y` among them. `raster` has the numbers of the files
        at hand, `step` counts from 0 to the last one at hand. Where an exposure is missing,
        numbers are NaN, times NaT, texts empty and `quality` is `NO_EXPOSURE`.

    Raises
    ------
    SchemaError
        when the rows lack `observation`, `raster` or `step`, are of several observations, or an
        exposure is there twice.
    """
    _check_columns(samples)
    _check_one(samples)
    placed = samples.set_xindex(("raster", "step")).unstack("sample", fill_value=_fills(samples))
    steps = np.arange(int(samples["step"].values.max()) + 1)
    made = placed.reindex(step=steps, fill_value=_fills(samples))
    made = made.transpose("raster", "step", ...)
    for name in ("raster", "step"):
        made[name].attrs = {"long_name": f"number of the {name}"}
    if "quality" in made:
        made["quality"].attrs["no_exposure"] = NO_EXPOSURE
    return made


def _fills(samples: xr.Dataset) -> dict[str, Any]:
    """Return what stands for a missing exposure, a variable."""
    fills: dict[str, Any] = {}
    for name, values in samples.variables.items():
        if values.dims[:1] != ("sample",) or name in ("raster", "step"):
            continue
        kind = values.dtype.kind
        if name == "quality":
            fills[str(name)] = NO_EXPOSURE
        elif kind in "OUT":
            fills[str(name)] = ""
        elif kind == "M":
            fills[str(name)] = np.datetime64("NaT")
        else:
            fills[str(name)] = np.nan
    return fills


def _check_columns(samples: xr.Dataset) -> None:
    missing = [name for name in _PLACE if name not in samples.variables]
    if missing:
        raise SchemaError(
            f"the samples have no column {', '.join(missing)}, so they have no place in a raster",
            remedy="Give spectrogram Samples, one row an exposure.",
        )


def _check_one(samples: xr.Dataset) -> None:
    names = np.unique(samples["observation"].values.astype(str))
    if len(names) != 1:
        raise SchemaError(
            f"the samples are of {len(names)} observations ({', '.join(names[:3])}), which do "
            "not share their rasters",
            remedy="Use rasters_by_observation, or select one observation.",
        )
    places = np.stack([samples["raster"].values, samples["step"].values])
    found, count = np.unique(places, axis=1, return_counts=True)
    if (count > 1).any():
        raster, step = found[:, count > 1][:, 0]
        raise SchemaError(
            f"{names[0]}: raster {raster}, step {step} is there {count.max()} times",
            remedy="Select the rows of one run.",
        )
