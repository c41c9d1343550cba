"""What can be done to a patch that should change the answer, and its control.

The penumbra of the structure at the centre is replaced by granulation, and for comparison the same
area of quiet Sun; a pore is given a penumbra.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import ndimage

from solarxai.inpainting import (
    Granulation,
    grow_umbra,
    measure_granulation,
    paint_penumbra,
    place_on_quiet,
    replace_by_granulation,
)
from solarxai.schema import INVALID, PENUMBRA, PORE, QUIET, UMBRA
from solarxai.validation.report import Limits

__all__ = [
    "INTERVENTIONS",
    "Change",
    "NotApplicable",
    "Patch",
    "cut_patches",
    "pictures",
    "quiet_mask",
]

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Column = npt.NDArray[Any]


class NotApplicable(Exception):
    """Why an intervention cannot be made on a patch."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Patch:
    """One sample, and what is needed to change it.

    Parameters
    ----------
    image, segmentation, central
        The sample's planes (y, x).
    granulation
        Texture of its quiet Sun or of a neighbour's, or None if no patch has enough.
    sample_id
        Its name; every random number depends on it and on `seed` alone.
    scale_mm
        Plate scale in Mm per pixel.
    seed, limits
        Of the validation.
    """

    image: Image
    segmentation: npt.NDArray[np.uint8]
    central: Mask
    granulation: Granulation | None
    sample_id: str
    scale_mm: float
    seed: int
    limits: Limits = field(default_factory=Limits)

    @cached_property
    def quiet(self) -> Mask:
        """Return the quiet Sun at two pixels or more from any structure."""
        return quiet_mask(self.segmentation)

    @cached_property
    def painted(self) -> Image:
        """Return the pore at the centre with a penumbra."""
        pore = self.part(PORE)
        if not pore.any():
            raise NotApplicable("no pixel at the centre is segmented as pore")
        if float(self.image[pore].min()) > self.limits.pore_core:
            raise NotApplicable("the pore is too dim to carry a penumbra")
        return paint_penumbra(
            self.image, self.segmentation, self.central, scale_mm=self.scale_mm,
            seed=self.draw("painted"),
        )  # fmt: skip

    def part(self, value: int) -> Mask:
        """Return the pixels of a segment that belong to the structure at the centre."""
        return np.asarray(self.central & (self.segmentation == value))

    def draw(self, purpose: str) -> int:
        """Return the seed of one purpose on this sample."""
        text = f"{self.seed}:{purpose}:{self.sample_id}".encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:8], "big")

    def with_wings(self, mask: Mask) -> Mask:
        """Return the mask and the quiet pixels its stray light darkens.

        Those within two pixels, and those within six where the image, smoothed over 1.5 pixels, is
        darker than the quiet Sun's median by more than its contrast (1.48 median absolute
        deviations). Without them the outline of what is replaced would stay visible.
        """
        if self.granulation is None:
            return mask
        middle = np.median(self.granulation.values)
        contrast = 1.4826 * np.median(np.abs(self.granulation.values - middle))
        dark = ndimage.gaussian_filter(self.image, 1.5) < middle - contrast
        near, far = (ndimage.binary_dilation(mask, iterations=n) for n in (2, 6))
        return np.asarray(mask | ((near | (far & dark)) & (self.segmentation == QUIET)))

    def fill(self, image: Image, mask: Mask, purpose: str, keep: Mask | None = None) -> Image:
        """Return the image with granulation in place of the mask."""
        if not mask.any():
            raise NotApplicable("no such pixels in the patch")
        if self.granulation is None:
            raise NotApplicable("no quiet Sun to copy in this observation or its like")
        return replace_by_granulation(
            image, mask, self.quiet, seed=self.draw(purpose), keep=keep,
            granulation=self.granulation,
        )  # fmt: skip


Change = Callable[[Patch], Sequence[Image]]
"""Gives one or more changed images of a patch, or raises `NotApplicable`."""


def quiet_mask(segmentation: npt.NDArray[np.uint8]) -> Mask:
    """Return the quiet pixels at two pixels or more from any structure, (y, x)."""
    structure = (segmentation != QUIET) & (segmentation != INVALID)
    near = ndimage.binary_dilation(structure, iterations=2) if structure.any() else structure
    return np.asarray((segmentation == QUIET) & ~near)


def _penumbra_removed(patch: Patch) -> list[Image]:
    penumbra, umbra = patch.with_wings(patch.part(PENUMBRA)), patch.segmentation == UMBRA
    return [patch.fill(patch.image, penumbra, "penumbra", keep=umbra)]


def _all_penumbra_removed(patch: Patch) -> list[Image]:
    penumbra, umbra = (patch.segmentation == value for value in (PENUMBRA, UMBRA))
    return [patch.fill(patch.image, patch.with_wings(penumbra), "penumbra", keep=umbra)]


def _darkness_kept(patch: Patch) -> list[Image]:
    penumbra, umbra = patch.part(PENUMBRA), patch.part(UMBRA)
    if not umbra.any():
        raise NotApplicable("no umbra that could grow")
    grown, dark = grow_umbra(patch.image, penumbra, umbra)
    rest = patch.with_wings(penumbra & ~dark)
    return [patch.fill(grown, rest, "penumbra", keep=dark)]


def _umbra_removed(patch: Patch) -> list[Image]:
    return [patch.fill(patch.image, patch.part(UMBRA), "umbra")]


def _penumbra_painted(patch: Patch) -> list[Image]:
    return [patch.painted]


def _quiet_replaced(patch: Patch) -> list[Image]:
    """Return the patch with as much quiet Sun resynthesised as the penumbra (painted) covers."""
    penumbra = patch.with_wings(patch.part(PENUMBRA))
    if not penumbra.any():
        penumbra = (np.abs(patch.painted - patch.image) > 0.02) & ~patch.part(PORE)
    place = place_on_quiet(penumbra, patch.quiet)
    if place.sum() < patch.limits.control_coverage * penumbra.sum():
        raise NotApplicable("too little quiet Sun for a control of the same area")
    return [patch.fill(patch.image, place, "control")]


INTERVENTIONS: Mapping[str, Mapping[str, Change]] = {
    "sunspot": {
        "penumbra removed": _penumbra_removed,
        "quiet Sun replaced": _quiet_replaced,
        "all penumbra removed": _all_penumbra_removed,
        "penumbra removed, darkness kept": _darkness_kept,
        "umbra removed": _umbra_removed,
    },
    "pore": {
        "penumbra painted": _penumbra_painted,
        "quiet Sun replaced": _quiet_replaced,
    },
}
"""What is done to structures of each label."""


def cut_patches(
    samples: xr.Dataset, *, scale_mm: float, seed: int = 0, limits: Limits | None = None
) -> list[Patch]:
    """Return the rows of Samples as patches, each with a texture of quiet Sun."""
    limits = limits or Limits()
    segmentation = samples["segmentation"].values
    images, central = samples["image"].values, samples["central"].values
    texture = _textures(samples, limits)
    return [
        Patch(
            image=images[row],
            segmentation=segmentation[row],
            central=central[row],
            granulation=texture[row],
            sample_id=str(samples["sample_id"].values[row]),
            scale_mm=scale_mm,
            seed=seed,
            limits=limits,
        )
        for row in range(samples.sizes["sample"])
    ]


def pictures(patch: Patch, label: str) -> dict[str, Image]:
    """Return the images that the interventions for a label make of a patch, by name."""
    made = {}
    for name, change in INTERVENTIONS.get(label, {}).items():
        try:
            made[name] = change(patch)[0]
        except NotApplicable:
            continue
    return made


def _textures(samples: xr.Dataset, limits: Limits) -> list[Granulation | None]:
    """Return the texture of each row's quiet Sun, or of the quietest row near to it."""
    images = samples["image"].values
    quiet = np.array([quiet_mask(plane) for plane in samples["segmentation"].values])
    amount = quiet.reshape(len(quiet), -1).mean(axis=1)
    kin = [samples[name].values for name in ("observation", "origin")]
    needed = max(limits.quiet_fraction, 64 / images[0].size)
    made: dict[int, Granulation] = {}
    textures: list[Granulation | None] = []
    for row in range(len(images)):
        donor = _donor(row, amount, kin, needed)
        if donor is not None and donor not in made:
            made[donor] = measure_granulation(images[donor], quiet[donor])
        textures.append(None if donor is None else made[donor])
    return textures


def _donor(row: int, amount: Column, kin: Sequence[Column], needed: float) -> int | None:
    if amount[row] >= needed:
        return row
    for column in kin:
        candidates = np.flatnonzero(column == column[row])
        best = int(candidates[np.argmax(amount[candidates])])
        if amount[best] >= needed:
            return best
    return None
