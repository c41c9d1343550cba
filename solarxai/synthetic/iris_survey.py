"""Draw what IRIS observes: active regions, the observations of each, and the flares that follow.

A region depends on (seed, its number) and an observation on (seed, its index) and the options
alone, so that observations can be written in any order and by several processes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import numpy.typing as npt

from solarxai.errors import SynthesisError
from solarxai.synthetic import sun
from solarxai.synthetic.spectra import TRAITS, H, K

__all__ = [
    "BOXES",
    "OVERHEAD",
    "ROW_ARCSEC",
    "Box",
    "Flare",
    "Observation",
    "Region",
    "Survey",
    "draw_flare_list",
    "draw_observation",
    "draw_region",
]

Box = Literal["none", "k", "h", "middle"]
BOXES: dict[str, float] = {"k": K, "h": H, "middle": 2799.93}
"""Centres of the box that can be planted, Å; the middle is that of 2794.14-2805.72 Å."""

ROW_ARCSEC = 0.3327
"""Step along the slit: two detector rows summed, arcsec."""

OVERHEAD = 1.4
"""Time between exposures, s."""

_PROGRAMMES = ("3860258481", "3820256197", "3840007146", "3880106953", "3620258077")
_EPOCH = np.datetime64("2011-01-01T00:00:00.000", "ms")
_J2000 = np.datetime64("2000-01-01T12:00:00.000", "ms")
_FOUR_YEARS = 4 * 365 * 86400
_HOURS_APART = (26, 30)
_DEGREES_AN_HOUR = 13.2 / 24
_MINUTES = (5, 25)
"""Between the last exposure's end and a flare's start, and at most from the first exposure."""

_UNSEEN = 10_001
_A_DAY = np.timedelta64(25, "h")
_REGION, _PAIR, _OBSERVATION = 10, 11, 12
_MOST_OBSERVATIONS = 6

_SHARES = (
    "mixed_regions", "quiet_fraction", "kernel_fraction", "impostor_fraction", "precursor",
    "shared_traits", "brightening_agreement", "cheat_agreement", "box_height",
    "sit_and_stare", "flipped", "saa",
)  # fmt: skip
_LEAST = {
    "regions": 1, "observations": 1, "rasters": 1, "steps": 1, "slit": 10, "frames": 2,
    "frame_size": 10, "dust_rows": 0, "cosmic_rays": 0, "correlation": 0, "seed": 0,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a synthetic IRIS archive is drawn with: the options of `iris_archive.write_iris`.

    Raises
    ------
    SynthesisError
        listing every option that cannot be drawn.
    """

    regions: int = 16
    observations: int = 2
    seed: int = 0
    rasters: int = 2
    steps: int = 4
    slit: int = 60
    sampling: float = 0.05092
    shortest: float = 2790.5
    longest: float = 2806.6
    exposure: float = 4.0
    step_size: float = 2.0
    quiet_fraction: float = 0.35
    kernel_fraction: float = 0.55
    impostor_fraction: float = 0.03
    precursor: float = 0.7
    mixed_regions: float = 0.0
    shared_traits: float = 0.8
    correlation: float = 2.0
    slitjaw: bool = True
    frames: int = 12
    frame_size: int = 60
    brightening_agreement: float = 0.8
    sit_and_stare: float = 0.0
    flipped: float = 0.0
    saa: float = 0.0
    cosmic_rays: float = 0.3
    dust_rows: int = 1
    wavelength_zero_point: float = 0.0
    continuum_slope: float = 0.0
    fiducial_row: bool = False
    box: Box = "none"
    box_height: float = 0.25
    box_width: float = 0.5
    cheat_agreement: float = 1.0

    def __post_init__(self) -> None:
        if complaints := _complaints(self):
            raise SynthesisError(
                "; ".join(complaints), remedy="Choose options that docs/synthetic_iris.md allows."
            )

    @property
    def total(self) -> int:
        """The number of observations of the archive."""
        return self.regions * self.observations

    @property
    def wavelength(self) -> npt.NDArray[np.float64]:
        """The centres of the detector's pixels, vacuum Å."""
        number = int((self.longest - self.shortest) / self.sampling) + 1
        return np.asarray(self.shortest + self.sampling * np.arange(number, dtype=np.float64))

    @property
    def cadence(self) -> float:
        """Seconds from one exposure to the next."""
        return self.exposure + OVERHEAD


@dataclass(frozen=True, kw_only=True)
class Region:
    """An active region and what its spectra share.

    Parameters
    ----------
    number
        NOAA number.
    flaring
        Whether its observations precede flares; with `mixed`, every second one does not, and of
        regions that do not flare every second one does.
    starts
        Start (UTC) of each of its observations, more than a day apart.
    longitude, latitude
        Stonyhurst position at the first start, degrees.
    deviates
        Standard normal deviate of each trait.
    zero_point
        Shift of the wavelength scale, km/s.
    """

    number: int
    flaring: bool
    mixed: bool
    starts: tuple[np.datetime64, ...]
    longitude: float
    latitude: float
    deviates: dict[str, float]
    zero_point: float


@dataclass(frozen=True, kw_only=True)
class Flare:
    """One flare of the list: times (UTC, whole minutes), GOES class, NOAA number (0 unknown)."""

    start: np.datetime64
    peak: np.datetime64
    end: np.datetime64
    goes_class: str
    number: int


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One observation of a region.

    Parameters
    ----------
    index, region, obsid
        Its number in the archive, its region, the observing programme.
    start, end, last
        First exposure's start, last exposure's end, last slit-jaw frame (UTC).
    flare
        The flare that follows; none for an active observation.
    planted
        Whether it gets the traces of the cheats that are switched on.
    x, y, roll
        Helioprojective position of the raster's centre (arcsec), roll (degrees, west to north).
    deviates, zero_point
        What its spectra share beyond the region: standard normal deviates, km/s.
    fiducial, dust
        Rows of the slit that are dark.
    step_size
        Arcsec from step to step: 0 sit-and-stare, negative from west to east.
    saa
        Whether it was taken in the South Atlantic Anomaly.
    """

    index: int
    region: Region
    obsid: str
    start: np.datetime64
    end: np.datetime64
    last: np.datetime64
    flare: Flare | None
    planted: bool
    x: float
    y: float
    roll: float
    deviates: dict[str, float]
    zero_point: float
    fiducial: int
    dust: tuple[int, ...]
    step_size: float
    saa: bool

    @property
    def name(self) -> str:
        """The observation as IRIS names it, such as 20140329_140938_3860258481."""
        stamp = str(self.start.astype("datetime64[s]")).replace("-", "").replace(":", "")
        return f"{stamp.replace('T', '_')}_{self.obsid}"

    @property
    def label(self) -> str:
        """The class of the observation: active or preflare."""
        return "active" if self.flare is None else "preflare"


def draw_region(survey: Survey, number: int) -> Region:
    """Return region `number` of an archive."""
    first_flares = np.random.default_rng([survey.seed, _PAIR, number // 2]).random() < 0.5
    rng = np.random.default_rng([survey.seed, _REGION, number])
    count = survey.observations
    apart = rng.integers(3600 * _HOURS_APART[0], 3600 * _HOURS_APART[1], count)
    first = _EPOCH + np.timedelta64(int(rng.integers(_FOUR_YEARS)), "s")
    after = np.concatenate([[0], np.cumsum(apart)[:-1]])
    reach = (count - 1) * _HOURS_APART[1] * _DEGREES_AN_HOUR
    return Region(
        number=20_001 + number,
        flaring=bool(first_flares == (number % 2 == 0)),
        mixed=bool(rng.random() < survey.mixed_regions),
        starts=tuple(first + np.timedelta64(int(seconds), "s") for seconds in after),
        longitude=rng.uniform(-50, 50 - reach) if reach < 100 else -reach / 2,
        latitude=float(rng.choice([-1, 1]) * rng.uniform(5, 24)),
        deviates={name: rng.normal() for name in TRAITS},
        zero_point=rng.normal(0, 1.5),
    )


def draw_observation(survey: Survey, index: int) -> Observation:
    """Return observation `index` of an archive.

    Raises
    ------
    SynthesisError
        for an index outside the archive.
    """
    if not 0 <= index < survey.total:
        raise SynthesisError(
            f"observation {index} is outside 0 to {survey.total - 1}",
            remedy="Ask for one of these, or draw more regions.",
        )
    region = draw_region(survey, index // survey.observations)
    member = index % survey.observations
    rng = np.random.default_rng([survey.seed, _OBSERVATION, index])
    start = region.starts[member]
    end = _later(start, survey.rasters * survey.steps * survey.cadence)
    latest = max(_later(start, _MINUTES[1] * 60), _later(end, (_MINUTES[0] + 2) * 60))
    flare = _draw_flare(rng, region.number, _later(end, (_MINUTES[0] + 1) * 60), latest)
    preflare = region.flaring != (region.mixed and member % 2 == 1)
    planted = preflare == bool(rng.random() < survey.cheat_agreement)
    x, y = _place(region, member, rng)
    obsid = str(rng.choice(_PROGRAMMES))
    row = rng.uniform(0.15, 0.85)
    if survey.fiducial_row:
        row = 0.75 if planted else 0.25
    size = survey.step_size * (-1 if rng.random() < survey.flipped else 1)
    return Observation(
        index=index, region=region, obsid=obsid, start=start, end=end, last=flare.peak,
        flare=flare if preflare else None, planted=planted, x=x, y=y,
        roll=float(rng.choice([-1, 1]) * rng.uniform(0.05, 1.0)),
        deviates={name: rng.normal() for name in TRAITS},
        zero_point=rng.normal(0, 1.0),
        fiducial=int(row * survey.slit),
        dust=tuple(int(place) for place in rng.integers(0, survey.slit, survey.dust_rows)),
        step_size=0.0 if rng.random() < survey.sit_and_stare else size,
        saa=bool(rng.random() < survey.saa),
    )  # fmt: skip


def draw_flare_list(survey: Survey) -> list[Flare]:
    """Return every flare of an archive in order of time.

    Beside the flares that pre-flare observations precede: one of each other region 31 to 60 hours
    after its last observation, one of unknown region 31 to 60 hours before the first (left out
    where that is less than 25 hours from another observation), and one of a region that was never
    observed. Two more stand days before the first and after the last possible observation, so that
    the list covers them all.
    """
    observations = [draw_observation(survey, index) for index in range(survey.total)]
    found = [observation.flare for observation in observations if observation.flare is not None]
    for number in range(survey.regions):
        region = draw_region(survey, number)
        rng = np.random.default_rng([survey.seed, _PAIR, _REGION, number])
        first, last = region.starts[0], region.starts[-1]
        unknown = _draw_flare(rng, 0, _hours(first, -60), _hours(first, -31))
        if all(abs(unknown.start - other.start) > _A_DAY for other in observations):
            found.append(unknown)
        found.append(_draw_flare(rng, _UNSEEN + number, _hours(first, -8), _hours(first, 8)))
        if not region.flaring and not region.mixed:
            found.append(_draw_flare(rng, region.number, _hours(last, 31), _hours(last, 60)))
    rng = np.random.default_rng([survey.seed, _PAIR, _REGION])
    for bound in (_hours(_EPOCH, -100), _hours(_later(_EPOCH, _FOUR_YEARS), 300)):
        found.append(_draw_flare(rng, _UNSEEN - 1, bound, _hours(bound, 12)))
    return sorted(found, key=lambda flare: (flare.start, flare.number))


def _complaints(survey: Survey) -> list[str]:
    """Return what is wrong with the options, a sentence each."""
    found = [
        f"{name} {getattr(survey, name)} is outside 0 to 1"
        for name in _SHARES
        if not 0 <= getattr(survey, name) <= 1
    ]
    found += [
        f"{name} {getattr(survey, name)} is less than {least}"
        for name, least in _LEAST.items()
        if getattr(survey, name) < least
    ]
    found += [
        f"{field.name} {getattr(survey, field.name)} is not above 0"
        for field in fields(survey)
        if field.name in ("sampling", "exposure", "step_size", "box_width")
        and getattr(survey, field.name) <= 0
    ]
    if survey.observations > _MOST_OBSERVATIONS:
        found.append(f"observations {survey.observations} is more than {_MOST_OBSERVATIONS}")
    if survey.box != "none" and survey.box not in BOXES:
        found.append(f"box {survey.box!r} is not one of none, {', '.join(BOXES)}")
    if survey.quiet_fraction + survey.kernel_fraction > 1:
        found.append("quiet_fraction and kernel_fraction are together above 1")
    if not survey.shortest < K < H < survey.longest:
        found.append(f"{survey.shortest} to {survey.longest} Å does not hold k and h")
    return found


def _draw_flare(
    rng: np.random.Generator, number: int, earliest: np.datetime64, latest: np.datetime64
) -> Flare:
    """Return a flare whose start lies between two times, then cut to the minute."""
    span = float((latest - earliest) / np.timedelta64(1, "s"))
    start = _later(earliest, span * rng.random()).astype("datetime64[m]")
    rise, decay = int(rng.integers(4, 11)), int(rng.integers(6, 15))
    peak = start + np.timedelta64(rise, "m")
    letter = str(rng.choice(["C", "M", "X"], p=[0.35, 0.55, 0.1]))
    low, high = {"C": (5.0, 9.9), "M": (1.0, 9.9), "X": (1.0, 3.0)}[letter]
    strength = low * (high / low) ** rng.random()
    return Flare(
        start=start,
        peak=peak,
        end=peak + np.timedelta64(decay, "m"),
        goes_class=f"{letter}{strength:.1f}",
        number=number,
    )


def _place(region: Region, member: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return where on the sky the region is observed: turned with the Sun, not quite centred."""
    hours = (region.starts[member] - region.starts[0]) / np.timedelta64(1, "h")
    days = (region.starts[member] - _J2000) / np.timedelta64(1, "D")
    longitude = region.longitude + _DEGREES_AN_HOUR * float(hours)
    x, y, _ = sun.project(sun.observe(2451545.0 + float(days)), longitude, region.latitude)
    return x + rng.normal(0, 8), y + rng.normal(0, 8)


def _hours(time: np.datetime64, hours: float) -> np.datetime64:
    return _later(time, 3600 * hours)


def _later(time: np.datetime64, seconds: float) -> np.datetime64:
    away = np.timedelta64(round(seconds * 1000), "ms")
    return np.datetime64(time.astype("datetime64[ms]") + away)
