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

__all__ = ["Design", "Shape", "draw_design", "shape_of", "tour"]

Floats = npt.NDArray[np.float64]

_GOLDEN = (np.sqrt(5) - 1) / 2
_COMPONENTS = 5
_ROWS_FOR_COMPONENTS = 512


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How n gradients are spread over B baselines.

    Parameters
    ----------
    strata
        m = max(1, ⌊n/B⌋), path positions of each baseline.
    visited
        k = min(B, ⌊n/m⌋), baselines on the tour that are visited.
    """

    strata: int
    visited: int

    @property
    def samples(self) -> int:
        """Gradients taken: m·k, at most n."""
        return self.strata * self.visited


@dataclass(frozen=True, kw_only=True)
class Design:
    """Baselines to visit, in the order of the tour, and where to stand on the path from each.

    Parameters
    ----------
    baselines
        (visited,) row of each baseline.
    alphas
        (visited, strata): position on the path, 0 at the baseline and 1 at the image.
    """

    baselines: npt.NDArray[np.intp]
    alphas: Floats


def shape_of(samples: int, baselines: int) -> Shape:
    """Return how at most `samples` gradients are spread over that many baselines."""
    strata = max(1, samples // baselines)
    return Shape(strata=strata, visited=min(baselines, samples // strata))


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
    variance; the tour starts at the lowest score. The components are those of at most 512 rows.
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
    order: npt.NDArray[np.intp], shape: Shape, generator: np.random.Generator
) -> Design:
    """Return a random nested design, unbiased over the generator's two numbers.

    Parameters
    ----------
    order
        (baseline,) from `tour`.
    shape
        From `shape_of`.
    generator
        Gives the shift u of all path positions and the start on the tour.

    Notes
    -----
    The i-th baseline visited gets α = (j + frac(iφ + u))/m for j = 0 … m−1, with φ = 0.618…; where
    fewer are visited than there are, every (B/k)-th is taken from a random start.
    """
    shift, start = generator.random(2)
    step = np.arange(shape.visited)
    phase = np.mod(step * _GOLDEN + shift, 1.0)
    alphas = (np.arange(shape.strata) + phase[:, None]) / shape.strata
    if shape.visited == len(order):
        return Design(baselines=order, alphas=alphas)
    places = np.floor((step + start) * (len(order) / shape.visited)).astype(np.intp)
    return Design(baselines=order[np.minimum(places, len(order) - 1)], alphas=alphas)


def _components(baselines: npt.NDArray[np.float32]) -> Floats:
    """Return the first principal components of the rows, (baseline, at most 5)."""
    centred = baselines - baselines.mean(axis=0)
    few = centred[:: -(-len(centred) // _ROWS_FOR_COMPONENTS)]
    values, vectors = np.linalg.eigh(few @ few.T)
    kept = values > max(values[-1], 0.0) * 1e-6
    directions = few.T @ vectors[:, kept][:, -_COMPONENTS:]
    found: Floats = (centred @ directions).astype(np.float64)
    return found
