"""IRIS spectrograph, level 2: one raster of the Mg II h and k window, a file."""

from __future__ import annotations

import re
from dataclasses import dataclass

import astropy.units as u
import numpy as np
import numpy.typing as npt
import xarray as xr
from irispy.utils.constants import SLIT_WIDTH

from solarxai.catalog import Reference
from solarxai.errors import IngestError
from solarxai.instruments import Exposures
from solarxai.instruments._coordinates import Coordinates, tilted_coordinates
from solarxai.instruments._fits import opened
from solarxai.instruments._iris import Floats, Level2, read_level2
from solarxai.instruments._iris_noise import noise
from solarxai.instruments._iris_pixels import (
    Axis,
    Counts,
    Pointing,
    check_any,
    pixel_pitch,
    read_counts,
)
from solarxai.instruments._iris_radiance import RADIANCE, radiance_factor
from solarxai.instruments._options import Options

__all__ = ["IrisRaster"]

_WINDOW = "Mg II k 2796"
"""TDESC of the window that holds both k (2796.35 A) and h (2803.53 A)."""

_K_LINE = 2796.352
"""Angstrom, vacuum."""

_FLIPPED = -0.01
"""STEPS_AV, arcsec, below which the slit stepped east (irispy 0.5.0, after the IRIS team)."""

_STILL = (
    "sit and stare: a step of wcs is {:g} arcsec, the slit's width; solar_x and solar_y hold where "
    "the slit was at each exposure"
)


@dataclass(frozen=True, kw_only=True)
class IrisRaster:
    """One raster as an Observation on (step, slit, wavelength); see `schema.check_raster`.

    The option `calibrate` turns DN / s into W / (m2 sr Angstrom). Exposure times, pointing and
    times of the steps come from the auxiliary table; wavelengths and the slit's pixels from the
    header, after its keywords have been held against each other.

    Parameters
    ----------
    name
        The word catalogs use.
    """

    name: str = "iris_raster"

    def read(self, reference: Reference) -> xr.Dataset:
        """Return the raster Observation a reference points to.

        Raises
        ------
        IngestError
            if the file is empty, truncated, not FITS, no level 2 raster, lacks the window, holds
            nothing but fill, or its header or table cannot be trusted.
        """
        window = _Window.of(reference)
        return window.read(range(window.shape[0]), complete=True)

    def exposures(self, reference: Reference) -> Exposures:
        """Return the exposures of a file, of which only headers and auxiliary table were read.

        Those read together have the values and attributes of `read`, but `saturation` and its note
        count the pixels of these exposures.
        """
        return _Window.of(reference)


@dataclass(frozen=True, kw_only=True)
class _Window:
    """All that is known of a raster but its counts, and how to read these."""

    reference: Reference
    file: Level2
    scan: _Scan
    coordinates: Coordinates
    calibrate: bool

    @classmethod
    def of(cls, reference: Reference) -> _Window:
        """Return what the headers and the auxiliary table tell."""
        options = Options.of(reference, ("calibrate",))
        file = read_level2(reference, kind="SPEC", described=_WINDOW)
        scan = _Scan.of(file)
        return cls(
            reference=reference, file=file, scan=scan, coordinates=_coordinates(file, scan),
            calibrate=bool(options.calibrate),
        )  # fmt: skip

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the numbers of exposures, positions along the slit and wavelengths."""
        return self.file.shape

    def read(self, steps: range, *, complete: bool = False) -> xr.Dataset:
        """Return some steps as an Observation; of a complete raster something must be valid."""
        flipped, last = self.scan.flipped, self.shape[0] - 1
        rows = range(last - steps[-1], last - steps[0] + 1) if flipped else steps
        lost = ~(self.scan.exposure > 0)
        with opened(self.reference) as (units, _):
            unit = units[self.file.window]
            counts = read_counts(unit, rows, lost=lost, resampled=self.scan.resampled)
        if complete:
            check_any(counts, lost=lost, name=self.file.name)
        made = _dataset(counts, self.scan, slice(rows.start, rows.stop), self._radiance())
        made.attrs = self._attributes(counts)
        made = made.isel(step=slice(None, None, -1)) if flipped else made
        return made.assign_coords(step=np.array(steps, dtype=np.int64))

    def _radiance(self) -> npt.NDArray[np.float32] | None:
        """Return W / (m2 sr Angstrom) in one DN / s at each wavelength, or None.

        Resampling with splines keeps the counts of a camera pixel, so its sizes are the header's.
        """
        if not self.calibrate:
            return None
        return radiance_factor(
            self.scan.wavelength * u.AA,
            self.scan.time[0],
            dispersion=self.file.length("CDELT1") * u.AA,
            pitch=self.file.length("CDELT2") * u.arcsec,
            name=self.file.name,
        )

    def _attributes(self, counts: Counts) -> dict[str, object]:
        notes = (*self.scan.notes, *counts.notes)
        return self.file.attributes(self.reference, self.coordinates, notes) | {
            "raster": _raster_number(self.file, self.reference),
            "flipped": int(self.scan.flipped),
            "quantity": "spectral radiance",
            "window": str(self.file.header[f"TDESC{self.file.window}"]),
            "saturation": counts.saturated,
            "calibrated": int(self.calibrate),
        }


@dataclass(frozen=True, kw_only=True)
class _Scan:
    """The axes of a raster in the file's order, and what was said against its header."""

    time: npt.NDArray[np.datetime64]
    exposure: Floats
    wavelength: Floats
    slit: Axis
    width: float
    pointing: Pointing
    anomaly: bool
    flipped: bool
    resampled: bool
    notes: tuple[str, ...]

    @classmethod
    def of(cls, file: Level2) -> _Scan:
        _check_rows(file)
        wavelength, contradiction = _wavelengths(file)
        slit = pixel_pitch(file, 2, "FOVY", file.shape[1])
        exposure = file.column("EXPTIMEN")
        pointing, width, still = _pointing(file)
        anomaly, unclear = file.in_anomaly
        flipped = file.number("STEPS_AV") < _FLIPPED
        dark = int((~(exposure > 0)).sum())
        notes = (
            contradiction,
            slit.note,
            pointing.note,
            unclear,
            "the slit stepped east (STEPS_AV): steps put into west-increasing order" * flipped,
            _STILL.format(width) * still,
            f"{dark} steps without exposure time are not valid" * (dark > 0),
        )
        return cls(
            time=file.mid_exposure(file.column("TIME"), exposure), exposure=exposure,
            wavelength=wavelength, slit=slit, width=width, pointing=pointing, anomaly=anomaly,
            flipped=flipped, resampled=bool(contradiction or slit.note), notes=notes,
        )  # fmt: skip

    def places(self, rows: slice, slits: int) -> tuple[Floats, Floats]:
        """Return solar x and y (step, slit), arcsec: the slit leans by the roll of each step."""
        along = (np.arange(slits) - (slits - 1) / 2) * self.slit.pitch
        point, lean = self.pointing, self.pointing.lean[rows, None]
        x, y = point.x[rows, None], point.y[rows, None]
        return x + along * np.sin(lean), y + along * np.cos(lean)


def _check_rows(file: Level2) -> None:
    if len(file.table) != file.shape[0]:
        raise IngestError(
            f"{file.name}: {file.shape[0]} steps, but its auxiliary table has "
            f"{len(file.table)} rows",
            remedy="Fetch it again: without its row a step has neither time nor place.",
        )


def _wavelengths(file: Level2) -> tuple[Floats, str]:
    """Return the wavelength of each pixel, and what was wrong with CDELT1.

    TWMIN and TWMAX are the first and last pixel's. Where CDELT1 misses one of them by a pixel, the
    file was resampled and its CDELT1 left as it was.
    """
    size, name = file.shape[2], file.name
    keywords = (f"TWMIN{file.window}", f"TWMAX{file.window}")
    low, high = (file.number(keyword) for keyword in keywords)
    step, origin = file.length("CDELT1"), file.number("CRVAL1")
    if not low < _K_LINE < high:
        raise IngestError(
            f"{name}: {keywords[0]}, {keywords[1]} are {low:g} and {high:g}: the window does not "
            f"hold the k line at {_K_LINE} Angstrom",
            remedy="Correct the header, or fetch the file again.",
        )
    said = origin + (np.arange(size) + 1.0 - file.number("CRPIX1")) * step
    if abs(said[0] - low) <= step and abs(said[-1] - high) <= step:
        return said.astype(np.float64), ""
    if size < 2:
        raise IngestError(
            f"{name}: one pixel of wavelength", remedy="Give a file with the whole window."
        )
    return np.asarray(np.linspace(low, high, size), dtype=np.float64), (
        f"CDELT1 {step:g} puts the window at {said[0]:.2f} to {said[-1]:.2f} Angstrom, "
        f"{keywords[0]} and {keywords[1]} at {low:.2f} to {high:.2f}: resampled, "
        f"{(high - low) / (size - 1):.4f} Angstrom a pixel used"
    )


def _pointing(file: Level2) -> tuple[Pointing, float, bool]:
    """Return the pointing, the width of a step in arcsec and whether the slit stood still.

    PC3_2 is the sine of the slit's lean times CDELT2 / CDELT3, or the sine where CDELT3 is 0.
    """
    step, native_pitch = file.number("CDELT3"), file.length("CDELT2")
    still = abs(step) < abs(_FLIPPED)
    sine = file.column("PC3_2IX") * (step / native_pitch if step else 1.0)
    pointing = Pointing.of(file, cosine="PC2_2IX", sine=sine)
    return pointing, float(SLIT_WIDTH.to_value(u.arcsec)) if still else abs(step), still


def _dataset(
    counts: Counts, scan: _Scan, rows: slice, radiance: npt.NDArray[np.float32] | None
) -> xr.Dataset:
    """Return DN / s, or radiance, with its uncertainty on the axes of the raster's rows."""
    exposure = scan.exposure[rows]
    usable = exposure > 0
    rate = np.where(usable, 1 / np.where(usable, exposure, 1), np.nan).astype(np.float32)
    per_count = rate[:, None, None]
    for step, factor in zip(counts.values, rate, strict=True):
        step *= factor
    if radiance is not None:
        counts.values[...] *= radiance
        per_count = per_count * radiance
    units = {"units": "DN / s" if radiance is None else RADIANCE.to_string()}
    x, y = scan.places(rows, counts.values.shape[1])
    dims = ("step", "slit", "wavelength")
    return xr.Dataset(
        {
            "intensity": (dims, counts.values, units),
            "uncertainty": (dims, noise(counts.values, per_count=per_count), units),
            "valid": (dims, counts.valid),
        },
        coords={
            "time": ("step", scan.time[rows]),
            "exposure_time": ("step", exposure, {"units": "s"}),
            "wavelength": ("wavelength", scan.wavelength, {"units": "Angstrom"}),
            "saa": ("step", np.full(len(exposure), scan.anomaly)),
            "solar_x": (dims[:2], x, {"units": "arcsec"}),
            "solar_y": (dims[:2], y, {"units": "arcsec"}),
        },
    )


def _coordinates(file: Level2, scan: _Scan) -> Coordinates:
    steps, slits, _ = file.shape
    point = scan.pointing
    return tilted_coordinates(
        file.header,
        scan.time[0] + (scan.time[-1] - scan.time[0]) / 2,
        size=(steps, slits),
        centre=(float(point.x.mean()), float(point.y.mean())),
        scale=(scan.width, scan.slit.pitch),
        lean=float(point.lean.mean()),
        name=file.name,
    )


def _raster_number(file: Level2, reference: Reference) -> int:
    """Return the number of the raster, from 0: RASRPT counts from 1, file names from r00000."""
    if named := re.search(r"_r(\d{5})\b", reference.name):
        return int(named[1])
    return max(int(file.number("RASRPT")) - 1, 0) if "RASRPT" in file.header else 0
