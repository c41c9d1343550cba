"""Does the flare brighten where the attention was? The statement as a number, with its nulls."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import astropy.units as u
import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.attention.slit import Quantity, light_curves, slit_profile, slit_world
from solarxai.errors import ContractError, QueryError
from solarxai.metrics import Interval, proportion_interval

__all__ = ["Meeting", "SlitAgreement", "brightening", "slit_agreement"]

Array = npt.NDArray[np.float64]

_WITHIN = 5 * u.arcsec
_LASTING = 30 * u.min
_COVERED = 0.5
"""Least part of the window of the flare that the slit-jaw images must cover."""


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """One observation: where its attention and its brightening have their maxima.

    Parameters
    ----------
    observation, region
        Which, and whose.
    reason
        Why there is no answer; "" if there is one.
    attention, brightening
        Places of the maxima, arcsec along the slit from its first position; NaN without answer.
    distance
        Between them, arcsec.
    hit
        Whether the distance is within the limit.
    chance
        Part of the slit's positions at hand that would have been a hit.
    exposures, frames
        Exposures before the window, and slit-jaw images in it.
    missing
        Part of the slit's values missing in these images: off them, lost, or saturated.
    """

    observation: str
    region: str
    reason: str = ""
    attention: float = math.nan
    brightening: float = math.nan
    distance: float = math.nan
    hit: bool = False
    chance: float = math.nan
    exposures: int = 0
    frames: int = 0
    missing: float = math.nan


@dataclass(frozen=True, kw_only=True)
class SlitAgreement:
    """How often the flare brightens most where the attention was largest.

    Parameters
    ----------
    meetings
        One an observation, answered or not.
    within
        The limit, arcsec.
    fraction
        Part of the answered observations that are hits, with its interval by region; None if no
        observation could be answered.
    chance
        Mean of `Meeting.chance`: the fraction that random positions on the slit would reach.
    p_chance
        Probability that random positions give as many hits or more (exact).
    shuffled, p_shuffled
        The fraction with the attention of another observation, and how often it reaches as many
        hits or more; NaN with fewer than two observations. Large values mean that both lie at one
        preferred place of the slit, such as its middle.
    """

    meetings: tuple[Meeting, ...]
    within: float
    fraction: Interval | None
    chance: float
    p_chance: float
    shuffled: float
    p_shuffled: float

    @property
    def unanswered(self) -> Mapping[str, str]:
        """Return the reason of each observation without an answer."""
        return {one.observation: one.reason for one in self.meetings if one.reason}

    def record(self) -> dict[str, Any]:
        """Return everything as plain numbers and words."""
        found = asdict(self)
        found["fraction"] = None if self.fraction is None else self.fraction.record()
        return found

    def __str__(self) -> str:
        if self.fraction is None:
            return f"no observation of {len(self.meetings)} can be answered"
        answered = len(self.meetings) - len(self.unanswered)
        interval = f"{self.fraction}"
        if math.isnan(self.fraction.low):
            interval = f"{self.fraction.value:.3f} (of one region, so without interval)"
        shuffled = f", shuffled {self.shuffled:.3f} (p = {self.p_shuffled:.3g})"
        return (
            f"in {interval} of {answered} observations the flare brightens most within "
            f"{self.within:g} arcsec of the largest attention; random positions {self.chance:.3f} "
            f"(p = {self.p_chance:.3g}){'' if math.isnan(self.shuffled) else shuffled}; "
            f"{len(self.unanswered)} without answer"
        )


def brightening(
    samples: xr.Dataset, movie: xr.Dataset, window: tuple[np.datetime64, np.datetime64]
) -> xr.DataArray:
    """Return the largest emission at each slit position in a window of time, (slit,).

    Parameters
    ----------
    samples
        Exposures of one observation: a raster's slits at all its steps count.
    movie
        Slit-jaw images, as of `light_curves`.
    window
        First and last time, UTC, inclusive.

    Notes
    -----
    The attribute `missing` tells which part of the values is missing. The readers drop saturated
    pixels, so the maximum of a saturated kernel is found at its edge.
    """
    time = movie["time"].values
    inside = np.flatnonzero((time >= window[0]) & (time <= window[1]))
    curves = [
        light_curves(movie, slit_world(samples, row), at=samples["time"].values[row])
        for row in _distinct_slits(samples)
    ]
    found = np.fmax.reduce([np.fmax.reduce(curve.values[inside]) for curve in curves], axis=0)
    missing = np.mean([np.isnan(curve.values[inside]).mean() for curve in curves])
    attrs = {**curves[0].attrs, "frames": len(inside), "missing": float(missing)}
    return xr.DataArray(found, dims=("slit",), attrs=attrs, name="brightening")


def slit_agreement(
    samples: xr.Dataset,
    movies: Mapping[str, xr.Dataset],
    method: str,
    *,
    quantity: Quantity = "absolute",
    within: u.Quantity = _WITHIN,
    lasting: u.Quantity = _LASTING,
    least_kept: float = 0.5,
    n_shuffles: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> SlitAgreement:
    """Return in which fraction of observations the flare brightens where the attention was.

    Parameters
    ----------
    samples
        Spectrogram Samples with maps, of any number of observations; those whose exposures have no
        `flare_onset` are told to have no flare.
    movies
        Slit-jaw images by observation.
    method, quantity
        What attention is, as of `slit_profile`; its mean over the exposures before the onset.
    within
        Largest distance along the slit that is a hit.
    lasting
        The flare's emission is looked for from its onset for so long.
    least_kept
        A position counts if its spectrum was kept in this part of those exposures: the mean of a
        few is the largest by chance.
    n_shuffles, seed
        Of the shuffled null.
    level
        Of the interval.

    Raises
    ------
    ContractError
        when `within` or `lasting` is not positive, or `least_kept` not in [0, 1].

    Notes
    -----
    Observations whose images end before half of the window is over, begin after the flare or do
    not show the slit, and those without an exposure before the onset, have no answer and a reason
    for it. Both p-values take the observations as independent, which several of one region are
    not; the interval resamples regions.

    References
    ----------
    Panos, Kleint & Zbinden 2023, arXiv:2301.01560: 78 % of the time, without a null.
    """
    limit = _positive(within.to_value(u.arcsec), "within")
    seconds = _positive(lasting.to_value(u.s), "lasting")
    if not 0 <= least_kept <= 1:
        raise ContractError(f"least_kept is {least_kept:g}", remedy="Give a part from 0 to 1.")
    asked = _Asked(method, quantity, limit, np.timedelta64(int(seconds * 1e9), "ns"), least_kept)
    made = [_meet(rows, movies, asked) for rows in _observations(samples)]
    answered = [(one, relative) for one, relative in made if not one.reason]
    hits = np.array([one.hit for one, _ in answered], dtype=bool)
    chances = np.array([one.chance for one, _ in answered])
    shuffled = _shuffles([relative for _, relative in answered], limit, n_shuffles, seed)
    return SlitAgreement(
        meetings=tuple(one for one, _ in made),
        within=limit,
        fraction=_fraction([one for one, _ in answered], seed, level),
        chance=float(chances.mean()) if len(chances) else math.nan,
        p_chance=_at_least(chances, int(hits.sum())) if len(hits) else math.nan,
        shuffled=float(shuffled.mean()) if shuffled.size else math.nan,
        p_shuffled=_reached(shuffled, float(hits.mean())) if shuffled.size else math.nan,
    )


class _Asked(NamedTuple):
    """What every observation is asked; the limit in arcsec."""

    method: str
    quantity: Quantity
    limit: float
    lasting: np.timedelta64
    least_kept: float


def _meet(
    rows: xr.Dataset, movies: Mapping[str, xr.Dataset], asked: _Asked
) -> tuple[Meeting, tuple[float, float]]:
    """Return one observation, and its two places counted from the middle of the slit."""
    name, region = (str(rows[key].values[0]) for key in ("observation", "region"))
    onset = _onset(rows)
    movie = movies.get(name)
    reason = _reason(rows, movie, onset, asked.lasting)
    if reason or movie is None or onset is None:
        return Meeting(observation=name, region=region, reason=reason), (math.nan, math.nan)
    before = rows.isel(sample=np.flatnonzero(rows["time"].values < onset))
    try:
        bright = brightening(before, movie, (onset, onset + asked.lasting))
    except QueryError as error:
        return Meeting(observation=name, region=region, reason=error.what), (math.nan, math.nan)
    profile = slit_profile(before, asked.method, quantity=asked.quantity)
    attention = _mean_profile(profile.values, asked.least_kept)
    at_hand = np.isfinite(attention) & np.isfinite(bright.values)
    if not at_hand.any():
        reason = "no position of the slit has both an attention and an emission"
        return Meeting(observation=name, region=region, reason=reason), (math.nan, math.nan)
    along = _along(slit_world(before, 0))
    places = [along[np.where(at_hand, v, -np.inf).argmax()] for v in (attention, bright.values)]
    distance = abs(places[0] - places[1])
    found = Meeting(
        observation=name,
        region=region,
        attention=float(places[0]),
        brightening=float(places[1]),
        distance=float(distance),
        hit=bool(distance <= asked.limit),
        chance=float((np.abs(along[at_hand] - places[1]) <= asked.limit).mean()),
        exposures=before.sizes["sample"],
        frames=int(bright.attrs["frames"]),
        missing=float(bright.attrs["missing"]),
    )
    middle = along[-1] / 2
    return found, (float(places[0] - middle), float(places[1] - middle))


def _reason(
    rows: xr.Dataset,
    movie: xr.Dataset | None,
    onset: np.datetime64 | None,
    lasting: np.timedelta64,
) -> str:
    """Return why an observation cannot be answered, "" if nothing is known against it."""
    if onset is None:
        return "no flare onset is known"
    if not (rows["time"].values < onset).any():
        return f"no exposure is earlier than the flare at {_text(onset)}"
    if movie is None or not movie.sizes["frame"]:
        return "there are no slit-jaw images"
    first, last = movie["time"].values.min(), movie["time"].values.max()
    needed = onset + lasting * _COVERED
    if last < needed:
        return f"the slit-jaw images end at {_text(last)}, the flare begins at {_text(onset)}"
    if first > onset + lasting * (1 - _COVERED):
        return f"the slit-jaw images begin at {_text(first)}, the flare at {_text(onset)}"
    inside = (movie["time"].values >= onset) & (movie["time"].values <= onset + lasting)
    return "" if inside.any() else f"no slit-jaw image is of the flare at {_text(onset)}"


def _onset(rows: xr.Dataset) -> np.datetime64 | None:
    """Return the first onset that an exposure is before, else the first there is."""
    words = sorted({str(word) for word in rows["flare_onset"].values if str(word)})
    times = [np.datetime64(word.removesuffix("Z"), "ns") for word in words]
    after = [time for time in times if (rows["time"].values < time).any()]
    return next(iter(after or times), None)


def _observations(samples: xr.Dataset) -> Iterator[xr.Dataset]:
    names = samples["observation"].values.astype(str)
    for name in np.unique(names):
        yield samples.isel(sample=np.flatnonzero(names == name))


def _distinct_slits(samples: xr.Dataset) -> list[int]:
    """Return the first row of each raster step: rasters of one observation repeat themselves."""
    _, first = np.unique(samples["step"].values, return_index=True)
    return [int(row) for row in first]


def _mean_profile(profile: Array, least_kept: float) -> Array:
    """Return the mean (slit,) over the exposures that have a value, NaN where too few have."""
    known = np.isfinite(profile)
    total, count = np.where(known, profile, 0).sum(axis=0), known.sum(axis=0)
    enough = count >= max(1.0, least_kept * len(profile))
    return np.where(enough, total / np.maximum(count, 1), np.nan)


def _along(world: Array) -> Array:
    """Return (slit,) the distance in arcsec from the first position of the slit."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(world, axis=1)))])


def _fraction(answered: Sequence[Meeting], seed: int, level: float) -> Interval | None:
    if not answered:
        return None
    hits = np.array([one.hit for one in answered])
    groups = np.array([one.region for one in answered])
    return proportion_interval(hits, groups=groups, seed=seed, level=level)


def _at_least(chances: Array, hits: int) -> float:
    """Return P(as many hits or more) of independent trials with these chances, exactly."""
    number = np.ones(1)
    for chance in chances:
        number = np.convolve(number, [1 - chance, chance])
    return float(min(1.0, number[hits:].sum()))


def _shuffles(places: Sequence[tuple[float, float]], limit: float, n: int, seed: int) -> Array:
    """Return (shuffle,) the fraction of hits with the attention of other observations."""
    if len(places) < 2:
        return np.zeros(0)
    attention, bright = np.array(places).T
    rng = np.random.default_rng(seed)
    orders = np.array([rng.permutation(len(places)) for _ in range(n)])
    return np.asarray((np.abs(attention[orders] - bright) <= limit).mean(axis=1))


def _reached(shuffled: Array, fraction: float) -> float:
    """Return how often a shuffle reaches the fraction, the observed order counted in.

    References
    ----------
    Phipson & Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9, 39, doi:10.2202/1544-6115.1585.
    """
    return float((1 + (shuffled >= fraction - 1e-12).sum()) / (1 + len(shuffled)))


def _positive(value: float, name: str) -> float:
    if not value > 0:
        raise ContractError(f"{name} is {value:g}", remedy=f"Give a positive {name}.")
    return float(value)


def _text(time: np.datetime64) -> str:
    return str(time.astype("datetime64[s]"))
