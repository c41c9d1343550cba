"""Validation of what a store holds, with the classifier it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from solarxai import registry
from solarxai.attribution import parse_explainers
from solarxai.classifier import Classifier
from solarxai.errors import ValidationError
from solarxai.explainers import Explainer
from solarxai.query import SaliencyStore
from solarxai.validation.causal.nuisances import Amplitudes
from solarxai.validation.report import Limits, Report
from solarxai.validation.verdict import TESTS, Progress, Test, validate_samples

__all__ = ["load_classifier", "stored_explainers", "stored_samples", "validate"]


def validate(
    store: SaliencyStore,
    *,
    methods: Sequence[str] | None = None,
    run: str | None = None,
    tests: Sequence[Test] = TESTS,
    n_bootstrap: int = 1000,
    seed: int = 0,
    limits: Limits | Mapping[str, Any] | None = None,
    amplitudes: Amplitudes | Mapping[str, Any] | None = None,
    max_structures: int | None = None,
    tested_structures: int = 64,
    progress: Progress | None = None,
) -> Report:
    """Return what the classifier of a store answers to, and what its maps show.

    Parameters
    ----------
    store
        What `solarxai.open_store` returns.
    methods
        Explainers to judge; None means all that the runs have in common, an empty list none.
    run
        Run key, or its first characters; None means all runs.
    tests, n_bootstrap, seed, limits, amplitudes, max_structures, tested_structures, progress
        As for `validate_samples`.

    Raises
    ------
    ValidationError
        when the runs explain different classifiers, or nothing was held out of training.
    QueryError
        when a method or run is unknown, or the runs have no method in common.
    """
    samples = stored_samples(store, methods=methods, run=run)
    report = validate_samples(
        samples,
        load_classifier(store, samples.attrs["runs"]),
        stored_explainers(store, samples.attrs["runs"], samples.attrs["methods"]),
        tests=tests,
        n_bootstrap=n_bootstrap,
        seed=seed,
        limits=limits,
        amplitudes=amplitudes,
        max_structures=max_structures,
        tested_structures=tested_structures,
        progress=progress,
    )
    return replace(report, settings={**report.settings, "runs": samples.attrs["runs"]})


def stored_explainers(
    store: SaliencyStore, runs: Sequence[str], methods: Sequence[str]
) -> dict[str, Explainer | None]:
    """Return the methods with the options that the first of the runs records, by name of the map.

    None for a map that is of no method of this library.
    """
    recorded = store.segment(runs[0]).provenance.get("explainers", {})
    return {name: _recorded(name, recorded.get(name, {})) for name in methods}


def _recorded(name: str, options: Mapping[str, Any]) -> Explainer | None:
    entry = {"method": name, **options}
    if entry["method"] not in registry.names("solarxai.explainers"):
        return None
    return parse_explainers([{**entry, "name": name}])[name]


def stored_samples(
    store: SaliencyStore, *, methods: Sequence[str] | None = None, run: str | None = None
) -> xr.Dataset:
    """Return the samples of a store with their maps, each sample once: that of the first run.

    Raises
    ------
    QueryError
        when a method or run is unknown, or the runs have no method in common.
    """
    samples = store.query(methods=methods, run=run)
    first = np.unique(samples["sample_id"].values.astype(str), return_index=True)[1]
    return samples.isel(sample=np.sort(first))


def load_classifier(store: SaliencyStore, runs: Sequence[str] | None = None) -> Classifier:
    """Return the one classifier that the runs of a store explain.

    Raises
    ------
    ValidationError
        when they explain several.
    """
    chosen = store.runs if runs is None else runs
    found = {c.hash: c for c in (Classifier.load(store.segment(r).checkpoint) for r in chosen)}
    if len(found) != 1:
        raise ValidationError(
            f"{store.path}: {len(chosen)} runs explain {len(found)} classifiers",
            remedy=f"Name one run: {', '.join(chosen) or 'there is none yet'}.",
        )
    return next(iter(found.values()))
