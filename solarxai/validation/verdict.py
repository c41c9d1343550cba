"""The whole validation: samples and their classifier in, a Report out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal, get_args

import xarray as xr

from solarxai import registry
from solarxai.classifier import Classifier
from solarxai.errors import ValidationError
from solarxai.explainers import Explainer
from solarxai.registry import near_name
from solarxai.schema import PATCH, Kind, check_samples, kind_of
from solarxai.validation.causal.nuisances import Amplitudes
from solarxai.validation.maps import MapTests, judge_maps
from solarxai.validation.patches import judge_patches
from solarxai.validation.report import Limits, Report, Resampling
from solarxai.validation.selection import decided, evenly, held_out
from solarxai.validation.spectral.verdict import validate_spectra

__all__ = ["TESTS", "Progress", "Test", "default_explainers", "validate_samples"]

Progress = Callable[[int, int, str], None]
Test = Literal["localisation", "randomisation", "faithfulness"]
TESTS: tuple[Test, ...] = get_args(Test)


def validate_samples(
    samples: xr.Dataset,
    classifier: Classifier,
    methods: Sequence[str] | Mapping[str, Explainer | None],
    *,
    tests: Sequence[Test] = TESTS,
    n_bootstrap: int = 1000,
    seed: int = 0,
    limits: Limits | Mapping[str, Any] | None = None,
    amplitudes: Amplitudes | Mapping[str, Any] | None = None,
    max_structures: int | None = None,
    tested_structures: int = 64,
    progress: Progress | None = None,
) -> Report:
    """Return what the classifier answers to, and what its maps show.

    Parameters
    ----------
    samples
        Samples, patches or spectra, with the attribution of each method as a variable on the
        dimensions of `image`, and if at hand `score` and `split`. Samples seen in training take no
        part.
    classifier
        The classifier the maps explain.
    methods
        Names of the attribution variables, or the explainers that made them by name. By a name
        alone the method of that name is meant, with its own options; a map of no method of this
        library, None, has no map of a random network to be compared with.
    tests
        Of the maps: "localisation" (patches), "randomisation", "faithfulness". What the classifier
        answers to is always tested.
    n_bootstrap, seed
        Resamples of the active regions for each interval, and the seed of every random number.
    limits
        Where checks hold and fail: `Limits`, or some of its fields.
    amplitudes
        How large nuisances of patches are: `Amplitudes`, or some of its fields.
    max_structures
        Take at most so many samples of each origin and label, evenly spread in time.
    tested_structures
        Structures of each origin and label put under nuisances, and sunspots of each origin
        explained once more with random weights.
    progress
        Called with (done, total, what).

    Raises
    ------
    ValidationError
        when a method has no map in `samples`, a test, limit or amplitude is unknown, the classifier
        names other classes, or no sample was held out of training.
    """
    known = limits if isinstance(limits, Limits) else Limits.parse(limits or {})
    sizes = amplitudes if isinstance(amplitudes, Amplitudes) else Amplitudes.parse(amplitudes or {})
    resampling = Resampling(n=n_bootstrap, seed=seed)
    _check_tests(tests)
    names = list(methods)
    _check_methods(samples, names)
    given = methods if isinstance(methods, Mapping) else default_explainers(names)
    made_by = {name: method for name, method in given.items() if method is not None}
    _check_classes(classifier, kind_of(samples))
    chosen, unused = held_out(check_samples(samples))
    chosen = _needed(evenly(chosen, max_structures), names).load()
    maps = {name: chosen[name].values for name in names}
    if kind_of(chosen) is PATCH:
        report = judge_patches(
            chosen, classifier, maps, limits=known, resampling=resampling, amplitudes=sizes,
            most=tested_structures, progress=progress,
        )  # fmt: skip
    else:
        report = validate_spectra(
            chosen.drop_vars(names), classifier, limits=known, n_bootstrap=n_bootstrap, seed=seed,
            progress=progress,
        )  # fmt: skip
        chosen = decided(chosen)[0]
        maps = {name: chosen[name].values for name in names}
    found = judge_maps(
        chosen, classifier, maps, made_by, tests=tests, limits=known, resampling=resampling,
        most=tested_structures, progress=progress,
    )  # fmt: skip
    settings = {
        **report.settings,
        "classifier": classifier.hash,
        "methods": names,
        "tests": [test for test in TESTS if test in tests],
        "limits": asdict(known),
        "n_bootstrap": n_bootstrap,
        "seed": seed,
    }
    return replace(_joined(report, found, unused), settings=settings)


def default_explainers(methods: Sequence[str]) -> dict[str, Explainer]:
    """Return those of the methods that this library has, with their own options."""
    known = registry.names("solarxai.explainers")
    return {name: registry.load("solarxai.explainers", name)() for name in methods if name in known}


def _joined(report: Report, found: MapTests, unused: Sequence[Mapping[str, Any]]) -> Report:
    left_out = [*unused, *report.tables["left_out"], *found.left_out]
    return replace(
        report,
        checks=(*report.checks, *found.checks),
        tables={**report.tables, **found.tables, "left_out": left_out},
    )


def _check_tests(tests: Sequence[str]) -> None:
    unknown = [test for test in tests if test not in TESTS]
    if unknown:
        raise ValidationError(
            f"there is no test of maps called {unknown[0]!r}",
            remedy=near_name(unknown[0], list(TESTS)) or f"The tests are {', '.join(TESTS)}.",
        )


def _check_classes(classifier: Classifier, kind: Kind) -> None:
    """Refuse outputs in another order: every answer would be taken for its opposite."""
    if classifier.contract.classes != kind.classes:
        raise ValidationError(
            f"the classifier names its outputs {classifier.contract.classes}; a network on samples "
            f"of the kind {kind.name} is judged by the outputs {kind.classes}, in this order",
            remedy="Name them so in `classes` of the input contract, and exchange the outputs of "
            "the network where they come in the other order.",
        )


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
    image = samples["image"]
    names = {"image", "segmentation", "central", *methods}
    maps = [n for n, v in samples.variables.items() if v.dims == image.dims and n not in names]
    unread = ["header"] if kind_of(samples) is PATCH else []
    return samples.drop_vars([*maps, *unread], errors="ignore")
