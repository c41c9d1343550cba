"""Instants: what a header says of the time of an image, as UTC at mid-exposure."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

import numpy as np
from astropy.io.fits import Header
from astropy.time import Time

from solarxai.errors import IngestError

__all__ = ["Instant", "exposure_middle", "mid_exposure_keyword", "parse_instant"]

_JSOC = re.compile(r"(\d{4})\.(\d\d)\.(\d\d)_(\d\d:\d\d(?::\d\d(?:\.\d*)?)?)(?:_(\w+))?")
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d*)?)?)(?:[ _]?(Z|UTC?|TAI|TT))?")
_SCALES = {"TAI": "tai", "UTC": "utc", "UT": "utc", "U": "utc", "Z": "utc", "TT": "tt"}
_YEARS = (1960, 2100)


@dataclass(frozen=True, kw_only=True)
class Instant:
    """One moment, and how it was written.

    Parameters
    ----------
    utc
        The moment, datetime64[ns].
    original
        The header's own words.
    scale
        The scale they are in: "utc", "tai" or "tt".
    note
        What had to be assumed, empty if nothing.
    """

    utc: np.datetime64
    original: str
    scale: str
    note: str = ""


def parse_instant(text: object, *, keyword: str, name: str, scale: str = "utc") -> Instant:
    """Return the moment a header's or a catalog's text means.

    Parameters
    ----------
    text
        ISO 8601 ("2011-02-15T01:58:12.30", with or without "Z") or JSOC's form
        ("2011.02.15_01:59:54_TAI"), with a time of day.
    keyword, name
        Where it stands, for messages.
    scale
        Scale of a text that names none.

    Raises
    ------
    IngestError
        if it is neither form, no date of the calendar, or out of range.
    """
    words = str(text).strip()
    if match := _JSOC.fullmatch(words):
        day, clock, suffix = "-".join(match.group(1, 2, 3)), match[4], match[5]
    elif match := _ISO.fullmatch(words):
        day, clock, suffix = match.group(1, 2, 3)
    else:
        raise _unparsable(words, keyword, name)
    scale = _SCALES.get(suffix.upper(), "") if suffix else scale
    try:
        utc = _utc(f"{day}T{clock}", scale)
    except ValueError:
        raise _unparsable(words, keyword, name) from None
    return Instant(utc=utc, original=words, scale=scale)


def mid_exposure_keyword(header: Header, keyword: str, *, name: str) -> Instant:
    """Return the moment of a keyword that already is the middle of the exposure, such as T_OBS.

    Raises
    ------
    IngestError
        if the keyword is missing or its text is no date.
    """
    if keyword not in header:
        raise IngestError(
            f"{name}: keyword {keyword} (time of mid-exposure) is missing",
            remedy="Give `time` in the options of the catalog entry.",
        )
    return parse_instant(header[keyword], keyword=keyword, name=name)


def exposure_middle(header: Header, *, name: str) -> Instant:
    """Return the middle of the exposure from the start and the end, or the start and the length.

    Notes
    -----
    In this order: DATE-AVG; the mean of DATE-BEG (or DATE-OBS, DATE_OBS) and DATE-END (DATE_END);
    the start plus half of XPOSURE or EXPTIME (seconds); the start itself, with a note.

    Raises
    ------
    IngestError
        if no keyword gives a time, one cannot be read, or the end comes before the start.
    """
    scale = str(header.get("TIMESYS", "UTC")).strip().lower()
    scale = scale if scale in ("utc", "tai", "tt") else "utc"
    if "DATE-AVG" in header:
        return parse_instant(header["DATE-AVG"], keyword="DATE-AVG", name=name, scale=scale)
    start = _first(header, ("DATE-BEG", "DATE-OBS", "DATE_OBS"), name, scale)
    if start is None:
        raise IngestError(
            f"{name}: keyword DATE-OBS is missing, and no other gives the time",
            remedy="Give `time` in the options of the catalog entry.",
        )
    end = _first(header, ("DATE-END", "DATE_END"), name, scale)
    if end is not None:
        if end.utc < start.utc:
            raise IngestError(
                f"{name}: DATE-END {end.original} comes before the start {start.original}",
                remedy="Correct the header, or give `time` in the catalog entry.",
            )
        return _moved(start, (end.utc - start.utc) // 2, "")
    seconds = next((header[k] for k in ("XPOSURE", "EXPTIME") if k in header), None)
    if isinstance(seconds, (int, float)) and seconds > 0:
        return _moved(start, np.timedelta64(round(seconds * 5e8), "ns"), "")
    return _moved(
        start, np.timedelta64(0, "ns"), "length of the exposure unknown: time is its start"
    )


def _first(header: Header, keywords: tuple[str, ...], name: str, scale: str) -> Instant | None:
    for keyword in keywords:
        if str(header.get(keyword, "")).strip():
            return parse_instant(header[keyword], keyword=keyword, name=name, scale=scale)
    return None


def _moved(start: Instant, delay: np.timedelta64, note: str) -> Instant:
    return Instant(utc=start.utc + delay, original=start.original, scale=start.scale, note=note)


def _utc(iso: str, scale: str) -> np.datetime64:
    if not _YEARS[0] <= int(iso[:4]) <= _YEARS[1] or not scale:
        raise ValueError(iso)
    with warnings.catch_warnings():
        # Leap seconds beyond the bundled table are unknown, which ERFA calls a dubious year.
        warnings.filterwarnings("ignore", message=".*dubious year")
        time = Time(iso, format="isot", scale=scale, precision=6).utc
        return np.datetime64(time.isot, "ns")


def _unparsable(words: str, keyword: str, name: str) -> IngestError:
    return IngestError(
        f"{name}: {keyword} {words!r} is not a time between {_YEARS[0]} and {_YEARS[1]}",
        remedy="Write it as 2011-02-15T01:59:54 (UTC), or give `time` in the catalog entry.",
    )
