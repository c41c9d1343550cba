"""The object that a saliency map points at, cut out of its image: a mask and a box."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from solarxai.errors import ContractError

__all__ = ["SaliencyCut", "saliency_cut"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_CAPACITY = 2**30
"""Most that all capacities of one terminal sum to, and any edge has: flows are int32."""

_FINEST = 2**16
"""Most integer units in one unit of energy."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SaliencyCut:
    """Where an object is, by a saliency map and the intensity of its image.

    Parameters
    ----------
    mask
        (*space) bool: the largest connected part of what was cut out; all False where nothing was.
    box
        First and last-plus-one pixel of the mask along each axis, or None where it is empty.
    cut
        (*space) bool: all that was cut out.
    resolution
        The energy that one unit of the integer capacities stands for, in nats.
    """

    mask: Mask
    box: tuple[tuple[int, int], ...] | None
    cut: Mask
    resolution: float


def saliency_cut(
    image: npt.NDArray[np.floating],
    saliency: npt.NDArray[np.floating],
    *,
    foreground: float = 0.95,
    background: float = 0.30,
    bins: int = 16,
    smoothness: float = 2.0,
) -> SaliencyCut:
    r"""Return the object that a saliency map points at, as mask and box.

    Parameters
    ----------
    image
        (*space) intensity, one axis or two.
    saliency
        (*space), not negative where it matters: the absolute value of a signed map.
    foreground, background
        Quantiles of the saliency: pixels above the first show the intensities of the object,
        pixels below the second those around it.
    bins
        Bins of the two histograms of intensity, of equal width from the 0.5th to the 99.5th
        percentile of the image; what lies beyond is counted in the outermost.
    smoothness
        Weight λ of the border, in nats a pair of neighbours of equal intensity.

    Raises
    ------
    ContractError
        when the two differ in shape, are not finite, are constant, or an option is out of range.

    Notes
    -----
    The mask minimises

    .. math:: E(l) = - \sum_p \log h_{l_p}(I_p) + \lambda \sum_{p \sim q, l_p \neq l_q}
        \frac{e^{- \beta (I_p - I_q)^2}}{\lVert p - q \rVert}

    over all labellings, exactly, by a maximum flow between neighbours along axes and diagonals.
    h are the histograms of the pixels shown, smoothed by one triangle of three bins and with one
    count a bin added, and 1/β is twice the mean squared difference of neighbours. The seeds give
    the histograms only: any of them may end on the other side.

    Flows are integers. One unit stands for `resolution`, so that neither a capacity nor their sum
    at a terminal exceeds 2^30: the energy is exact to half of it for each term, 8·10⁻⁶ nats for
    images up to some 50 × 50 pixels and in proportion to the number of pixels beyond.

    Simonyan et al. model colours by Gaussian mixtures, and cut in the same way.

    References
    ----------
    Simonyan, Vedaldi & Zisserman 2014, Deep Inside Convolutional Networks, arXiv:1312.6034,
    section 3.2. Boykov & Jolly 2001, Interactive Graph Cuts, doi:10.1109/ICCV.2001.937505.
    """
    _check(image, saliency, foreground, background, bins, smoothness)
    levels = _levels(image, bins)
    low, high = np.quantile(saliency, [background, foreground])
    costs = [_costs(levels, seeds, bins) for seeds in (saliency >= high, saliency <= low)]
    cut, resolution = _cut(costs[0] - costs[1], list(_borders(image, smoothness)))
    mask = _largest(cut)
    return SaliencyCut(mask=mask, box=_box(mask), cut=cut, resolution=resolution)


def _levels(image: npt.NDArray[np.floating], bins: int) -> npt.NDArray[np.intp]:
    """Return the bin of each pixel's intensity, (*space)."""
    least, most = np.quantile(image, [0.005, 0.995])
    if most <= least:
        least, most = image.min(), image.max()
    edges = np.linspace(least, most, bins + 1)[1:-1]
    levels: npt.NDArray[np.intp] = np.digitize(image, edges)
    return levels


def _costs(levels: npt.NDArray[np.intp], seeds: Mask, bins: int) -> Floats:
    """Return −log h of each pixel, (*space), in nats."""
    counts = np.bincount(levels[seeds], minlength=bins).astype(np.float64)
    smooth = ndimage.convolve1d(counts, np.array([0.25, 0.5, 0.25]), mode="nearest") + 1
    costs: Floats = -np.log(smooth / smooth.sum())[levels]
    return costs


def _borders(
    image: npt.NDArray[np.floating], smoothness: float
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Floats]]:
    """Yield the pairs of neighbours, as two arrays of pixel numbers, and the cost between them."""
    numbers = np.arange(image.size).reshape(image.shape)
    pairs = [_shifted(numbers, step) for step in _steps(image.ndim)]
    flat = image.astype(np.float64).ravel()
    squares = [(flat[p] - flat[q]) ** 2 for p, q, _ in pairs]
    mean = float(np.concatenate(squares).mean())
    for (p, q, distance), square in zip(pairs, squares, strict=True):
        yield p, q, smoothness * np.exp(-square / (2 * mean)) / distance


def _steps(axes: int) -> list[tuple[int, ...]]:
    """Return half of the steps to a neighbour: each pair of pixels once."""
    return [step for step in itertools.product((-1, 0, 1), repeat=axes) if step > (0,) * axes]


def _shifted(
    numbers: npt.NDArray[np.intp], step: tuple[int, ...]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], float]:
    here = tuple(slice(max(-s, 0), n - max(s, 0)) for s, n in zip(step, numbers.shape, strict=True))
    there = tuple(
        slice(max(s, 0), n - max(-s, 0)) for s, n in zip(step, numbers.shape, strict=True)
    )
    return numbers[here].ravel(), numbers[there].ravel(), float(np.linalg.norm(step))


def _cut(
    excess: Floats,
    borders: list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Floats]],
) -> tuple[Mask, float]:
    """Return which pixels the least cut leaves with the source, and the energy of one unit.

    Parameters
    ----------
    excess
        (*space): what a pixel costs more as foreground than as background.
    borders
        Pairs of neighbours and their cost.
    """
    source, sink = excess.size, excess.size + 1
    pixels, flat = np.arange(excess.size), excess.ravel()
    edges = [(np.full(excess.size, source), pixels, np.maximum(-flat, 0))]
    edges += [(pixels, np.full(excess.size, sink), np.maximum(flat, 0))]
    edges += [*borders, *((q, p, cost) for p, q, cost in borders)]
    rows, columns, costs = (np.concatenate(part) for part in zip(*edges, strict=True))
    largest = max(np.maximum(-flat, 0).sum(), np.maximum(flat, 0).sum(), costs.max())
    scale = min(_FINEST, _CAPACITY / largest)
    capacities = np.rint(costs * scale).astype(np.int32)
    shape = (excess.size + 2, excess.size + 2)
    graph = sparse.csr_array((capacities, (rows, columns)), shape=shape)
    flow = csgraph.maximum_flow(graph, source, sink).flow
    left = sparse.csr_array(graph - flow)
    left.data = (left.data > 0).astype(np.int32)
    left.eliminate_zeros()
    reached = csgraph.breadth_first_order(left, source, return_predecessors=False)
    cut = np.zeros(excess.size + 2, dtype=bool)
    cut[reached] = True
    return cut[: excess.size].reshape(excess.shape), 1 / scale


def _largest(cut: Mask) -> Mask:
    """Return the largest part connected along axes; the first of equal ones."""
    labels, count = ndimage.label(cut)
    if not count:
        return cut.copy()
    sizes = np.bincount(labels.ravel())[1:]
    largest: Mask = labels == 1 + int(sizes.argmax())
    return largest


def _box(mask: Mask) -> tuple[tuple[int, int], ...] | None:
    if not mask.any():
        return None
    (slices,) = ndimage.find_objects(mask.astype(np.int32))
    return tuple((int(along.start), int(along.stop)) for along in slices)


def _check(
    image: npt.NDArray[np.floating],
    saliency: npt.NDArray[np.floating],
    foreground: float,
    background: float,
    bins: int,
    smoothness: float,
) -> None:
    if image.shape != saliency.shape or image.ndim not in (1, 2) or image.size < 2:
        raise ContractError(
            f"image {image.shape} and saliency {saliency.shape} do not fit",
            remedy="Give two arrays of one shape, (y, x) or (n,).",
        )
    for name, values in (("image", image), ("saliency", saliency)):
        if not np.isfinite(values).all() or not float(np.ptp(values)) > 0:
            raise ContractError(
                f"the {name} is constant, or contains values that are not finite",
                remedy="Leave it out: there is nothing to cut by.",
            )
    ordered = 0 < background < foreground < 1
    if not ordered or bins < 2 or not 0 <= smoothness < np.inf:
        raise ContractError(
            f"foreground {foreground}, background {background}, bins {bins} and smoothness "
            f"{smoothness} cannot cut",
            remedy="Give quantiles 0 < background < foreground < 1, 2 bins or more, and a finite "
            "smoothness of 0 or more.",
        )
