"""What the maps of each method show: where they look, and whether the model and its score care.

Nothing here convicts or acquits a model; it tells which maps may be believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.attribution.inputs import as_rows
from solarxai.classifier import Classifier
from solarxai.errors import ValidationError
from solarxai.explainers import Explainer
from solarxai.schema import PATCH, kind_of
from solarxai.validation.faithfulness.table import faithfulness, faithfulness_checks
from solarxai.validation.localisation.measures import localisation_checks, localisation_rows
from solarxai.validation.localisation.nulls import random_weights
from solarxai.validation.localisation.significance import significance_rows
from solarxai.validation.randomisation.checks import randomisation_checks, sensitivities
from solarxai.validation.randomisation.weights import randomisation_test
from solarxai.validation.report import Check, Limits, Resampling
from solarxai.validation.selection import evenly

__all__ = ["MapTests", "economical", "judge_maps"]

Progress = Callable[[int, int, str], None]
Rows = list[dict[str, Any]]

_SAMPLES, _STEPS = 50, 64
_RANDOMISED, _PROBED, _SPECTRA = 16, 24, 48


@dataclass(frozen=True, kw_only=True)
class MapTests:
    """What was found: checks, and tables by name."""

    checks: tuple[Check, ...] = ()
    tables: Mapping[str, Rows] = field(default_factory=dict)
    left_out: tuple[dict[str, Any], ...] = ()


def judge_maps(
    samples: xr.Dataset,
    classifier: Classifier,
    maps: Mapping[str, npt.NDArray[np.float32]],
    explainers: Mapping[str, Explainer],
    *,
    tests: Sequence[str],
    limits: Limits,
    resampling: Resampling,
    most: int = 64,
    progress: Progress | None = None,
) -> MapTests:
    """Return what the maps show.

    Parameters
    ----------
    samples
        What the maps explain; of patches and of spectra.
    classifier
        Of two classes.
    maps
        By method, on the dimensions of `image`, raw and signed.
    explainers
        The methods by name, where they are known: without it a method has no map of a random
        network.
    tests
        "localisation" (of patches), "randomisation", "faithfulness".
    limits, resampling
        Of the validation.
    most
        Sunspots of each origin explained once more with random weights beside the localisation.
    progress
        Called with (done, total, what).
    """
    told = progress or _silent
    run = _Run(samples, classifier, maps, explainers, limits, resampling, most, told)
    made: list[MapTests] = []
    if "localisation" in tests and kind_of(samples) is PATCH:
        made.append(run.localisation())
    if "randomisation" in tests:
        made.append(run.randomisation())
    if "faithfulness" in tests and maps:
        made.append(run.faithfulness())
    return MapTests(
        checks=tuple(check for one in made for check in one.checks),
        tables={name: rows for one in made for name, rows in one.tables.items()},
        left_out=tuple(row for one in made for row in one.left_out),
    )


def economical(explainer: Explainer) -> Explainer:
    """Return the method with 50 samples and 64 steps at most: it is run for dozens of networks."""
    known = {option.name for option in fields(explainer)}
    capped: dict[str, Any] = {
        name: min(getattr(explainer, name), most)
        for name, most in (("samples", _SAMPLES), ("steps", _STEPS))
        if name in known
    }
    return replace(explainer, **capped)


@dataclass(frozen=True)
class _Run:
    samples: xr.Dataset
    classifier: Classifier
    maps: Mapping[str, npt.NDArray[np.float32]]
    explainers: Mapping[str, Explainer]
    limits: Limits
    resampling: Resampling
    most: int
    tell: Progress

    def localisation(self) -> MapTests:
        """Return where the maps of patches put their attribution, beside everything it may be."""
        self.tell(0, 2, "localisation")
        blind = random_weights(
            self.samples, self.classifier, self.maps, self.cheap(), seed=self.resampling.seed,
            most=self.most,
        )  # fmt: skip
        rows = localisation_rows(
            self.samples, self.maps, random_maps=blind.maps, random_rows=blind.rows,
            resampling=self.resampling,
        )  # fmt: skip
        self.tell(1, 2, "localisation, nulls")
        tested = significance_rows(self.samples, self.maps, resampling=self.resampling)
        return MapTests(
            checks=localisation_checks(rows, limits=self.limits),
            tables={"localisation": flat(rows), "significance": flat(tested)},
            left_out=tuple(_reason("random weights", one) for one in blind.left_out),
        )

    def randomisation(self) -> MapTests:
        """Return whether the maps change when the network forgets, or why that cannot be asked."""
        foreign = [name for name in self.maps if name not in self.explainers]
        unknown = _forgotten(foreign, "not a method of this library")
        if not self.explainers:
            return MapTests(left_out=unknown)
        plain = self.samples.drop_vars([*self.maps, "score", "predicted"], errors="ignore")
        inputs = as_rows(evenly(plain, _RANDOMISED), self.classifier)
        try:
            found = randomisation_test(
                inputs, self.classifier, self.cheap(), modes=(),
                most=_RANDOMISED if kind_of(inputs) is PATCH else _SPECTRA,
                seed=self.resampling.seed, resampling=self.resampling, progress=self.tell,
            )  # fmt: skip
        except ValidationError as refusal:
            return MapTests(left_out=(*unknown, *_forgotten(self.explainers, refusal.what)))
        checks = randomisation_checks(found.rows, limits=self.limits)
        return MapTests(
            checks=checks,
            tables={"randomisation": flat(found.rows), "sensitivity": sensitivities(checks)},
            left_out=(*unknown, *(_reason("forgotten weights", one) for one in found.left_out)),
        )

    def faithfulness(self) -> MapTests:
        """Return whether the score goes with what the maps mark."""
        rates = {name for name, method in self.explainers.items() if method.units != "logit"}
        rows = faithfulness(
            self.samples, self.classifier, self.maps, most=_PROBED, gradients=rates,
            n_bootstrap=self.resampling.n, seed=self.resampling.seed, progress=self.tell,
        )  # fmt: skip
        return MapTests(
            checks=faithfulness_checks(rows, self.limits),
            tables={"faithfulness": flat(rows)},
        )

    def cheap(self) -> dict[str, Explainer]:
        return {name: economical(method) for name, method in self.explainers.items()}


def flat(rows: Sequence[Mapping[str, Any]]) -> Rows:
    """Return rows with `value`, `low`, `high` and `regions` in place of `interval`."""
    made = []
    for row in rows:
        words = {name: value for name, value in row.items() if name != "interval"}
        interval = row["interval"]
        bounds = {"low": interval.low, "high": interval.high, "regions": interval.n_groups}
        made.append({"value": interval.value, **words, **bounds})
    return made


def _forgotten(methods: Iterable[str], reason: str) -> tuple[dict[str, Any], ...]:
    return tuple(_reason("forgotten weights", {"method": m, "reason": reason}) for m in methods)


def _reason(what: str, one: Mapping[str, str]) -> dict[str, Any]:
    return {
        "intervention": f"{what}, {one['method']}", "label": "all", "reason": one["reason"],
        "count": 1,
    }  # fmt: skip


def _silent(done: int, total: int, what: str) -> None:
    """Tell nobody."""
