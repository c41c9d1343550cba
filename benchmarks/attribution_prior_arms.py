"""What networks taught with and without an attribution prior came to, and how far they differ.

Counts by region, so that resampling regions costs little and every weight is compared on the same
regions, folds and seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import scipy.stats
import xarray as xr

from solarxai.metrics import Interval, block_bootstrap
from solarxai.training.levels import Forecasts

LEVELS = ("spectrum", "observation")
SKILL = tuple(f"{score}, {level}" for level in LEVELS for score in ("TSS", "AUC"))
MAPS = ("roughness", "agreement of seeds", "share in lines")
Key = int | tuple[int, int]


@dataclass(kw_only=True)
class Arm:
    """What the networks of one model and weight came to, by region.

    Parameters
    ----------
    tables
        A level and seed: (region,) yes, no, hits, false alarms; (region of a yes, region of a no)
        the pairs within a fold, and how many of them are ranked right.
    maps
        A measure and seed, or pair of seeds: (region,) means over the spectra shown, NaN where a
        network was constant.
    epochs
        CPU seconds of an epoch, a network.
    constant
        Networks that answer the same to every test spectrum.
    """

    tables: dict[tuple[str, int], dict[str, np.ndarray]] = field(default_factory=dict)
    maps: dict[tuple[str, Key], np.ndarray] = field(default_factory=dict)
    epochs: list[float] = field(default_factory=list)
    constant: int = 0

    def add_table(self, level: str, seed: int, more: dict[str, np.ndarray]) -> None:
        """Add the counts of another fold, whose regions are others."""
        have = self.tables.setdefault((level, seed), {n: np.zeros_like(c) for n, c in more.items()})
        self.tables[level, seed] = {name: have[name] + more[name] for name in more}

    def add_maps(self, measure: str, key: Key, more: np.ndarray) -> None:
        """Add the means of another fold, whose regions are others."""
        have = self.maps.get((measure, key), np.full(len(more), np.nan))
        self.maps[measure, key] = np.where(np.isnan(more), have, more)

    def keys(self, name: str) -> list[Key]:
        """Return the seeds, or pairs of them, that a figure was measured for."""
        if name in MAPS:
            return [key for measure, key in self.maps if measure == name]
        return [seed for level, seed in self.tables if level == name.split(", ")[1]]

    def value(self, name: str, key: Key, drawn: np.ndarray) -> float:
        """Return a figure of one seed, or pair, for drawn regions."""
        if name in MAPS:
            return mean(self.maps[name, key][drawn])
        kind, level = name.split(", ")
        return score(self.tables[level, key], kind, drawn)  # type: ignore[index]

    def change(self, base: Arm, name: str, key: Key, drawn: np.ndarray) -> float:
        """Return by how much that figure differs from that of another arm."""
        if name in MAPS:
            return mean((self.maps[name, key] - base.maps[name, key])[drawn])
        return self.value(name, key, drawn) - base.value(name, key, drawn)


def counted(said: Forecasts, names: np.ndarray) -> dict[str, np.ndarray]:
    """Return the tables by region of forecasts of one fold (see `Arm`)."""
    place, yes = np.searchsorted(names, said.region), said.truth
    n = len(names)

    def tally(rows: np.ndarray) -> np.ndarray:
        return np.bincount(place[rows], minlength=n)

    called = said.margin > 0
    right = np.zeros((n, n))
    for region in np.unique(place[~yes]):
        others = np.sort(said.margin[~yes & (place == region)])
        sides = [np.searchsorted(others, said.margin[yes], side) for side in ("left", "right")]
        right[:, region] = np.bincount(place[yes], weights=sum(sides) / 2, minlength=n)
    made = {"yes": yes, "no": ~yes, "hits": yes & called, "alarms": ~yes & called}
    tables = {name: tally(rows) for name, rows in made.items()}
    return {**tables, "right": right, "pairs": np.outer(tables["yes"], tables["no"])}


def score(tables: Mapping[str, np.ndarray], name: str, drawn: np.ndarray) -> float:
    """Return TSS at margin 0, or the AUC of pairs within a fold, of drawn regions."""
    times = np.bincount(drawn, minlength=len(tables["yes"]))
    if name == "TSS":
        yes, no = times @ tables["yes"], times @ tables["no"]
        if not (yes and no):
            return math.nan
        return float(times @ tables["hits"] / yes - times @ tables["alarms"] / no)
    pairs = times @ tables["pairs"] @ times
    return float(times @ tables["right"] @ times / pairs) if pairs else math.nan


def by_region(values: np.ndarray, few: xr.Dataset, names: np.ndarray) -> np.ndarray:
    """Return the mean of values (sample,) of each region (region,), NaN where none is shown."""
    place = np.searchsorted(names, few["region"].values.astype(str))
    many = np.bincount(place, minlength=len(names))
    sums = np.bincount(place, weights=values, minlength=len(names))
    means = np.full(len(names), np.nan)
    np.divide(sums, many, out=means, where=many > 0)
    return means


def mean(values: np.ndarray) -> float:
    """Return the mean of what is finite, NaN if nothing is."""
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if len(kept) else math.nan


def over_regions(
    of: Callable[[Key, np.ndarray], float], keys: list[Key], names: np.ndarray
) -> Interval:
    """Return the mean over seeds of a figure, with its interval from resampled regions."""

    def statistic(drawn: np.ndarray) -> float:
        return mean(np.array([of(key, drawn) for key in keys]))

    return block_bootstrap(statistic, np.arange(len(names)), groups=names)


def over_seeds(values: np.ndarray) -> tuple[float, float]:
    """Return Student's 95 % interval of the mean over seeds."""
    reach = scipy.stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return values.mean() - reach, values.mean() + reach


@dataclass(frozen=True, kw_only=True)
class Change:
    """By how much a figure differs from that of weight 0, with both intervals."""

    name: str
    regions: Interval
    seeds: tuple[float, float]

    @property
    def sign(self) -> int:
        """Return +1 or -1 where both intervals leave out 0 on that side, else 0."""
        bounds = np.array([self.regions.low, self.regions.high, *self.seeds])
        return int((bounds > 0).all()) - int((bounds < 0).all())

    def __str__(self) -> str:
        """Return the cell of a table, bold where it counts."""
        if math.isnan(self.regions.value):
            return "–"
        low, high = self.seeds
        bounds = f"[{self.regions.low:+.3f}, {self.regions.high:+.3f}] [{low:+.3f}, {high:+.3f}]"
        bold = "**" if self.sign else ""
        return f"{bold}{self.regions.value:+.3f}{bold} {bounds}"


def changes(arm: Arm, base: Arm, names: np.ndarray) -> list[Change]:
    """Return the changes of an arm, a figure."""
    made, everywhere = [], np.arange(len(names))
    for name in (*SKILL, *MAPS):
        of = partial(arm.change, base, name)
        keys = [key for key in arm.keys(name) if key in base.keys(name)]
        each = np.array([of(key, everywhere) for key in keys])
        each = each[np.isfinite(each)]
        seeds = over_seeds(each) if len(each) > 1 else (math.nan, math.nan)
        made.append(Change(name=name, regions=over_regions(of, keys, names), seeds=seeds))
    return made


def figure(arm: Arm, name: str, names: np.ndarray) -> str:
    """Return the cell of a figure: mean over seeds, interval over regions, spread of seeds."""
    keys, everywhere = arm.keys(name), np.arange(len(names))
    found = over_regions(partial(arm.value, name), keys, names)
    if math.isnan(found.value):
        return "–"
    each = np.array([arm.value(name, key, everywhere) for key in keys])
    spread = f"{np.nanstd(each, ddof=1):.2f}" if np.isfinite(each).sum() > 1 else "–"
    low, high = (round(bound, 2) + 0.0 for bound in (found.low, found.high))
    return f"{found.value:.3f} [{low:.2f}, {high:.2f}] ± {spread}"


def judged(found: list[Change]) -> str:
    """Return in a word what the changes of the scores at one weight show."""
    signs = {one.sign for one in found if one.name in SKILL} - {0}
    words = {(): "shows neither help nor harm", (1,): "helps", (-1,): "harms"}
    return words.get(tuple(signs), "helps and harms")


def verdict(weight: float, found: list[Change]) -> str:
    """Return what the intervals say of one weight, in words."""
    words = {1: "higher", -1: "lower"}
    scores, maps = (
        [f"{one.name} {words[one.sign]}" for one in found if one.name in names and one.sign]
        for names in (SKILL, MAPS)
    )
    told = f"{judged(found)}{': ' if scores else ''}{'; '.join(scores)}"
    return f"* Weight {weight:g} {told}. Maps: {'; '.join(maps) or 'no change shown'}."


def in_short(found: Mapping[str, Mapping[float, list[Change]]]) -> str:
    """Return what all networks and weights show, by the word of `judged`."""
    said: dict[str, list[str]] = {}
    for model, weights in found.items():
        for weight, one in weights.items():
            said.setdefault(judged(one), []).append(f"`{model}` at {weight:g}")
    return "The prior " + "; ".join(f"{word} for {', '.join(who)}" for word, who in said.items())
