"""The verdict on a network of sunspots and pores: what it answers to, and how often it is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.classifier import Classifier
from solarxai.schema import MEASUREMENTS
from solarxai.validation.causal._sights import Amplitudes
from solarxai.validation.causal.counterfactual import Counterfactuals
from solarxai.validation.causal.interventions import INTERVENTIONS
from solarxai.validation.causal.trial import causal_checks, draw_scenes, gather
from solarxai.validation.causal.verdict import reach_verdict
from solarxai.validation.classification import (
    classification_checks,
    confusion_rows,
    reliability_rows,
    score_check,
)
from solarxai.validation.localisation.measures import SHARES, measure
from solarxai.validation.report import Limits, Report, Resampling

__all__ = ["judge_patches"]

Progress = Callable[[int, int, str], None]
Column = npt.NDArray[Any]

_ADDRESS = ("sample_id", "time", "origin", "instrument", "observation", "region", "label")


def judge_patches(
    samples: xr.Dataset,
    classifier: Classifier,
    maps: Mapping[str, npt.NDArray[np.float32]],
    *,
    limits: Limits,
    resampling: Resampling,
    amplitudes: Amplitudes | None = None,
    most: int | None = 64,
    progress: Progress | None = None,
) -> Report:
    """Return the causal checks and those of skill, a verdict an origin, and a row a structure.

    Parameters
    ----------
    samples
        Patches that training never saw, in memory.
    classifier
        The network.
    maps
        By method; the table of structures tells where they lie.
    limits, resampling, amplitudes
        Of the validation.
    most
        Structures of each origin and label put under nuisances, evenly spread; None for all.
    progress
        Called with (done, total, what).
    """
    scenes = draw_scenes(
        samples, scale_mm=classifier.contract.plate_scale, seed=resampling.seed,
        amplitudes=amplitudes, limits=limits, most=most, progress=progress,
    )  # fmt: skip
    evidence = gather(
        samples, classifier, scenes, seed=resampling.seed, limits=limits, progress=progress
    )
    words: dict[str, Any] = {"limits": limits, "resampling": resampling}
    found = evidence.found
    checks = (
        *score_check(samples, found.original, limits=limits),
        *classification_checks(samples, found.original, **words),
        *causal_checks(evidence, samples, **words),
    )
    origins = sorted(set(samples["origin"].values.tolist()))
    return Report(
        checks=checks,
        verdicts=tuple(reach_verdict(checks, origin, limits=limits) for origin in origins),
        tables={
            "structures": _structure_rows(samples, found, maps),
            "confusion": confusion_rows(samples, found.original),
            "reliability": reliability_rows(samples, found.original),
            "left_out": list(evidence.left_out),
        },
        settings={
            "structures": int(samples.sizes["sample"]),
            "amplitudes": asdict(amplitudes or Amplitudes()),
        },
    )


def _structure_rows(
    samples: xr.Dataset, found: Counterfactuals, maps: Mapping[str, npt.NDArray[np.float32]]
) -> list[dict[str, Any]]:
    names = dict.fromkeys(n for names in INTERVENTIONS.values() for n in names)
    columns: dict[str, Column] = {name: samples[name].values for name in _ADDRESS}
    columns["time"] = np.datetime_as_string(samples["time"].values, unit="s")
    columns["score"] = found.original
    columns["predicted"] = np.where(found.original > 0, "sunspot", "pore")
    columns |= {name: samples[name].values for name in MEASUREMENTS}
    columns |= {f"score, {name}": found.score(name) for name in names}
    planes = samples["segmentation"].values, samples["central"].values
    for method, values in maps.items():
        shares = measure(values, *planes, names=SHARES)
        columns |= {f"{name}, {method}": share for name, share in shares.items()}
    return [
        {name: _native(values[row]) for name, values in columns.items()}
        for row in range(samples.sizes["sample"])
    ]


def _native(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
