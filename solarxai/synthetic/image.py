"""Render a scene: the counts the detector records, and the truth behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from solarxai.synthetic import sun
from solarxai.synthetic.continuum import (
    OVERSAMPLING,
    Canvas,
    granulation,
    observe_canvas,
    paint,
)
from solarxai.synthetic.scenes import Region, Scene, View
from solarxai.synthetic.structures import Structure

__all__ = ["Image", "TrueStructure", "photons", "render", "sky", "true_structures"]

_MARGIN = 16
"""Detector pixels painted around the image, so that its edges do not touch."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class TrueStructure:
    """One structure of the truth: a row of the STRUCTURES table.

    Parameters
    ----------
    x, y
        Position of its first core (of the middle of its filaments, if an orphan), 0-based pixels.
    label
        "sunspot", "pore", "ambiguous", "orphan" or "clutter" (not asked about).
    role
        "centre" or "neighbour".
    radius_mm, umbra_radius_mm
        Radius of the circle with the area of all of it, and of its cores, Mm on the surface.
    pair
        Number shared with its counterfactual or matched partner; -1 without one.
    """

    x: float
    y: float
    label: str
    role: str
    radius_mm: float
    umbra_radius_mm: float
    pair: int


@dataclass(frozen=True, kw_only=True)
class Image:
    """What a scene shows.

    Parameters
    ----------
    counts
        (y, x) float32, DN/s.
    truth
        Area fractions before the point-spread function, "umbra", "penumbra" and "pore": (y, x)
        float32.
    structures
        What is painted in the image or its margin: the rows of the STRUCTURES table.
    """

    counts: Array
    truth: dict[str, Array]
    structures: tuple[TrueStructure, ...]


def render(scene: Scene) -> Image:
    """Return the image of a scene and its truth; the same scene gives the same bytes."""
    side = int(fft.next_fast_len(scene.size + 2 * _MARGIN, real=True))
    shape = (side * OVERSAMPLING,) * 2
    view, region = scene.view, scene.region
    rng = np.random.default_rng(scene.seed)
    granules = granulation(
        shape,
        to_surface=view.to_surface,
        contrast=region.contrast * (0.55 + 0.45 * view.mu),
        rng=rng,
    )
    origin = tuple(
        (place + _MARGIN) * OVERSAMPLING + (OVERSAMPLING - 1) / 2
        for place in (view.column, view.row)
    )
    canvas = Canvas.blank(shape, origin=(origin[0], origin[1]), to_surface=view.to_surface)
    paint(canvas, scene.structures, dimmings=scene.dimmings, granules=granules)
    intensity, truth = observe_canvas(canvas, view.optics)
    inside = slice(_MARGIN, _MARGIN + scene.size)
    x, y = sky(view, region, (scene.size, scene.size))
    limb = sun.limb_darkening(sun.mu_at(view.observer, x, y)).astype(np.float32)
    return Image(
        counts=photons(intensity[inside, inside] * limb, region, rng),
        truth={name: plane[inside, inside] for name, plane in truth.items()},
        structures=true_structures(canvas, scene.structures, view, pair=scene.pair),
    )


def sky(
    view: View, region: Region, shape: tuple[int, int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the helioprojective (x, y) of every pixel, arcsec, in the tangent plane."""
    roll = np.radians(region.roll)
    up, across = np.indices(shape, dtype=np.float64, sparse=True)
    across, up = across - view.column, up - view.row
    return (
        view.x + region.plate_scale * (np.cos(roll) * across - np.sin(roll) * up),
        view.y + region.plate_scale * (np.sin(roll) * across + np.cos(roll) * up),
    )


def photons(intensity: Array, region: Region, rng: np.random.Generator) -> Array:
    """Return the counts (DN/s) of an intensity relative to the quiet Sun at disk centre.

    The noise of a pixel is a standard normal number, fixed by the generator, times the noise of
    the quiet Sun and the root of the intensity: counterfactuals share it.
    """
    grain = rng.standard_normal(intensity.shape, dtype=np.float32)
    noise = np.float32(region.noise) * np.sqrt(np.maximum(intensity, 0)) * grain
    return np.asarray(np.float32(region.brightness) * np.maximum(intensity + noise, 0))


def true_structures(
    canvas: Canvas, structures: tuple[Structure, ...], view: View, *, pair: int
) -> tuple[TrueStructure, ...]:
    """Return the rows of the truth: what was painted of each structure."""
    dark = canvas.areas(canvas.umbra | canvas.pore, len(structures))
    fan = canvas.areas(canvas.penumbra, len(structures))
    rows = []
    for number, structure in enumerate(structures):
        if dark[number] + fan[number] == 0:
            continue
        anchor = structure.cores[0] if structure.label != "orphan" else structure
        x, y = view.locate(anchor.x, anchor.y)
        rows.append(
            TrueStructure(
                x=x,
                y=y,
                label=structure.label if structure.asked else "clutter",
                role="neighbour" if number else "centre",
                radius_mm=float(np.sqrt((dark[number] + fan[number]) / np.pi)),
                umbra_radius_mm=float(np.sqrt(dark[number] / np.pi)),
                pair=-1 if number else pair,
            )
        )
    return tuple(rows)
