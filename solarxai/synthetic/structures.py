"""What stands on the synthetic photosphere: cores, penumbral fans, bridges, and how to draw them.

A structure is a handful of numbers; everything irregular about it (its ragged outline, each
filament) follows from the seeds it carries, so that removing its penumbra leaves its core as it
was. Lengths are Mm on the solar surface, intensities are relative to the quiet Sun at the same
place, before the point-spread function.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

__all__ = [
    "Bridge",
    "Core",
    "Dimming",
    "Fan",
    "Structure",
    "Traits",
    "draw_dimming",
    "draw_orphan",
    "draw_pore",
    "draw_rudiment",
    "draw_sunspot",
    "with_penumbra",
    "without_penumbra",
]


@dataclass(frozen=True, kw_only=True)
class Core:
    """One dark core: I = intensity + (edge - intensity) rho^exponent inside its ragged outline.

    Parameters
    ----------
    x, y
        Centre, from the centre of the scene, Mm to the west and to the north.
    radius
        Mean radius, Mm.
    elongation, angle
        Axis ratio and direction of the long axis (radians from west).
    intensity, edge, exponent
        Profile of the intensity from the centre (rho = 0) to the outline (rho = 1).
    irregularity, raggedness
        Relative amplitude of the slow (2 to 6 waves a turn) and of the fine outline.
    seed
        Fixes the outline.
    """

    x: float
    y: float
    radius: float
    elongation: float
    angle: float
    intensity: float
    edge: float
    exponent: float
    irregularity: float
    raggedness: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class Fan:
    """One penumbra: filaments that radiate from (x, y) up to a ragged outline.

    Parameters
    ----------
    x, y, radius, elongation, angle, irregularity, raggedness, seed
        As for a core; the seed also fixes the filaments.
    inner, outer
        Mean intensity at the umbra and at the outline.
    spacing
        Distance between filaments halfway out, Mm.
    contrast
        Relative rms of the filaments.
    twist
        How far filaments turn on their way out, radians.
    gap, gap_angle
        Width and middle of the sector without penumbra, radians; no gap at 0.
    """

    x: float
    y: float
    radius: float
    elongation: float
    angle: float
    irregularity: float
    raggedness: float
    inner: float
    outer: float
    spacing: float
    contrast: float
    twist: float
    gap: float
    gap_angle: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class Bridge:
    """A light bridge: a bright, curved lane of `width` Mm through (x, y), along `angle`."""

    x: float
    y: float
    angle: float
    curvature: float
    width: float
    intensity: float


@dataclass(frozen=True, kw_only=True)
class Dimming:
    """Abnormal granulation: the quiet Sun fades by `depth` around (x, y) over `radius` Mm."""

    x: float
    y: float
    radius: float
    depth: float


@dataclass(frozen=True, kw_only=True)
class Structure:
    """A sunspot, a pore, an orphan penumbra or something between.

    Parameters
    ----------
    label
        "sunspot", "pore", "ambiguous" (a rudimentary penumbra) or "orphan" (filaments, no umbra).
    x, y
        Its position, Mm from the centre of the scene.
    extent
        Radius of the circle around it that holds all of it, Mm.
    asked
        Whether its label is one to learn or to judge by; otherwise the truth calls it *clutter*.
    """

    label: str
    x: float
    y: float
    extent: float
    cores: tuple[Core, ...] = ()
    fans: tuple[Fan, ...] = ()
    bridges: tuple[Bridge, ...] = ()
    asked: bool = True

    def moved(self, x: float, y: float) -> Structure:
        """Return the same structure at another place."""
        dx, dy = x - self.x, y - self.y
        return replace(
            self,
            x=x,
            y=y,
            cores=tuple(replace(part, x=part.x + dx, y=part.y + dy) for part in self.cores),
            fans=tuple(replace(part, x=part.x + dx, y=part.y + dy) for part in self.fans),
            bridges=tuple(replace(part, x=part.x + dx, y=part.y + dy) for part in self.bridges),
        )


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What the members of one active region have in common.

    Parameters
    ----------
    darkness
        Added to the intensity of every core.
    spacing
        Distance between penumbral filaments, Mm.
    filament_contrast, penumbra_brightness, twist
        Shared by every fan.
    fragmentation
        From 0 (compact cores) to 1 (cores in pieces).
    """

    darkness: float
    spacing: float
    filament_contrast: float
    penumbra_brightness: float
    twist: float
    fragmentation: float


def without_penumbra(structure: Structure) -> Structure:
    """Return the counterfactual pore: the same cores and bridges amid granulation."""
    return replace(structure, label="pore", fans=())


def with_penumbra(rng: np.random.Generator, pore: Structure, traits: Traits) -> Structure:
    """Return the counterfactual sunspot: the same cores and bridges inside a penumbra."""
    core = pore.cores[0]
    fan = replace(
        _draw_fan(rng, traits, core.x, core.y, rng.uniform(1.5, 2.2) * pore.extent / 1.3),
        elongation=float(np.sqrt(core.elongation)),
        angle=core.angle,
    )
    return replace(pore, label="sunspot", fans=(fan,), extent=max(pore.extent, _reach(fan)))


def draw_sunspot(
    rng: np.random.Generator,
    traits: Traits,
    *,
    radius: tuple[float, float] = (3.2, 15.0),
    umbra: tuple[float, float] = (0.28, 0.47),
    merged: float = 0.22,
) -> Structure:
    """Return a sunspot at (0, 0).

    Parameters
    ----------
    radius
        Range of the outer radius, Mm; small ones are more frequent.
    umbra
        Range of the radius of the umbra relative to the outer one.
    merged
        Probability of a spot of several fans grown together, as in AR 11158.
    """
    outer = _skewed(rng, *radius)
    angle = rng.uniform(0, np.pi)
    offsets = [0.0]
    if outer > 4 and rng.random() < merged:
        offsets = _spread(rng, int(rng.integers(2, 4)))
        outer *= 0.8
    cores: list[Core] = []
    fans: list[Fan] = []
    bridges: list[Bridge] = []
    for offset in offsets:
        size = outer * (1 if len(offsets) == 1 else rng.uniform(0.7, 1.05))
        x, y = _along(offset * 1.1 * outer, rng.normal(0, 0.15) * outer, angle)
        if len(offsets) == 1:
            x = y = 0.0
        fan = _draw_fan(rng, traits, x, y, size)
        new = _draw_umbra(rng, traits, fan, rng.uniform(*umbra))
        fans.append(fan)
        cores += new
        if rng.random() < 0.25:
            bridges.append(_draw_bridge(rng, new[0]))
    if rng.random() < 0.18:
        fans[0] = replace(fans[0], gap=rng.uniform(0.5, 2.4), gap_angle=rng.uniform(0, 2 * np.pi))
    extent = max(_reach(fan) for fan in fans)
    return Structure(
        label="sunspot", x=0.0, y=0.0, extent=extent,
        cores=tuple(cores), fans=tuple(fans), bridges=tuple(bridges),
    )  # fmt: skip


def draw_pore(
    rng: np.random.Generator,
    traits: Traits,
    *,
    radius: tuple[float, float] = (0.7, 3.8),
    pieces: int = 9,
    scatter: float = 1.4,
) -> Structure:
    """Return a pore at (0, 0): one compact core, a clump of cores, or a dim one.

    Parameters
    ----------
    radius
        Range of its radius, Mm; small ones are more frequent.
    pieces
        Most cores of a clump.
    scatter
        How far from its middle they lie at most, in radii.
    """
    size = _skewed(rng, *radius)
    number = 1
    if size > 0.9 and rng.random() < 0.4 + 0.5 * traits.fragmentation:
        number = int(rng.integers(2, pieces + 1))
    main = size * (1 if number == 1 else rng.uniform(0.32, 0.65))
    depth = np.clip(0.58 - 0.07 * main + traits.darkness + rng.normal(0, 0.08), 0.08, 0.7)
    cores = [_draw_core(rng, 0.0, 0.0, main, float(depth))]
    if rng.random() < 0.3:
        cores[0] = replace(cores[0], edge=rng.uniform(0.72, 0.86), exponent=rng.uniform(0.9, 1.8))
    for _ in range(number - 1):
        away = rng.uniform(0.5, scatter) * size
        x, y = _along(away, 0.0, rng.uniform(0, 2 * np.pi))
        piece = max(0.35, main * rng.uniform(0.25, 0.7))
        cores.append(_draw_core(rng, x, y, piece, float(depth + rng.uniform(0.02, 0.25))))
    bridges: tuple[Bridge, ...] = ()
    if main > 2 and rng.random() < 0.3:
        bridges = (_draw_bridge(rng, cores[0]),)
    extent = max(_reach(core) for core in cores)
    return Structure(label="pore", x=0.0, y=0.0, extent=extent, cores=tuple(cores), bridges=bridges)


def draw_rudiment(rng: np.random.Generator, traits: Traits) -> Structure:
    """Return a pore with a few short filaments at (0, 0): neither sunspot nor pore, *ambiguous*."""
    pore = draw_pore(rng, traits, radius=(1.2, 2.6))
    fan = replace(
        _draw_fan(rng, traits, 0.0, 0.0, pore.extent * rng.uniform(0.9, 1.15)),
        gap=rng.uniform(2.8, 4.6),
        gap_angle=rng.uniform(0, 2 * np.pi),
    )
    extent = max(pore.extent, _reach(fan))
    return replace(pore, label="ambiguous", fans=(fan,), extent=extent)


def draw_orphan(rng: np.random.Generator, traits: Traits) -> Structure:
    """Return an orphan penumbra around (0, 0): a sector of filaments without an umbra.

    References
    ----------
    Zuccarello et al. 2014, ApJ 787, 57: orphan penumbrae.
    """
    size = rng.uniform(2.0, 4.5)
    angle = rng.uniform(0, 2 * np.pi)
    away = rng.uniform(1.2, 2.5) * size
    x, y = _along(-away, 0.0, angle)
    fan = replace(
        _draw_fan(rng, traits, x, y, away + 0.7 * size),
        gap=2 * np.pi - 1.4 * size / away,
        gap_angle=angle + np.pi,
        elongation=1.0,
        inner=0.75,
    )
    hollow = Core(
        x=x, y=y, radius=max(away - 0.7 * size, 0.1), elongation=1.0, angle=0.0, intensity=1.0,
        edge=1.0, exponent=1.0, irregularity=0.1, raggedness=0.08, seed=_seed(rng),
    )  # fmt: skip
    return Structure(
        label="orphan", x=0.0, y=0.0, extent=float(1.6 * size), cores=(hollow,), fans=(fan,)
    )


def draw_dimming(
    rng: np.random.Generator, reach: float, *, depth: tuple[float, float] = (0.02, 0.1)
) -> Dimming:
    """Return a patch of abnormal granulation within `reach` Mm of the centre."""
    x, y = rng.uniform(-reach, reach, 2)
    return Dimming(x=float(x), y=float(y), radius=rng.uniform(0.8, 3.0), depth=rng.uniform(*depth))


def _draw_fan(rng: np.random.Generator, traits: Traits, x: float, y: float, radius: float) -> Fan:
    return Fan(
        x=float(x),
        y=float(y),
        radius=float(radius),
        elongation=float(np.exp(abs(rng.normal(0, 0.16)))),
        angle=rng.uniform(0, np.pi),
        irregularity=rng.uniform(0.03, 0.16),
        raggedness=float(np.clip(0.7 / radius, 0.045, 0.14) * rng.uniform(0.8, 1.3)),
        inner=traits.penumbra_brightness - rng.uniform(0.04, 0.14),
        outer=traits.penumbra_brightness + rng.uniform(0.06, 0.12),
        spacing=traits.spacing * rng.uniform(0.85, 1.15),
        contrast=traits.filament_contrast * rng.uniform(0.8, 1.2),
        twist=traits.twist + rng.normal(0, 0.08),
        gap=0.0,
        gap_angle=0.0,
        seed=_seed(rng),
    )


def _draw_umbra(rng: np.random.Generator, traits: Traits, fan: Fan, fraction: float) -> list[Core]:
    """Return the cores inside a fan, the darkest first: off-centre, elongated, often in pieces."""
    size = min(max(fraction * fan.radius, 1.1), 0.6 * fan.radius)
    room = 0.35 * (fan.radius - size)
    x, y = _along(rng.uniform(0, room), 0.0, rng.uniform(0, 2 * np.pi))
    dark = float(np.clip(0.31 - 0.035 * size + traits.darkness + rng.normal(0, 0.03), 0.09, 0.42))
    pieces = 1
    if rng.random() < 0.3 + 0.5 * traits.fragmentation:
        pieces = int(rng.integers(2, 6))
        size *= 0.85
    cores = [_draw_core(rng, fan.x + x, fan.y + y, size, dark, edge=0.5)]
    for _ in range(pieces - 1):
        piece = size * rng.uniform(0.2, 0.65)
        away = rng.uniform(0.8, 1.5) * size + 0.3 * piece
        away = min(away, 0.9 * fan.radius - np.hypot(x, y) - piece)
        dx, dy = _along(max(away, 0.0), 0.0, rng.uniform(0, 2 * np.pi))
        cores.append(
            _draw_core(
                rng, fan.x + x + dx, fan.y + y + dy, piece, dark + rng.uniform(0, 0.2), edge=0.52
            )
        )
    return cores


def _draw_core(
    rng: np.random.Generator, x: float, y: float, radius: float, dark: float, *, edge: float = 0.0
) -> Core:
    rim = edge or float(np.clip(dark + rng.uniform(0.15, 0.35), 0.4, 0.78))
    return Core(
        x=float(x),
        y=float(y),
        radius=float(radius),
        elongation=float(np.exp(abs(rng.normal(0, 0.3)))),
        angle=rng.uniform(0, np.pi),
        intensity=min(dark, rim),
        edge=rim,
        exponent=rng.uniform(1.8, 3.2),
        irregularity=rng.uniform(0.08, 0.25),
        raggedness=float(np.clip(0.25 / radius, 0.03, 0.15)),
        seed=_seed(rng),
    )


def _draw_bridge(rng: np.random.Generator, core: Core) -> Bridge:
    dx, dy = _along(rng.uniform(-0.4, 0.4) * core.radius, 0.0, rng.uniform(0, 2 * np.pi))
    return Bridge(
        x=core.x + dx,
        y=core.y + dy,
        angle=rng.uniform(0, np.pi),
        curvature=rng.normal(0, 0.25) / core.radius,
        width=rng.uniform(0.3, 1.1),
        intensity=rng.uniform(0.65, 0.95),
    )


def _reach(part: Core | Fan) -> float:
    """Return how far a part reaches from (0, 0): `continuum` clips outlines at 1.3 radii."""
    return float(np.hypot(part.x, part.y) + 1.3 * part.radius * np.sqrt(part.elongation))


def _spread(rng: np.random.Generator, number: int) -> list[float]:
    """Return positions of merged fans along their axis, in outer radii, with mean 0."""
    steps = np.cumsum(rng.uniform(0.8, 1.2, number))
    return [float(step) for step in steps - steps.mean()]


def _skewed(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a number in (low, high) whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _along(distance: float, across: float, angle: float) -> tuple[float, float]:
    """Return the (x, y) of a point `distance` along and `across` a direction."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return float(distance * cosine - across * sine), float(distance * sine + across * cosine)


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))
