"""Is a map nearer to its own structure than to others? P-values that respect regions, and effects.

P-values say whether, effects say how much; neither convicts or acquits a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.errors import ValidationError
from solarxai.metrics import Interval, block_bootstrap, holm
from solarxai.validation.localisation._masks import Masks
from solarxai.validation.localisation.measures import EDGE, edge_maps, structure_groups
from solarxai.validation.localisation.nulls import NullSamples, null_samples
from solarxai.validation.report import Resampling

__all__ = ["Alternative", "Significance", "permutation_test", "significance_rows"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Alternative = Literal["two-sided", "greater", "less"]


@dataclass(frozen=True, kw_only=True)
class Significance:
    """What a permutation test found.

    Parameters
    ----------
    value, null
        The mean over regions with their own masks, and its mean over permutations.
    p
        P-value; NaN when no region defines the quantity.
    standardised
        (value − null) ÷ the standard deviation over permutations.
    effect
        Cliff's delta: P(own > other) − P(own < other), of each region and then their mean, with
        its interval over regions.
    structures, regions
        How many it rests on.
    """

    value: float
    null: float
    p: float
    standardised: float
    effect: Interval
    structures: int
    regions: int


def permutation_test(
    samples: NullSamples,
    *,
    n: int = 9999,
    seed: int = 0,
    alternative: Alternative = "two-sided",
    resampling: Resampling | None = None,
) -> Significance:
    """Return whether structures have more (or less) with their own masks than with others.

    Parameters
    ----------
    samples
        Of `nulls.null_samples`.
    n
        Number of permutations.
    seed
        Of the permutations.
    alternative
        "two-sided", "greater" or "less".
    resampling
        Of the interval of the effect.

    Raises
    ------
    ValidationError
        when `n` is not positive or the alternative is unknown.

    Notes
    -----
    T is the mean over regions of the mean over their structures. In each permutation a region takes
    one draw for all of its structures: any of its draws, its own among them, independently of the
    others; or, within strata, regions exchange masks. These form a group of which own masks are one
    member, so that p = (1 + #{T* ≥ T})/(n + 1) is uniform on its n + 1 values if own masks are as
    good as others, and never too small where values tie (few regions or draws). Two-sided is twice
    the smaller one. Strata in which a region is undefined with some mask are left out.

    References
    ----------
    Hemerik & Goeman 2018, TEST 27 811, doi:10.1007/s11749-017-0571-1 (random permutations);
    Phipson & Smyth 2010, doi:10.2202/1544-6115.1585 (the 1 +); Cliff 1993, Psychological Bulletin
    114 494, doi:10.1037/0033-2909.114.3.494 (delta).
    """
    if n < 1 or alternative not in get_args(Alternative):
        raise ValidationError(
            f"a permutation test with n = {n} and alternative {alternative!r}",
            remedy=f"Give n of at least 1 and one of {', '.join(get_args(Alternative))}.",
        )
    table, own, strata, structures = _by_region(samples)
    if not len(table):
        nothing = Interval(value=np.nan, low=np.nan, high=np.nan, n_groups=0)
        return Significance(
            value=np.nan, null=np.nan, p=np.nan, standardised=np.nan, effect=nothing,
            structures=0, regions=0,
        )  # fmt: skip
    permuted = _permuted(table, own, strata, n, np.random.default_rng(seed))
    value = float(table[np.arange(len(table)), own].mean())
    spread = float(permuted.std())
    return Significance(
        value=value,
        null=float(permuted.mean()),
        p=_p_value(value, permuted, alternative),
        standardised=(value - float(permuted.mean())) / spread if spread else np.nan,
        effect=_effect(table, own, resampling or Resampling()),
        structures=structures,
        regions=len(table),
    )


def significance_rows(
    samples: xr.Dataset,
    maps: Mapping[str, npt.NDArray[np.float32]],
    *,
    resampling: Resampling,
    n: int = 9999,
    draws: int = 24,
    alternative: Alternative = "two-sided",
) -> list[dict[str, Any]]:
    """Return the table of significance: one row a method, group of sunspots, null and quantity.

    Parameters
    ----------
    samples
        The structures; sunspots with a penumbra and both of its boundaries take part.
    maps
        (sample, y, x) attributions by method; the edge detector is added.
    resampling
        Of the intervals; its seed is that of the permutations too.
    n
        Number of permutations of each test.
    draws
        Number of angles, and of shifts, of each mask.
    alternative
        Of all tests.

    Returns
    -------
    list
        Rows of method, group, label, quantity, null, value, "null value", p, "p corrected",
        standardised, interval (of Cliff's delta), structures and regions.

    Notes
    -----
    P-values are corrected by Holm over all methods, quantities and nulls of a group: a reader picks
    the most striking of a page, one false claim is one too many, and the tests depend on each other
    in ways nobody knows (the same maps, the same masks), which Holm allows and Benjamini and
    Hochberg does not.
    """
    everything = {**maps, EDGE: edge_maps(samples["image"].values)}
    rows: list[dict[str, Any]] = []
    for group, label, chosen in structure_groups(samples):
        if label == "sunspot":
            words = {"group": group, "label": label}
            here = {method: values[chosen] for method, values in everything.items()}
            options = {"resampling": resampling, "n": n, "alternative": alternative}
            rows += _group_rows(samples.isel(sample=chosen), here, words, draws, options)
    return rows


def _group_rows(
    samples: xr.Dataset,
    maps: Mapping[str, npt.NDArray[np.float32]],
    words: Mapping[str, str],
    draws: int,
    options: Mapping[str, Any],
) -> list[dict[str, Any]]:
    masks = Masks.of(samples["segmentation"].values, samples["central"].values)
    if not masks.complete.any():
        return []
    seed = options["resampling"].seed
    found = null_samples(
        maps,
        masks,
        regions=samples["region"].values,
        sizes=masks.central.sum(axis=(1, 2)),
        n=draws,
        seed=seed,
    )
    tests = {key: permutation_test(one, seed=seed, **options) for key, one in found.items()}
    corrected = holm(np.array([test.p for test in tests.values()]))
    return [
        {
            "method": method,
            **words,
            "quantity": quantity,
            "null": null,
            "value": test.value,
            "null value": test.null,
            "p": test.p,
            "p corrected": float(p),
            "standardised": test.standardised,
            "interval": test.effect,
            "structures": test.structures,
            "regions": test.regions,
        }
        for ((method, null, quantity), test), p in zip(tests.items(), corrected, strict=True)
    ]


def _by_region(
    samples: NullSamples,
) -> tuple[Floats, npt.NDArray[np.intp], npt.NDArray[np.intp] | None, int]:
    """Return the means (region, draw), own draws, strata, and the number of structures."""
    kept = np.flatnonzero(~np.isnan(samples.observed))
    _, first, member = np.unique(
        samples.regions[kept].astype(str), return_index=True, return_inverse=True
    )
    count = np.zeros((len(first), samples.values.shape[1]))
    total = np.zeros_like(count)
    values = samples.values[kept]
    np.add.at(count, member, ~np.isnan(values))
    np.add.at(total, member, np.nan_to_num(values))
    table = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    own = samples.own[kept][first]
    if samples.strata is None:
        return table, own, None, len(kept)
    strata = samples.strata[kept][first]
    sound = np.array([_sound(table, own, strata, s) for s in strata], dtype=bool)
    structures = int(sound[member].sum()) if len(kept) else 0
    return table[sound], own[sound], strata[sound], structures


def _sound(table: Floats, own: Array, strata: Array, stratum: int) -> bool:
    """Return whether every region of a stratum is defined with the masks of every other."""
    here = strata == stratum
    return not bool(np.isnan(table[here][:, own[here]]).any())


def _permuted(
    table: Floats,
    own: Array,
    strata: npt.NDArray[np.intp] | None,
    n: int,
    rng: np.random.Generator,
) -> Floats:
    """Return the mean over regions of each permutation, (permutation,)."""
    total = np.zeros(n)
    if strata is None:
        for row in table:
            defined = row[~np.isnan(row)]
            total += defined[rng.integers(len(defined), size=n)]
        return total / len(table)
    for stratum in np.unique(strata):
        here = np.flatnonzero(strata == stratum)
        orders = rng.permuted(np.tile(own[here], (n, 1)), axis=1)
        total += table[here, orders].sum(axis=1)
    return total / len(table)


def _p_value(value: float, permuted: Floats, alternative: Alternative) -> float:
    tie = 1e-9 * (abs(value) + float(np.abs(permuted).max()))
    above = (1 + int((permuted >= value - tie).sum())) / (len(permuted) + 1)
    below = (1 + int((permuted <= value + tie).sum())) / (len(permuted) + 1)
    both = min(1.0, 2 * min(above, below))
    return {"two-sided": both, "greater": above, "less": below}[alternative]


def _effect(table: Floats, own: Array, resampling: Resampling) -> Interval:
    """Return Cliff's delta of own against other masks, the mean over regions."""
    values = table[np.arange(len(table)), own][:, None]
    other = ~np.isnan(table)
    other[np.arange(len(table)), own] = False
    signs = np.where(other, np.sign(values - np.nan_to_num(table)), 0).sum(axis=1)
    pairs = other.sum(axis=1)
    if not pairs.any():
        return Interval(value=np.nan, low=np.nan, high=np.nan, n_groups=0)
    return block_bootstrap(
        np.mean,
        signs[pairs > 0] / pairs[pairs > 0],
        groups=np.flatnonzero(pairs),
        n=resampling.n,
        seed=resampling.seed,
        bounds=(-1, 1),
    )
