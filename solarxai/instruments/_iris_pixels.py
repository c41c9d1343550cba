"""Pixels of IRIS level 2: which are measurements, how far apart they are, where they pointed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from scipy.ndimage import binary_dilation

from solarxai.errors import IngestError
from solarxai.instruments._iris import Floats, Level2

__all__ = ["Axis", "Counts", "Pointing", "check_any", "pixel_pitch", "read_counts"]

_FILL_BELOW = -100.0
"""DN. Fill is -200 (raw -32768); resampling with splines rings about it, to -240 in real files."""

_FULL = 16180.0
"""DN. Level 2 holds at most 16183.75; clipped pixels read 16182 and 16183."""

_NEIGHBOURS = np.ones((1, 3, 3), dtype=bool)

_TOGETHER = 1 << 19
"""Values read and screened at a time: what fits a processor's cache."""

_UNIT_LENGTH = 1e-3
"""By how much the squares of a row's sine and cosine may miss 1."""


class Axis(NamedTuple):
    """Spacing of a spatial axis.

    Parameters
    ----------
    pitch
        Arcsec a pixel.
    factor
        Pixels of the file a pixel of the camera's window spans: 1, or less once resampled.
    note
        What the header contradicts, empty if nothing.
    """

    pitch: float
    factor: float
    note: str


class Counts(NamedTuple):
    """Pixel values without what is no measurement.

    Parameters
    ----------
    values
        float32 DN, NaN where not valid.
    valid
        Same shape, bool.
    saturated
        How many pixels are at the top of the range, or infinite.
    """

    values: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    saturated: int

    @property
    def notes(self) -> tuple[str, ...]:
        """How many pixels are saturated, empty if none."""
        said = f"{self.saturated} saturated pixels (from {_FULL:g} DN) are not valid"
        return (said,) if self.saturated else ()


@dataclass(frozen=True, kw_only=True)
class Pointing:
    """Where the middle of the slit or of the image was at each exposure.

    Parameters
    ----------
    x, y
        Arcsec on the Sun (helioprojective).
    lean
        Angle, radians, by which the slit leans from solar north to west.
    sound
        False where the table's row was not, and its neighbours stand in for it.
    """

    x: Floats
    y: Floats
    lean: Floats
    sound: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, file: Level2, *, cosine: str, sine: Floats) -> Pointing:
        """Return the pointing of an auxiliary table; `sine` is that of the lean, a value a row.

        A row is sound if its sine and the column `cosine` belong to one angle: rows of lost
        exposures hold zeros, and tables that were resampled ring about them.

        Raises
        ------
        IngestError
            if no row is sound.
        """
        x, y, along = (file.column(word) for word in ("XCENIX", "YCENIX", cosine))
        with np.errstate(invalid="ignore"):
            sound = np.abs(along**2 + sine**2 - 1) < _UNIT_LENGTH
        sound &= np.isfinite(x) & np.isfinite(y)
        if not sound.any():
            raise IngestError(
                f"{file.name}: no row of the auxiliary table says where IRIS pointed "
                f"(XCENIX, YCENIX, {cosine})",
                remedy="Fetch the file again: without pointing it has no place on the Sun.",
            )
        rows, kept = np.arange(len(x)), np.flatnonzero(sound)
        lean = np.arctan2(sine, along)
        filled = [np.interp(rows, kept, values[kept]) for values in (x, y, lean)]
        return cls(x=filled[0], y=filled[1], lean=filled[2], sound=sound)

    @property
    def note(self) -> str:
        """How many rows were not sound, empty if none."""
        lost = int((~self.sound).sum())
        return f"pointing of {lost} exposures interpolated between their neighbours" * (lost > 0)


def pixel_pitch(file: Level2, axis: int, field: str, size: int) -> Axis:
    """Return the spacing of an axis of which the header gives both CDELT and the whole field.

    Where the pixels do not fill the field (by more than 2 %), the file was resampled and its CDELT
    left as it was; the outermost pixels are then taken to have kept their places, as
    `scipy.ndimage.zoom` keeps them.

    Raises
    ------
    IngestError
        if CDELT or the field is missing or not above zero.
    """
    native, whole = file.length(f"CDELT{axis}"), file.length(field)
    camera = round(whole / native)
    if abs(camera - size) <= max(1.0, 0.02 * camera) or camera < 2 or size < 2:
        return Axis(pitch=native, factor=1.0, note="")
    factor = (size - 1) / (camera - 1)
    note = (
        f"{size} pixels of CDELT{axis} {native:g} arcsec do not fill {field} {whole:g} arcsec: "
        f"resampled from {camera} pixels, {native / factor:.4f} arcsec a pixel used"
    )
    return Axis(pitch=native / factor, factor=factor, note=note)


def read_counts(
    unit: fits.ImageHDU | fits.PrimaryHDU,
    exposures: range,
    *,
    lost: npt.NDArray[np.bool_],
    resampled: bool,
) -> Counts:
    """Return counts of consecutive exposures, without fill, saturation and lost exposures.

    They are read and screened a few exposures at a time, so that beside what is returned no more
    than these are in memory.

    Parameters
    ----------
    unit
        Of an open file, on (exposure, ., .).
    exposures
        Which, in steps of 1.
    lost
        (exposure,): where nothing was measured; of all exposures of the file.
    resampled
        Whether pixels beside fill blend it with counts, so that they go too.
    """
    shape = (len(exposures), *unit.shape[1:])
    values, valid = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=bool)
    saturated, together = 0, max(1, _TOGETHER // math.prod(shape[1:]))
    for start in range(0, len(exposures), together):
        part = exposures[start : start + together]
        place = slice(start, start + len(part))
        values[place] = unit.section[part.start : part.stop]
        saturated += _screen(values[place], valid[place], lost[part.start : part.stop], resampled)
    return Counts(values=values, valid=valid, saturated=saturated)


def check_any(counts: Counts, *, lost: npt.NDArray[np.bool_], name: str) -> None:
    """Refuse a file that holds no measurement.

    Parameters
    ----------
    counts
        Of the whole file.
    lost
        (exposure,): where nothing was measured.
    name
        What messages call the file.

    Raises
    ------
    IngestError
        if no pixel is valid.
    """
    if not any(exposure.any() for exposure in counts.valid):
        every = "every exposure is lost" if lost.all() else "every pixel is fill, NaN or saturated"
        raise IngestError(f"{name}: {every}", remedy="Leave the file out, or fetch it again.")


def _screen(
    values: npt.NDArray[np.float32],
    valid: npt.NDArray[np.bool_],
    lost: npt.NDArray[np.bool_],
    resampled: bool,
) -> int:
    """Put NaN where nothing was measured, tell where something was, and count what is saturated."""
    saturated = values >= _FULL
    np.greater_equal(values, _FILL_BELOW, out=valid)
    np.greater(valid, saturated, out=valid)
    if resampled:
        valid &= ~binary_dilation(~valid, _NEIGHBOURS)
    valid[lost] = False
    np.copyto(values, np.nan, where=~valid)
    return int(np.count_nonzero(saturated))
