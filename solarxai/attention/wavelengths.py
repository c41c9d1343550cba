"""Attention per wavelength, per line, and in km/s around a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import astropy.units as u
import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.attention._intervals import bounded, members, pooled_ratio
from solarxai.errors import QueryError
from solarxai.spectra.lines import WINDOWS, line_velocity, line_windows

__all__ = ["attention_by_line", "attention_by_velocity", "attention_by_wavelength", "maps_of"]

Array = npt.NDArray[np.float64]

_AXIS = "wavelength"
_NAMES = ("k", "h", "triplet", "elsewhere")
_HALF_WIDTH = 1.5 * u.AA
_LIMIT = 150 * u.km / u.s


def attention_by_wavelength(
    samples: xr.Dataset,
    method: str,
    *,
    by: str = "region",
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> xr.Dataset:
    """Return the mean attribution at each wavelength, signed and absolute, on (wavelength).

    Parameters
    ----------
    samples
        Spectrogram or spectrum Samples with maps; read one group at a time.
    method
        Name of the maps.
    by
        Column whose groups are resampled: "region" or "observation".
    n_bootstrap, seed, level
        Of the block bootstrap.

    Returns
    -------
    xarray.Dataset
        `mean` and `absolute`, the means of a and of |a| over all kept spectra, in the unit of the
        maps; `share`, the part of the sum of |a| at this wavelength; each with `_low` and `_high`
        (NaN with fewer than two groups); `spectra`, how many were averaged; attributes `method`,
        `by` and `groups`.

    Raises
    ------
    QueryError
        when the samples have no such maps along the wavelength.
    ValidationError
        when there are no samples or no column `by`.
    """
    sums = _Sums.of(samples, method, by)
    options: dict[str, Any] = {"n": n_bootstrap, "seed": seed, "level": level}
    total = np.broadcast_to(sums.absolute.sum(axis=1, keepdims=True), sums.absolute.shape)
    units = {"units": str(samples[method].attrs.get("units", ""))}
    found = {
        **bounded("mean", pooled_ratio(sums.signed, sums.number, **options), _AXIS, **units),
        **bounded("absolute", pooled_ratio(sums.absolute, sums.number, **options), _AXIS, **units),
        **bounded("share", pooled_ratio(sums.absolute, total, **options), _AXIS, units="1"),
        "spectra": ((_AXIS,), sums.number.sum(axis=0).astype(np.int64)),
    }
    return xr.Dataset(
        found,
        coords={"wavelength": samples["wavelength"]},
        attrs={"method": method, "by": by, "groups": len(sums.number), "level": level},
    )


def attention_by_velocity(
    samples: xr.Dataset,
    method: str,
    line: str,
    *,
    limit: u.Quantity = _LIMIT,
    **options: Any,
) -> xr.Dataset:
    """Return `attention_by_wavelength` around a line, on (velocity) in km/s, red positive.

    Parameters
    ----------
    samples, method
        As of `attention_by_wavelength`.
    line
        One of `solarxai.spectra.LINES`.
    limit
        Largest |velocity|.
    **options
        Those of `attention_by_wavelength`.

    Raises
    ------
    QueryError
        when no wavelength lies within the limit.
    """
    found = attention_by_wavelength(samples, method, **options)
    grid = found["wavelength"].values * u.AA
    velocity = np.asarray(line_velocity(grid, line).to_value(u.km / u.s), dtype=float)
    near = np.flatnonzero(np.abs(velocity) <= limit.to_value(u.km / u.s))
    if not near.size:
        raise QueryError(
            f"no wavelength from {grid.min():.2f} to {grid.max():.2f} is within {limit} of {line}",
            remedy="Give a larger limit, or a line inside the window.",
        )
    moved = found.assign_coords(velocity=("wavelength", velocity, {"units": "km / s"}))
    return moved.isel(wavelength=near).swap_dims(wavelength="velocity").assign_attrs(line=line)


def attention_by_line(
    samples: xr.Dataset,
    method: str,
    *,
    half_width: u.Quantity = _HALF_WIDTH,
    by: str = "region",
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> xr.Dataset:
    """Return which part of |attribution| lies in the window of each line, on (line).

    Parameters
    ----------
    samples, method, by, n_bootstrap, seed, level
        As of `attention_by_wavelength`.
    half_width
        Of the window around each line, as of `solarxai.spectra.line_windows`.

    Returns
    -------
    xarray.Dataset
        `share` of the sum of |a|, `pixels` (the window's share of the pixels that have a value)
        and `enrichment`, their ratio: 1 is what no preference gives; shares and enrichment with
        `_low` and `_high`. The last line is "elsewhere".
    """
    sums = _Sums.of(samples, method, by)
    inside = _inside(samples, half_width)
    options: dict[str, Any] = {"n": n_bootstrap, "seed": seed, "level": level}
    return xr.Dataset(
        _shares(sums.absolute @ inside.T, sums.number @ inside.T, options),
        coords={"line": np.array(_NAMES, dtype=object)},
        attrs={"method": method, "by": by, "groups": len(sums.number), "level": level},
    )


class _Sums(NamedTuple):
    """Sums over the kept spectra of each group, (group, wavelength)."""

    signed: Array
    absolute: Array
    number: Array

    @classmethod
    def of(cls, samples: xr.Dataset, method: str, by: str) -> _Sums:
        """Return the sums of a method's maps, one group in memory at a time."""
        maps = maps_of(samples, method)
        member = members(samples, by)
        made = [_summed(maps, rows) for rows in _rows_of(member)]
        return cls(*(np.stack(part) for part in zip(*made, strict=True)))


def maps_of(samples: xr.Dataset, method: str) -> xr.DataArray:
    """Return the maps of that name, (sample, ..., wavelength).

    Raises
    ------
    QueryError
        when there are none, or they are not along the wavelength.
    """
    if method not in samples.data_vars or "wavelength" not in samples[method].dims:
        known = [str(k) for k, v in samples.data_vars.items() if "wavelength" in v.dims]
        raise QueryError(
            f"the samples have no maps {method!r} along the wavelength",
            remedy=f"They have {', '.join(known) or 'none'}: ask for one, or attribute first.",
        )
    return samples[method].transpose("sample", ..., "wavelength")


def _rows_of(member: npt.NDArray[np.intp]) -> Iterator[npt.NDArray[np.intp]]:
    for group in range(int(member.max()) + 1):
        yield np.flatnonzero(member == group)


def _summed(maps: xr.DataArray, rows: npt.NDArray[np.intp]) -> tuple[Array, Array, Array]:
    """Return the sums of a, of |a| and of the values at hand, (wavelength,)."""
    values = maps.isel(sample=rows).values.reshape(-1, maps.sizes["wavelength"])
    known = np.isfinite(values)
    filled = np.where(known, values, 0).astype(np.float64)
    return filled.sum(axis=0), np.abs(filled).sum(axis=0), known.sum(axis=0, dtype=np.float64)


def _inside(samples: xr.Dataset, half_width: u.Quantity) -> npt.NDArray[np.float64]:
    """Return (line, wavelength): 1 in the window of the line; the last line is elsewhere."""
    number = line_windows(samples["wavelength"].values * u.AA, half_width=half_width)
    lines = np.array([number == WINDOWS[name] for name in _NAMES[:-1]])
    return np.vstack([lines, ~lines.any(axis=0)]).astype(np.float64)


def _shares(attention: Array, pixels: Array, options: dict[str, Any]) -> dict[str, Any]:
    """Return the variables of `attention_by_line` from sums (group, line)."""
    every = np.broadcast_to(attention.sum(axis=1, keepdims=True), attention.shape)
    area = pixels.sum(axis=0) / pixels.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        enrichment = pooled_ratio(attention / area, every, **options)
    return {
        **bounded("share", pooled_ratio(attention, every, **options), "line", units="1"),
        "pixels": (("line",), area, {"units": "1"}),
        **bounded("enrichment", enrichment, "line", units="1"),
    }
