"""Flare lists from the Heliophysics Events Knowledgebase, as `sunpy.net` returns them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
from astropy.table import Table
from astropy.time import Time

from solarxai.errors import IngestError
from solarxai.events._names import full_number, spelled_class
from solarxai.events.flares import Coverage, FlareList, flare_table
from solarxai.provenance import content_hash

__all__ = ["from_hek", "search_hek"]

_TIMES = ("event_starttime", "event_peaktime", "event_endtime")
_NEEDED = (*_TIMES, "fl_goescls", "ar_noaanum", "frm_name")


def search_hek(start: str, end: str, *, method: str = "SWPC") -> FlareList:
    """Return the flares the HEK knows in a time: it asks the network.

    Parameters
    ----------
    start, end
        First and last moment, UTC.
    method
        Recognition method: the HEK holds the lists of several, which must not be mixed.

    Raises
    ------
    IngestError
        if the answer is no flare list.
    """
    from sunpy.net import Fido, attrs  # a second to import, which few need

    asked = attrs.Time(start, end), attrs.hek.FL, attrs.hek.FRM.Name == method
    return from_hek(Fido.search(*asked)["hek"], coverage=(_moment64(start), _moment64(end)))


def from_hek(table: Table, *, coverage: Coverage) -> FlareList:
    """Return the flares of a table of `sunpy.net.hek.HEKClient`.

    Parameters
    ----------
    table
        Its rows; none means that the HEK knows no flare in this time.
    coverage
        First and last moment that was searched.

    Raises
    ------
    IngestError
        if it lacks a column, mixes recognition methods, or has an onset or class that cannot be
        read.
    """
    method = _method(table) if len(table) else "no flare"
    rows = [_flare({name: row[name] for name in _NEEDED}) for row in table]
    once = {(row["start"], row["goes_class"], row["region"]): row for row in rows}
    said = [[str(value) for value in row.values()] for row in once.values()]
    return FlareList(
        table=flare_table(once.values()),
        source=f"HEK {method}",
        version=content_hash([sorted(said), [str(moment) for moment in coverage]]),
        file=f"HEK search from {coverage[0]} to {coverage[1]}",
        coverage=coverage,
        quirks={"given twice": len(rows) - len(once)} if len(rows) > len(once) else {},
    )


def _method(table: Table) -> str:
    if missing := [name for name in _NEEDED if name not in table.colnames]:
        raise IngestError(
            f"the HEK table has no column {', '.join(missing)}",
            remedy="Search for flares: attrs.hek.FL.",
        )
    methods = sorted({str(name) for name in table["frm_name"]})
    if len(methods) > 1:
        raise IngestError(
            f"the HEK table mixes the flare lists of {', '.join(methods)}",
            remedy='Search for one: attrs.hek.FRM.Name == "SWPC".',
        )
    return methods[0]


def _flare(row: Mapping[str, Any]) -> dict[str, object]:
    start, peak, end = (_moment(row[name]) for name in _TIMES)
    goes_class = str(row["fl_goescls"] or "")
    try:
        spelled, _ = spelled_class(goes_class)
        if start is None:
            raise ValueError("onset unknown")
    except ValueError as error:
        raise IngestError(
            f"HEK flare at {row['event_starttime']}: {error}",
            remedy='Search for one list with classes: attrs.hek.FRM.Name == "SWPC".',
        ) from None
    number = row["ar_noaanum"]
    region = 0 if number is None or np.ma.is_masked(number) else max(int(number), 0)
    flare: dict[str, object] = {"start": start, "peak": peak, "end": end, "goes_class": spelled}
    return flare | {"region": full_number(region, start), "event": 0}


def _moment64(text: str) -> np.datetime64:
    return np.datetime64(Time(text).to_datetime(), "ns")


def _moment(value: Any) -> datetime | None:
    if value is None or np.ma.is_masked(value) or bool(np.any(getattr(value, "mask", False))):
        return None
    moment: datetime = Time(value, scale="utc").to_datetime()
    return moment
