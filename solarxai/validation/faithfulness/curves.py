"""The score of a sample as an order of its features is hidden, share by share."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.classifier import Classifier
from solarxai.validation.faithfulness.infidelity import infidelity
from solarxai.validation.faithfulness.removal import Removal

__all__ = ["FLAT", "ORACLE", "RANDOM", "Design", "Measured"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Order = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

RANDOM, FLAT, ORACLE = "random order", "flat map", "oracle"
"""Names of the controls: an order drawn at random, a map that is one everywhere, and the best order
that single steps can tell."""
_MOST_SINGLES = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What an order, and the map behind it, did on one sample.

    Parameters
    ----------
    deletion, insertion
        Gains over the random orders, logit; NaN for a map without an order.
    infidelity
        See `infidelity`; NaN for an order without a map.
    best
        The oracle's gains by quantity, empty without one.
    range
        |f(x) − f(all hidden)|, logit.
    curves
        Score of the call with growing shares removed ("deletion") or shown ("insertion").
    """

    deletion: float = math.nan
    insertion: float = math.nan
    infidelity: float = math.nan
    best: Mapping[str, float] = field(default_factory=dict)
    range: float = math.nan
    curves: Mapping[str, Floats] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """The maps, and how each sample is measured.

    Parameters
    ----------
    maps
        (sample, *space) by method.
    unsigned
        Methods whose maps are magnitudes.
    gradients
        Methods whose maps are logit per unit of the input.
    steps, draws, seed
        As for `faithfulness`.
    """

    maps: Mapping[str, Array]
    unsigned: frozenset[str]
    gradients: frozenset[str]
    steps: int
    draws: int
    seed: int

    def measure(
        self, removal: Removal, classifier: Classifier, row: int, block: xr.Dataset
    ) -> dict[str, Measured]:
        """Return what each method and control did on one sample with one fill."""
        name = str(block["sample_id"].values[row])
        ends = removal.margins(classifier, np.array([[False], [True]]).repeat(removal.number, 1))
        sign = 1.0 if ends[0] >= 0 else -1.0
        maps = {m: self.oriented(m, v[row], sign) for m, v in self.maps.items()}
        orders = [_order(removal.sums(v), self.random(name, m)) for m, v in maps.items()]
        rng = self.random(name, RANDOM)
        orders += [rng.permutation(removal.number) for _ in range(1 + self.draws)]
        orders += _oracle(removal, classifier, sign, self.random(name, ORACLE))
        sets = np.stack([_sets(order, self.steps) for order in orders])
        scores = removal.margins(classifier, sets.reshape(-1, removal.number))
        shares = np.concatenate([[0.0], _cuts(removal.number, self.steps) / removal.number, [1.0]])
        runs = _Runs.of(sign * scores.reshape(len(orders), 2, -1), sign * ends, shares)
        drawn = slice(len(maps), len(maps) + 1 + self.draws)
        known = sets[drawn].reshape(-1, removal.number)
        told = self.told(removal, maps, known, runs.change[drawn].ravel())
        reference = runs.areas[drawn][1:].mean()
        best = runs.best(drawn.stop, reference)
        measured = {
            method: runs.measured(i, reference, best, told.get(method, math.nan))
            for i, method in enumerate([*maps, RANDOM])
        }
        return {**measured, FLAT: Measured(infidelity=told[FLAT])}

    def oriented(self, method: str, values: Array, sign: float) -> Floats:
        """Return the map as support of the call."""
        factor = 1.0 if method in self.unsigned else sign
        return np.asarray(factor * values, dtype=np.float64)

    def told(
        self, removal: Removal, maps: Mapping[str, Floats], hidden: Mask, change: Floats
    ) -> dict[str, float]:
        """Return the infidelity of each map, and of the flat one, to what the sets changed."""
        taken = None
        found = {FLAT: infidelity(hidden @ removal.sums(np.ones(removal.image.shape)), change)}
        for method, values in maps.items():
            if method in self.gradients:
                if taken is None:
                    taken = np.nan_to_num(removal.image - removal.without(hidden))
                foretold = np.tensordot(taken, np.nan_to_num(values), axes=values.ndim)
            else:
                foretold = hidden @ removal.sums(values)
            found[method] = infidelity(np.asarray(foretold), change)
        return found

    def random(self, name: str, purpose: str) -> np.random.Generator:
        """Return the generator of one purpose on one sample."""
        key = hashlib.sha256(f"{self.seed}:{purpose}:{name}".encode()).digest()
        return np.random.default_rng(int.from_bytes(key[:8], "big"))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Runs:
    """Curves of one sample: (order, 2, share), the first share hidden, and the last."""

    curves: Floats
    shares: Floats

    @classmethod
    def of(cls, scores: Floats, ends: Floats, shares: Floats) -> _Runs:
        shape = (*scores.shape[:2], 1)
        whole = [np.full(shape, ends[0]), scores, np.full(shape, ends[1])]
        return cls(curves=np.concatenate(whole, axis=2), shares=shares)

    @property
    def areas(self) -> Floats:
        """Return the area under each curve, (order, 2)."""
        return np.asarray(np.trapezoid(self.curves, self.shares, axis=2))

    @property
    def change(self) -> Floats:
        """Return f(x) − f(without), (order, 2, share), the ends left out."""
        return np.asarray(self.curves[:, :, :1] - self.curves[:, :, 1:-1])

    def gains(self, reference: float) -> Floats:
        """Return the gains of deletion and insertion, (order, 2)."""
        return np.asarray((self.areas - reference) * np.array([-1.0, 1.0]))

    def best(self, start: int, reference: float) -> dict[str, float]:
        """Return the greatest gains of the orders from `start`; nothing where there is none."""
        found = self.gains(reference)[start:]
        if not len(found):
            return {}
        return dict(zip(("deletion", "insertion"), found.max(axis=0).tolist(), strict=True))

    def measured(
        self, row: int, reference: float, best: Mapping[str, float], told: float
    ) -> Measured:
        """Return what one order did."""
        first, last = self.curves[row]
        deletion, insertion = self.gains(reference)[row]
        return Measured(
            deletion=float(deletion),
            insertion=float(insertion),
            infidelity=told,
            best=best,
            range=float(abs(first[0] - first[-1])),
            curves={"deletion": first, "insertion": last[::-1]},
        )


def _order(values: Floats, rng: np.random.Generator) -> Order:
    """Return the features from the greatest value down, equal ones at random."""
    return np.lexsort((rng.random(len(values)), -values))


def _cuts(n: int, steps: int) -> Order:
    return np.round(np.linspace(0, n, steps + 1)[1:-1]).astype(np.intp)


def _sets(order: Order, steps: int) -> Mask:
    """Return what is hidden: the first of the order, then the last, (2 · share, feature)."""
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order))
    cuts = _cuts(len(order), steps)[:, None]
    return np.concatenate([rank < cuts, rank >= len(order) - cuts])


def _oracle(
    removal: Removal, classifier: Classifier, sign: float, rng: np.random.Generator
) -> list[Order]:
    """Return the features by what removing each takes away, and by what each adds alone."""
    n = removal.number
    if n > _MOST_SINGLES:
        return []
    one = np.eye(n, dtype=bool)
    removed = -sign * removal.margins(classifier, one)
    if removal.kind == "road":
        return [_order(removed, rng)]
    added = sign * removal.margins(classifier, ~one)
    both = removed - removed.mean() + added - added.mean()
    return [_order(effect, rng) for effect in (removed, added, both)]
