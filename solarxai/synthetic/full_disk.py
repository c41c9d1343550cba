"""Draw whole disks: limb darkening, granulation, and active regions at heliographic positions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from solarxai.errors import SynthesisError
from solarxai.synthetic import sun
from solarxai.synthetic.continuum import (
    OVERSAMPLING,
    Canvas,
    Optics,
    granulation,
    granulation_through,
    observe_canvas,
    paint,
)
from solarxai.synthetic.image import Image, TrueStructure, photons, sky, true_structures
from solarxai.synthetic.scenes import Mode, Region, View, draw_group, draw_region, look
from solarxai.synthetic.structures import Structure

__all__ = ["Disk", "draw_disk", "render_disk"]

_FULL_SIZE = 4096
"""Pixels along a side of the HMI camera; smaller disks have coarser pixels."""

_DISK = 9


@dataclass(frozen=True, kw_only=True)
class Disk:
    """One full disk to be.

    Parameters
    ----------
    index, size, slot
        Its number, pixels along a side, T_REC slot.
    centre
        The disk seen as a region at its centre: roll, plate scale, brightness, telescope.
    views, groups
        Where each active region falls on the detector, and its structures.
    seed
        Fixes granulation and photon noise.
    """

    index: int
    size: int
    slot: int
    centre: Region
    views: tuple[View, ...]
    groups: tuple[tuple[Structure, ...], ...]
    seed: int

    @property
    def view(self) -> View:
        """The view of the disk centre, which falls on the middle of the image."""
        middle = (self.size - 1) / 2
        view = look(
            self.centre, self.slot, column=middle, row=middle, core_arcsec=self.centre.core_arcsec
        )
        return replace(view, x=0.0, y=0.0, mu=1.0)


def draw_disk(
    seed: int, index: int, *, mode: Mode = "natural", size: int = 1024, clutter: bool = True
) -> Disk:
    """Return full disk `index` of a seed: three to seven active regions within 55° of the centre.

    Raises
    ------
    SynthesisError
        for a size below 512, a negative index, or a mode that pairs scenes.
    """
    if mode != "natural":
        raise SynthesisError(
            f"full disks cannot be drawn in mode {mode!r}: their regions are not pairs",
            remedy="Draw full disks in mode 'natural', or cutouts.",
        )
    if size < 512:
        raise SynthesisError(
            f"size {size} is less than 512 pixels: sunspots on a full disk would not be resolved",
            remedy="Give a size between 512 and 4096; the default is 1024.",
        )
    if index < 0:
        raise SynthesisError(f"scene index {index} is negative", remedy="Count scenes from 0.")
    rng = np.random.default_rng([seed, _DISK, index])
    base = replace(
        draw_region(seed, index),
        plate_scale=0.50425 * _FULL_SIZE / size,
        roll=179.93 + rng.normal(0, 0.01),
    )
    regions = [
        replace(base, longitude=rng.uniform(-55, 55), latitude=side * rng.uniform(6, 28))
        for side in rng.choice([-1, 1], int(rng.integers(3, 8)))
    ]
    slot = base.slots[0]
    origin = look(base, slot, column=0, row=0, core_arcsec=base.core_arcsec)
    return Disk(
        index=index,
        size=size,
        slot=slot,
        centre=replace(base, longitude=0.0, latitude=origin.observer.latitude),
        views=tuple(_place(region, slot, size) for region in regions),
        groups=tuple(draw_group(rng, region.traits, clutter=clutter) for region in regions),
        seed=int(rng.integers(2**31)),
    )


def render_disk(disk: Disk) -> Image:
    """Return the image of a full disk and its truth; off the disk it is NaN, as HMI has it."""
    rng = np.random.default_rng(disk.seed)
    view, shape = disk.view, (disk.size, disk.size)
    x, y = sky(view, disk.centre, shape)
    mu = sun.mu_at(view.observer, x, y)
    intensity = 1 + _quiet(disk.centre, view.optics, shape, rng) * (0.55 + 0.45 * mu)
    truth = {name: np.zeros(shape, np.float32) for name in ("umbra", "penumbra", "pore")}
    rows: list[TrueStructure] = []
    for place, group in zip(disk.views, disk.groups, strict=True):
        rows += _put(intensity, truth, place, group)
    intensity *= np.where(mu > 0, sun.limb_darkening(mu), np.nan)
    counts = photons(intensity.astype(np.float32), disk.centre, rng)
    return Image(counts=counts, truth=truth, structures=tuple(rows))


def _place(region: Region, slot: int, size: int) -> View:
    """Return the view of a region whose patch centre falls where the full-disk WCS says."""
    view = look(region, slot, column=0, row=0, core_arcsec=region.core_arcsec)
    roll, middle = np.radians(region.roll), (size - 1) / 2
    across = (np.cos(roll) * view.x + np.sin(roll) * view.y) / region.plate_scale
    up = (-np.sin(roll) * view.x + np.cos(roll) * view.y) / region.plate_scale
    return replace(view, column=float(middle + across), row=float(middle + up))


def _quiet(
    region: Region, optics: Optics, shape: tuple[int, int], rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return the granulation on detector pixels, at the contrast the telescope leaves."""
    step = np.eye(2) * optics.pixel_mm
    contrast = region.contrast * granulation_through(optics)
    return granulation(shape, to_surface=step, contrast=contrast, rng=rng)


def _put(
    intensity: npt.NDArray[np.floating],
    truth: dict[str, npt.NDArray[np.float32]],
    view: View,
    group: tuple[Structure, ...],
) -> tuple[TrueStructure, ...]:
    """Lay a group on the disk and return its rows of the truth."""
    reach = max(float(np.hypot(part.x, part.y)) + part.extent for part in group)
    half = int(np.ceil(reach / view.optics.pixel_mm)) + 8
    left, low = int(view.column) - half, int(view.row) - half
    shape = (2 * half * OVERSAMPLING,) * 2
    corner = (OVERSAMPLING - 1) / 2
    origin = (
        (view.column - left) * OVERSAMPLING + corner,
        (view.row - low) * OVERSAMPLING + corner,
    )
    canvas = Canvas.blank(shape, origin=origin, to_surface=view.to_surface)
    image, planes = observe_canvas(paint(canvas, group), view.optics)
    window = (slice(low, low + 2 * half), slice(left, left + 2 * half))
    intensity[window] *= image
    for name, plane in planes.items():
        np.maximum(truth[name][window], plane, out=truth[name][window])
    rows = true_structures(canvas, group, view, pair=-1)
    return tuple(replace(row, role="neighbour") for row in rows)
