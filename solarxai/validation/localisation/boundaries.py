"""How much of a map lies along the edges of the penumbra, inner and outer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from solarxai.schema import INVALID, PENUMBRA, QUIET, UMBRA
from solarxai.validation.localisation._ratio import ratio

__all__ = ["BOUNDARIES", "WIDTHS", "boundary_distances", "boundary_names", "measure_boundaries"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

BOUNDARIES: Mapping[str, tuple[int, int]] = {
    "inner boundary": (UMBRA, PENUMBRA),
    "outer boundary": (PENUMBRA, QUIET),
}
"""The two segments on either side of each boundary."""
WIDTHS = (1, 2)
"""Half-widths of the bands, pixels."""


def boundary_names(kind: str, *, widths: Sequence[int] = WIDTHS) -> tuple[str, ...]:
    """Return the names of a kind of quantity ("share", "signed share", "enrichment") by band."""
    return tuple(f"{kind} within {w} px of {name}" for name in BOUNDARIES for w in widths)


def boundary_distances(segmentation: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
    """Return the distance (sample, y, x) of each pixel's centre to each boundary, in pixels.

    Infinite where the sample has no such boundary.

    Notes
    -----
    A boundary is the set of midpoints between neighbouring pixels (up, down, left, right) of which
    one belongs to the one segment and one to the other; the pixels on either side lie at 0.5 px,
    the next at 1.1 px or more. An umbra that touches the quiet Sun has neither boundary there.
    """
    return {
        name: np.stack([_distance_to_edge(plane, *pair) for plane in segmentation])
        for name, pair in BOUNDARIES.items()
    }


def measure_boundaries(
    maps: npt.NDArray[np.float32],
    segmentation: npt.NDArray[np.uint8],
    *,
    distances: Mapping[str, Array] | None = None,
    widths: Sequence[int] = WIDTHS,
) -> dict[str, Floats]:
    """Return how much of the map lies along each boundary, (sample,) a quantity.

    Parameters
    ----------
    maps
        (sample, y, x) attributions, raw and signed.
    segmentation
        (sample, y, x) of the samples; pixels marked invalid take no part.
    distances
        Of `boundary_distances`, where at hand.
    widths
        Half-widths of the bands, pixels.

    Returns
    -------
    dict
        "share within 1 px of inner boundary" and so on: with the band b of pixels within `width` of
        the boundary, the share Σ_b|a| ÷ Σ|a|; the signed share Σ_b a ÷ Σ|a|, from −1 to 1; the
        enrichment, the share ÷ the band's share of the area; and the signed enrichment, the signed
        share ÷ the band's share of the area: 1 for a map that is the same positive number
        everywhere. NaN where there is no such boundary or the map is zero.
    """
    near = boundary_distances(segmentation) if distances is None else distances
    valid = segmentation != INVALID
    signed = np.where(valid, maps, 0).astype(float)
    strength = np.abs(signed)
    total, area = strength.sum(axis=(1, 2)), valid.sum(axis=(1, 2))
    found: dict[str, Floats] = {}
    for name in BOUNDARIES:
        for width in widths:
            band = valid & (near[name] <= width)
            pixels = band.sum(axis=(1, 2))
            there, size = pixels > 0, ratio(pixels, area)
            parts = {
                "share": ratio((strength * band).sum(axis=(1, 2)), total),
                "signed share": ratio((signed * band).sum(axis=(1, 2)), total),
            }
            parts = {kind: np.where(there, share, np.nan) for kind, share in parts.items()}
            parts["enrichment"] = ratio(parts["share"], size)
            parts["signed enrichment"] = ratio(parts["signed share"], size)
            found |= {f"{k} within {width} px of {name}": v for k, v in parts.items()}
    return found


def _distance_to_edge(plane: Array, one: int, other: int) -> npt.NDArray[np.float32]:
    """Return the distance of each pixel to the edge of two segments, on a grid twice as fine."""
    y, x = plane.shape
    away = np.ones((2 * y - 1, 2 * x - 1), bool)
    away[1::2, ::2] = ~_meet(plane[1:], plane[:-1], one, other)
    away[::2, 1::2] = ~_meet(plane[:, 1:], plane[:, :-1], one, other)
    if away.all():
        return np.full((y, x), np.inf, np.float32)
    return np.asarray(ndimage.distance_transform_edt(away)[::2, ::2] / 2, dtype=np.float32)


def _meet(a: Array, b: Array, one: int, other: int) -> npt.NDArray[np.bool_]:
    return np.asarray(((a == one) & (b == other)) | ((a == other) & (b == one)))
