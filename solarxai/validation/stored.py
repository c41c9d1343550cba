"""Validation of what a store holds, with the classifier it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from solarxai.classifier import Classifier
from solarxai.errors import ValidationError
from solarxai.query import SaliencyStore
from solarxai.validation.report import Limits, Report
from solarxai.validation.verdict import Progress, validate_samples

__all__ = ["load_classifier", "stored_samples", "validate"]


def validate(
    store: SaliencyStore,
    *,
    methods: Sequence[str] | None = None,
    run: str | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    limits: Limits | Mapping[str, Any] | None = None,
    max_structures: int | None = None,
    null_structures: int = 64,
    progress: Progress | None = None,
) -> Report:
    """Return whether the classifier of a store looks at the penumbra, and what the maps show.

    Parameters
    ----------
    store
        What `solarxai.open_store` returns.
    methods
        Explainers to judge; None means all that the runs have in common, an empty list none.
    run
        Run key, or its first characters; None means all runs.
    n_bootstrap, seed, limits, max_structures, null_structures, progress
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
        samples.attrs["methods"],
        n_bootstrap=n_bootstrap,
        seed=seed,
        limits=limits,
        max_structures=max_structures,
        null_structures=null_structures,
        progress=progress,
    )
    return replace(report, settings={**report.settings, "runs": samples.attrs["runs"]})


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
