"""IRIS slit-jaw images, level 2: one channel of one observing run, a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr
from irispy.utils import calculate_dust_mask

from solarxai.catalog import Reference
from solarxai.errors import IngestError
from solarxai.instruments._coordinates import tilted_coordinates
from solarxai.instruments._fits import opened
from solarxai.instruments._iris import Floats, Level2, read_level2
from solarxai.instruments._iris_pixels import (
    Axis,
    Counts,
    Pointing,
    check_any,
    pixel_pitch,
    read_counts,
)
from solarxai.instruments._options import Options

__all__ = ["IrisSji"]

_REACH = 3
"""Rows beyond which a cubic spline no longer carries fill (-200 DN, 0.27 of it a row) into counts:
measured on SJI 1400 of 2014-03-29, a frame 2.7 rows off is 3 DN low, one 4.8 rows off is not."""

_RESAMPLED = (
    "{} frames, but the auxiliary table has {} rows: resampled in time; frames are taken to lie "
    "evenly from its first row to its last, each blends neighbours, and the slit's place is unknown"
)


@dataclass(frozen=True, kw_only=True)
class IrisSji:
    """The slit-jaw images of one channel as a movie: an Observation on (frame, y, x).

    Parameters
    ----------
    name
        The word catalogs use.
    """

    name: str = "iris_sji"

    def read(self, reference: Reference) -> xr.Dataset:
        """Return the movie a reference points to.

        Returns
        -------
        xarray.Dataset
            `intensity` (frame, y, x) float32 DN, not divided by the exposure time, NaN where there
            is no data; `valid` (frame, y, x) bool; on (frame) `time` (datetime64[ns], UTC,
            mid-exposure), `exposure_time` (s), `solar_x`, `solar_y` (arcsec, middle of the image)
            and `slit_x`, `slit_y` (pixels from 0, NaN where the table does not tell). The
            attributes are those of an image, plus `channel` and `saturation` (pixels); `wcs`
            places frame number frames // 2, and the others lie off it by their solar_x, solar_y.

        Raises
        ------
        IngestError
            if the file is empty, truncated, not FITS, no level 2 slit-jaw file, holds nothing but
            fill, or its header or table cannot be trusted.
        """
        Options.of(reference, ())
        file = read_level2(reference, kind="SJI", described="SJI_")
        film = _Film.of(file)
        with opened(reference) as (units, _):
            counts = read_counts(
                units[0], range(file.shape[0]), lost=film.lost, resampled=film.resampled
            )
        check_any(counts, lost=film.lost, name=file.name)
        movie = _dataset(counts, film)
        movie.attrs = _attributes(reference, file, film, counts)
        return movie


@dataclass(frozen=True, kw_only=True)
class _Film:
    """The axes of a movie, and what was said against its header."""

    time: npt.NDArray[np.datetime64]
    exposure: Floats
    x: Floats
    y: Floats
    lean: Floats
    slit: tuple[Floats, Floats]
    along: tuple[Axis, Axis]
    lost: npt.NDArray[np.bool_]
    resampled: bool
    notes: tuple[str, ...]

    @classmethod
    def of(cls, file: Level2) -> _Film:
        frames, height, width = file.shape
        rows = np.linspace(0, len(file.table) - 1, frames)
        whole = _check_rows(file)
        along = pixel_pitch(file, 1, "FOVX", width), pixel_pitch(file, 2, "FOVY", height)
        pointing = Pointing.of(file, cosine="PC1_1IX", sine=file.column("PC1_2IX"))
        exposure = file.column("EXPTIMES")
        middle = file.mid_exposure(file.column("TIME"), exposure)
        elapsed = _between(rows, (middle - middle[0]) / np.timedelta64(1, "ns"))
        lost = _beside_lost(rows, pointing.sound, reach=0 if whole else _REACH)
        anomaly, unclear = file.in_anomaly
        notes = (
            along[0].note,
            along[1].note,
            _RESAMPLED.format(frames, len(file.table)) * (not whole),
            pointing.note,
            f"{lost.sum()} frames at or beside lost exposures are not valid" * bool(lost.any()),
            unclear,
            "IRIS was in the South Atlantic Anomaly" * anomaly,
        )
        slit = [
            _slit(file, word, axis, pointing.sound) if whole else np.full(frames, np.nan)
            for word, axis in zip(("SLTPX1IX", "SLTPX2IX"), along, strict=True)
        ]
        return cls(
            time=middle[0] + np.round(elapsed).astype("timedelta64[ns]"),
            exposure=_between(rows, exposure), slit=(slit[0], slit[1]), along=along,
            x=_between(rows, pointing.x), y=_between(rows, pointing.y),
            lean=_between(rows, pointing.lean), lost=lost, notes=notes,
            resampled=not whole or bool(along[0].note or along[1].note),
        )  # fmt: skip


def _between(rows: Floats, values: Floats) -> Floats:
    return np.asarray(np.interp(rows, np.arange(len(values)), values), dtype=np.float64)


def _beside_lost(
    rows: Floats, sound: npt.NDArray[np.bool_], *, reach: int
) -> npt.NDArray[np.bool_]:
    """Return which frames lie within so many rows of one that is not sound."""
    missed = np.flatnonzero(~sound)
    return np.asarray((np.abs(rows[:, None] - missed) <= reach).any(axis=1))


def _check_rows(file: Level2) -> bool:
    """Return whether each frame has its own row of the auxiliary table."""
    frames, rows = file.shape[0], len(file.table)
    if rows < frames:
        raise IngestError(
            f"{file.name}: {frames} frames, but its auxiliary table has {rows} rows",
            remedy="Fetch it again: without its row a frame has neither time nor place.",
        )
    return rows == frames


def _slit(file: Level2, word: str, axis: Axis, sound: npt.NDArray[np.bool_]) -> Floats:
    """Return where the slit's middle is in each frame, in pixels from 0; NaN where not sound.

    The table counts camera pixels from 1.
    """
    camera = file.column(word) - 1
    found = sound & (camera >= 0) & (camera * axis.factor <= max(file.shape[1:]))
    return np.where(found, camera * axis.factor, np.nan)


def _dataset(counts: Counts, film: _Film) -> xr.Dataset:
    dims = ("frame", "y", "x")
    return xr.Dataset(
        {
            "intensity": (dims, counts.values, {"units": "DN"}),
            "valid": (dims, counts.valid),
        },
        coords={
            "time": ("frame", film.time),
            "exposure_time": ("frame", film.exposure, {"units": "s"}),
            "solar_x": ("frame", film.x, {"units": "arcsec"}),
            "solar_y": ("frame", film.y, {"units": "arcsec"}),
            "slit_x": ("frame", film.slit[0], {"units": "pix"}),
            "slit_y": ("frame", film.slit[1], {"units": "pix"}),
        },
    )


def _attributes(
    reference: Reference, file: Level2, film: _Film, counts: Counts
) -> dict[str, object]:
    frames, height, width = file.shape
    middle = frames // 2
    coordinates = tilted_coordinates(
        file.header,
        film.time[middle],
        size=(width, height),
        centre=(float(film.x[middle]), float(film.y[middle])),
        scale=(film.along[0].pitch, film.along[1].pitch),
        lean=float(film.lean[middle]),
        name=file.name,
    )
    notes = (*film.notes, *counts.notes, _dust_note(counts))
    return file.attributes(reference, coordinates, notes) | {
        "channel": str(file.header[f"TDESC{file.window}"]).strip(),
        "quantity": "slit-jaw intensity",
        "saturation": counts.saturated,
        "scale_mm": coordinates.scale_mm,
    }


def _dust_note(counts: Counts) -> str:
    """Return how much of the images may be dust, a frame at a time to spare memory."""
    dark = sum(
        int((calculate_dust_mask(frame[None])[0] & valid).sum())
        for frame, valid in zip(counts.values, counts.valid, strict=True)
    )
    share = dark / int(counts.valid.sum())
    return (
        f"dust is not removed: {100 * share:.2f} % of the pixels with data are below 0.5 DN or "
        "beside one that is (dust, or sky off the limb)"
    ) * (dark > 0)
