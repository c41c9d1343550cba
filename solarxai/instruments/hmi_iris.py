"""SDO/HMI cubes on an IRIS pointing: the "aia_l2" files of the IRIS level 2 pipeline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from astropy.io.fits import Header

from solarxai.catalog import Reference
from solarxai.errors import IngestError
from solarxai.instruments import Thresholds
from solarxai.instruments._coordinates import header_coordinates
from solarxai.instruments._fits import Plane, auxiliary_table, read_plane
from solarxai.instruments._observation import assemble
from solarxai.instruments._options import Options
from solarxai.instruments._time import Instant, parse_instant
from solarxai.instruments._units import value_unit
from solarxai.instruments.hmi import Hmi

__all__ = ["HmiIris"]

_FRAME_WORDS = {"XCENIX": "CRVAL1", "YCENIX": "CRVAL2"}


@dataclass(frozen=True, kw_only=True)
class HmiIris:
    """One frame (option `frame`) of an HMI cube that follows IRIS across the disk.

    The primary header describes the middle frame; unit 1 gives each frame's seconds since
    STARTOBS (UTC) and its own centre, which replace the header's. Unit 2, malformed in these
    files, is never read. Solar north is up to the roll in PCi_j.
    """

    name: str = "hmi_iris"
    segmentation: Thresholds = Hmi.segmentation
    limb_darkened: bool = True

    def read(self, reference: Reference) -> xr.Dataset:
        """Return the Observation a reference points to.

        Raises
        ------
        IngestError
            if the file or its header cannot be trusted, or no frame is chosen.
        """
        options = Options.of(reference)
        plane = read_plane(reference, options)
        table, legend = auxiliary_table(reference, 1)
        frame = plane.frame or 0
        if len(table) != plane.frames:
            raise IngestError(
                f"{plane.name}: {plane.frames} frames, but unit 1 tabulates {len(table)}",
                remedy="Fetch it again, or read it with `generic` and an explicit time.",
            )
        instant = _frame_time(plane, table[frame], legend)
        pointed = plane.header.copy()
        for column, keyword in _FRAME_WORDS.items():
            pointed[keyword] = float(table[frame, _column(legend, column, plane.name)])
        return assemble(
            reference,
            plane,
            instant=instant,
            coordinates=header_coordinates(pointed, instant.utc, name=plane.name),
            unit=value_unit(plane.header, options.unit, name=plane.name),
            limb_darkened=self.limb_darkened,
        )


def _frame_time(
    plane: Plane, row: np.ndarray[tuple[int], np.dtype[np.float64]], legend: Header
) -> Instant:
    start = parse_instant(plane.header.get("STARTOBS", ""), keyword="STARTOBS", name=plane.name)
    seconds = float(row[_column(legend, "TIME", plane.name)])
    if not np.isfinite(seconds):
        raise IngestError(
            f"{plane.name}: frame {plane.frame} has the time {seconds}",
            remedy="Read it with the instrument `generic` and an explicit time.",
        )
    return Instant(
        utc=start.utc + np.timedelta64(round(seconds * 1e6), "us"),
        original=f"{start.original} + {seconds:g} s",
        scale=start.scale,
        note="time of the frame from unit 1, relative to STARTOBS; exposure not given",
    )


def _column(legend: Header, word: str, name: str) -> int:
    index = legend.get(word)
    if not isinstance(index, int) or not 0 <= index < int(legend["NAXIS1"]):
        raise IngestError(
            f"{name}: keyword {word} of unit 1 does not give a column (it is {index!r})",
            remedy="Read it with the instrument `generic` and an explicit time.",
        )
    return index
