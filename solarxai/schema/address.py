"""What every row of Samples carries: when, where and whose it is, so that it keeps its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import astropy.units as u
import numpy as np
import xarray as xr
from astropy.io.fits import Header
from astropy.wcs import WCS

from solarxai.errors import SchemaError

__all__ = [
    "ADDRESS_WORDS",
    "OBSERVATION_WORDS",
    "WCS_NUMBERS",
    "WCS_WORDS",
    "address_breaches",
    "array_breaches",
    "attribute_breaches",
    "column_breaches",
    "observation_wcs",
    "or_raise",
    "sample_wcs_header",
    "time_encoding",
    "unit_breaches",
]

WCS_NUMBERS = (
    "crpix1", "crpix2", "crval1", "crval2", "cdelt1", "cdelt2", "pc1_1", "pc1_2", "pc2_1", "pc2_2",
    "lonpole", "latpole", "dsun_obs", "hgln_obs", "hglt_obs", "rsun_ref",
)  # fmt: skip
"""Numeric world-coordinate keywords kept a sample, as float64 columns named `wcs_<keyword>`."""

WCS_WORDS = ("ctype1", "ctype2", "cunit1", "cunit2")
"""Textual world-coordinate keywords kept a sample, as columns named `wcs_<keyword>`."""

ADDRESS_WORDS = (
    "sample_id", "label", "label_source", "region", "origin", "instrument", "observation",
    "time_scale", "time_original", "header",
)  # fmt: skip
"""Textual columns of every row of Samples."""

OBSERVATION_WORDS = (
    "observation", "instrument", "region", "origin", "source", "sha256",
    "time_scale", "time_original", "header", "wcs",
)  # fmt: skip
"""Attributes of every Observation."""


def time_encoding() -> dict[str, Any]:
    """Return the one encoding of time in every file: int64 nanoseconds since 1970 (UTC)."""
    return {"units": "nanoseconds since 1970-01-01", "dtype": "int64", "calendar": "standard"}


def address_breaches(samples: xr.Dataset) -> list[str]:
    """Return what is wrong with the columns that all Samples share."""
    columns = ("time", *ADDRESS_WORDS, *(f"wcs_{word}" for word in (*WCS_NUMBERS, *WCS_WORDS)))
    return column_breaches(samples, columns)


def column_breaches(samples: xr.Dataset, columns: Iterable[str]) -> list[str]:
    """Return which columns are missing or not on (sample,)."""
    return [
        f"column {name!r} is missing or not on (sample,)"
        for name in columns
        if name not in samples.variables or samples[name].dims != ("sample",)
    ]


def array_breaches(
    dataset: xr.Dataset, arrays: Mapping[str, str], dims: tuple[str, ...]
) -> list[str]:
    """Return which variables are missing, on other dimensions or of another type."""
    breaches = []
    for name, kind in arrays.items():
        if name not in dataset or dataset[name].dims != dims:
            breaches.append(f"variable {name!r} is missing or not on ({', '.join(dims)})")
        elif dataset[name].dtype != np.dtype(kind):
            breaches.append(f"{name} is {dataset[name].dtype}, not {kind}")
    return breaches


def attribute_breaches(observation: xr.Dataset, wanted: Iterable[str]) -> list[str]:
    """Return which attributes an Observation lacks, and whether its origin is known."""
    breaches = [
        f"attribute {name!r} is missing" for name in wanted if name not in observation.attrs
    ]
    if observation.attrs.get("origin") not in ("real", "synthetic"):
        breaches.append("origin is neither 'real' nor 'synthetic'")
    return breaches


def observation_wcs(observation: xr.Dataset) -> WCS:
    """Return the celestial world coordinate system of an observation."""
    return WCS(Header.fromstring(observation.attrs["wcs"], sep="\n")).celestial


def sample_wcs_header(samples: xr.Dataset, row: int) -> Header:
    """Return the FITS world-coordinate header of one row of Samples, exact to the last bit."""
    header = Header()
    header["WCSAXES"] = 2
    for word in (*WCS_WORDS, *WCS_NUMBERS):
        value = samples[f"wcs_{word}"].values[row]
        if isinstance(value, str):
            header[word.upper()] = value
        elif np.isfinite(value):
            header[word.upper()] = float(value)
    time = samples["time"].values[row]
    header["DATE-OBS"] = str(time.astype("datetime64[us]"))
    header["MJD-OBS"] = float((time - np.datetime64("1858-11-17")) / np.timedelta64(1, "D"))
    header["TIMESYS"] = "UTC"
    return header


def unit_breaches(attrs: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the unit of an intensity."""
    try:
        u.Unit(attrs["units"])
    except KeyError:
        return ["intensity has no units attribute"]
    except (ValueError, TypeError):
        return [f"intensity has units {attrs['units']!r}, which astropy cannot read"]
    return []


def or_raise(dataset: xr.Dataset, breaches: list[str], source: str) -> xr.Dataset:
    """Return the dataset unchanged, or raise a `SchemaError` that names every breach."""
    if breaches:
        raise SchemaError(
            f"{source}: {'; '.join(breaches)}",
            remedy="See the docstrings of solarxai.schema for what a dataset must hold.",
        )
    return dataset
