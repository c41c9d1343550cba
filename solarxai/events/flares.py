"""What a list of flares is: its rows, where they came from, which time it speaks of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from solarxai.errors import IngestError
from solarxai.events._names import peak_flux

__all__ = ["COLUMNS", "Coverage", "FlareList", "flare_table"]

Coverage = tuple[np.datetime64, np.datetime64]

COLUMNS = {
    "start": "datetime64[ns]",
    "peak": "datetime64[ns]",
    "end": "datetime64[ns]",
    "goes_class": "object",
    "peak_flux": "float64",
    "region": "int64",
    "event": "int64",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class FlareList:
    """Flares of one source, in order of onset.

    Parameters
    ----------
    table
        One row a flare: `start`, `peak`, `end` (datetime64[ns], UTC; NaT where unknown),
        `goes_class` ("C3.3"; a bare letter where the figure is missing), `peak_flux` in 1-8 Å
        (W m-2, as the class says; NaN for a bare letter), `region` (NOAA number in full, 0 where
        unknown), `event` (its number in the list of its day, 0 where it has none).
    source
        Who made the list, such as "SWPC".
    version
        sha256 (hex) of the bytes it was read from: lists are revised and disagree
        (arXiv:2512.13417), so labels must tell their list.
    file
        Name of that file.
    coverage
        First and last moment the list speaks of: outside it, no flare means nothing.
    complete_from
        Class from which on the list has every flare it could have.
    quirks
        How many rows needed which reading.
    malformed
        A sentence for each row that could not be read and is missing from `table`.

    Raises
    ------
    IngestError
        if a column is missing or of another type, an onset is unknown, or the coverage runs
        backwards.
    """

    table: pd.DataFrame
    source: str
    version: str
    file: str
    coverage: Coverage
    complete_from: str = "C1.0"
    quirks: Mapping[str, int] = field(default_factory=dict)
    malformed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the columns and the coverage."""
        kinds = {name: self.table[name].dtype for name in self.table if name in COLUMNS}
        wrong = [name for name, kind in COLUMNS.items() if kinds.get(name) != np.dtype(kind)]
        if wrong or self.table["start"].isna().any():
            raise IngestError(
                f"{self.file}: is no flare list: {', '.join(wrong) or 'start has unknown times'}",
                remedy="Make its table with flare_table().",
            )
        first, last = self.coverage
        if not first <= last:
            raise IngestError(
                f"{self.file}: coverage from {first} to {last} runs backwards",
                remedy="Give its first and last moment in this order.",
            )
        peak_flux(self.complete_from)

    @property
    def name(self) -> str:
        """What labels call the list: source and the first 12 digits of its version."""
        return f"{self.source} flare list {self.version[:12]}"

    def of_region(self, region: int) -> pd.DataFrame:
        """Return the rows of one region (its full NOAA number)."""
        return self.table[self.table["region"] == region]


def flare_table(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """Return rows as the table of a FlareList: columns typed, flux from class, sorted by onset."""
    found = pd.DataFrame(list(rows), columns=[name for name in COLUMNS if name != "peak_flux"])
    found["peak_flux"] = [peak_flux(goes_class) for goes_class in found["goes_class"]]
    typed = found[list(COLUMNS)].astype(COLUMNS)
    return typed.sort_values("start", kind="stable", ignore_index=True)
