"""Names of flare classes and active regions, as numbers."""

from __future__ import annotations

import re
from datetime import datetime

import numpy as np

from solarxai.errors import IngestError

__all__ = ["full_number", "peak_flux", "region_number", "spelled_class"]

# Peak flux in 1-8 Å of class "1.0" (W m-2).
_DECADES = {"A": 1e-8, "B": 1e-7, "C": 1e-6, "M": 1e-5, "X": 1e-4}
_CLASS = re.compile(r"([ABCMX])(?:(\d+)(?:([.,])(\d?))?)?")
_REGION = re.compile(r"(?:NOAA)?\s*(?:AR)?\s*(\d{4,5})", re.IGNORECASE)
# The first day of the Solar Region Summary with a number above 9999, and the last with one below.
_PASSED_9999 = datetime(2002, 6, 14)
_ALL_PASSED = datetime(2002, 7, 15)


def spelled_class(text: str) -> tuple[str, str]:
    """Return a GOES class in its one spelling ("C6.2") and what was odd about it, "" if nothing.

    A class without a figure stays a bare letter.

    Raises
    ------
    ValueError
        if it is no class.
    """
    found = _CLASS.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text.strip()!r} is not a GOES class")
    letter, whole, point, tenth = found.groups()
    if whole is None:
        return letter, "class without a figure"
    if letter != "X" and int(whole) > 9:
        raise ValueError(f"{text.strip()!r} is not a GOES class: {letter} goes from 1.0 to 9.9")
    odd = "class with a comma" if point == "," else "" if tenth else "class without a decimal"
    return f"{letter}{int(whole)}.{tenth or 0}", odd


def peak_flux(goes_class: str) -> float:
    """Return the peak flux in 1-8 Å (W m-2) a GOES class stands for; NaN for a bare letter.

    Raises
    ------
    IngestError
        if it is no class.
    """
    try:
        spelled, _ = spelled_class(goes_class)
    except ValueError as error:
        raise IngestError(str(error), remedy='Write it as "C3.3" or "M1.0".') from None
    return float(spelled[1:]) * _DECADES[spelled[0]] if spelled[1:] else np.nan


def full_number(number: int, time: datetime) -> int:
    """Return a NOAA region number with all its digits; 0 stays 0, "unknown".

    Bulletins print numbers modulo 10000. They passed 9999 on 14 June 2002.
    """
    if number == 0 or number > 9999 or time < _PASSED_9999:
        return number
    return number + 10000 if number < (10000 if time >= _ALL_PASSED else 5000) else number


def region_number(region: str | int, time: datetime) -> int:
    """Return the full NOAA number of "NOAA 12017", "AR 2017", "12017" or 12017 at a time.

    Raises
    ------
    IngestError
        if it names no NOAA region.
    """
    found = _REGION.fullmatch(str(region).strip())
    if found is None:
        raise IngestError(
            f"region {region!r} is not a NOAA active region: flare lists know no other name",
            remedy='Write it as "NOAA 12017".',
        )
    return full_number(int(found[1]), time)
