"""Flare lists of the Space Weather Prediction Center, in both shapes they circulate in.

Columns `date, event_no, start_time, max_time, end_time, goes_class, noaa_ar`; each time is either
"0709" (of `date`, or of the next day where it would run backwards), a full timestamp (whose date
may be that of the onset though midnight has passed), or "////" where unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from solarxai.events._names import full_number, spelled_class
from solarxai.events._table_file import parsed_rows
from solarxai.events.flares import Coverage, FlareList, flare_table
from solarxai.provenance import file_hash

__all__ = ["read_swpc"]

_NEEDED = ("date", "event_no", "start_time", "max_time", "end_time", "goes_class", "noaa_ar")
_DAY = timedelta(days=1)
# The longest flare of the lists of 1996-2021 lasts 7.7 h.
_LONGEST = timedelta(hours=12)
_Flare = dict[str, object]


def read_swpc(path: Path, *, coverage: Coverage | None = None) -> FlareList:
    """Return the flares of a SWPC list: no row is dropped without a sentence in `malformed`.

    Parameters
    ----------
    path
        The file (*.csv).
    coverage
        First and last moment the list speaks of, where known; by default from its first onset to
        its last end.

    Raises
    ------
    IngestError
        if the file is no such list.
    """
    found, malformed = parsed_rows(path, _NEEDED, _flare)
    table = flare_table(flare for flare, _ in found)
    quirks = Counter(quirk for _, odd in found for quirk in odd)
    if twice := int(_days(table).duplicated().sum()):
        quirks["event number used twice on one day"] = twice
    return FlareList(
        table=table,
        source="SWPC",
        version=file_hash(path),
        file=path.name,
        coverage=coverage or _coverage(table),
        quirks=dict(quirks),
        malformed=malformed,
    )


def _days(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"day": table["start"].dt.floor("D"), "event": table["event"]})


def _coverage(table: pd.DataFrame) -> Coverage:
    last = table[["start", "peak", "end"]].max().max()
    return np.datetime64(table["start"].iloc[0], "ns"), np.datetime64(last, "ns")


def _flare(row: Mapping[str, str]) -> tuple[_Flare, list[str]]:
    """Return one flare and what was odd about its row."""
    day = datetime.strptime(row["date"], "%Y%m%d")
    start = _moment(row["start_time"], day)
    if start is None or start.date() != day.date():
        raise ValueError(f"onset {row['start_time']!r} is not on its date")
    peak, odd_peak = _after(start, _moment(row["max_time"], day), "peak")
    end, odd_end = _after(start, _moment(row["end_time"], day), "end")
    goes_class, odd_class = spelled_class(row["goes_class"])
    number = int(row["noaa_ar"] or 0)
    region = full_number(number, start)
    odd = [*odd_peak, *odd_end, odd_class]
    odd += ["region unknown"] * (region == 0) + ["region modulo 10000"] * (region != number)
    odd += ["peak after the end"] * (peak is not None and end is not None and peak > end)
    flare: _Flare = {"start": start, "peak": peak, "end": end, "goes_class": goes_class}
    flare |= {"region": region, "event": int(row["event_no"])}
    return flare, [quirk for quirk in odd if quirk]


def _moment(text: str, day: datetime) -> datetime | None:
    """Return the time a field tells, on its day if it tells only the time of day."""
    if text in ("", "////"):
        return None
    if len(text) == 4:
        clock = datetime.strptime(text, "%H%M")
        return day + timedelta(hours=clock.hour, minutes=clock.minute)
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S")


def _after(
    start: datetime, moment: datetime | None, what: str
) -> tuple[datetime | None, list[str]]:
    """Return a moment of a flare, a day later if it lies before its onset."""
    if moment is None:
        return None, [f"{what} unknown"]
    later = moment + _DAY if moment < start else moment
    if not start <= later <= start + _LONGEST:
        return None, [f"{what} not within 12 h of the onset"]
    return later, [f"{what} after midnight"] * (later != moment)
