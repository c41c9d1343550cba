"""IRIS spectrograph, level 2: one raster of the Mg II h and k window, a file."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

import astropy.units as u
import numpy as np
import numpy.typing as npt
import xarray as xr
from irispy.io.spectrograph import read_spectrograph_lvl2
from irispy.utils import calculate_uncertainty
from irispy.utils.constants import DN_UNIT, READOUT_NOISE, SLIT_WIDTH

from solarxai.catalog import Reference
from solarxai.errors import IngestError
from solarxai.instruments._coordinates import tilted_coordinates
from solarxai.instruments._iris import Floats, Level2, read_level2
from solarxai.instruments._iris_pixels import (
    Axis,
    Counts,
    Pointing,
    native,
    pixel_pitch,
    screened,
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
        options = Options.of(reference, ("calibrate",))
        file = read_level2(reference, kind="SPEC", described=_WINDOW)
        scan = _Scan.of(file)
        counts = screened(
            _values(reference, file),
            lost=~(scan.exposure > 0),
            resampled=scan.resampled,
            name=file.name,
        )
        raster = _dataset(counts, scan)
        if options.calibrate:
            raster = _calibrated(raster, file)
        raster.attrs = _attributes(reference, file, scan, (*scan.notes, *counts.notes)) | {
            "saturation": counts.saturated,
            "calibrated": int(options.calibrate),
        }
        return raster.isel(step=slice(None, None, -1)) if scan.flipped else raster


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

    def places(self, slits: int) -> tuple[Floats, Floats]:
        """Return solar x and y (step, slit), arcsec: the slit leans by the roll of each step."""
        along = (np.arange(slits) - (slits - 1) / 2) * self.slit.pitch
        point, lean = self.pointing, self.pointing.lean[:, None]
        return point.x[:, None] + along * np.sin(lean), point.y[:, None] + along * np.cos(lean)


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


def _values(reference: Reference, file: Level2) -> npt.NDArray[np.float32]:
    """Return the window's counts in the file's order, as irispy reads and scales them.

    irispy would flip the counts of a raster that stepped east, but neither their mask nor their
    exposure times: it is asked not to.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = read_spectrograph_lvl2(
                [str(reference.path)],
                spectral_windows=[str(file.header[f"TDESC{file.window}"])],
                revert_v34=True,
            )
        return native(next(iter(found.values()))[0].data)
    except (OSError, KeyError, ValueError, IndexError, TypeError) as error:
        raise IngestError(
            f"{file.name}: irispy cannot read its window "
            f"{file.header[f'TDESC{file.window}']!r}: {' '.join(repr(error).split())}",
            remedy="Fetch it again, or correct the keyword it names.",
        ) from None


def _dataset(counts: Counts, scan: _Scan) -> xr.Dataset:
    """Return DN / s with their uncertainty on the axes of the raster, in the file's order."""
    usable = scan.exposure > 0
    rate = np.where(usable, 1 / np.where(usable, scan.exposure, 1), np.nan).astype(np.float32)
    sigma = _noise(counts)
    counts.values[...] *= rate[:, None, None]
    sigma *= rate[:, None, None]
    x, y = scan.places(counts.values.shape[1])
    dims = ("step", "slit", "wavelength")
    return xr.Dataset(
        {
            "intensity": (dims, counts.values, {"units": "DN / s"}),
            "uncertainty": (dims, sigma, {"units": "DN / s"}),
            "valid": (dims, counts.valid),
        },
        coords={
            "time": ("step", scan.time),
            "exposure_time": ("step", scan.exposure, {"units": "s"}),
            "wavelength": ("wavelength", scan.wavelength, {"units": "Angstrom"}),
            "saa": ("step", np.full(len(scan.time), scan.anomaly)),
            "solar_x": (dims[:2], x, {"units": "arcsec"}),
            "solar_y": (dims[:2], y, {"units": "arcsec"}),
        },
    )


def _noise(counts: Counts) -> npt.NDArray[np.float32]:
    """Return the standard deviation, DN: photon noise of counts above zero, and read noise.

    irispy computes in double precision, so it is given a step at a time.
    """
    sigma = np.empty_like(counts.values)
    for row, step in enumerate(counts.values):
        sigma[row] = calculate_uncertainty(
            np.maximum(step, 0), READOUT_NOISE["NUV"], DN_UNIT["NUV"]
        )
    return sigma


def _calibrated(raster: xr.Dataset, file: Level2) -> xr.Dataset:
    """Return the raster in W / (m2 sr Angstrom).

    Resampling with splines keeps the counts of a camera pixel, so its sizes are the header's.
    """
    factor = radiance_factor(
        raster["wavelength"].values * u.AA,
        raster["time"].values[0],
        dispersion=file.length("CDELT1") * u.AA,
        pitch=file.length("CDELT2") * u.arcsec,
        name=file.name,
    )
    for word in ("intensity", "uncertainty"):
        raster[word].values[...] *= factor
        raster[word].attrs["units"] = RADIANCE.to_string()
    return raster


def _attributes(
    reference: Reference, file: Level2, scan: _Scan, notes: tuple[str, ...]
) -> dict[str, object]:
    steps, slits, _ = file.shape
    point = scan.pointing
    middle = scan.time[0] + (scan.time[-1] - scan.time[0]) / 2
    coordinates = tilted_coordinates(
        file.header,
        middle,
        size=(steps, slits),
        centre=(float(point.x.mean()), float(point.y.mean())),
        scale=(scan.width, scan.slit.pitch),
        lean=float(point.lean.mean()),
        name=file.name,
    )
    return file.attributes(reference, coordinates, notes) | {
        "raster": _raster_number(file, reference),
        "flipped": int(scan.flipped),
        "quantity": "spectral radiance",
        "window": str(file.header[f"TDESC{file.window}"]),
    }


def _raster_number(file: Level2, reference: Reference) -> int:
    """Return the number of the raster, from 0: RASRPT counts from 1, file names from r00000."""
    if named := re.search(r"_r(\d{5})\b", reference.name):
        return int(named[1])
    return max(int(file.number("RASRPT")) - 1, 0) if "RASRPT" in file.header else 0
