"""Draw a sunspot and a pore that no single number tells apart: same area, depth and deficit.

The match is made on what the telescope shows, not on the parameters: both are drawn through the
same optics at the same place on the disk, and the pore is adjusted until it measures the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from solarxai.synthetic.continuum import OVERSAMPLING, Canvas, Optics, observe_canvas, paint
from solarxai.synthetic.structures import Core, Structure, Traits, draw_pore, draw_sunspot

__all__ = ["Appearance", "appearance", "draw_matched_pair"]

_OUTLINE = 0.9
_TOLERANCE = 0.03
_ATTEMPTS = 6
_STEPS = 8


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """What a structure measures behind the telescope, in the quiet Sun without granulation.

    Parameters
    ----------
    area
        Detector pixels of the connected region below 0.9 of the quiet Sun.
    minimum
        Its lowest intensity.
    deficit
        Its sum of 1 - I, detector pixels.
    """

    area: float
    minimum: float
    deficit: float

    def distance(self, other: Appearance) -> float:
        """Return the largest miss: relative in area and deficit, thrice the absolute in minimum."""
        return max(
            abs(self.area / other.area - 1),
            abs(self.deficit / other.deficit - 1),
            3 * abs(self.minimum - other.minimum),
        )


def appearance(
    structure: Structure, to_surface: npt.NDArray[np.float64], optics: Optics
) -> Appearance:
    """Return what a structure around (0, 0) measures; an area of 1 where nothing is dark enough."""
    half = structure.extent * np.linalg.norm(np.linalg.inv(to_surface), 2) + 20
    side = OVERSAMPLING * int(fft.next_fast_len(int(np.ceil(2 * half / OVERSAMPLING)), real=True))
    canvas = Canvas.blank((side, side), origin=((side - 1) / 2,) * 2, to_surface=to_surface)
    image, _ = observe_canvas(paint(canvas, [structure]), optics)
    labels, _ = ndimage.label(image < _OUTLINE)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    here = (labels == sizes.argmax()) & (image < _OUTLINE)
    return Appearance(
        area=float(max(here.sum(), 1)),
        minimum=float(image.min()),
        deficit=float(max((1 - image)[here].sum(), 0.1)),
    )


def draw_matched_pair(
    rng: np.random.Generator,
    traits: Traits,
    to_surface: npt.NDArray[np.float64],
    optics: Optics,
) -> tuple[Structure, Structure]:
    """Return a sunspot and a pore that measure the same area, deficit (3 %) and minimum (0.01).

    The umbra is wide for a sunspot (0.5 to 0.66 of the outer radius), so that a pore of the same
    mean deficit is still dark and sharp. When no attempt reaches the tolerance the closest of
    them is taken.
    """
    attempts: list[tuple[float, Structure, Structure]] = []
    while len(attempts) < _ATTEMPTS:
        spot = draw_sunspot(rng, traits, radius=(3.8, 7.5), umbra=(0.5, 0.66), merged=0.08)
        wanted = appearance(spot, to_surface, optics)
        size = np.sqrt(wanted.area / np.pi) * optics.pixel_mm
        template = draw_pore(rng, traits, radius=(0.9 * size, 1.1 * size), pieces=4, scatter=0.9)
        pore, distance = _fit(template, wanted, to_surface, optics)
        attempts.append((distance, spot, pore))
        if distance < _TOLERANCE:
            break
    _, spot, pore = min(attempts, key=itemgetter(0))
    return spot, pore


def _fit(
    template: Structure,
    wanted: Appearance,
    to_surface: npt.NDArray[np.float64],
    optics: Optics,
) -> tuple[Structure, float]:
    """Return the template adjusted in size, depth and fullness, and how far it is from a match."""
    size, depth, fullness = 0.9, wanted.minimum - 0.05, 0.5
    best, closest = template, np.inf
    for _ in range(_STEPS):
        pore = _adjusted(template, size, depth, fullness)
        found = appearance(pore, to_surface, optics)
        distance = found.distance(wanted)
        if distance < closest:
            best, closest = pore, distance
        if distance < _TOLERANCE / 2:
            break
        size *= float(np.clip(np.sqrt(wanted.area / found.area), 0.7, 1.4))
        depth = float(np.clip(depth + wanted.minimum - found.minimum, 0.01, 0.7))
        missing = wanted.deficit / wanted.area - found.deficit / found.area
        fullness = float(np.clip(fullness + 2.5 * missing, 0, 1))
    return best, closest


def _adjusted(template: Structure, size: float, depth: float, fullness: float) -> Structure:
    """Return the pore scaled by `size`, its first core at `depth`, the fuller the darker."""
    first = template.cores[0]
    cores = tuple(
        _adjusted_core(core, size, depth, fullness, main=core is first) for core in template.cores
    )
    bridges = tuple(
        replace(lane, x=lane.x * size, y=lane.y * size, curvature=lane.curvature / size)
        for lane in template.bridges
    )
    return replace(template, extent=template.extent * size, cores=cores, bridges=bridges)


def _adjusted_core(core: Core, size: float, depth: float, fullness: float, *, main: bool) -> Core:
    centre = depth if main else depth + (0.78 - 0.4 * fullness - depth) * 0.5
    return replace(
        core,
        x=core.x * size,
        y=core.y * size,
        radius=core.radius * size,
        intensity=centre,
        edge=max(centre, 0.8 - 0.4 * fullness),
        exponent=1.2 + 4.0 * fullness,
    )
