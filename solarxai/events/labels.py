"""What an exposure is called, and why: "preflare", "active", or "ambiguous"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import astropy.units as u
import numpy as np
import pandas as pd

from solarxai.errors import IngestError
from solarxai.events._names import peak_flux, region_number
from solarxai.events.flares import FlareList
from solarxai.events.regions import RegionTable

__all__ = ["REASONS", "LabelRule", "LabelTable", "label_exposures"]

# The label each reason gives; where several hold, the first in this order counts.
REASONS = {
    "outside the time the list covers": "ambiguous",
    "own flare in progress": "ambiguous",
    "decay of an own flare": "ambiguous",
    "flare of unknown origin in progress or decay": "ambiguous",
    "flare of a neighbour in progress or decay": "ambiguous",
    "own flare within the window": "preflare",
    "flare of unknown origin within the window": "ambiguous",
    "flare of a neighbour within the window": "ambiguous",
    "the list does not cover the quiet hours": "ambiguous",
    "own flare after the window, within the quiet hours": "ambiguous",
    "own flare before, within the quiet hours": "ambiguous",
    "flare of unknown origin within its hours": "ambiguous",
    "no flare within the quiet hours": "active",
}
_DURING = frozenset(reason for reason in REASONS if "progress" in reason or "decay" in reason)
_NANOSECONDS = {"min": 60e9, "h": 3600e9}
_Times = np.ndarray[Any, np.dtype[np.datetime64]]
_Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, kw_only=True)
class LabelRule:
    """When an exposure is pre-flare, active or neither. Times and angles may be Quantities.

    Parameters
    ----------
    window
        Minutes before an onset that are pre-flare: 25 (arXiv:2203.13896); 35 is published too
        (10.3847/1538-4357/ab700b).
    threshold
        Class from which on an onset counts. A listed flare of any class, while it lasts and
        decays, makes an exposure ambiguous: it is neither before a flare nor without one.
    quiet_hours
        An active exposure has no flare of its region within this many hours before and after.
    decay
        Minutes after a flare's listed end that still belong to it. GOES lists end a flare when
        it has lost half of its flux; from peak to there 95 % take at most 30 minutes.
    neighbour_radius
        Distance (arcsec) up to which another region's flare may be seen in the field: half the
        diagonal of the largest IRIS raster (175 by 130 arcsec) and the radius of a large region.
    unknown_hours
        Beside the window: hours before and after in which an active exposure has no flare of
        unknown region either. 0 asks only for the window.

    Raises
    ------
    IngestError
        naming the option, its value and what is valid.
    """

    window: float = 25.0
    threshold: str = "C1.0"
    quiet_hours: float = 12.0
    decay: float = 30.0
    neighbour_radius: float = 200.0
    unknown_hours: float = 0.0

    def __post_init__(self) -> None:
        """Turn Quantities into numbers and check them."""
        units = {"window": u.min, "quiet_hours": u.hour, "decay": u.min}
        units |= {"neighbour_radius": u.arcsec, "unknown_hours": u.hour}
        for name, unit in units.items():
            object.__setattr__(self, name, _number(name, getattr(self, name), unit))
        if np.isnan(peak_flux(self.threshold)):
            raise _refusal("threshold", self.threshold, 'a class with its figure, such as "C1.0"')
        if not 0 < self.window <= 60 * self.quiet_hours:
            raise _refusal("window", self.window, "above 0 and within quiet_hours")


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelTable:
    """The label of each exposure and what led to it: columns of text, shape (exposure,).

    Parameters
    ----------
    label
        "active", "preflare" or "ambiguous".
    reason
        Why: one of `REASONS`.
    flare_class, flare_onset
        The flare that decided it, "" if none: its GOES class and its onset (UTC, ISO).
    label_source
        The list, its version, and the rule.
    """

    label: np.ndarray[Any, Any]
    reason: np.ndarray[Any, Any]
    flare_class: np.ndarray[Any, Any]
    flare_onset: np.ndarray[Any, Any]
    label_source: str

    def tally(self) -> dict[str, int]:
        """Return how many exposures have each reason, in the order of `REASONS`."""
        count = Counter(self.reason.tolist())
        return {reason: count[reason] for reason in REASONS if count[reason]}


def label_exposures(
    times: _Times,
    region: str | int,
    flares: FlareList,
    rule: LabelRule,
    *,
    solar_x: u.Quantity | None = None,
    solar_y: u.Quantity | None = None,
    regions: RegionTable | None = None,
) -> LabelTable:
    """Return the label of each exposure of one region, and why.

    Pre-flare is the time up to `rule.window` before an onset, [onset - window, onset). Nothing is
    labelled where the list does not speak: such exposures are ambiguous.

    Parameters
    ----------
    times
        Mid-exposures, UTC, datetime64 (exposure,), in any order.
    region
        Their active region: "NOAA 12017" or 12017.
    flares, rule
        The list and the rule.
    solar_x, solar_y
        Helioprojective pointing (exposure,) or one for all. With `regions` it tells which flares
        of other regions were in the field; without, `label_source` says that none was checked.
    regions
        Where the regions are.

    Raises
    ------
    IngestError
        if the region is no NOAA region, a time is unknown, the pointing is incomplete, or the
        rule asks for flares the list leaves out.
    """
    times = np.asarray(times).astype("datetime64[ns]")
    _check(times, flares, rule)
    if not times.size:
        return _table([], pd.DataFrame(), times, _source(flares, rule, None))
    number = region_number(region, pd.Timestamp(times.min()).floor("us").to_pydatetime())
    sky = _sky(times, solar_x, solar_y, regions, rule)
    reachable = _reachable(times, flares, rule)
    claims = [*_coverage_claims(times, flares, rule)]
    claims += _flare_claims(times, reachable, rule, number, sky)
    return _table(claims, reachable, times, _source(flares, rule, sky))


class _Claim(NamedTuple):
    """A reason, the exposures it holds for, and the row of its flare (-1: none)."""

    reason: str
    mask: _Mask
    row: int


class _Sky(NamedTuple):
    """Where the exposures point (arcsec), and which regions are there."""

    x: np.ndarray[Any, Any]
    y: np.ndarray[Any, Any]
    regions: RegionTable
    radius: float

    def sees(self, flare: Any) -> _Mask | None:
        """Return for which exposures a flare's region is near, None if its place is unknown."""
        try:
            place = self.regions.position(flare.region, flare.start.to_datetime64())
        except IngestError:
            return None
        away = np.hypot(place.Tx.arcsec - self.x, place.Ty.arcsec - self.y)
        return np.asarray((away <= self.radius) & bool(place.is_visible()))


def _flare_claims(
    times: _Times, flares: pd.DataFrame, rule: LabelRule, number: int, sky: _Sky | None
) -> Iterator[_Claim]:
    """Yield what each flare claims; those below the threshold, only while they last."""
    for row, flare in enumerate(flares.itertuples()):
        kind = _kind(flare, number, sky)
        for reason, mask in kind(flare, times, rule) if kind else ():
            if flare.counts or reason in _DURING:
                yield _Claim(reason, mask, row)


def _kind(flare: Any, number: int, sky: _Sky | None) -> _Kind | None:
    """Return what a flare claims as the region's own, of unknown origin, or a neighbour's."""
    if flare.region == number and not np.isnan(flare.peak_flux):
        return _own
    if flare.region in (0, number):
        return _unknown
    if sky is None:
        return None
    seen = sky.sees(flare)
    return _unknown if seen is None else partial(_neighbour, seen=seen)


def _own(flare: Any, times: _Times, rule: LabelRule) -> Iterator[tuple[str, _Mask]]:
    start, until = flare.start.to_datetime64(), flare.until.to_datetime64()
    window, quiet, decay = _spans(rule)
    yield "own flare in progress", (start <= times) & (times <= until)
    yield "decay of an own flare", (until < times) & (times <= until + decay)
    yield "own flare within the window", (start - window <= times) & (times < start)
    ahead = (start - quiet <= times) & (times < start)
    yield "own flare after the window, within the quiet hours", ahead
    behind = (until < times) & (times <= until + quiet)
    yield "own flare before, within the quiet hours", behind


def _unknown(flare: Any, times: _Times, rule: LabelRule) -> Iterator[tuple[str, _Mask]]:
    during, before = _around(flare, times, rule)
    yield "flare of unknown origin in progress or decay", during
    yield "flare of unknown origin within the window", before
    start, until = flare.start.to_datetime64(), flare.until.to_datetime64()
    hours = _span(rule.unknown_hours, "h")
    reached = (start - hours <= times) & (times <= until + hours)
    yield "flare of unknown origin within its hours", reached & (rule.unknown_hours > 0)


def _neighbour(
    flare: Any, times: _Times, rule: LabelRule, *, seen: _Mask
) -> Iterator[tuple[str, _Mask]]:
    during, before = _around(flare, times, rule)
    yield "flare of a neighbour in progress or decay", during & seen
    yield "flare of a neighbour within the window", before & seen


_Kind = Callable[[Any, _Times, LabelRule], Iterator[tuple[str, _Mask]]]


def _around(flare: Any, times: _Times, rule: LabelRule) -> tuple[_Mask, _Mask]:
    """Return which exposures lie in a flare or its decay, and which in the window before it."""
    start, until = flare.start.to_datetime64(), flare.until.to_datetime64()
    window, _, decay = _spans(rule)
    during = (start <= times) & (times <= until + decay)
    return during, (start - window <= times) & (times < start)


def _coverage_claims(times: _Times, flares: FlareList, rule: LabelRule) -> Iterator[_Claim]:
    first, last = flares.coverage
    _, quiet, _ = _spans(rule)
    yield _Claim("outside the time the list covers", (times < first) | (times > last), -1)
    partly = (times - quiet < first) | (times + quiet > last)
    yield _Claim("the list does not cover the quiet hours", partly, -1)


def _reachable(times: _Times, flares: FlareList, rule: LabelRule) -> pd.DataFrame:
    """Return the flares that may matter.

    `until` is when each was over at last, `counts` whether it reaches the threshold.

    A flare of unknown end is taken to last through the quiet hours.
    """
    table = flares.table
    until = table[["start", "peak", "end"]].max(axis=1)
    until = until.where(table["end"].notna(), table["start"] + _spans(rule)[1])
    hours = _span(max(rule.quiet_hours, rule.unknown_hours, rule.decay / 60), "h")
    near = (table["start"] <= times.max() + hours) & (until >= times.min() - hours)
    counts = ~(table["peak_flux"] < peak_flux(rule.threshold))
    reachable: pd.DataFrame = table.assign(until=until, counts=counts)[near].reset_index(drop=True)
    return reachable


def _table(claims: list[_Claim], flares: pd.DataFrame, times: _Times, source: str) -> LabelTable:
    """Return for each exposure the first reason that holds, of equal ones the nearest onset's."""
    quiet = list(REASONS).index("no flare within the quiet hours")
    rank, row = np.full(times.shape, quiet), np.full(times.shape, -1)
    gap = np.full(times.shape, np.iinfo(np.int64).max)
    for claim in claims:
        mine = list(REASONS).index(claim.reason)
        apart = np.zeros(times.shape, dtype=np.int64)
        if claim.row >= 0:
            apart = np.abs((times - flares["start"].to_numpy()[claim.row]).astype(np.int64))
        better = claim.mask & ((mine < rank) | ((mine == rank) & (apart < gap)))
        rank[better], row[better], gap[better] = mine, claim.row, apart[better]
    reason = np.array(list(REASONS), dtype=object)[rank]
    classes = [*flares.get("goes_class", ()), ""]
    onsets = [*(f"{start:%Y-%m-%dT%H:%M:%S}" for start in flares.get("start", ())), ""]
    return LabelTable(
        label=np.array([REASONS[text] for text in reason], dtype=object),
        reason=reason,
        flare_class=np.array(classes, dtype=object)[row],
        flare_onset=np.array(onsets, dtype=object)[row],
        label_source=source,
    )


def _sky(
    times: _Times,
    solar_x: u.Quantity | None,
    solar_y: u.Quantity | None,
    regions: RegionTable | None,
    rule: LabelRule,
) -> _Sky | None:
    given = [thing is not None for thing in (solar_x, solar_y, regions)]
    if not any(given):
        return None
    if solar_x is None or solar_y is None or regions is None:
        raise IngestError(
            "neighbours need solar_x, solar_y and regions: "
            f"only {sum(given)} of the three are given",
            remedy="Give all three, or none.",
        )
    x, y = (
        np.broadcast_to(u.Quantity(a).to_value(u.arcsec), times.shape) for a in (solar_x, solar_y)
    )
    return _Sky(x, y, regions, rule.neighbour_radius)


def _check(times: _Times, flares: FlareList, rule: LabelRule) -> None:
    if times.ndim != 1 or np.isnat(times).any():
        raise IngestError(
            f"times of shape {times.shape}, {int(np.isnat(times).sum())} of them unknown, "
            "cannot be labelled",
            remedy="Give one known time an exposure.",
        )
    if peak_flux(rule.threshold) < peak_flux(flares.complete_from):
        raise IngestError(
            f"threshold {rule.threshold} is below {flares.complete_from}, where {flares.file} "
            "begins: flares below it are not in the list",
            remedy=f'Set the threshold to "{flares.complete_from}" or above.',
        )


def _source(flares: FlareList, rule: LabelRule, sky: _Sky | None) -> str:
    said = f"{flares.name}, window {rule.window:g} min, >= {rule.threshold}, "
    said += f"quiet {rule.quiet_hours:g} h, decay {rule.decay:g} min, "
    said += f"unknown {rule.unknown_hours:g} h, " if rule.unknown_hours else ""
    if sky is None:
        return said + "neighbours unseen"
    return said + f"neighbours within {sky.radius:g} arcsec ({sky.regions.name})"


def _spans(rule: LabelRule) -> tuple[np.timedelta64, np.timedelta64, np.timedelta64]:
    """Return window, quiet time and decay."""
    return _span(rule.window, "min"), _span(rule.quiet_hours, "h"), _span(rule.decay, "min")


def _span(value: float, unit: str) -> np.timedelta64:
    return np.timedelta64(round(value * _NANOSECONDS[unit]), "ns")


def _number(name: str, value: Any, unit: u.Unit) -> float:
    """Return an option of a rule in its unit."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        number = float(value) if plain else float(value.to_value(unit))
    except (AttributeError, TypeError, ValueError, u.UnitConversionError):
        raise _refusal(name, value, f"a number of {unit} or a Quantity like it") from None
    if not (np.isfinite(number) and number >= 0):
        raise _refusal(name, value, "finite and not negative")
    return number


def _refusal(name: str, value: object, valid: str) -> IngestError:
    return IngestError(f"label rule: {name} is {value!r}, not {valid}", remedy="Correct the rule.")
