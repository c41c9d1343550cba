"""Rows of a query as sunpy maps, as FITS files with SOLARNET keywords, as netCDF or Zarr."""

from __future__ import annotations

import io
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import astropy.units as u
import numpy as np
import numpy.typing as npt
import xarray as xr
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from sunpy.map import GenericMap
from sunpy.util import MetaDict

from solarxai.errors import QueryError
from solarxai.provenance import write_atomically
from solarxai.query import cubes
from solarxai.registry import near_name
from solarxai.schema import SPECTROGRAM, kind_of, sample_wcs_header, time_encoding

__all__ = ["export", "map_header", "to_fits", "to_maps"]

_REPLACED = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|[PG]COUNT|GROUPS|END|EXTNAME|EXTVER|EXTLEVEL|INHERIT"
    r"|BSCALE|BZERO|BLANK|BUNIT|BTYPE|CHECKSUM|DATASUM|FILENAME|OBS_HDU|SOLARNET"
    r"|TFIELDS|T(?:TYPE|FORM|UNIT|SCAL|ZERO|NULL|DISP|DIM)\d+"
    r"|Z(?:IMAGE|TABLE|BITPIX|NAXIS\d*|TILE\d+|CMPTYPE|QUANTIZ|DITHER0|BLANK|SCALE|ZERO"
    r"|NAME\d+|VAL\d+|SIMPLE|EXTEND|TENSION|PCOUNT|GCOUNT|HECKSUM|DATASUM)"
    r"|DATA(?:MIN|MAX|MEAN|MEDN|RMS|SKEW|KURT|VALS)|TOTVALS|MISSVALS|PERCENTD"
    r"|WCSAXES[A-Z]?|WCSNAME[A-Z]?|(?:CRPIX|CRVAL|CDELT|CTYPE|CUNIT|CROTA|CRDER|CSYER|CNAME)\d+[A-Z]?"
    r"|(?:PC|CD|PV|PS)\d+_\d+[A-Z]?|(?:LONPOLE|LATPOLE)[A-Z]?|[AB]P?_(?:ORDER|DMAX|\d+_\d+)"
    r"|TIMESYS|DATE-(?:OBS|AVG|BEG|END)|DATE_OBS|DATEREF|MJDREF[IF]?|MJD-(?:OBS|AVG|BEG|END)"
)
"""Keywords that describe the original array, its coordinates or the clock they are kept in."""

_KEYWORD = re.compile(r"[A-Z0-9_-]{0,8}|.{9,}")
"""Keywords that FITS allows; the long ones are HIERARCH cards."""


def map_header(ds: xr.Dataset, row: int, *, method: str) -> fits.Header:
    """Return the FITS header of one map: the whole original header, with the patch's own keywords.

    The original's keywords that describe its array, world coordinates and time system are
    replaced by the patch's own; all others stand unchanged, but for cards that FITS forbids.
    Dates without a mark of their own are UTC, the default of FITS.
    """
    header = fits.Header(
        card
        for card in _cards(str(ds["header"].values[row]))
        if not _REPLACED.fullmatch(card.keyword)
    )
    header.update(sample_wcs_header(ds, row))
    del header["TIMESYS"]  # sunpy warns where a HMI date marked TAI stands beside it
    header["MJD-AVG"] = header["MJD-OBS"]
    header["DATE-AVG"] = header["DATE-OBS"]
    for keyword in ("DATE-OBS", "DATE-AVG"):
        header.comments[keyword] = "UTC, middle of the exposure"
    header["BUNIT"] = _unit(ds[method]).to_string("fits")
    header["BTYPE"] = _quantity(ds, method)
    for keyword, column in _COLUMNS.items():
        if column in ds.variables:
            header[keyword] = _plain(ds[column].values[row])
    return header


_COLUMNS = {
    "XAIID": "sample_id",
    "XAILABEL": "label",
    "XAISCORE": "score",
    "XAIPRED": "predicted",
    "XAIREG": "region",
    "XAIRUN": "run",
}
"""Keywords of ours: which sample it is, what it is, what the network says of it, where it lies."""


def to_maps(ds: xr.Dataset, *, method: str = "image") -> list[GenericMap]:
    """Return one sunpy map a row, in the patch's own world coordinates.

    Parameters
    ----------
    ds
        What `SaliencyStore.query` returned, or part of its rows.
    method
        "image", an explainer, or any variable on (sample, y, x).

    Raises
    ------
    QueryError
        when the rows have no such map.
    """
    _check_maps(ds, [method])
    data = _pixels(ds[method])
    return [
        GenericMap(data[row], _meta(map_header(ds, row, method=method)))
        for row in range(ds.sizes["sample"])
    ]


def to_fits(ds: xr.Dataset, folder: Path | str, methods: Sequence[str] | None = None) -> list[Path]:
    """Write one FITS file a row, or a raster of spectra, and return their paths, in order.

    Each file has an image extension a method, named after it, `<METHOD>_STDERR` after those with a
    standard error, SOLARNET keywords, and the table ORIGINAL_HEADER with every original card.

    Parameters
    ----------
    ds
        What `SaliencyStore.query` returned, or part of its rows.
    folder
        Made when absent; files of the same names are replaced.
    methods
        Which maps, in this order; None for the image and every method.

    Raises
    ------
    QueryError
        when the rows have no such map.
    """
    chosen = ["image", *_methods(ds)] if methods is None else list(methods)
    if kind_of(ds) is SPECTROGRAM:
        return cubes.to_fits(ds, folder, chosen)
    _check_maps(ds, chosen)
    names = [n for m in chosen for n in (m, f"{m}_stderr") if n == m or n in ds]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ds.variables:
        if ds[name].ndim == 1:
            _ = ds[name].values  # read once here, not once a row below
    paths = []
    for row in range(ds.sizes["sample"]):
        path = folder / _file_name(ds, row)
        write_atomically(path, _fits_bytes(ds.isel(sample=[row]), names, path.name))
        paths.append(path)
    return paths


def export(ds: xr.Dataset, path: Path | str) -> Path:
    """Write rows as the suffix says: `.nc` netCDF4, `.zarr` Zarr v3, none a folder of FITS files.

    A file or Zarr store appears whole or not at all.

    Raises
    ------
    QueryError
        for another suffix, or when a `.zarr` is already there.
    """
    path = Path(path)
    if path.suffix == ".nc":
        return _whole(path, lambda draft: _write_netcdf(ds, draft))
    if path.suffix == ".zarr":
        if path.exists():
            raise QueryError(f"{path}: already exists", remedy="Remove it, or give another name.")
        return _whole(path, lambda draft: _write_zarr(ds, draft))
    if path.suffix:
        raise QueryError(
            f"{path}: rows cannot be written as {path.suffix!r}",
            remedy="End the name in .nc or .zarr, or give a folder for FITS files.",
        )
    to_fits(ds, path)
    return path


def _write_netcdf(ds: xr.Dataset, path: Path) -> None:
    ds.to_netcdf(path, engine="netcdf4", encoding={"time": time_encoding()})


def _write_zarr(ds: xr.Dataset, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        ds.to_zarr(path, zarr_format=3, consolidated=True, encoding={"time": time_encoding()})


def _whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Return `path`, written under another name first and then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        write(draft / path.name)
        (draft / path.name).replace(path)
    finally:
        shutil.rmtree(draft)
    return path


def _cards(text: str) -> Iterator[fits.Card]:
    """Yield the cards of a header that can be written again: instruments do write broken ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)
        for card in fits.Header.fromstring(text, sep="\n").cards:
            try:
                card.verify("silentfix")
                sound = bool(str(card)) and _KEYWORD.fullmatch(card.keyword)
            except (fits.VerifyError, ValueError):
                continue
            if sound:
                yield card


def _meta(header: fits.Header) -> MetaDict:
    """Return a header as sunpy keeps it: comments and history as one text each."""
    meta = {key: value for key, value in header.items() if key not in ("COMMENT", "HISTORY", "")}
    for key in ("COMMENT", "HISTORY"):
        if key in header:
            meta[key.lower()] = "\n".join(map(str, header[key]))
    comments = {card.keyword: _comment(card) for card in header.cards if card.keyword in meta}
    meta["keycomments"] = {keyword: comment for keyword, comment in comments.items() if comment}
    return MetaDict(meta)


def _comment(card: fits.Card) -> str:
    """Return what of a card's comment fits beside its value when sunpy writes it anew."""
    return str(card.comment)[: max(0, 67 - max(20, len(str(card.value)) + 2))]


def _unit(variable: xr.DataArray) -> u.UnitBase:
    """Return the unit of a map; logits are no unit of astropy, so they count as numbers."""
    try:
        return u.Unit(variable.attrs.get("units", ""))
    except (ValueError, TypeError):
        return u.dimensionless_unscaled


def _quantity(ds: xr.Dataset, name: str) -> str:
    if name in ("image", "segmentation", "central"):
        return {"image": "Intensity relative to the quiet Sun"}.get(name, name)
    what = "Standard error of the attribution" if name.endswith("_stderr") else "Attribution"
    units = ds[name].attrs.get("units")
    return f"{what}, {ds[name].attrs.get('method', name)}" + (f", {units}" if units else "")


def _plain(value: object) -> object:
    if isinstance(value, np.floating) and np.isfinite(value):
        return float(value)
    return str(value).encode("ascii", "replace").decode()


def _pixels(variable: xr.DataArray) -> npt.NDArray[np.generic]:
    values = variable.values
    return values.astype(np.uint8) if values.dtype == np.bool_ else values


def _methods(ds: xr.Dataset) -> list[str]:
    """Return the explainers whose maps are in the rows."""
    owners = {str(ds[name].attrs["method"]) for name in ds.data_vars if "method" in ds[name].attrs}
    return sorted(owners & set(map(str, ds.data_vars)))


def _check_maps(ds: xr.Dataset, names: Sequence[str]) -> None:
    known = sorted(str(n) for n, v in ds.data_vars.items() if v.dims == ("sample", "y", "x"))
    for name in names:
        if name not in known:
            raise QueryError(
                f"these rows have no map {name!r}; they have {', '.join(known)}",
                remedy=near_name(name, known) or "Name one of these, or query it.",
            )


def _file_name(ds: xr.Dataset, row: int) -> str:
    """Return a name that no other row of the store has: time, sample and run."""
    time = np.datetime_as_string(ds["time"].values[row], unit="s")
    words = [re.sub(r"[-:]", "", time), quote(str(ds["sample_id"].values[row]), safe="")]
    if "run" in ds.variables:
        words.append(str(ds["run"].values[row])[:12])
    return "_".join(words) + ".fits"


def _fits_bytes(ds: xr.Dataset, names: Sequence[str], file_name: str) -> bytes:
    hdus: list[object] = [fits.PrimaryHDU()]
    for name in names:
        header = map_header(ds, 0, method=name)
        header["FILENAME"] = file_name
        header["SOLARNET"] = (0.5, "partially compliant")
        header["OBS_HDU"] = (1, "contains observational data")
        header["DATE-BEG"] = (header["DATE-AVG"], "nominal time of the observation")
        header["DATEREF"] = (header["DATE-BEG"], "reference of time coordinates")
        header["MJD-BEG"] = header["MJDREF"] = header["MJD-AVG"]
        hdus.append(fits.ImageHDU(_pixels(ds[name])[0], header, name=name.upper()))
    hdus.append(_original_table(str(ds["header"].values[0])))
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)  # of comments that grew too long
        fits.HDUList(hdus).writeto(buffer, output_verify="silentfix+ignore")
    return buffer.getvalue()


def _original_table(text: str) -> fits.BinTableHDU:
    cards = np.array([line.encode("ascii", "replace") for line in text.split("\n")], dtype="S80")
    column = fits.Column(name="CARD", format="80A", array=cards)
    return fits.BinTableHDU.from_columns([column], name="ORIGINAL_HEADER")
