"""The whole validation: samples and their classifier in, a Report out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.classifier import Classifier
from solarxai.errors import ValidationError
from solarxai.registry import near_name
from solarxai.schema import MEASUREMENTS, check_samples
from solarxai.validation.classification import (
    classification_checks,
    confusion_rows,
    reliability_rows,
    score_check,
)
from solarxai.validation.counterfactual import (
    Counterfactuals,
    Resampling,
    counterfactual_checks,
    intervene,
    reach_verdict,
)
from solarxai.validation.interventions import INTERVENTIONS
from solarxai.validation.localisation import (
    SHARES,
    localisation_checks,
    localisation_rows,
    measure,
)
from solarxai.validation.nulls import random_weights
from solarxai.validation.report import Limits, Report

__all__ = ["held_out", "validate_samples"]

Progress = Callable[[int, int, str], None]

_ADDRESS = ("sample_id", "time", "origin", "instrument", "observation", "region", "label")
_SEEN = ("train", "validation")


def validate_samples(
    samples: xr.Dataset,
    classifier: Classifier,
    methods: Sequence[str],
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
    limits: Limits | Mapping[str, Any] | None = None,
    max_structures: int | None = None,
    null_structures: int = 64,
    progress: Progress | None = None,
) -> Report:
    """Return whether the classifier looks at the penumbra, and what its maps show.

    Parameters
    ----------
    samples
        Samples with the attribution of each method as a variable (sample, y, x), and if at hand
        `score` and `split`. Samples seen in training take no part.
    classifier
        The classifier the maps explain.
    methods
        Names of the attribution variables.
    n_bootstrap, seed
        Resamples of the active regions for each interval, and the seed of every random number.
    limits
        Where checks hold and fail: `Limits`, or some of its fields.
    max_structures
        Take at most so many structures of each origin and label, evenly spread in time.
    null_structures
        Sunspots of each origin explained once more with random weights; 0 for none.
    progress
        Called with (done, total, what).

    Raises
    ------
    ValidationError
        when a method has no map in `samples`, or no sample was held out of training.
    """
    limits = limits if isinstance(limits, Limits) else Limits.parse(limits or {})
    tell = progress or _silent
    resampling = Resampling(n=n_bootstrap, seed=seed)
    _check_methods(samples, methods)
    chosen, unused = held_out(check_samples(samples))
    chosen = _needed(_thinned(chosen, max_structures), methods).load()
    found = intervene(chosen, classifier, seed=seed, limits=limits, progress=progress)
    tell(0, len(methods) + 1, "random weights")
    blind = random_weights(chosen, classifier, methods, seed=seed, most=null_structures)
    tell(1, 2, "localisation")
    rows = localisation_rows(
        chosen,
        {method: chosen[method].values for method in methods},
        random_maps=blind.maps,
        random_rows=blind.rows,
        resampling=resampling,
    )
    checks = (
        *score_check(chosen, found.original, limits=limits),
        *classification_checks(chosen, found.original, limits=limits, resampling=resampling),
        *counterfactual_checks(found, chosen, limits=limits, resampling=resampling),
        *localisation_checks(rows, limits=limits),
    )
    tell(2, 2, "localisation")
    origins = sorted(set(chosen["origin"].values.tolist()))
    return Report(
        checks=checks,
        verdicts=tuple(reach_verdict(checks, origin, limits=limits) for origin in origins),
        tables={
            "structures": _structure_rows(chosen, found, methods),
            "localisation": [_flat(row) for row in rows],
            "confusion": confusion_rows(chosen, found.original),
            "reliability": reliability_rows(chosen, found.original),
            "left_out": [*unused, *found.left_out, *_without_null(blind.left_out)],
        },
        settings={
            "classifier": classifier.hash,
            "methods": list(methods),
            "limits": asdict(limits),
            "n_bootstrap": n_bootstrap,
            "seed": seed,
            "structures": int(chosen.sizes["sample"]),
        },
    )


def held_out(samples: xr.Dataset) -> tuple[xr.Dataset, list[dict[str, Any]]]:
    """Return the samples the classifier did not see in training, and rows that count the others.

    Raises
    ------
    ValidationError
        when nothing is left.
    """
    split = samples["split"].values if "split" in samples.variables else np.array([])
    seen = (
        np.isin(split.astype(str), _SEEN) if len(split) else np.zeros(samples.sizes["sample"], bool)
    )
    if seen.all():
        raise ValidationError(
            f"none of {len(seen)} samples was held out of training",
            remedy="Attribute the test split or other observations, and validate those.",
        )
    if not seen.any():
        return samples, []
    row = {"intervention": "all", "label": "all", "reason": "seen in training"}
    return samples.isel(sample=~seen), [{**row, "count": int(seen.sum())}]


def _check_methods(samples: xr.Dataset, methods: Sequence[str]) -> None:
    maps = [str(n) for n, v in samples.data_vars.items() if v.dims == samples["image"].dims]
    missing = [method for method in methods if method not in maps]
    if missing:
        known = sorted(set(maps) - {"image", "segmentation", "central"})
        hints = " ".join(filter(None, (near_name(m, known) for m in missing)))
        raise ValidationError(
            f"the samples have no maps of {missing}",
            remedy=hints or f"There are maps of {', '.join(known) or 'no method'}.",
        )


def _needed(samples: xr.Dataset, methods: Sequence[str]) -> xr.Dataset:
    """Return the samples with the maps in question, without what takes memory for nothing."""
    names = {"image", "segmentation", "central", *methods}
    maps = [n for n, v in samples.variables.items() if v.ndim == 3 and n not in names]
    return samples.drop_vars([*maps, "header"], errors="ignore")


def _thinned(samples: xr.Dataset, most: int | None) -> xr.Dataset:
    """Return at most `most` samples of each origin and label, evenly spread."""
    if most is None:
        return samples
    pairs = list(zip(samples["origin"].values, samples["label"].values, strict=True))
    chosen: list[int] = []
    for pair in sorted(set(pairs)):
        rows = np.array([i for i, p in enumerate(pairs) if p == pair])
        spread = np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)
        chosen += rows[spread].tolist()
    return samples.isel(sample=sorted(chosen))


def _structure_rows(
    samples: xr.Dataset, found: Counterfactuals, methods: Sequence[str]
) -> list[dict[str, Any]]:
    names = dict.fromkeys(n for names in INTERVENTIONS.values() for n in names)
    columns: dict[str, npt.NDArray[Any]] = {name: samples[name].values for name in _ADDRESS}
    columns["time"] = np.datetime_as_string(samples["time"].values, unit="s")
    columns["score"] = found.original
    columns["predicted"] = np.where(found.original > 0, "sunspot", "pore")
    columns |= {name: samples[name].values for name in MEASUREMENTS}
    columns |= {f"score, {name}": found.score(name) for name in names}
    planes = samples["segmentation"].values, samples["central"].values
    for method in methods:
        shares = measure(samples[method].values, *planes, names=SHARES)
        columns |= {f"{name}, {method}": values for name, values in shares.items()}
    return [
        {name: _native(values[row]) for name, values in columns.items()}
        for row in range(samples.sizes["sample"])
    ]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    interval = row["interval"]
    words = {name: value for name, value in row.items() if name != "interval"}
    return {
        **words,
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "regions": interval.n_groups,
    }


def _without_null(reasons: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    return [
        {
            "intervention": f"random weights, {one['method']}",
            "label": "sunspot",
            "reason": one["reason"],
            "count": 1,
        }
        for one in reasons
    ]


def _native(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _silent(done: int, total: int, what: str) -> None:
    """Tell nobody."""
