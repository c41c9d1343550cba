"""Where to sample the paths of Expected Gradients: the nested design along a tour of baselines.

n gradients are spread over B baselines so that neighbours on a tour of the baselines get path
positions α far apart, and every baseline's own α are stratified: the error variance falls by the
part of the gradient that depends on α alone, on the baseline alone, or on both smoothly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Leg", "Shape", "draw_design", "shapes_of", "tour"]

Floats = npt.NDArray[np.float64]

_GOLDEN = (np.sqrt(5) - 1) / 2
_COMPONENTS = 5
_ROWS_FOR_COMPONENTS = 128


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How gradients are spread over some of the baselines.

    Parameters
    ----------
    strata
        Path positions of each baseline.
    visited
        Baselines on the tour that are visited.
    """

    strata: int
    visited: int

    @property
    def samples(self) -> int:
        """Gradients taken."""
        return self.strata * self.visited


@dataclass(frozen=True, kw_only=True)
class Leg:
    """Baselines with equally many positions, in the order of the tour.

    Parameters
    ----------
    baselines
        (visited,) row of each baseline.
    quantiles
        (visited, strata): where to stand on the path, as the part of all positions that lie nearer
        to the baseline.
    """

    baselines: npt.NDArray[np.intp]
    quantiles: Floats

    @property
    def shape(self) -> Shape:
        """How many gradients it takes."""
        visited, strata = self.quantiles.shape
        return Shape(strata=strata, visited=visited)


def shapes_of(samples: int, baselines: int) -> tuple[Shape, ...]:
    """Return how gradients are spread over that many baselines, all of them taken.

    Notes
    -----
    Fewer gradients than baselines visit as many, once; n = mB + r gradients visit all B, r of them
    m + 1 times and the others m times.
    """
    if samples < baselines:
        return (Shape(strata=1, visited=samples),)
    strata, more = divmod(samples, baselines)
    shapes = (
        Shape(strata=strata, visited=baselines - more),
        Shape(strata=strata + 1, visited=more),
    )
    return tuple(shape for shape in shapes if shape.visited)


def tour(
    baselines: npt.NDArray[np.float32], scores: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.intp]:
    """Return the rows of the baselines in the order of a nearest-neighbour tour.

    Parameters
    ----------
    baselines
        (baseline, value).
    scores
        (baseline,): the explained score of each.

    Notes
    -----
    Distances are taken in the five principal components and the score, each scaled to unit
    variance; the tour starts at the lowest score. The components are those of at most 128 rows.
    """
    places = np.column_stack([_components(baselines), scores.astype(np.float64)])
    spread = places.std(axis=0)
    places = places / np.where(spread > 0, spread, 1.0)
    left = np.ones(len(places), dtype=bool)
    here, order = int(np.argmin(scores)), []
    for _ in range(len(places)):
        order.append(here)
        left[here] = False
        distance = ((places - places[here]) ** 2).sum(axis=1)
        here = int(np.argmin(np.where(left, distance, np.inf)))
    return np.array(order, dtype=np.intp)


def draw_design(
    order: npt.NDArray[np.intp], samples: int, generator: np.random.Generator
) -> tuple[Leg, ...]:
    """Return a random nested design of that many gradients, unbiased over the generator's numbers.

    Parameters
    ----------
    order
        (baseline,) from `tour`.
    samples
        Gradients to take; see `shapes_of`.
    generator
        Gives a start on the tour and the shift u of the quantiles of each leg.

    Notes
    -----
    The i-th baseline of a leg gets the quantiles (j + frac(iφ + u))/m for j = 0 … m−1, with
    φ = 0.618…; where r of B baselines are visited, or visited once more, they are every (B/r)-th
    from a random start.
    """
    shapes = shapes_of(samples, len(order))
    start, *shifts = generator.random(1 + len(shapes))
    chosen = np.zeros(len(order), dtype=bool)
    chosen[_spread(shapes[-1].visited, len(order), start)] = True
    rows = (order[chosen],) if len(shapes) == 1 else (order[~chosen], order[chosen])
    return tuple(
        Leg(baselines=row, quantiles=_quantiles(shape, shift))
        for row, shape, shift in zip(rows, shapes, shifts, strict=True)
    )


def _spread(visited: int, baselines: int, start: float) -> npt.NDArray[np.intp]:
    places = np.floor((np.arange(visited) + start) * (baselines / visited)).astype(np.intp)
    found: npt.NDArray[np.intp] = np.minimum(places, baselines - 1)
    return found


def _quantiles(shape: Shape, shift: float) -> Floats:
    phase = np.mod(np.arange(shape.visited) * _GOLDEN + shift, 1.0)
    found: Floats = (np.arange(shape.strata) + phase[:, None]) / shape.strata
    return found


def _components(baselines: npt.NDArray[np.float32]) -> Floats:
    """Return the first principal components of the rows, (baseline, at most 5)."""
    centred = baselines - baselines.mean(axis=0)
    few = centred[:: -(-len(centred) // _ROWS_FOR_COMPONENTS)]
    values, vectors = np.linalg.eigh(few @ few.T)
    kept = values > max(values[-1], 0.0) * 1e-6
    directions = few.T @ vectors[:, kept][:, -_COMPONENTS:]
    found: Floats = (centred @ directions).astype(np.float64)
    return found
