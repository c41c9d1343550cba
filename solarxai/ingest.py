"""From a reference to an Observation, checked; and from there to Samples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from astropy.io import fits

from solarxai import patches, photosphere, spectrograms
from solarxai.catalog import Reference
from solarxai.errors import IngestError
from solarxai.events import FlareList, LabelRule, RegionTable, read_srs, read_swpc
from solarxai.instruments import Exposures, Spectrograph, open_instrument
from solarxai.provenance import file_hash
from solarxai.schema import check_movie, check_observation, check_raster
from solarxai.spectra import Cleaning, study_grid

__all__ = ["PART", "SLAB", "ingest", "ingest_raster", "open_observation", "split"]

PART = 1 << 28
"""Bytes of intensities and flags of a raster that one unit of work ingests."""

SLAB = 1 << 26
"""Bytes of intensities and flags that are in memory at a time while a raster is ingested."""

TRUTH_PLANES = ("umbra", "penumbra", "pore")
_STRUCTURES = "STRUCTURES"
_REGION = re.compile(r"(NOAA|HARP)\s*(?:AR\s*)?(\d+)", re.IGNORECASE)
_KEYWORDS = {"NOAA": ("NOAA_AR", "NOAA_ARS"), "HARP": ("HARPNUM",)}
_REGION_CARDS = re.compile(r"^(?:NOAA_AR|HARPNUM).*(?:\nCONTINUE.*)*", re.MULTILINE)
_NUMBERS = {"NOAA": 10000, "HARP": 10**9}
"""NOAA numbers are also written with their last four digits."""


def open_observation(reference: Reference) -> xr.Dataset:
    """Return the Observation a reference points to.

    Parameters
    ----------
    reference
        One entry of a catalog; if it has `steps`, these exposures of a raster.

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
    observation = _read(reference)
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

    Beside what is returned, some 64 MB of the raster are in memory at a time, if its instrument is
    a `solarxai.instruments.Spectrograph`.

    Parameters
    ----------
    reference
        One entry of a catalog; if it has `steps`, of these exposures.
    grid, cleaning, rule
        As of `solarxai.spectrograms.cut`.
    flares
        A SWPC flare list; without one every exposure is *ambiguous*.
    regions
        A NOAA table of active regions.

    Raises
    ------
    IngestError
        if the file cannot become a raster Observation, or has no such steps.
    """
    cut = partial(
        spectrograms.cut,
        grid=grid,
        cleaning=cleaning,
        flares=None if flares is None else _flares(flares),
        rule=rule,
        regions=None if regions is None else _regions(regions),
    )
    instrument = open_instrument(reference.instrument)
    if isinstance(instrument, Spectrograph):
        _check_file(reference)
        exposures = instrument.exposures(reference)
        steps = _steps(reference, exposures.shape[0])
        slabs = _slabs(exposures, steps, reference.name)
        return spectrograms.join(map(cut, slabs), exposures=len(steps))
    observation = open_observation(reference)
    if "wavelength" not in observation.dims:
        raise IngestError(
            f"{reference.name}: it is no raster of spectra",
            remedy="Give its `instrument` in the catalog, such as iris_raster.",
        )
    return cut(observation)


def split(reference: Reference, *, size: int = PART) -> tuple[Reference, ...]:
    """Return references to the parts of a raster, so that each can be ingested in bounded memory.

    Parameters
    ----------
    reference
        One entry of a catalog.
    size
        Bytes of intensities and flags of a part, or of its spectrograms on the study's grid if
        these have more; one exposure at least.

    Returns
    -------
    tuple
        The reference itself if its raster has less than a quarter of that, or cannot be opened,
        which `ingest_raster` then says. Otherwise references with `steps`, in order; their Samples
        joined are those of the raster.
    """
    instrument = open_instrument(reference.instrument)
    if not isinstance(instrument, Spectrograph) or not _may_exceed(reference.path, size // 4):
        return (reference,)
    try:
        exposures = instrument.exposures(reference)
    except IngestError:
        return (reference,)
    number, whole = exposures.shape[0], exposures.shape[0] * _bytes_of_one(exposures)
    if whole <= size // 4:
        return (reference,)
    parts = min(number, -(-whole // size))
    ends = [number * part // parts for part in range(parts + 1)]
    return tuple(replace(reference, steps=ends) for ends in pairwise(ends))


def _read(reference: Reference) -> xr.Dataset:
    """Return what an instrument reads, the whole of it or some exposures."""
    instrument = open_instrument(reference.instrument)
    if reference.steps is None:
        return instrument.read(reference)
    if not isinstance(instrument, Spectrograph):
        raise IngestError(
            f"{reference.name}: {reference.instrument} has no exposures to take some of",
            remedy="Leave `steps` of the reference None.",
        )
    exposures = instrument.exposures(reference)
    return exposures.read(_steps(reference, exposures.shape[0]))


def _may_exceed(path: Path, size: int) -> bool:
    """Return whether a file may hold a raster of more bytes.

    Two bytes a value are five in memory, and compression saves nine tenths at most.
    """
    return path.is_file() and path.stat().st_size > size // 25


def _steps(reference: Reference, number: int) -> range:
    """Return the exposures a reference means."""
    first, last = reference.steps or (0, number)
    if not 0 <= first < last <= number:
        raise IngestError(
            f"{reference.name}: steps {first} to {last} are not among its {number} exposures",
            remedy="Give the first step and the one after the last, from 0.",
        )
    return range(first, last)


def _slabs(exposures: Exposures, steps: range, name: str) -> Iterator[xr.Dataset]:
    """Yield some exposures at a time, and refuse a raster of one value as `open_observation`."""
    first, varies = None, False
    for part in _parts(steps, exposures):
        slab = exposures.read(part)
        if part[0] == steps[0]:
            _check_region(slab)
        if not varies:
            first, varies = _varies(slab, first)
        yield check_raster(slab)
        del slab  # before the next is read
    for part in _parts(range(exposures.shape[0]), exposures):
        if varies:
            return
        first, varies = _varies(exposures.read(part), first)
    if not varies:
        raise _constant(name, first)


def _bytes_of_one(exposures: Exposures) -> int:
    """Return the bytes of an exposure's intensities and flags, or of its spectrogram if more."""
    slits, wavelengths = exposures.shape[1:]
    return slits * max(5 * wavelengths, 4 * len(study_grid()))


def _parts(steps: range, exposures: Exposures) -> Iterator[range]:
    """Yield the steps that are in memory at a time."""
    together = max(1, SLAB // _bytes_of_one(exposures))
    return (steps[i : i + together] for i in range(0, len(steps), together))


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
    """Refuse an observation of one value."""
    first, varies = _varies(observation, None)
    if not varies:
        raise _constant(observation.attrs["source"], first)


def _varies(observation: xr.Dataset, first: float | None) -> tuple[float | None, bool]:
    """Return the first valid value, if none was known, and whether a valid one differs from it.

    Rows are looked at in order, and as a rule the first has both.
    """
    values, valid = observation["intensity"].values, observation["valid"].values
    for row, trusted in zip(values, valid, strict=True):
        found = row[trusted]
        if first is None and found.size:
            first = float(found[0])
        if found.size and (found != first).any():
            return first, True
    return first, False


def _constant(source: str, value: float | None) -> IngestError:
    if value is None:
        return IngestError(
            f"{source}: every pixel is NaN", remedy="Leave the file out, or fetch it again."
        )
    return IngestError(
        f"{source}: every pixel has the value {value:g}",
        remedy="Leave the file out: there is no image in it.",
    )


def _check_region(observation: xr.Dataset) -> None:
    """Compare the catalog's NOAA or HARP number, by which splits are made, with the header's."""
    named = _REGION.fullmatch(observation.attrs["region"].strip())
    if named is None:
        return
    authority, number = named[1].upper(), int(named[2])
    cards = _REGION_CARDS.findall(observation.attrs["header"])
    header = fits.Header.fromstring("\n".join(cards), sep="\n")
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
