"""Two flare lists side by side: where they disagree, and one list of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import astropy.units as u
import numpy as np
import pandas as pd

from solarxai.errors import IngestError
from solarxai.events._names import peak_flux
from solarxai.events.flares import Coverage, FlareList
from solarxai.provenance import content_hash

__all__ = ["disagreements", "merge"]

_COMPARED = ("start", "peak", "end", "goes_class", "region")
_Matches = list[tuple[int, int]]


def disagreements(
    first: FlareList, second: FlareList, *, tolerance: u.Quantity = 5 * u.min
) -> pd.DataFrame:
    """Return one row a disagreement of two lists within the time both speak of.

    Flares are the same if each is the other's nearest in onset, within the tolerance.

    Parameters
    ----------
    first, second
        The lists.
    tolerance
        Greatest difference of onset.

    Returns
    -------
    pandas.DataFrame
        `kind` ("only first", "only second", or the column that differs: "start", "peak", "end",
        "goes_class", "region"), `start` (the onset, of the first list where it has it), `first`
        and `second` (what each says, as text; "" where it says nothing).

    Raises
    ------
    IngestError
        if no time is in both lists.
    """
    begin, end = _overlap(first, second)
    one, two = (_between(flares, begin, end) for flares in (first, second))
    pairs = _matches(one, two, tolerance)
    rows = [*_alone(one, two, pairs), *_different(one, two, pairs)]
    found = pd.DataFrame(rows, columns=["kind", "start", "first", "second"])
    return found.sort_values(["start", "kind"], ignore_index=True)


def merge(first: FlareList, second: FlareList, *, tolerance: u.Quantity = 5 * u.min) -> FlareList:
    """Return the flares of both lists; of a flare in both, what the first says.

    What the first does not know of such a flare (peak, end, region) is filled in from the second.
    `quirks` counts the flares of each kind.

    Raises
    ------
    IngestError
        if there is a gap between the times the two lists speak of.
    """
    _overlap(first, second)
    one, two = first.table, second.table
    pairs = _matches(one, two, tolerance)
    filled, mine = one.copy(), [i for i, _ in pairs]
    other = two.iloc[[j for _, j in pairs]].set_axis(mine)
    for name in ("peak", "end"):
        filled[name] = one[name].fillna(other[name])
    filled["region"] = one["region"].where(one["region"] > 0, other["region"].reindex(one.index))
    filled["region"] = filled["region"].fillna(0).astype("int64")
    table = pd.concat([filled, two.drop(index=[j for _, j in pairs])])
    return FlareList(
        table=table.sort_values("start", kind="stable", ignore_index=True),
        source=f"{first.source} + {second.source}",
        version=content_hash([first.version, second.version]),
        file=f"{first.file} + {second.file}",
        coverage=_union(first, second),
        complete_from=max(first.complete_from, second.complete_from, key=peak_flux),
        quirks=dict(Counter(first.quirks) + Counter(second.quirks)) | _shares(one, two, pairs),
        malformed=first.malformed + second.malformed,
    )


def _overlap(first: FlareList, second: FlareList) -> Coverage:
    begin = max(first.coverage[0], second.coverage[0])
    end = min(first.coverage[1], second.coverage[1])
    if begin >= end:
        raise IngestError(
            f"{first.file} ({first.coverage[0]} to {first.coverage[1]}) and {second.file} "
            f"({second.coverage[0]} to {second.coverage[1]}) have no time in common",
            remedy="Take lists that overlap.",
        )
    return begin, end


def _union(first: FlareList, second: FlareList) -> Coverage:
    begin = min(first.coverage[0], second.coverage[0])
    return begin, max(first.coverage[1], second.coverage[1])


def _shares(one: pd.DataFrame, two: pd.DataFrame, pairs: _Matches) -> dict[str, int]:
    common = len(pairs)
    return {"in both": common, "only first": len(one) - common, "only second": len(two) - common}


def _between(flares: FlareList, begin: np.datetime64, end: np.datetime64) -> pd.DataFrame:
    inside = flares.table["start"].between(pd.Timestamp(begin), pd.Timestamp(end))
    return flares.table[inside].reset_index(drop=True)


def _matches(one: pd.DataFrame, two: pd.DataFrame, tolerance: u.Quantity) -> _Matches:
    """Return the pairs of rows that are each other's nearest."""
    if one.empty or two.empty:
        return []
    there, back = _nearest(one, two), _nearest(two, one)
    mutual = np.flatnonzero(back[there] == np.arange(len(one)))
    apart = np.abs(one["start"].to_numpy()[mutual] - two["start"].to_numpy()[there[mutual]])
    near = apart <= np.timedelta64(round(tolerance.to_value(u.s) * 1e9), "ns")
    return [(int(i), int(there[i])) for i in mutual[near]]


def _nearest(of: pd.DataFrame, among: pd.DataFrame) -> np.ndarray:
    """Return for each row the number of the row nearest in onset, the earlier of two."""
    moments, others = (table["start"].to_numpy().astype("int64") for table in (of, among))
    after = np.searchsorted(others, moments).clip(0, len(others) - 1)
    before = (after - 1).clip(0)
    earlier = np.abs(moments - others[before]) <= np.abs(moments - others[after])
    return np.where(earlier, before, after)


def _alone(one: pd.DataFrame, two: pd.DataFrame, pairs: _Matches) -> Iterator[dict[str, object]]:
    matched = [i for i, _ in pairs], [j for _, j in pairs]
    for word, table, taken in zip(("first", "second"), (one, two), matched, strict=True):
        for flare in table.drop(index=taken).itertuples():
            said = {"first": "", "second": "", word: str(flare.goes_class)}
            yield {"kind": f"only {word}", "start": flare.start, **said}


def _different(
    one: pd.DataFrame, two: pd.DataFrame, pairs: _Matches
) -> Iterator[dict[str, object]]:
    for name in _COMPARED:
        texts = [[_text(value) for value in table[name]] for table in (one, two)]
        for i, j in pairs:
            if texts[0][i] != texts[1][j]:
                onset = one["start"].iloc[i]
                yield {"kind": name, "start": onset, "first": texts[0][i], "second": texts[1][j]}


def _text(value: object) -> str:
    return "" if value is pd.NaT or value == 0 else str(value)
