"""How far from the structure does a map look? Our mean distance, and the score of Adeyeha."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.feature import canny
from skimage.morphology import convex_hull_image

from solarxai.schema import INVALID, PENUMBRA, QUIET
from solarxai.validation.localisation._ratio import ratio

__all__ = [
    "PROXIMITY",
    "adeyeha",
    "hull_distances",
    "mean_distance",
    "structure_distances",
]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Planes = npt.NDArray[np.float32]

PROXIMITY = (
    "distance to penumbra",
    "relative distance to penumbra",
    "Adeyeha proximity",
    "Adeyeha colocation",
)
"""Quantities of this module, as they stand in the table of localisation."""

_EDGES = (30.0, 50.0)
"""Canny thresholds on a map stretched to 0–255, as in the analysis of Adeyeha's code."""


def structure_distances(
    segmentation: npt.NDArray[np.uint8], *, structure: int = PENUMBRA
) -> Planes:
    """Return the distance (sample, y, x) to the nearest pixel of a segment, in pixels.

    Zero inside, infinite where the sample has no such pixel.
    """
    found = np.full(segmentation.shape, np.inf, np.float32)
    for row, plane in enumerate(segmentation == structure):
        if plane.any():
            found[row] = ndimage.distance_transform_edt(~plane)
    return found


def mean_distance(
    maps: Planes, segmentation: npt.NDArray[np.uint8], *, distances: Planes | None = None
) -> dict[str, Floats]:
    """Return how far |maps| lies from the penumbra, (sample,) a quantity.

    Parameters
    ----------
    maps
        (sample, y, x) attributions, raw and signed.
    segmentation
        (sample, y, x) of the samples; pixels marked invalid take no part.
    distances
        Of `structure_distances`, where at hand.

    Returns
    -------
    dict
        "distance to penumbra", D = Σ|a| d ÷ Σ|a| with d the distance to the nearest pixel of
        penumbra, in pixels; and "relative distance to penumbra", D ÷ that of a flat map: 0 for a
        map inside the penumbra alone, 1 for a map that does not care. NaN where undefined.
    """
    far = structure_distances(segmentation) if distances is None else distances
    valid = segmentation != INVALID
    strength = np.where(valid, np.abs(maps), 0).astype(float)
    known = np.asarray(np.isfinite(far).all(axis=(1, 2)))
    there = np.where(known[:, None, None] & valid, far, 0).astype(float)
    mean = ratio((strength * there).sum(axis=(1, 2)), strength.sum(axis=(1, 2)))
    flat = ratio(there.sum(axis=(1, 2)), valid.sum(axis=(1, 2)))
    mean = np.where(known, mean, np.nan)
    return {
        "distance to penumbra": mean,
        "relative distance to penumbra": ratio(mean, flat),
    }


def hull_distances(maps: Planes) -> Planes:
    """Return the distance (sample, y, x) to what Adeyeha calls the activation, in pixels.

    Zero inside the convex hulls of the map's edges; NaN where the map has no edge.

    Notes
    -----
    Each map is stretched to 0–255 between its least and greatest value, its edges are found by
    Canny's method (thresholds 30 and 50, no smoothing), edge pixels that touch are one cluster,
    single pixels are left out, and each cluster is replaced by its convex hull. That is what the
    published code does (see `adeyeha`), with three differences: pixels are clustered when they
    touch, also at a corner, where it has DBSCAN with at least 2 samples within 10 of 512 px, which
    is 1.25 px of 64; the gradient is measured as √(x² + y²), not |x| + |y|; and the hulls are not
    widened by 5 px all round and 40 px to the west, which is for the Sun's rotation in 24 hours.
    """
    return np.stack([_hull_distance(plane) for plane in maps])


def adeyeha(hulls: Planes, segmentation: npt.NDArray[np.uint8]) -> dict[str, Floats]:
    """Return Adeyeha's proximity score and colocation ratio of each sample, (sample,) each.

    Parameters
    ----------
    hulls
        Of `hull_distances`, (sample, y, x).
    segmentation
        (sample, y, x); its structures take the place of the active regions.

    Returns
    -------
    dict
        "Adeyeha proximity", (1/N) Σ_r min_h d(r, h) over the N structures r of the patch and the
        hulls h of the map, with d the distance from the structure's centre (of the pixels of a
        connected structure, as the code takes an active region's tabulated place) to the hull, 0
        inside, in pixels: small is near; and "Adeyeha colocation", the share of structures with
        d = 0. NaN without a structure or without a hull.

    Notes
    -----
    The score asks whether each structure has attribution near it, not whether the attribution has
    a structure near it: a map that is busy everywhere scores best. Ours (`mean_distance`) asks the
    latter. Formula taken from the first author's published code
    (github.com/Adeyeha/full-disk-deployment, `flare_hull_distance_2`, `proximity_score`,
    `collocation_ratio`; a public repository), not compared with the equations of the paper.

    References
    ----------
    Adeyeha, Pandey & Aydin 2024, arXiv:2411.18070.
    """
    proximity, colocation = np.full((2, len(hulls)), np.nan)
    for row, (far, plane) in enumerate(zip(hulls, segmentation, strict=True)):
        labels, count = ndimage.label((plane != QUIET) & (plane != INVALID), np.ones((3, 3)))
        if not count:
            continue
        centres = ndimage.center_of_mass(labels > 0, labels, np.arange(1, count + 1))
        at = np.round(centres).astype(int)
        found = far[at[:, 0], at[:, 1]]
        proximity[row] = found.mean()
        colocation[row] = np.nan if np.isnan(found).any() else (found == 0).mean()
    return {"Adeyeha proximity": proximity, "Adeyeha colocation": colocation}


def _hull_distance(plane: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    spread = float(plane.max() - plane.min())
    inside = np.zeros(plane.shape, bool)
    if spread > 0:
        stretched = (plane - plane.min()) * np.float32(255 / spread)
        edges = canny(stretched, sigma=0, low_threshold=_EDGES[0], high_threshold=_EDGES[1])
        labels, _ = ndimage.label(edges, np.ones((3, 3)))
        for number, box in enumerate(ndimage.find_objects(labels), start=1):
            cluster = labels[box] == number
            if cluster.sum() > 1:
                inside[box] |= cluster if cluster.sum() < 4 else convex_hull_image(cluster)
    if not inside.any():
        return np.full(plane.shape, np.nan, np.float32)
    return np.asarray(ndimage.distance_transform_edt(~inside), dtype=np.float32)
