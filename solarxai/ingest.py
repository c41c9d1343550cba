"""From a reference to an Observation, checked; and from there to Samples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from astropy.io import fits

from solarxai import patches, photosphere, spectrograms
from solarxai.catalog import Reference
from solarxai.errors import IngestError
from solarxai.events import FlareList, LabelRule, RegionTable, read_srs, read_swpc
from solarxai.instruments import open_instrument
from solarxai.provenance import file_hash
from solarxai.schema import check_movie, check_observation, check_raster
from solarxai.spectra import Cleaning

__all__ = ["ingest", "ingest_raster", "open_observation"]

TRUTH_PLANES = ("umbra", "penumbra", "pore")
_STRUCTURES = "STRUCTURES"
_REGION = re.compile(r"(NOAA|HARP)\s*(?:AR\s*)?(\d+)", re.IGNORECASE)
_KEYWORDS = {"NOAA": ("NOAA_AR", "NOAA_ARS"), "HARP": ("HARPNUM",)}
_NUMBERS = {"NOAA": 10000, "HARP": 10**9}
"""NOAA numbers are also written with their last four digits."""


def open_observation(reference: Reference) -> xr.Dataset:
    """Return the Observation a reference points to.

    Parameters
    ----------
    reference
        One entry of a catalog.

    Returns
    -------
    xarray.Dataset
        An Observation (see `solarxai.schema.check_observation`): a raster of an instrument that
        takes spectra, a movie of one that takes many frames; for a synthetic image also
        `truth_umbra`, `truth_penumbra`, `truth_pore` (y, x) float32, area fractions before the
        point-spread function, and the attribute `structures`, a JSON list of mappings with at
        least x, y (pixels from 0) and label.

    Raises
    ------
    IngestError
        naming the file and the remedy, if it is missing, empty, truncated, differs from its
        checksum, is not FITS, or its header or values cannot be trusted.
    """
    _check_file(reference)
    observation = open_instrument(reference.instrument).read(reference)
    _check_values(observation)
    _check_region(observation)
    if "wavelength" in observation.dims:
        return check_raster(observation)
    if "frame" in observation.dims:
        return check_movie(observation)
    if reference.truth is not None:
        observation = _with_truth(observation, reference)
    return check_observation(observation)


def ingest(
    reference: Reference, *, shape: tuple[int, int] = (64, 64), scale_mm: float = 0.5
) -> xr.Dataset:
    """Return the Samples of one image: opened, described, cut.

    Parameters
    ----------
    reference
        One entry of a catalog.
    shape
        Pixels of a patch, (y, x).
    scale_mm
        Mm per pixel of a patch.

    Raises
    ------
    IngestError
        if the image cannot become an Observation, or is none of the photosphere's intensity.
    """
    observation = open_observation(reference)
    quantity = observation.attrs["quantity"]
    if quantity != "intensity":
        raise IngestError(
            f"{reference.name}: it shows a {quantity}, and spots are cut from intensity images",
            remedy="Give the continuum image of the same time, or open it with open_observation.",
        )
    described = photosphere.describe(observation)
    return patches.cut(observation, described, shape=shape, scale_mm=scale_mm)


def ingest_raster(
    reference: Reference,
    *,
    grid: str = "study",
    cleaning: Cleaning | None = None,
    flares: Path | None = None,
    rule: LabelRule | None = None,
    regions: Path | None = None,
) -> xr.Dataset:
    """Return the spectrogram Samples of one raster: opened, cleaned, labelled, cut.

    Parameters
    ----------
    reference
        One entry of a catalog.
    grid, cleaning, rule
        As of `solarxai.spectrograms.cut`.
    flares
        A SWPC flare list; without one every exposure is *ambiguous*.
    regions
        A NOAA table of active regions.

    Raises
    ------
    IngestError
        if the file cannot become a raster Observation.
    """
    observation = open_observation(reference)
    if "wavelength" not in observation.dims:
        raise IngestError(
            f"{reference.name}: it is no raster of spectra",
            remedy="Give its `instrument` in the catalog, such as iris_raster.",
        )
    return spectrograms.cut(
        observation,
        grid=grid,
        cleaning=cleaning,
        flares=None if flares is None else _flares(flares),
        rule=rule,
        regions=None if regions is None else _regions(regions),
    )


@lru_cache(maxsize=4)
def _flares(path: Path) -> FlareList:
    """Return a flare list, read once a process."""
    return read_swpc(path)


@lru_cache(maxsize=4)
def _regions(path: Path) -> RegionTable:
    """Return a table of regions, read once a process."""
    return read_srs(path)


def _check_file(reference: Reference) -> None:
    if not reference.path.is_file():
        raise IngestError(
            f"{reference.name}: there is no such file below the catalog's root",
            remedy="Fetch it there, or correct `root` or `path` in the catalog.",
        )
    if not reference.sha256:
        raise IngestError(
            f"{reference.name}: the catalog gives no checksum (sha256)",
            remedy="Save the catalog again with Catalog.with_checksums().",
        )
    _check_hash(reference.name, file_hash(reference.path), reference.sha256)


def _check_hash(name: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise IngestError(
            f"{name}: its checksum is {found[:12]}…, the catalog says {wanted[:12]}…: "
            "the file changed or was not fetched whole",
            remedy="Fetch it again, or correct sha256 if this is the file you mean.",
        )


def _check_values(observation: xr.Dataset) -> None:
    source = observation.attrs["source"]
    valid = observation["intensity"].values[observation["valid"].values]
    if not valid.size:
        raise IngestError(
            f"{source}: every pixel is NaN", remedy="Leave the file out, or fetch it again."
        )
    if valid.min() == valid.max():
        raise IngestError(
            f"{source}: every pixel has the value {valid[0]:g}",
            remedy="Leave the file out: there is no image in it.",
        )


def _check_region(observation: xr.Dataset) -> None:
    """Compare the catalog's NOAA or HARP number, by which splits are made, with the header's."""
    named = _REGION.fullmatch(observation.attrs["region"].strip())
    if named is None:
        return
    authority, number = named[1].upper(), int(named[2])
    header = fits.Header.fromstring(observation.attrs["header"], sep="\n")
    found = {
        int(digits) % _NUMBERS[authority]
        for keyword in _KEYWORDS[authority]
        for digits in re.findall(r"\d+", str(header.get(keyword, "")))
    } - {0}
    if found and number % _NUMBERS[authority] not in found:
        said = ", ".join(f"{k} {header[k]}" for k in _KEYWORDS[authority] if k in header)
        raise IngestError(
            f"{observation.attrs['source']}: the catalog says {observation.attrs['region']}, "
            f"its header {said}",
            remedy="Correct `region` in the catalog: splits rest on it.",
        )


def _with_truth(observation: xr.Dataset, reference: Reference) -> xr.Dataset:
    """Return the observation with the area fractions and structures of its truth file."""
    path, name = reference.truth, f"truth of {reference.name}"
    if path is None or not path.is_file():
        raise IngestError(
            f"{name}: there is no such file", remedy="Make the synthetic Sun again, or fetch it."
        )
    if reference.truth_sha256:
        _check_hash(name, file_hash(path), reference.truth_sha256)
    try:
        with fits.open(path, memmap=False) as units:
            planes = {word: np.array(units[word.upper()].data, np.float32) for word in TRUTH_PLANES}
            rows = list(_rows(units[_STRUCTURES].data))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise IngestError(
            f"{name}: it lacks the planes {', '.join(TRUTH_PLANES)} or the table {_STRUCTURES} "
            f"({' '.join(str(error).split())})",
            remedy="Make the synthetic Sun again.",
        ) from None
    shape = observation["intensity"].shape
    if wrong := [word for word, plane in planes.items() if plane.shape != shape]:
        raise IngestError(
            f"{name}: {', '.join(wrong)} differ from the image's shape {shape}",
            remedy="Make the synthetic Sun again.",
        )
    truths = {f"truth_{word}": (("y", "x"), plane) for word, plane in planes.items()}
    found = observation.assign(truths)
    return found.assign_attrs(structures=json.dumps(rows, sort_keys=True))


def _rows(table: Any) -> Iterator[dict[str, str | float | int]]:
    for row in table:
        yield {
            column.lower(): value.item() if isinstance(value, np.generic) else value
            for column, value in zip(table.names, row, strict=True)
        }
