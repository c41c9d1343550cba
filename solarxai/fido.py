"""Catalogs from what `sunpy.net.Fido` finds: one entry a file, checksums once it is fetched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import numpy as np
from astropy.table import Row, Table
from sunpy.net import Fido, attrs
from sunpy.net.fido_factory import UnifiedResponse

from solarxai.catalog import Catalog, Origin, Reference
from solarxai.errors import CatalogError
from solarxai.provenance import file_hash

__all__ = ["catalog_from_fido", "search_fido"]

_INSTRUMENTS = {"HMI": "hmi", "MDI": "mdi", "SOT": "sot"}
_INSTRUMENT_COLUMNS = ("Instrument", "INSTRUME")
_REGION_COLUMNS = {"NOAA_AR": "NOAA", "HARPNUM": "HARP"}


def search_fido(
    time: tuple[str, str], *, instrument: str = "hmi", physobs: str = "intensity"
) -> UnifiedResponse:
    """Return what Fido finds: it asks the archives over the network.

    Parameters
    ----------
    time
        First and last moment, UTC.
    instrument
        Instrument as the archives call it.
    physobs
        Observed quantity as the archives call it, such as "intensity".
    """
    return Fido.search(attrs.Time(*time), attrs.Instrument(instrument), attrs.Physobs(physobs))


def catalog_from_fido(
    table: Table | UnifiedResponse,
    *,
    name: str,
    folder: Path,
    files: Sequence[Path] | None = None,
    region: str | None = None,
    instrument: str | None = None,
    description: str = "",
    licence: str = "",
    origin: Origin = "real",
) -> Catalog:
    """Return a catalog of the files a Fido search found.

    Parameters
    ----------
    table
        The search result: all its tables, or one of them.
    name, description, licence
        For the catalog. Archives do not tell the licence.
    folder
        Where the files are or will be fetched: those that are there get a checksum.
    files
        The fetched file of each row, below `folder`, for archives that do not tell file names
        before they send them (VSO, JSOC): `[Fido.fetch(row)[0] for row in table]`.
    region
        Active region of every file; by default each row's own NOAA_AR or HARPNUM.
    instrument
        Reader of every file; by default after the row's instrument.
    origin
        "real", or "synthetic" for an archive of simulations.

    Raises
    ------
    CatalogError
        if the result is empty, a row does not tell its file, reader or region, or `files` are
        not one a row below the folder.
    """
    tables = list(table) if isinstance(table, UnifiedResponse) else [table]
    rows = [_filled(row) for part in tables for row in part]
    if not rows:
        raise CatalogError(
            f"{name}: the search found no file", remedy="Widen its time, or ask another archive."
        )
    names = _given_names(files, folder, len(rows)) if files is not None else map(_name, rows)
    references = tuple(
        Reference(
            path=folder / file,
            name=file,
            sha256=file_hash(folder / file) if (folder / file).is_file() else "",
            instrument=instrument or _instrument(row, file),
            region=region or _region(row, file),
            origin=origin,
            licence=licence,
            url=str(row.get("url", "")),
        )
        for row, file in zip(rows, names, strict=True)
    )
    hosts = sorted({urlsplit(r.url).netloc for r in references} - {""})
    return Catalog(
        name=name,
        description=description,
        licence=licence,
        source=", ".join(hosts) or "sunpy.net.Fido",
        origin=origin,
        root=".",
        folder=folder,
        references=references,
    )


def _filled(row: Row) -> dict[str, object]:
    """Return a row's filled columns."""
    return {
        column: row[column]
        for column in row.colnames
        if not np.ma.is_masked(row[column]) and str(row[column]).strip() not in ("", "N/A")
    }


def _name(row: Mapping[str, object]) -> str:
    """Return the file name in a row's URL or identifier."""
    for column in ("url", "fileid"):
        file = PurePosixPath(urlsplit(str(row.get(column, ""))).path).name
        if file.removesuffix(".gz").endswith((".fits", ".fts", ".fit")):
            return file
    raise CatalogError(
        f"the search result names no FITS file in its row {dict(row)}",
        remedy="Fetch the files first, and give them as `files`.",
    )


def _given_names(files: Sequence[Path], folder: Path, rows: int) -> list[str]:
    inside = [file for file in files if file.is_relative_to(folder)]
    if len(files) != rows or len(inside) != rows:
        raise CatalogError(
            f"{len(files)} files, {len(inside)} of them below {folder}, for {rows} rows",
            remedy="Give the fetched file of each row, in the order of the rows.",
        )
    return [file.relative_to(folder).as_posix() for file in inside]


def _instrument(row: Mapping[str, object], file: str) -> str:
    words = [str(row[column]).upper() for column in _INSTRUMENT_COLUMNS if column in row]
    if file.startswith("hmi.sharp_cea"):
        return "hmi_sharp"
    for word, reader in _INSTRUMENTS.items():
        if any(said.startswith(word) for said in words):
            return reader
    raise CatalogError(
        f"{file}: no reader is known for the instrument {' / '.join(words) or '(not given)'}",
        remedy="Give `instrument`, such as generic.",
    )


def _region(row: Mapping[str, object], file: str) -> str:
    numbers: Iterator[str] = (
        f"{word} {int(str(row[column]))}"
        for column, word in _REGION_COLUMNS.items()
        if column in row and str(row[column]).isdigit() and int(str(row[column])) > 0
    )
    found = next(numbers, None)
    if found is None:
        raise CatalogError(
            f"{file}: the search result does not tell its active region",
            remedy='Give `region`, such as "NOAA 11158": splits keep a region together.',
        )
    return found
