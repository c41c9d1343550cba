"""Dark structures of the photosphere: measured, and called sunspot, pore or ambiguous.

The point-spread function gives every pore a rim of intermediate intensity, so a threshold alone
takes each pore for a small spot. The rule below measures how far the intermediate intensity
reaches *beyond* the rim that a sharp edge of the same depth would have, and asks a sunspot for a
real core besides. `docs/photosphere.md` tells how its cuts were found on real images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from solarxai.photosphere.regions import Region, Resolution
from solarxai.schema import INVALID, PENUMBRA, PORE, QUIET, UMBRA

__all__ = [
    "CORE_MM2",
    "PORE_WIDTH_MM",
    "SHALLOW",
    "SHALLOW_RADIUS_MM",
    "SPOT_WIDTH_MM",
    "Structure",
    "classify_pixels",
    "doubt_attached",
    "judge",
    "measure",
    "without_rim",
]

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

_PLATEAU = (0.62, 0.88)
_HEMISPHERE_MM2 = 2 * np.pi * 695.7**2

Image = npt.NDArray[np.float32]


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


def _plateau(region: Region, smoothed: Image, resolution: Resolution) -> float:
    """Return the share of a region that lies well inside its intermediate intensities."""
    values = smoothed[region.rows, region.columns]
    low, high = _PLATEAU
    between = np.pad(region.mask & (values > low) & (values < high), 1)
    depth = ndimage.distance_transform_edt(between) * resolution.scale_mm
    return float((depth > resolution.blur_mm).sum() / region.mask.sum())
