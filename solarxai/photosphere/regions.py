"""Connected dark regions of an image: found, cut at necks, told from defects of the detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import ndtri
from skimage.segmentation import watershed

__all__ = [
    "DEEPEST_AT_LEAST",
    "NECK_MM",
    "Region",
    "Resolution",
    "find_regions",
    "is_defect",
]

DEEPEST_AT_LEAST = 0.75
"""A structure's smoothed minimum lies below this: seven granulation standard deviations."""

NECK_MM = 0.75
"""Bridges thinner than twice this join two structures by chance; they are cut."""

_DEFECT_ELEMENTS = 4
_DEFECT_STEEPNESS = 1.3
_FWHM = 2 * np.sqrt(2 * np.log(2))

Mask = npt.NDArray[np.bool_]
Image = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """How finely an image shows the Sun: what a rim's width is measured against.

    Parameters
    ----------
    scale_mm
        Mm per pixel.
    blur_mm
        Standard deviation of everything that blurs the analysed image (PSF and smoothing), Mm.
    """

    scale_mm: float
    blur_mm: float

    @property
    def element_mm2(self) -> float:
        """The area of the resolution element, a disc of the blur's full width at half maximum."""
        return float(np.pi / 4 * (_FWHM * self.blur_mm) ** 2)

    def rim_mm(self, depth: float, outline: float) -> float:
        """Return the width a blurred sharp edge shows between half its depth and the outline.

        Parameters
        ----------
        depth
            One minus the lowest intensity.
        outline
            The intensity at which structures end.

        Notes
        -----
        A straight edge of depth d blurred by a Gaussian σ has the profile 1 − d Φ(−s/σ); it
        crosses 1 − d/2 at s = 0 and the outline o at s = σ Φ⁻¹(1 − (1 − o)/d). Discs have
        narrower rims than straight edges, so this is an upper limit.
        """
        share = (1 - outline) / depth if depth > 0 else 1.0
        return float(self.blur_mm * ndtri(1 - share)) if share < 0.5 else 0.0


@dataclass(frozen=True, kw_only=True)
class Region:
    """The pixels of one structure.

    Parameters
    ----------
    rows, columns
        The smallest box around them.
    mask
        Which pixels of the box are meant: bool (rows, columns).
    patch
        Number of the connected dark patch they were cut from.
    """

    rows: slice
    columns: slice
    mask: Mask
    patch: int = 0

    def of(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the values of an image (y, x) at these pixels, as a flat array."""
        values: npt.NDArray[Any] = image[self.rows, self.columns][self.mask]
        return values

    @property
    def centre(self) -> tuple[float, float]:
        """The centroid (x, y), in pixels counted from zero."""
        y, x = np.nonzero(self.mask)
        return float(x.mean() + self.columns.start), float(y.mean() + self.rows.start)

    def part(self, mask: Mask) -> Region | None:
        """Return the part under a mask of the box, in its own smallest box; None if empty."""
        found = ndimage.find_objects((self.mask & mask).astype(np.uint8))
        if not found:
            return None
        rows, columns = found[0]
        top, left = self.rows.start, self.columns.start
        return Region(
            rows=slice(top + rows.start, top + rows.stop),
            columns=slice(left + columns.start, left + columns.stop),
            mask=(self.mask & mask)[rows, columns],
            patch=self.patch,
        )

    def touches(self, outside: Mask) -> bool:
        """Return whether it borders on the image's edge or on a pixel that is `outside`."""
        height, width = outside.shape
        if self.rows.start == 0 or self.columns.start == 0:
            return True
        if self.rows.stop == height or self.columns.stop == width:
            return True
        box = (
            slice(self.rows.start - 1, self.rows.stop + 1),
            slice(self.columns.start - 1, self.columns.stop + 1),
        )
        return bool((ndimage.binary_dilation(np.pad(self.mask, 1)) & outside[box]).any())


def find_regions(
    smoothed: Image, *, outline: float, resolution: Resolution
) -> tuple[list[Region], list[Region], Mapping[str, int]]:
    """Return the dark structures of an image, its lesser dark patches, and why those are lesser.

    Parameters
    ----------
    smoothed
        Intensity relative to the quiet Sun, (y, x), smoothed; NaN counts as quiet.
    outline
        The intensity at which structures end.
    resolution
        Of the smoothed image.

    Returns
    -------
    structures
        Connected pixels darker than the outline, at least one resolution element large, with a
        minimum below `DEEPEST_AT_LEAST`, cut at necks narrower than twice `NECK_MM`.
    lesser
        Dark patches of at least one resolution element that are not deep enough.
    counts
        How many dark patches were left out, by reason.
    """
    smallest = resolution.element_mm2 / resolution.scale_mm**2
    patches, small = _connected(smoothed < outline, smallest)
    structures: list[Region] = []
    lesser: list[Region] = []
    for whole in patches:
        for piece in _cut_at_necks(whole, smoothed, resolution.scale_mm):
            deep = piece.of(smoothed).min() < DEEPEST_AT_LEAST
            (structures if deep and piece.mask.sum() >= smallest else lesser).append(piece)
    return structures, lesser, {"smaller than the resolution": small, "too shallow": len(lesser)}


def is_defect(region: Region, intensity: Image, *, psf_px: float, resolution: Resolution) -> bool:
    """Return whether a small dark patch is sharper than the telescope can draw: dust, a dead pixel.

    Parameters
    ----------
    region
        Its pixels.
    intensity
        Relative to the quiet Sun, (y, x), not smoothed.
    psf_px
        Standard deviation of the telescope's point-spread function, in pixels.
    resolution
        Of the smoothed image the region was found on.

    Notes
    -----
    An edge of depth d blurred by σ is nowhere steeper than d/(σ√2π). Patches of at most
    `_DEFECT_ELEMENTS` resolution elements with a step from pixel to pixel 1.3 times steeper are
    defects; larger structures are not tested.
    """
    if region.mask.sum() * resolution.scale_mm**2 > _DEFECT_ELEMENTS * resolution.element_mm2:
        return False
    box = intensity[region.rows, region.columns]
    steps = [np.abs(np.diff(box, axis=axis)) for axis in (0, 1)]
    steepest = max((float(np.nanmax(step)) for step in steps if step.size), default=0.0)
    depth = 1 - float(np.nanmin(box))
    allowed = depth / (max(psf_px, 0.5) * np.sqrt(2 * np.pi))
    return bool(steepest > _DEFECT_STEEPNESS * allowed)


def _connected(dark: Mask, smallest: float) -> tuple[list[Region], int]:
    """Return the patches of dark pixels that share sides, and how many are too small.

    Dark pixels are few: they are joined in a graph, which spares a number for every pixel.
    """
    width = dark.shape[1]
    places = np.flatnonzero(dark)
    right = np.flatnonzero((np.diff(places) == 1) & (places[1:] % width > 0))
    below = np.searchsorted(places, places + width)
    down = np.flatnonzero(np.append(places, -1)[below] == places + width)
    ends = np.append(right, down), np.append(right + 1, below[down])
    graph = coo_array((np.ones(len(ends[0]), np.bool_), ends), shape=(len(places),) * 2)
    count, patch = connected_components(graph, directed=False)
    sizes = np.bincount(patch, minlength=count)
    first = np.cumsum(sizes) - sizes
    order = places[np.argsort(patch, kind="stable")]
    large = np.flatnonzero(sizes >= smallest)
    members = (order[first[n] : first[n] + sizes[n]] for n in large)
    regions = [
        _region(*np.divmod(pixels, width), patch=int(number) + 1)
        for number, pixels in zip(large, members, strict=True)
    ]
    return regions, count - len(regions)


def _region(rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], *, patch: int) -> Region:
    """Return the region of pixels given by their rows and columns."""
    top, left = int(rows.min()), int(columns.min())
    mask = np.zeros((int(rows.max()) - top + 1, int(columns.max()) - left + 1), dtype=np.bool_)
    mask[rows - top, columns - left] = True
    height, width = mask.shape
    box = slice(top, top + height), slice(left, left + width)
    return Region(rows=box[0], columns=box[1], mask=mask, patch=patch)


def _cut_at_necks(region: Region, smoothed: Image, scale_mm: float) -> list[Region]:
    """Return a region's parts: markers by opening, grown back by a watershed of the intensity."""
    reach = round(NECK_MM / scale_mm)
    inside = np.pad(region.mask, 1)
    eroded = ndimage.distance_transform_edt(inside) > reach
    if reach == 0 or not eroded.any():
        return [region]
    opened = ndimage.distance_transform_edt(~eroded) <= reach
    markers, count = ndimage.label(opened[1:-1, 1:-1])
    if count < 2:
        return [region]
    basins = watershed(smoothed[region.rows, region.columns], markers, mask=region.mask)
    parts = [region.part(basins == number) for number in range(1, count + 1)]
    return [part for part in parts if part is not None]
