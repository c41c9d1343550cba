"""What all IRIS level 2 files share: headers, windows and the auxiliary table.

A level 2 file is a primary unit, its windows, a table of numbers (one row an exposure; its header
names the columns) and a table of words (IRIS technical note 26).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from solarxai.catalog import Reference
from solarxai.errors import IngestError
from solarxai.instruments._coordinates import Coordinates
from solarxai.instruments._fits import header_text, merged_header, opened
from solarxai.instruments._time import Instant, parse_instant

__all__ = ["Floats", "Level2", "read_level2"]

Floats = npt.NDArray[np.float64]

_OUTSIDE = ("", "OUT", "NO", "N", "F", "FALSE")


@dataclass(frozen=True, kw_only=True)
class Level2:
    """Headers and auxiliary table of one file.

    Parameters
    ----------
    name
        What messages call the file.
    header
        Every card: those of the window, then those only the primary header has.
    window
        Number of the window and of its unit in a raster, from 1; in a slit-jaw file 1 (unit 0).
    shape
        Of the window's data.
    table
        (exposure, column).
    legend
        Header of the table: the column of each word.
    mended
        What astropy had to mend.
    """

    name: str
    header: fits.Header
    window: int
    shape: tuple[int, ...]
    table: Floats
    legend: fits.Header
    mended: tuple[str, ...]

    def number(self, keyword: str) -> float:
        """Return a keyword's number.

        Raises
        ------
        IngestError
            if it is missing or no number.
        """
        return _number(self.header, keyword, self.name)

    def length(self, keyword: str) -> float:
        """Return a keyword's number, which must be above zero."""
        value = self.number(keyword)
        if value <= 0:
            raise IngestError(
                f"{self.name}: {keyword} is {value:g}, not above zero",
                remedy="Correct it in the header, or fetch the file again.",
            )
        return value

    def column(self, word: str) -> Floats:
        """Return a column of the auxiliary table, one value an exposure.

        Raises
        ------
        IngestError
            if the table's header does not point to it.
        """
        index = self.legend.get(word)
        if not isinstance(index, int) or not 0 <= index < self.table.shape[1]:
            raise IngestError(
                f"{self.name}: the auxiliary table has no column {word} "
                f"(its header says {index!r}, it has {self.table.shape[1]} columns)",
                remedy="Fetch the file again: it is not whole level 2.",
            )
        return self.table[:, index].copy()

    @property
    def text(self) -> str:
        """The header, a card a line."""
        return header_text(self.header)

    @cached_property
    def start(self) -> Instant:
        """When the observing run started."""
        return parse_instant(self.header.get("STARTOBS", ""), keyword="STARTOBS", name=self.name)

    @property
    def observation(self) -> str:
        """Identity of the observing run: the second it started, and its OBSID."""
        stamp = re.sub(r"\D", "", str(self.start.utc.astype("datetime64[s]")))
        return f"{stamp[:8]}_{stamp[8:]}_{str(self.header['OBSID']).strip()}"

    @property
    def in_anomaly(self) -> tuple[bool, str]:
        """Whether IRIS was in the South Atlantic Anomaly, and a note if SAA is not understood."""
        word = str(self.header.get("SAA", "")).strip().upper()
        if re.fullmatch(r"\d+(\.\d*)?", word):
            return float(word) != 0, ""
        known = word in (*_OUTSIDE, "IN", "YES", "Y", "T", "TRUE")
        note = "" if known else f"SAA {word!r} is not understood: taken as inside the anomaly"
        return word not in _OUTSIDE, note

    def mid_exposure(self, seconds: Floats, exposure: Floats) -> npt.NDArray[np.datetime64]:
        """Return UTC at the middle of each exposure.

        Parameters
        ----------
        seconds
            Start of each exposure after STARTOBS. Where there was none (neither a time nor a
            length above zero), its neighbours' times stand in.
        exposure
            Its length, s.

        Raises
        ------
        IngestError
            if a time is missing, or they do not increase.
        """
        length = np.maximum(np.nan_to_num(exposure), 0)
        lost = ~(seconds > 0) & (length == 0)
        if lost.any() and not lost.all():
            kept = np.flatnonzero(~lost)
            seconds = np.interp(np.arange(len(seconds)), kept, seconds[kept])
        if (gone := np.flatnonzero(~np.isfinite(seconds))).size:
            raise IngestError(
                f"{self.name}: exposure {gone[0]} has the time {seconds[gone[0]]}",
                remedy="Fetch the file again: without times it has no place among flares.",
            )
        if (late := np.flatnonzero(np.diff(seconds) <= 0)).size:
            row = int(late[0])
            raise IngestError(
                f"{self.name}: exposures {row} and {row + 1} start {seconds[row]:g} s and "
                f"{seconds[row + 1]:g} s after STARTOBS: times do not increase",
                remedy="Fetch the file again, or mend column TIME of its auxiliary table.",
            )
        nanoseconds = np.round((seconds + length / 2) * 1e9).astype("timedelta64[ns]")
        return self.start.utc + nanoseconds

    def attributes(
        self, reference: Reference, coordinates: Coordinates, notes: tuple[str, ...]
    ) -> dict[str, object]:
        """Return what every Observation says of itself."""
        said = [*self.mended, *coordinates.notes, *notes]
        return {
            "observation": self.observation,
            "instrument": reference.instrument,
            "region": reference.region,
            "origin": reference.origin,
            "licence": reference.licence,
            "source": reference.name,
            "sha256": reference.sha256,
            "time_scale": self.start.scale,
            "time_original": self.start.original,
            "header": self.text,
            "wcs": coordinates.text,
            "notes": "\n".join(note for note in said if note),
        }


def read_level2(reference: Reference, *, kind: str, described: str) -> Level2:
    """Return the headers and the auxiliary table of a level 2 file, and which window is meant.

    Parameters
    ----------
    reference
        The catalog's entry.
    kind
        INSTRUME it must have: "SPEC" (a raster) or "SJI".
    described
        What the TDESC of the window must contain.

    Raises
    ------
    IngestError
        if the file is empty, truncated, not FITS, not of this kind, has no such window or no data
        in it, or its auxiliary table does not fit.
    """
    name = reference.name
    with opened(reference) as (units, said):
        count = len(units)
        primary = units[0].header
        _check_kind(primary, kind, name)
        window = _window(primary, described, name)
        unit = _window_unit(units, window if kind == "SPEC" else 0, count, name)
        table, legend = _table(units, count, name)
        header = merged_header(unit.header, primary)
        shape = tuple(unit.shape)
    file = Level2(
        name=name, header=header, window=window, shape=shape, table=table, legend=legend,
        mended=tuple(dict.fromkeys(said)),
    )  # fmt: skip
    _check_run(file)
    return file


def _check_kind(primary: fits.Header, kind: str, name: str) -> None:
    found = str(primary.get("INSTRUME", "")).strip()
    if found == kind or (kind == "SJI" and found == "IRIS"):
        return
    readers = {"SPEC": "iris_raster", "SJI": "iris_sji", "IRIS": "iris_sji"}
    reader = readers.get(found)
    raise IngestError(
        f"{name}: INSTRUME is {found!r}, where {readers[kind]} reads {kind!r}",
        remedy=f"Read it with the instrument {reader}." if reader else "Give an IRIS level 2 file.",
    )


def _check_run(file: Level2) -> None:
    if not str(file.header.get("OBSID", "")).strip():
        raise IngestError(
            f"{file.name}: keyword OBSID is missing",
            remedy="Fetch the file again, or mend its header: it tells which run this is of.",
        )


def _window(primary: fits.Header, described: str, name: str) -> int:
    """Return the number, from 1, of the window whose TDESC contains the words."""
    count = int(_number(primary, "NWIN", name))
    words = [str(primary.get(f"TDESC{k}", "")).strip() for k in range(1, count + 1)]
    found = [number for number, text in enumerate(words, start=1) if described in text]
    if len(found) == 1:
        return found[0]
    if found:
        raise IngestError(
            f"{name}: windows {', '.join(map(str, found))} all contain {described!r}",
            remedy="Correct TDESC in the header: one window must be meant.",
        )
    raise IngestError(
        f"{name}: no window's TDESC contains {described!r}; it has "
        f"{', '.join(repr(text) for text in words) or 'none'}",
        remedy="Leave the file out: its observing programme did not read that window.",
    )


def _window_unit(
    units: fits.HDUList, number: int, count: int, name: str
) -> fits.ImageHDU | fits.PrimaryHDU:
    if number >= count - 2:
        raise IngestError(
            f"{name}: window {number} should be followed by two auxiliary tables, but the file "
            f"ends after {count} units",
            remedy="Fetch it again: it was cut short.",
        )
    unit = units[number]
    axes = tuple(unit.shape)
    if len(axes) != 3 or min(axes) < 1 or not unit.is_image:
        raise IngestError(
            f"{name}: unit {number} holds no data: its axes are {axes}, not (exposure, y, x) "
            "all above zero",
            remedy="Leave the file out: no exposure was taken, or fetch it again.",
        )
    return unit


def _table(units: fits.HDUList, count: int, name: str) -> tuple[Floats, fits.Header]:
    unit = units[count - 2]
    if not unit.is_image or unit.data is None or unit.data.ndim != 2:
        raise IngestError(
            f"{name}: unit {count - 2}, the last but one, is no table of numbers",
            remedy="Fetch it again: a level 2 file ends with two auxiliary tables.",
        )
    return np.array(unit.data, dtype=np.float64), unit.header.copy()


def _number(header: fits.Header, keyword: str, name: str) -> float:
    value = header.get(keyword)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        missing = "missing" if value is None else f"{value!r}, not a number"
        raise IngestError(
            f"{name}: keyword {keyword} is {missing}",
            remedy="Fetch the file again, or mend its header.",
        )
    return float(value)
