"""Maps and masks that have nothing to do with each other.

The same network knowing nothing, its weights shuffled; and the same maps against masks that were
turned, shifted, or belong to another structure.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.stats
import torch
import xarray as xr
from torch import nn

from solarxai.classifier import Classifier
from solarxai.errors import ExplainerRefusal
from solarxai.explainers import Explainer
from solarxai.schema import INVALID, PENUMBRA
from solarxai.validation.localisation._masks import Masks
from solarxai.validation.localisation._ratio import ratio

__all__ = [
    "MASK_NULLS",
    "TESTED",
    "NullSamples",
    "RandomWeights",
    "exchanges",
    "null_samples",
    "random_weights",
    "shifts",
    "shuffle_weights",
    "turns",
]

Array = npt.NDArray[Any]

MASK_NULLS = ("mask turned", "mask shifted", "mask exchanged")
TESTED = (
    "enrichment in penumbra",
    "AUC",
    "enrichment within 1 px of inner boundary",
    "enrichment within 1 px of outer boundary",
    "relative distance to penumbra",
)
"""Quantities of localisation that are tested: none can be had by the size of the mask alone."""

_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True, kw_only=True, eq=False)
class RandomWeights:
    """The maps of a network whose weights were shuffled.

    Parameters
    ----------
    rows
        (row,) the samples explained.
    maps
        (row, y, x) by method.
    left_out
        Rows (method, reason) for methods without this null.
    """

    rows: npt.NDArray[np.intp]
    maps: dict[str, npt.NDArray[np.float32]]
    left_out: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class NullSamples:
    """A quantity of each map with its own mask, and with masks that are not its own.

    Parameters
    ----------
    values
        (structure, draw); one draw of each row is the structure's own.
    own
        (structure,) the draw that is its own.
    regions
        (structure,) active regions.
    strata
        (structure,) within which whole regions exchanged their masks, the draws of a row being the
        regions of its stratum in the order of `own`; or None where draws are independent.
    """

    values: npt.NDArray[np.float64]
    own: npt.NDArray[np.intp]
    regions: Array
    strata: npt.NDArray[np.intp] | None = None

    @property
    def observed(self) -> npt.NDArray[np.float64]:
        """Return the quantity with each structure's own mask, (structure,)."""
        return self.values[np.arange(len(self.own)), self.own]


def turns(shape: tuple[int, int], *, n: int = 24) -> npt.NDArray[np.intp]:
    """Return where the pixels of a turned mask come from, (draw, y·x), −1 for nowhere.

    Draw k is turned by k·360°/n about the centre of the patch, by the nearest pixel. Everything
    outside the inscribed disc is left out, also of draw 0, which is not turned: all draws cover the
    same pixels.
    """
    y, x = shape
    rows, columns = np.mgrid[:y, :x].reshape(2, -1) - np.array([[(y - 1) / 2], [(x - 1) / 2]])
    outside = np.hypot(rows, columns) > min(y, x) / 2 - 0.5
    found = np.empty((n, y * x), dtype=np.intp)
    for draw in range(n):
        cosine, sine = np.cos(2 * np.pi * draw / n), np.sin(2 * np.pi * draw / n)
        from_row = np.rint(cosine * rows + sine * columns + (y - 1) / 2 - 1e-9).astype(int)
        from_column = np.rint(cosine * columns - sine * rows + (x - 1) / 2 - 1e-9).astype(int)
        place = np.clip(from_row, 0, y - 1) * x + np.clip(from_column, 0, x - 1)
        found[draw] = np.where(outside, -1, place)
    return found


def shifts(shape: tuple[int, int], *, n: int = 24, seed: int = 0) -> npt.NDArray[np.intp]:
    """Return where the pixels of a shifted mask come from, (draw, y·x).

    Draw 0 is not shifted, the others by any number of pixels in y and x, drawn with the seed; what
    leaves the patch on one side comes in on the other.
    """
    y, x = shape
    rng = np.random.default_rng(seed)
    by = np.concatenate([[[0, 0]], rng.integers((y, x), size=(n - 1, 2))])
    places = np.arange(y * x).reshape(y, x)
    return np.stack([np.roll(places, tuple(step), axis=(0, 1)).ravel() for step in by])


def exchanges(
    sizes: Array, regions: Array, *, most: int = 8
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return partners, own and strata: whose mask each structure gets when regions exchange masks.

    Parameters
    ----------
    sizes
        (structure,) by which structures are alike (area of the structure).
    regions
        (structure,) active regions.
    most
        Most regions of a stratum.

    Returns
    -------
    tuple
        `partners` (structure, draw) rows of the structures, −1 where a stratum has fewer regions;
        `own` (structure,) the draw that is the structure itself; `strata` (structure,).

    Notes
    -----
    Regions stand in the order of their median size and are cut into strata of `most` neighbours or
    fewer. The structures of two regions of a stratum are paired by their rank in size. A whole
    region takes the masks of a whole region, so structures of one region stay together.
    """
    names, member = np.unique(np.asarray(regions).astype(str), return_inverse=True)
    parts = [np.flatnonzero(member == g) for g in range(len(names))]
    parts = [rows[np.argsort(np.asarray(sizes)[rows], kind="stable")] for rows in parts]
    order = sorted(range(len(names)), key=lambda g: float(np.median(np.asarray(sizes)[parts[g]])))
    partners = np.full((len(member), most), -1, dtype=np.intp)
    own, strata = np.zeros((2, len(member)), dtype=np.intp)
    for number, places in enumerate(np.array_split(order, -(-len(order) // most))):
        for slot, giver in enumerate(places):
            own[parts[giver]] = slot
            for taker in places:
                rank = np.arange(len(parts[taker])) * len(parts[giver]) // len(parts[taker])
                partners[parts[taker], slot] = parts[giver][rank]
                strata[parts[taker]] = number
    return partners, own, strata


def null_samples(
    maps: Mapping[str, npt.NDArray[np.float32]],
    masks: Masks,
    *,
    regions: Array,
    sizes: Array,
    n: int = 24,
    seed: int = 0,
) -> dict[tuple[str, str, str], NullSamples]:
    """Return the tested quantities of every map with its own and with other masks.

    Parameters
    ----------
    maps
        (sample, y, x) attributions by method.
    masks
        Of the same samples.
    regions, sizes
        (sample,) active regions, and areas by which structures are alike.
    n
        Number of angles, and of shifts.
    seed
        Of the shifts.

    Returns
    -------
    dict
        By (method, null, quantity), for the samples with a penumbra and both of its boundaries.

    Notes
    -----
    "mask turned" asks whether the map follows the shape of this penumbra, other than being round;
    "mask shifted" whether it follows the structure's place in the patch; "mask exchanged" whether
    it follows this structure more than those of like size in other regions. Of a round spot at the
    centre of its patch the first and the last can say little. The share of the area is that of the
    moved mask; pixels marked invalid before or after take no part.
    """
    rows = np.flatnonzero(masks.complete)
    places = {"mask turned": turns(masks.segmentation.shape[1:], n=n)}
    places["mask shifted"] = shifts(masks.segmentation.shape[1:], n=n, seed=seed)
    partners, own, strata = exchanges(np.asarray(sizes)[rows], np.asarray(regions)[rows])
    flat = _flat_planes(masks, rows)
    found: dict[tuple[str, str], list[Array]] = {}
    for k, row in enumerate(rows):
        here = np.stack([np.abs(values[row]).ravel() for values in maps.values()]).astype(float)
        planes = {null: flat[k][:, place] for null, place in places.items()}
        planes["mask turned"][:, places["mask turned"] < 0] = 0
        planes["mask exchanged"] = flat[partners[k]].swapaxes(0, 1)
        planes["mask exchanged"][:, partners[k] < 0] = 0
        for null, moved in planes.items():
            for name, values in _tested(here, flat[k][0] > 0, moved).items():
                found.setdefault((null, name), []).append(values)
    settled = {"own": np.zeros(len(rows), dtype=np.intp), "regions": np.asarray(regions)[rows]}
    swapped = {**settled, "own": own, "strata": strata}
    return {
        (method, null, name): NullSamples(
            values=np.stack([v[m] for v in values]),
            **(swapped if null == "mask exchanged" else settled),
        )
        for (null, name), values in found.items()
        for m, method in enumerate(maps)
    }


def shuffle_weights(network: nn.Module, x: torch.Tensor, *, seed: int = 0) -> nn.Module:
    """Return a copy of the network, in evaluation mode, with the entries of each tensor shuffled.

    Parameters
    ----------
    network
        Any module; it is left alone.
    x
        (batch, channel, *space) inputs on which running statistics are measured anew.
    seed
        Of the permutations.

    Notes
    -----
    Shuffling keeps each tensor's distribution, so the copy is a draw from a plausible initialiser
    whatever the architecture. Batch-norm statistics belonged to the old weights: they are measured
    again on `x`.
    """
    made = copy.deepcopy(network).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            order = torch.randperm(parameter.numel(), generator=generator)
            parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
        _measure_statistics(made, x)
    return made


def random_weights(
    samples: xr.Dataset,
    classifier: Classifier,
    methods: Iterable[str],
    explainers: Mapping[str, Explainer],
    *,
    seed: int = 0,
    most: int = 64,
) -> RandomWeights:
    """Return the maps of the methods for a network with shuffled weights, on a few sunspots.

    Parameters
    ----------
    samples
        The structures.
    classifier
        The trained classifier.
    methods
        Names of the methods.
    explainers
        The methods themselves, by name; those that are missing here, or refuse, are left out.
    seed
        Of the shuffling.
    most
        Most sunspots of each origin, evenly spread over the list.
    """
    rows = _few_sunspots(samples, most)
    if not any(p.numel() > 1 for p in classifier.network.parameters()) or not len(rows):
        reason = "the network has no weights" if len(rows) else "there are no sunspots"
        return RandomWeights(rows=rows, maps={}, left_out=_reasons(methods, reason))
    x = classifier.tensor(samples["image"].values[rows])
    blind = shuffle_weights(classifier.network, x, seed=seed)
    maps, left_out = {}, []
    for method in methods:
        try:
            if method not in explainers:
                raise ExplainerRefusal("not a method of this library", remedy="")
            maps[method] = _explained(explainers[method], blind, x)
        except ExplainerRefusal as refusal:
            left_out.append({"method": method, "reason": refusal.what})
    return RandomWeights(rows=rows, maps=maps, left_out=tuple(left_out))


def _measure_statistics(network: nn.Module, x: torch.Tensor) -> None:
    norms = [m for m in network.modules() if isinstance(m, _BATCH_NORM) and m.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    if norms:
        for block in torch.split(x, 32):
            network(block)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def _few_sunspots(samples: xr.Dataset, most: int) -> npt.NDArray[np.intp]:
    chosen = []
    for origin in sorted(set(samples["origin"].values.tolist())):
        rows = np.flatnonzero(
            (samples["origin"].values == origin) & (samples["label"].values == "sunspot")
        )
        spread = np.linspace(0, max(len(rows) - 1, 0), min(most, len(rows))).round().astype(int)
        chosen.append(rows[spread])
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, dtype=np.intp)


def _explained(
    explainer: Explainer, network: nn.Module, x: torch.Tensor
) -> npt.NDArray[np.float32]:
    values = explainer(network, x, baselines=x).values
    return values.detach()[:, 0].numpy().astype(np.float32)


def _reasons(methods: Iterable[str], reason: str) -> tuple[dict[str, str], ...]:
    return tuple({"method": method, "reason": reason} for method in methods)


def _flat_planes(masks: Masks, rows: Array) -> npt.NDArray[np.float32]:
    """Return (sample, plane, y·x): valid, penumbra, two bands, and the distance to penumbra."""
    segmentation = masks.segmentation[rows]
    planes = (
        segmentation != INVALID,
        segmentation == PENUMBRA,
        masks.inner[rows] <= 1,
        masks.outer[rows] <= 1,
        masks.penumbra[rows],
    )
    return np.stack([p.reshape(len(rows), -1) for p in planes], axis=1).astype(np.float32)


def _tested(strength: Array, valid: Array, planes: Array) -> dict[str, npt.NDArray[np.float64]]:
    """Return the tested quantities (map, draw) of maps (map, pixel) with planes (plane, draw, px).

    Undefined for draws without a valid pixel.
    """
    inside = (planes[0] > 0) & valid
    weights = np.stack([inside, *(plane * inside for plane in planes[1:])]).astype(float)
    sums, areas = np.einsum("mp,qdp->qmd", strength, weights), weights.sum(axis=2)[:, None]
    shares, sizes = ratio(sums[1:], sums[:1]), ratio(areas[1:], areas[:1])
    enrichment, inner, outer, distance = ratio(shares, np.broadcast_to(sizes, shares.shape))
    auc = np.stack([_auc(one, weights[1] > 0, inside) for one in strength])
    return dict(zip(TESTED, (enrichment, auc, inner, outer, distance), strict=True))


def _auc(strength: Array, positive: Array, inside: Array) -> npt.NDArray[np.float64]:
    """Return the area under the ROC curve of one map for many masks (draw, pixel), by ranks."""
    found = np.full(len(positive), np.nan)
    alike: dict[bytes, list[int]] = {}
    for draw, pixels in enumerate(inside):
        alike.setdefault(pixels.tobytes(), []).append(draw)
    for draws in alike.values():
        pixels = inside[draws[0]]
        yes = positive[draws][:, pixels]
        ranks = scipy.stats.rankdata(strength[pixels]) if pixels.any() else np.zeros(0)
        hits = yes.sum(axis=1)
        below = yes @ ranks - hits * (hits + 1) / 2
        found[draws] = ratio(below, hits * (yes.shape[1] - hits))
    return np.where(strength.any(), found, np.nan)
