"""Dark structures of the photosphere: found, measured, and called sunspot, pore or ambiguous.

The point-spread function gives every pore a rim of intermediate intensity, so a threshold alone
takes each pore for a small spot. The rule below measures how far the intermediate intensity
reaches *beyond* the rim that a sharp edge of the same depth would have, and asks a sunspot for a
real core besides. `docs/photosphere.md` tells how its cuts were found on real images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.special import ndtri
from skimage.segmentation import watershed

from solarxai.photosphere.strips import label_sizes
from solarxai.schema import INVALID, PENUMBRA, PORE, QUIET, UMBRA

__all__ = [
    "CORE_MM2",
    "DEEPEST_AT_LEAST",
    "NECK_MM",
    "PORE_WIDTH_MM",
    "SHALLOW",
    "SHALLOW_RADIUS_MM",
    "SPOT_WIDTH_MM",
    "Region",
    "Resolution",
    "Structure",
    "classify_pixels",
    "doubt_attached",
    "find_regions",
    "is_defect",
    "judge",
    "measure",
    "without_rim",
]

DEEPEST_AT_LEAST = 0.75
"""A structure's smoothed minimum lies below this: seven granulation standard deviations."""

NECK_MM = 0.75
"""Bridges thinner than twice this join two structures by chance; they are cut."""

SPOT_WIDTH_MM = 2.0
"""A sunspot's intermediate ring is at least this wide beyond the rim of the PSF."""

PORE_WIDTH_MM = 1.25
"""A pore's is at most this wide; what lies between is ambiguous."""

CORE_MM2 = 4.0
"""A sunspot's umbra is at least this large (30 HMI pixels)."""

SHALLOW = 0.62
"""A structure that never gets darker than this has no core..."""

SHALLOW_RADIUS_MM = 2.2
"""...and if it is larger than this it may be a penumbra without an umbra: ambiguous."""

_DEFECT_ELEMENTS = 4
_DEFECT_STEEPNESS = 1.3
_PLATEAU = (0.62, 0.88)
_HEMISPHERE_MM2 = 2 * np.pi * 695.7**2
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


@dataclass(frozen=True, kw_only=True)
class Structure:
    """One structure: where it is, what it measures, what it is called and by whom.

    Parameters
    ----------
    region
        Its pixels.
    x, y
        Its position in pixels, counted from zero.
    label
        "sunspot", "pore" or "ambiguous".
    label_source
        "rule"; "truth" for a synthetic Sun; "unmatched" for what a synthetic Sun does not know.
    rule_label
        The rule's own verdict, whatever the label.
    measurements
        Every name of `solarxai.schema.MEASUREMENTS` with its value.
    at_border
        Whether it is cut by the edge of the image or of the valid pixels.
    """

    region: Region
    x: float
    y: float
    label: str
    label_source: str
    rule_label: str
    measurements: Mapping[str, float]
    at_border: bool = False


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
    dark = smoothed < outline
    labels, count = ndimage.label(dark)
    smallest = resolution.element_mm2 / resolution.scale_mm**2
    sizes = label_sizes(labels, count)
    boxes = ndimage.find_objects(labels)
    structures: list[Region] = []
    lesser: list[Region] = []
    for number in np.flatnonzero(sizes[1:] >= smallest) + 1:
        rows, columns = boxes[number - 1]
        mask = labels[rows, columns] == number
        whole = Region(rows=rows, columns=columns, mask=mask, patch=int(number))
        for piece in _cut_at_necks(whole, smoothed, resolution.scale_mm):
            deep = piece.of(smoothed).min() < DEEPEST_AT_LEAST
            (structures if deep and piece.mask.sum() >= smallest else lesser).append(piece)
    small = int((sizes[1:] < smallest).sum())
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


def measure(
    region: Region,
    *,
    intensity: Image,
    smoothed: Image,
    area: Image,
    umbra: float,
    outline: float,
    resolution: Resolution,
) -> dict[str, float]:
    """Return what the rule and the samples need to know about one structure.

    Parameters
    ----------
    region
        Its pixels.
    intensity, smoothed
        Relative to the quiet Sun, (y, x); the second is what was cut.
    area
        Surface area under each pixel of the region, in the order of `Region.of`, Mm².
    umbra, outline
        The instrument's limits of umbra and structure.
    resolution
        Of the smoothed image.

    Returns
    -------
    dict
        The photometric part of `solarxai.schema.MEASUREMENTS`. `penumbra_width_mm` is
        √(A(outline)/π) − √(A(half depth)/π), less the width that the blur alone gives a sharp
        edge of this depth (`Resolution.rim_mm`) and never negative; `penumbra_plateau` is the
        share of the structure that lies between 0.62 and 0.88 and farther than one blur from
        where it leaves that interval.
    """
    values, cover = region.of(smoothed), area.astype(np.float64)
    raw = np.nan_to_num(region.of(intensity), nan=1.0).astype(np.float64)
    total = float(cover.sum())
    lowest = float(values.min())
    half = float(cover[values < (1 + lowest) / 2].sum())
    width = np.sqrt(total / np.pi) - np.sqrt(half / np.pi)
    return {
        "area_mm2": total,
        "area_msh": total / _HEMISPHERE_MM2 * 1e6,
        "umbra_area_mm2": float(cover[values < umbra].sum()),
        "penumbra_area_mm2": float(cover[values >= umbra].sum()),
        "minimum_intensity": float(raw.min()),
        "integrated_deficit_mm2": float(((1 - raw) * cover).sum()),
        "penumbra_plateau": _plateau(region, smoothed, resolution),
        "penumbra_width_mm": float(max(width - resolution.rim_mm(1 - lowest, outline), 0.0)),
    }


def judge(measurements: Mapping[str, float]) -> str:
    """Return "sunspot", "pore" or "ambiguous" from a structure's measurements.

    A sunspot has a core (umbra of `CORE_MM2`) and an intermediate ring of `SPOT_WIDTH_MM` beyond
    the rim of the point-spread function. A pore has no such ring (at most `PORE_WIDTH_MM`) and is
    either dark somewhere (below `SHALLOW`) or small (`SHALLOW_RADIUS_MM`). Anything else, a
    rudimentary penumbra or one without an umbra, is ambiguous.
    """
    width = measurements["penumbra_width_mm"]
    radius = np.sqrt(measurements["area_mm2"] / np.pi)
    if width >= SPOT_WIDTH_MM and measurements["umbra_area_mm2"] >= CORE_MM2:
        return "sunspot"
    shallow = measurements["minimum_intensity"] > SHALLOW and radius > SHALLOW_RADIUS_MM
    return "pore" if width <= PORE_WIDTH_MM and not shallow else "ambiguous"


def doubt_attached(structures: Sequence[Structure]) -> list[Structure]:
    """Return the structures, those the rule calls pores but which hang on a sunspot ambiguous.

    What was cut off a sunspot at a neck may be a pore at its edge or a scrap of its penumbra.
    """
    spotted = {s.region.patch for s in structures if s.rule_label == "sunspot"}
    return [
        replace(s, label="ambiguous", rule_label="ambiguous")
        if s.rule_label == "pore" and s.region.patch in spotted
        else s
        for s in structures
    ]


def classify_pixels(
    structures: Sequence[Structure], lesser: Sequence[Region], smoothed: Image, *, umbra: float
) -> npt.NDArray[np.uint8]:
    """Return the class of every pixel: uint8 (y, x), values of `solarxai.schema.SEGMENTS`.

    A sunspot is umbra and penumbra; all of a pore is pore, for its rim is the point-spread
    function's and no penumbra. The bright part of an ambiguous structure, and all of a patch too
    slight to be a structure, is neither penumbra nor quiet Sun for certain: `INVALID`.
    """
    segmentation = np.full(smoothed.shape, QUIET, dtype=np.uint8)
    for patch in lesser:
        segmentation[patch.rows, patch.columns][patch.mask] = INVALID
    for structure in structures:
        region = structure.region
        core = smoothed[region.rows, region.columns] < umbra
        inner, outer = {
            "sunspot": (UMBRA, PENUMBRA),
            "pore": (PORE, PORE),
            "ambiguous": (UMBRA, INVALID),
        }[structure.label]
        box = segmentation[region.rows, region.columns]
        box[region.mask] = np.where(core, inner, outer)[region.mask]
    return segmentation


def without_rim(structure: Structure) -> Structure:
    """Return the structure with no penumbral area if it is a pore: what is there is its rim."""
    if structure.label != "pore":
        return structure
    return replace(structure, measurements={**structure.measurements, "penumbra_area_mm2": 0.0})


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


def _plateau(region: Region, smoothed: Image, resolution: Resolution) -> float:
    """Return the share of a region that lies well inside its intermediate intensities."""
    values = smoothed[region.rows, region.columns]
    low, high = _PLATEAU
    between = np.pad(region.mask & (values > low) & (values < high), 1)
    depth = ndimage.distance_transform_edt(between) * resolution.scale_mm
    return float((depth > resolution.blur_mm).sum() / region.mask.sum())
