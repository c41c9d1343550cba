"""Draw scenes from a seed: active regions whose members share traits, and what stands in them.

A scene depends on (seed, index, mode, size, clutter) alone, never on the scenes before it, so that
scenes can be written in any order and by several processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from solarxai.errors import SynthesisError
from solarxai.synthetic import sun
from solarxai.synthetic.continuum import OVERSAMPLING, Optics
from solarxai.synthetic.matching import draw_matched_pair
from solarxai.synthetic.structures import (
    Dimming,
    Structure,
    Traits,
    draw_dimming,
    draw_orphan,
    draw_pore,
    draw_rudiment,
    draw_sunspot,
    with_penumbra,
    without_penumbra,
)

__all__ = [
    "MEMBERS",
    "MODES",
    "SLOT_SECONDS",
    "Mode",
    "Region",
    "Scene",
    "View",
    "draw_group",
    "draw_region",
    "draw_scene",
    "julian_date",
    "look",
]

Mode = Literal["natural", "matched", "adversarial", "paired", "mixed"]
MODES: tuple[Mode, ...] = ("natural", "matched", "adversarial", "paired", "mixed")

_IN_TURNS: dict[Mode, tuple[Mode, ...]] = {
    "paired": ("matched", "adversarial"),
    "mixed": ("natural", "matched", "adversarial"),
}

MEMBERS = 4
"""Scenes of one active region."""

SLOT_SECONDS = 720
"""Cadence of T_REC, s."""

_SLOT_EPOCH_JD = 2448988.5
"""Julian date (TAI) of T_REC slot 0, 1993.01.01_00:00:00_TAI."""

_COARSE = 0.07
"""Share of natural scenes as blurred as remapped or older images."""

_CLOSE = 0.72
"""Share of its extent that a structure keeps clear of others: outlines rarely reach all of it."""

_SLOTS_2011_TO_2014 = (788_880, 964_200)
_DEGREES_A_SLOT = 13.2 / 120
_REGION, _SCENE, _CENTRE, _CLUTTER = range(4)


@dataclass(frozen=True, kw_only=True)
class Region:
    """An active region: where it stands, when it was seen, and what its members share.

    Parameters
    ----------
    number
        HARPNUM and NOAA_AR of the region.
    slots
        T_REC of its images, in steps of 720 s since 1993.01.01_00:00:00_TAI.
    longitude, latitude
        Stonyhurst position at the first slot, degrees.
    roll, plate_scale
        CROTA2 (degrees) and CDELT (arcsec) of its images.
    core_arcsec, wing
        Width (FWHM) of the point-spread function and share of its 4″ wing.
    contrast
        Rms of the granulation before the telescope at disk centre.
    brightness
        Quiet Sun at disk centre, DN/s.
    noise
        Relative photon noise of the quiet Sun at disk centre.
    first_is_sunspot
        Which class the first member has; they alternate.
    """

    number: int
    slots: tuple[int, ...]
    longitude: float
    latitude: float
    roll: float
    plate_scale: float
    core_arcsec: float
    wing: float
    contrast: float
    brightness: float
    noise: float
    first_is_sunspot: bool
    traits: Traits


@dataclass(frozen=True, kw_only=True)
class View:
    """How a patch of the surface falls on the detector.

    Parameters
    ----------
    observer
        Where the Earth is.
    x, y, mu
        Helioprojective position (arcsec) and cosine of the heliocentric angle of the patch centre.
    column, row
        Its position on the detector, 0-based pixels.
    to_pixels
        (2, 2) matrix from (west, north) Mm on the surface to detector pixels.
    optics
        The telescope.
    """

    observer: sun.Observer
    x: float
    y: float
    mu: float
    column: float
    row: float
    to_pixels: npt.NDArray[np.float64]
    optics: Optics

    @property
    def to_surface(self) -> npt.NDArray[np.float64]:
        """The (2, 2) matrix from fine pixels to Mm on the surface."""
        return np.asarray(np.linalg.inv(self.to_pixels * OVERSAMPLING))

    def locate(self, x: float, y: float) -> tuple[float, float]:
        """Return the 0-based (column, row) of a surface point (Mm from the patch centre)."""
        across, up = self.to_pixels @ [x, y]
        return float(self.column + across), float(self.row + up)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One image to be: the first structure is the centre, the one the scene was drawn for.

    Parameters
    ----------
    index, mode, size, slot
        Its number, its mode, pixels along a side, T_REC slot.
    pair
        Number shared with the counterfactual or matched partner; -1 without one.
    seed
        Fixes granulation and photon noise.
    """

    index: int
    mode: Mode
    size: int
    slot: int
    region: Region
    view: View
    structures: tuple[Structure, ...]
    dimmings: tuple[Dimming, ...]
    pair: int
    seed: int


def draw_region(seed: int, number: int) -> Region:
    """Return active region `number` of a seed."""
    rng = np.random.default_rng([seed, _REGION, number])
    steps = rng.integers(1, 25, MEMBERS)
    start = int(rng.integers(*_SLOTS_2011_TO_2014))
    traits = Traits(
        darkness=rng.normal(0, 0.04),
        spacing=rng.uniform(0.42, 0.68),
        filament_contrast=rng.uniform(0.22, 0.36),
        penumbra_brightness=0.775 + rng.normal(0, 0.02),
        twist=rng.normal(0, 0.12),
        fragmentation=rng.random(),
    )
    upside_down = rng.random() < 0.15
    return Region(
        number=90_001 + number,
        slots=tuple(start + int(step) for step in np.cumsum(steps)),
        longitude=rng.uniform(-48, 42),
        latitude=float(rng.choice([-1, 1]) * rng.uniform(5, 26)),
        roll=rng.normal(0, 0.1) + 180 * upside_down,
        plate_scale=rng.uniform(0.5039, 0.5045),
        core_arcsec=float(np.clip(1.1 * np.exp(rng.normal(0, 0.12)), 0.9, 1.6)),
        wing=rng.uniform(0.08, 0.14),
        contrast=rng.uniform(0.075, 0.125),
        brightness=rng.uniform(4.6e4, 6.8e4),
        noise=rng.uniform(0.0003, 0.002),
        first_is_sunspot=bool(rng.random() < 0.5),
        traits=traits,
    )


def draw_scene(
    seed: int, index: int, *, mode: Mode = "natural", size: int = 160, clutter: bool = True
) -> Scene:
    """Return scene `index` of a seed: a sunspot or a pore at the centre, and what stands near it.

    Parameters
    ----------
    mode
        "natural": sizes and depths as on the Sun. "matched": scenes 2k and 2k + 1 are a sunspot
        and a pore of the same outer radius, core depth and integrated deficit. "adversarial":
        scenes 2k and 2k + 1 are the same image with and without the penumbra. "paired": regions
        take these two in turns; "mixed": all three.
    size
        Pixels along a side.
    clutter
        Whether anything but the centre is drawn.

    Raises
    ------
    SynthesisError
        for an unknown mode, a negative index or a cutout smaller than 96 pixels.
    """
    _check(mode, index, size)
    turns = _IN_TURNS.get(mode, (mode,))
    mode = turns[index // MEMBERS % len(turns)]
    region = draw_region(seed, index // MEMBERS)
    member = index % MEMBERS
    twin = index if mode == "natural" else index // 2
    rng = np.random.default_rng([seed, _SCENE, MODES.index(mode), twin])
    shared = member - member % 2 if mode == "adversarial" else member
    coarse = mode == "natural" and rng.random() < _COARSE
    blur = rng.uniform(1.5, 2.2) if coarse else 1.0
    view = _draw_view(rng, region, region.slots[shared], size, blur)
    sunspot = (member % 2 == 0) == region.first_is_sunspot
    centre, reach = _draw_centre(seed, index, mode, sunspot)
    others: list[Structure] = []
    dimmings: list[Dimming] = []
    surroundings = np.random.default_rng([seed, _CLUTTER, MODES.index(mode), _own(mode, index)])
    if clutter and surroundings.random() < 0.88:
        half = 0.55 * size * view.optics.pixel_mm
        others = list(_draw_clutter(surroundings, region.traits, reach, half, mode))
        dimmings = [draw_dimming(surroundings, half) for _ in range(surroundings.poisson(2.0))]
        if mode == "natural":
            near = range(surroundings.poisson(0.8))
            dimmings += [draw_dimming(surroundings, 3.5, depth=(0.04, 0.2)) for _ in near]
    return Scene(
        index=index, mode=mode, size=size, slot=region.slots[shared], region=region, view=view,
        structures=(centre, *others), dimmings=tuple(dimmings),
        pair=-1 if mode == "natural" else index // 2,
        seed=int(surroundings.integers(2**31)),
    )  # fmt: skip


def julian_date(slot: int) -> float:
    """Return the Julian date (TAI) of a T_REC slot."""
    return _SLOT_EPOCH_JD + slot * SLOT_SECONDS / 86400


def look(region: Region, slot: int, *, column: float, row: float, core_arcsec: float) -> View:
    """Return the view of a region at a time, its centre falling on (column, row)."""
    observer = sun.observe(julian_date(slot))
    longitude = region.longitude + (slot - region.slots[0]) * _DEGREES_A_SLOT
    x, y, mu = sun.project(observer, longitude, region.latitude)
    roll = np.radians(region.roll)
    turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    basis = sun.tangent_basis(observer, longitude, region.latitude)
    pixel = region.plate_scale / observer.arcsec_per_mm
    optics = Optics(
        pixel_mm=pixel,
        core_mm=core_arcsec / observer.arcsec_per_mm,
        wing_mm=4.0 / observer.arcsec_per_mm,
        wing=region.wing,
    )
    return View(
        observer=observer, x=x, y=y, mu=mu, column=column, row=row,
        to_pixels=turn @ basis / region.plate_scale, optics=optics,
    )  # fmt: skip


def _check(mode: str, index: int, size: int) -> None:
    if mode not in MODES:
        raise SynthesisError(
            f"mode {mode!r} is not one of {', '.join(MODES)}", remedy="Choose one of these modes."
        )
    if index < 0:
        raise SynthesisError(f"scene index {index} is negative", remedy="Count scenes from 0.")
    if size < 96:
        raise SynthesisError(
            f"size {size} is less than 96 pixels: a sunspot would not fit",
            remedy="Give a size of 96 or more; the default is 160.",
        )


def _own(mode: Mode, index: int) -> int:
    """Return the number whose draws a scene shares: counterfactuals share all with their twin."""
    return index // 2 if mode == "adversarial" else index


def _draw_view(rng: np.random.Generator, region: Region, slot: int, size: int, blur: float) -> View:
    """Return the view of one scene: up to 6 pixels off the middle, its sharpness its own."""
    column, row = (size - 1) / 2 + rng.uniform(-6, 6, 2)
    core = blur * region.core_arcsec * np.exp(rng.normal(0, 0.04))
    return look(region, slot, column=column, row=row, core_arcsec=float(core))


def _draw_centre(seed: int, index: int, mode: Mode, sunspot: bool) -> tuple[Structure, float]:
    """Return the centre of a scene and the radius (Mm) around it that clutter keeps clear of."""
    if mode == "natural":
        rng = np.random.default_rng([seed, _CENTRE, index])
        traits = draw_region(seed, index // MEMBERS).traits
        centre = draw_sunspot(rng, traits) if sunspot else draw_pore(rng, traits)
        return centre, _CLOSE * centre.extent
    pair = _draw_pair(seed, index // 2, mode)
    return pair[0 if sunspot else 1], max(structure.extent for structure in pair) + 1.5


@lru_cache(maxsize=4)
def _draw_pair(seed: int, pair: int, mode: Mode) -> tuple[Structure, Structure]:
    """Return the sunspot and the pore of a pair, matched as they are first seen."""
    rng = np.random.default_rng([seed, _CENTRE, MODES.index(mode), pair])
    region = draw_region(seed, 2 * pair // MEMBERS)
    if mode == "adversarial":
        return _draw_counterfactuals(rng, region.traits)
    slot = region.slots[2 * pair % MEMBERS]
    view = look(region, slot, column=0, row=0, core_arcsec=region.core_arcsec)
    return draw_matched_pair(rng, region.traits, view.to_surface, view.optics)


def _draw_counterfactuals(rng: np.random.Generator, traits: Traits) -> tuple[Structure, Structure]:
    """Return the same cores with and without penumbra: taken from a spot, or painted on a pore."""
    if rng.random() < 0.5:
        spot = draw_sunspot(rng, traits, radius=(3.5, 9.0))
        return spot, without_penumbra(spot)
    pore = draw_pore(rng, traits, radius=(1.8, 3.8))
    return with_penumbra(rng, pore, traits), pore


def _draw_clutter(
    rng: np.random.Generator, traits: Traits, reach: float, half: float, mode: Mode
) -> Iterator[Structure]:
    """Yield the neighbours of a centre that reaches `reach` Mm, up to `half` Mm away from it.

    Outside natural mode only the centre is asked about: its neighbours are labelled *clutter*.
    """
    taken = [(0.0, 0.0, reach)]
    gap = rng.uniform(-0.8, 1.5) if mode == "natural" else 2.5
    crowd = rng.choice([1.5, 3.0, 7.0], p=(0.4, 0.4, 0.2))
    for _ in range(int(rng.poisson(crowd))):
        for structure in _draw_neighbours(rng, traits):
            place = _find_room(rng, taken, _CLOSE * structure.extent + gap, half)
            if place is None:
                continue
            taken.append((*place, _CLOSE * structure.extent))
            moved = structure.moved(*place)
            yield moved if mode == "natural" else _as_clutter(moved)


def draw_group(
    rng: np.random.Generator, traits: Traits, *, clutter: bool = True
) -> tuple[Structure, ...]:
    """Return an active region around (0, 0): a sunspot or a pore and, with clutter, neighbours."""
    draw = draw_sunspot if rng.random() < 0.6 else draw_pore
    centre = draw(rng, traits)
    if not clutter:
        return (centre,)
    return (centre, *_draw_clutter(rng, traits, _CLOSE * centre.extent, 25.0, "natural"))


def _as_clutter(structure: Structure) -> Structure:
    return replace(structure, asked=False)


def _draw_neighbours(rng: np.random.Generator, traits: Traits) -> list[Structure]:
    """Return one neighbour, or a few small pores that belong together."""
    kind = rng.choice(5, p=(0.44, 0.18, 0.1, 0.12, 0.16))
    if kind == 0:
        return [draw_pore(rng, traits, radius=(0.6, 2.4))]
    if kind == 1:
        return [draw_pore(rng, traits, radius=(0.5, 1.4)) for _ in range(int(rng.integers(2, 5)))]
    if kind == 2:
        return [draw_rudiment(rng, traits)]
    if kind == 3:
        return [draw_orphan(rng, traits)]
    return [draw_sunspot(rng, traits, radius=(3.0, 13.0))]


def _find_room(
    rng: np.random.Generator, taken: list[tuple[float, float, float]], reach: float, half: float
) -> tuple[float, float] | None:
    """Return a place whose circle of `reach` Mm touches nothing; None after ten attempts.

    Places near the centre are as likely as far ones, so that many neighbours stand close to it.
    """
    nearest = taken[0][2] + reach
    for _ in range(10):
        away = rng.uniform(nearest, max(1.3 * half, nearest + 1))
        angle = rng.uniform(0, 2 * np.pi)
        x, y = float(away * np.cos(angle)), float(away * np.sin(angle))
        if all(np.hypot(x - a, y - b) >= r + reach for a, b, r in taken):
            return x, y
    return None
