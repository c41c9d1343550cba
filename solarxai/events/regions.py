"""NOAA active regions day by day, and where on the disk they are at any moment."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import astropy.units as u
import numpy as np
import pandas as pd
from astropy.coordinates import SkyCoord
from sunpy.coordinates import (
    HeliographicStonyhurst,
    Helioprojective,
    propagate_with_solar_surface,
)

from solarxai.errors import IngestError
from solarxai.events._names import full_number, region_number
from solarxai.events._table_file import parsed_rows
from solarxai.provenance import file_hash

__all__ = ["RegionTable", "read_srs"]

_NEEDED = ("ar_noaanum", "LOCATION", "AREA", "Z", "No_sunspots", "MAGTYPE", "date")
_LOCATION = re.compile(r"([NS])(\d\d)([EW])(\d\d)")
_Entry = dict[str, object]


@dataclass(frozen=True, kw_only=True, eq=False)
class RegionTable:
    """Active regions, one row a region and day.

    Parameters
    ----------
    table
        `region` (NOAA number in full), `time` (datetime64[ns], UTC, of the position), `latitude`,
        `longitude` (degrees Stonyhurst, north and west positive), `area` (millionths of the solar
        hemisphere), `spots` (their number), `mcintosh`, `mount_wilson` (classes).
    source
        Who made the table.
    version
        sha256 (hex) of the bytes it was read from.
    file
        Name of that file.
    quirks
        How many rows needed which reading.
    malformed
        A sentence for each row that could not be read.
    """

    table: pd.DataFrame
    source: str
    version: str
    file: str
    quirks: Mapping[str, int] = field(default_factory=dict)
    malformed: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What labels call the table: source and the first 12 digits of its version."""
        return f"{self.source} {self.version[:12]}"

    def position(
        self, region: str | int, time: np.datetime64, *, within: u.Quantity = 3 * u.day
    ) -> SkyCoord:
        """Return where a region is at a time, seen from Earth: its nearest entry, rotated.

        The rotation is differential (sunpy's, Howard et al. 1990). Entries are rounded to whole
        degrees, 16 arcsec at disk centre.

        Parameters
        ----------
        region
            "NOAA 12017", "2017" or 12017.
        time
            The time, UTC.
        within
            How far in time its nearest entry may lie: regions evolve and shift.

        Returns
        -------
        SkyCoord
            Helioprojective, of the observation time `time`.

        Raises
        ------
        IngestError
            if the name is no NOAA region or the table has no entry near that time.
        """
        number = region_number(region, pd.Timestamp(time).floor("us").to_pydatetime())
        near = self._entries(time, within)
        own = near[near["region"] == number]
        if own.empty:
            raise IngestError(
                f"{self.file}: has no entry of region {number} within {within} of {time}",
                remedy="Check the number, or widen `within`.",
            )
        return _seen(own, time)[0]

    def regions_near(
        self, solar_x: u.Quantity, solar_y: u.Quantity, time: np.datetime64, radius: u.Quantity
    ) -> tuple[int, ...]:
        """Return the regions on the visible disk around a point, the nearest first.

        Parameters
        ----------
        solar_x, solar_y
            The point, helioprojective.
        time
            When, UTC.
        radius
            Greatest distance on the sky.

        Raises
        ------
        astropy.units.UnitConversionError
            for what is no angle.
        """
        near = self._entries(time, 3 * u.day)
        if near.empty:
            return ()
        places = _seen(near, time)
        x, y, reach = (u.Quantity(angle).to_value(u.arcsec) for angle in (solar_x, solar_y, radius))
        away = np.hypot(places.Tx.arcsec - x, places.Ty.arcsec - y)
        order = np.argsort(away)
        chosen = order[(away <= reach)[order] & places.is_visible()[order]]
        return tuple(int(number) for number in near["region"].to_numpy()[chosen])

    def _entries(self, time: np.datetime64, within: u.Quantity) -> pd.DataFrame:
        """Return of each region the entry nearest in time, if it is near enough."""
        moment = pd.Timestamp(time)
        reach = pd.Timedelta(u.Quantity(within).to_value(u.s), unit="s")
        first, last = self.table["time"].searchsorted([moment - reach, moment + reach])
        near = self.table.iloc[first : last + 1]
        away = (near["time"] - moment).abs()
        order = away[away <= reach].sort_values(kind="stable").index
        return near.loc[order].drop_duplicates("region")


def read_srs(path: Path) -> RegionTable:
    """Return the regions of a table of NOAA Solar Region Summaries.

    A summary is issued at 00:30 UTC or later, but its positions hold for 00:00 of that day (its
    text says "Locations Valid at ../2400Z" of the day before).

    Raises
    ------
    IngestError
        if the file is no such table.
    """
    found, malformed = parsed_rows(path, _NEEDED, _entry)
    table = pd.DataFrame([entry for entry, _ in found]).astype({"time": "datetime64[ns]"})
    return RegionTable(
        table=table.sort_values(["time", "region"], ignore_index=True),
        source="NOAA Solar Region Summary",
        version=file_hash(path),
        file=path.name,
        quirks=dict(Counter(quirk for _, odd in found for quirk in odd)),
        malformed=malformed,
    )


def _entry(row: Mapping[str, str]) -> tuple[_Entry, list[str]]:
    """Return one region of one day and what was odd about its row."""
    issued = datetime.strptime(row["date"], "%Y-%m-%d %H:%M")
    time = datetime(issued.year, issued.month, issued.day)
    latitude, longitude = _place(row["LOCATION"])
    spots = row["No_sunspots"] or row.get("NM", "")
    number = int(row["ar_noaanum"])
    entry: _Entry = {"region": full_number(number, time), "time": time}
    entry |= {"latitude": latitude, "longitude": longitude}
    entry |= {"area": int(row["AREA"]), "spots": int(spots)}
    entry |= {"mcintosh": row["Z"].capitalize(), "mount_wilson": row["MAGTYPE"].lower()}
    odd = ["number of spots in another column"] * (not row["No_sunspots"])
    odd += ["beyond the limb"] * (abs(longitude) > 90)
    odd += ["region modulo 10000"] * (entry["region"] != number)
    return entry, odd


def _place(text: str) -> tuple[float, float]:
    """Return latitude and longitude (degrees) of a text such as "N11W06"."""
    found = _LOCATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a position such as N11W06")
    north, latitude, west, longitude = found.groups()
    return int(latitude) * (1.0 if north == "N" else -1.0), int(longitude) * (
        1.0 if west == "W" else -1.0
    )


def _seen(entries: pd.DataFrame, time: np.datetime64) -> SkyCoord:
    """Return where entries are at a time, seen from Earth."""
    when = str(time)
    given = SkyCoord(
        entries["longitude"].to_numpy() * u.deg,
        entries["latitude"].to_numpy() * u.deg,
        frame=HeliographicStonyhurst(obstime=entries["time"].to_numpy()),
    )
    with propagate_with_solar_surface():
        return given.transform_to(Helioprojective(obstime=when, observer="earth"))
