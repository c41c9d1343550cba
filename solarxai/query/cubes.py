"""Rows of spectrograms as NDCubes, one a raster: (step, slit, wavelength), with world places."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import astropy.units as u
import numpy as np
import numpy.typing as npt
import xarray as xr
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from astropy.time import Time
from astropy.wcs import WCS
from ndcube import NDCube

from solarxai.errors import QueryError
from solarxai.provenance import write_atomically
from solarxai.rasters import rasters_by_observation
from solarxai.registry import near_name

__all__ = ["raster_header", "to_cubes", "to_fits"]

_SPACE = ("step", "slit", "wavelength")
_NUMBERS = ("lonpole", "latpole", "dsun_obs", "hgln_obs", "hglt_obs", "rsun_ref")


def to_cubes(ds: xr.Dataset, *, method: str = "image") -> list[NDCube]:
    """Return one NDCube a raster, in order of time.

    Parameters
    ----------
    ds
        What `SaliencyStore.query` returned of spectrograms, or part of its rows.
    method
        "image", an explainer, or any variable on (sample, slit, wavelength).

    Returns
    -------
    list of ndcube.NDCube
        On (step, slit, wavelength), masked where a spectrum was dropped or an exposure is not
        among the rows; with the standard error as its uncertainty where the method has one, the
        times of the steps as extra coordinate, and in `meta` the columns of the raster.

    Raises
    ------
    QueryError
        when the rows have no such map, or wavelengths that are not equally spaced.
    """
    _check(ds, [method])
    return [_cube(raster, method) for raster in _rasters(ds)]


def to_fits(ds: xr.Dataset, folder: Path | str, methods: Sequence[str]) -> list[Path]:
    """Write one FITS file a raster and return their paths, in order of time.

    Each file has an image extension (step, slit, wavelength) a method, with SOLARNET keywords, the
    table EXPOSURES (time and score of each step) and ORIGINAL_HEADER with every original card.

    Parameters
    ----------
    ds
        Rows of spectrograms.
    folder
        Made when absent; files of the same names are replaced.
    methods
        Which maps, in this order.

    Raises
    ------
    QueryError
        when the rows have no such map.
    """
    _check(ds, methods)
    names = [n for m in methods for n in (m, f"{m}_stderr", f"{m}_spread") if n == m or n in ds]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for raster in _rasters(ds):
        path = folder / _file_name(raster)
        write_atomically(path, _fits_bytes(raster, names, path.name))
        paths.append(path)
    return paths


def raster_header(raster: xr.Dataset) -> fits.Header:
    """Return the world coordinates of one raster: wavelength, along the slit, along the steps.

    Parameters
    ----------
    raster
        Exposures on (step, slit, wavelength).

    Raises
    ------
    QueryError
        when the wavelengths are not equally spaced.
    """
    first = int(np.flatnonzero(~np.isnat(raster["time"].values))[0])
    number = {
        name: float(raster[f"wcs_{name}"].values[first])
        for name in (
            "crpix1", "crpix2", "crval1", "crval2", "cdelt1", "cdelt2", "pc1_1", "pc1_2", "pc2_1",
            "pc2_2", *_NUMBERS,
        )
    }  # fmt: skip
    header = fits.Header({"WCSAXES": 3})
    start, pace = _spacing(raster["wavelength"].values)
    header.update({"CTYPE1": "WAVE", "CUNIT1": "Angstrom", "CRPIX1": 1.0, "CRVAL1": start,
                   "CDELT1": pace})  # fmt: skip
    for axis, old in (("2", "2"), ("3", "1")):
        header[f"CTYPE{axis}"] = str(raster[f"wcs_ctype{old}"].values[first])
        header[f"CUNIT{axis}"] = str(raster[f"wcs_cunit{old}"].values[first])
        for word in ("crpix", "crval", "cdelt"):
            header[f"{word.upper()}{axis}"] = number[f"{word}{old}"]
    header["CRPIX3"] += first
    for i, old_i in (("2", "2"), ("3", "1")):
        for j, old_j in (("2", "2"), ("3", "1")):
            header[f"PC{i}_{j}"] = number[f"pc{old_i}_{old_j}"]
    header.update({n.upper(): number[n] for n in _NUMBERS if np.isfinite(number[n])})
    time = raster["time"].values[first]
    header["DATE-BEG"] = header["DATEREF"] = str(time.astype("datetime64[ms]"))
    header["MJD-BEG"] = header["MJDREF"] = float(Time(time).mjd)
    header["TIMESYS"] = "UTC"
    return header


def _rasters(ds: xr.Dataset) -> Iterator[xr.Dataset]:
    """Yield each raster on (step, slit, wavelength), in order of time."""
    found = []
    for _, observation in rasters_by_observation(ds.load()):
        for number in observation["raster"].values:
            one = observation.sel(raster=number)
            times = one["time"].values
            if not np.isnat(times).all():
                found.append((np.nanmin(times), one))
    for _, one in sorted(found, key=lambda pair: pair[0]):
        yield one


def _cube(raster: xr.Dataset, method: str) -> NDCube:
    values = raster[method].transpose(*_SPACE).values
    header = raster_header(raster)
    error = (
        raster[f"{method}_stderr"].transpose(*_SPACE).values
        if f"{method}_stderr" in raster
        else None
    )
    cube = NDCube(
        values,
        wcs=WCS(header),
        mask=~np.isfinite(values),
        unit=_unit(raster[method]),
        uncertainty=None if error is None else StdDevUncertainty(error),
        meta={**_words(raster), "method": method, **_plain(raster[method].attrs)},
    )
    times = raster["time"].values
    if not np.isnat(times).any():
        cube.extra_coords.add("time", (0,), Time(times))
    return cube


def _words(raster: xr.Dataset) -> dict[str, str]:
    """Return the text that all exposures of a raster share."""
    shared = {"raster": str(int(raster["raster"].values))}
    for name in ("observation", "region", "origin", "instrument", "label", "run", "header"):
        if name in raster.variables:
            texts = sorted({str(t) for t in raster[name].values.ravel().tolist()} - {""})
            shared[name] = ", ".join(texts)
    return shared


def _plain(attrs: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in attrs.items()}


def _unit(variable: xr.DataArray) -> u.UnitBase:
    """Return the unit of a map; logits are no unit of astropy, so they count as numbers."""
    try:
        return u.Unit(variable.attrs.get("units", ""))
    except (ValueError, TypeError):
        return u.dimensionless_unscaled


def _spacing(wavelength: npt.NDArray[np.float64]) -> tuple[float, float]:
    start = float(wavelength[0])
    pace = float((wavelength[-1] - start) / (len(wavelength) - 1))
    if np.abs(start + pace * np.arange(len(wavelength)) - wavelength).max() > 0.01 * pace:
        raise QueryError(
            f"the wavelengths from {start:g} to {wavelength[-1]:g} Angstrom are not equally spaced",
            remedy="Ingest on the study grid, or take the rows as xarray.",
        )
    return start, pace


def _check(ds: xr.Dataset, names: Sequence[str]) -> None:
    dims = ("sample", *_SPACE[1:])
    known = sorted(str(n) for n, v in ds.data_vars.items() if v.dims == dims)
    for name in names:
        if name not in known:
            raise QueryError(
                f"these rows have no spectral map {name!r}; they have {', '.join(known) or 'none'}",
                remedy=near_name(name, known) or "Name one of these, or query it.",
            )


def _file_name(raster: xr.Dataset) -> str:
    """Return a name that no other raster of the store has: time, observation, raster and run."""
    words = _words(raster)
    time = np.datetime_as_string(np.nanmin(raster["time"].values), unit="s")
    parts = [re.sub(r"[-:]", "", time), quote(words["observation"], safe="")]
    parts.append(f"r{int(words['raster']):05d}")
    return "_".join([*parts, *([words["run"][:12]] if "run" in words else [])]) + ".fits"


def _fits_bytes(raster: xr.Dataset, names: Sequence[str], file_name: str) -> bytes:
    words = _words(raster)
    hdus: list[object] = [fits.PrimaryHDU()]
    for name in names:
        header = raster_header(raster)
        header["FILENAME"] = file_name
        header["SOLARNET"] = (0.5, "partially compliant")
        header["OBS_HDU"] = (1, "contains observational data")
        header["BUNIT"] = _unit(raster[name]).to_string("fits")
        header["BTYPE"] = str(raster[name].attrs.get("long_name", name))[:68]
        for keyword, word in (("XAIREG", "region"), ("XAILABEL", "label"), ("XAIRUN", "run")):
            if word in words:
                header[keyword] = words[word][:68]
        values = raster[name].transpose(*_SPACE).values
        hdus.append(fits.ImageHDU(values, header, name=name.upper()))
    hdus += [_exposures(raster), _original(words["header"])]
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)
        fits.HDUList(hdus).writeto(buffer, output_verify="silentfix+ignore")
    return buffer.getvalue()


def _exposures(raster: xr.Dataset) -> fits.BinTableHDU:
    """Return the table of the steps: when each was, and what the network says of it."""
    times = [str(t.astype("datetime64[ms]")) for t in raster["time"].values]
    columns = [fits.Column(name="TIME", format="23A", array=np.array(times, dtype="S23"))]
    columns += [
        fits.Column(name=name.upper(), format="D", array=raster[name].values)
        for name in ("score", "solar_x", "solar_y")
        if name in raster
    ]
    return fits.BinTableHDU.from_columns(columns, name="EXPOSURES")


def _original(text: str) -> fits.BinTableHDU:
    cards = np.array([line.encode("ascii", "replace") for line in text.split("\n")], dtype="S80")
    column = fits.Column(name="CARD", format="80A", array=cards)
    return fits.BinTableHDU.from_columns([column], name="ORIGINAL_HEADER")
