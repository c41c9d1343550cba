"""Maps of one set of structures compared: similarity a structure, and rows with intervals."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.stats
import torch
import xarray as xr

from solarxai.attribution import attribute
from solarxai.classifier import Classifier
from solarxai.explainers import Explainer, ExplainerWarning
from solarxai.metrics import Interval
from solarxai.validation.randomisation.similarity import Described, similarity
from solarxai.validation.report import Resampling

__all__ = ["LIKENESS", "Structures", "another_seed", "thinned"]

Array = npt.NDArray[Any]
Found = Mapping[str, npt.NDArray[np.float64]]

LIKENESS = "rank likeness"
"""The greater of the absolute Spearman and the size of the signed one: no sign flip hides here."""

_RANKS = ("Spearman", "absolute Spearman")


@dataclass(frozen=True, kw_only=True, eq=False)
class Structures:
    """Samples whose maps are compared.

    Parameters
    ----------
    samples
        Patches, spectrograms or spectra.
    classifier
        Gives the shape of one input: a patch, a spectrum, a spectrogram.
    baselines
        As `solarxai.attribution.attribute` takes them.
    resampling
        Of the intervals.
    """

    samples: xr.Dataset
    classifier: Classifier
    baselines: torch.Tensor | None
    resampling: Resampling

    @property
    def axes(self) -> int:
        """Return the axes of one input."""
        return len(self.classifier.contract.shape)

    def maps(self, classifier: Classifier, name: str, explainer: Explainer) -> Described:
        """Return the maps of a method, an input a row."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExplainerWarning)
            made = attribute(
                self.samples, classifier, {name: explainer}, baselines=self.baselines
            )  # fmt: skip
        return self.described(made[name].values)

    def described(self, values: Array) -> Described:
        """Return values on the dimensions of `image` with an input a row."""
        return Described(values.reshape(-1, *self.classifier.contract.shape))

    def compare(
        self, one: Described, other: Described, *, measures: Sequence[str] | None = None
    ) -> Found:
        """Return the similarity (sample,) a measure, that of exposures as the mean of spectra."""
        found = similarity(one, other, measures=measures)
        found[LIKENESS] = np.maximum(found["absolute Spearman"], np.abs(found["Spearman"]))
        n = self.samples.sizes["sample"]
        return {name: _means(values.reshape(n, -1)) for name, values in found.items()}

    def chance(self, one: Described, other: Described) -> Found:
        """Return the similarity by rank of unrelated maps: the mean over moves of the other one.

        It is moved around the edges by about a quarter, half and three quarters of each axis, odd
        numbers of pixels, so that what strides leave on a grid is not moved onto itself.
        """
        axes = tuple(range(1, other.maps.ndim))
        found = []
        for part in range(1, 4):
            steps = [(n * part // 4) | 1 for n in other.maps.shape[1:]]
            moved = Described(np.roll(other.maps, steps, axis=axes))
            found.append(self.compare(one, moved, measures=_RANKS))
        return {name: np.mean([each[name] for each in found], axis=0) for name in found[0]}

    def rows(self, several: Sequence[Found], **words: Any) -> list[dict[str, Any]]:
        """Return a row an origin and measure of similarities found with one or more networks.

        The value is the median over structures of the mean over networks.
        """
        made = []
        origins = self.samples["origin"].values
        for origin in sorted(set(origins.tolist())):
            here = origins == origin
            for measure in several[0]:
                values = np.array([found[measure][here] for found in several])
                row = self._row(values, self.samples["region"].values[here])
                made.append({**words, "group": f"{origin} · all", "measure": measure, **row})
        return made

    def _row(self, values: Array, regions: Array) -> dict[str, Any]:
        mean = _means(values.T)
        return {
            "interval": _widened(self._interval(mean, regions), values),
            "structures": int((~np.isnan(mean)).sum()),
            "undefined": int(np.isnan(values).sum()),
            "networks": len(values),
        }

    def _interval(self, values: Array, regions: Array) -> Interval:
        defined = ~np.isnan(values)
        return self.resampling.interval(_median, values[defined], groups=regions[defined])


def thinned(samples: xr.Dataset, most: int | None) -> xr.Dataset:
    """Return at most so many samples of each origin, evenly spread over the list."""
    if most is None:
        return samples
    origins = samples["origin"].values
    chosen: list[int] = []
    for origin in sorted(set(origins.tolist())):
        rows = np.flatnonzero(origins == origin)
        spread = np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)
        chosen += rows[spread].tolist()
    return samples.isel(sample=sorted(chosen))


def another_seed(explainer: Explainer, step: int) -> Explainer | None:
    """Return a method that draws random numbers with a later seed; None if it draws none."""
    seed = getattr(explainer, "seed", None)
    if seed is None:
        return None
    options: dict[str, Any] = {"seed": seed + step}
    return replace(explainer, **options)


def _widened(interval: Interval, values: Array) -> Interval:
    """Return the interval with what the draw of networks adds, of values (network, sample).

    Student's t of the medians of single networks, in quadrature with the draw of regions.
    """
    medians = [_median(one[~np.isnan(one)]) for one in values if not np.isnan(one).all()]
    if len(medians) < 2:
        return interval
    spread = float(np.std(medians, ddof=1)) / math.sqrt(len(medians))
    more = float(scipy.stats.t.ppf(0.975, len(medians) - 1)) * spread
    low = interval.value - math.hypot(interval.value - interval.low, more)
    high = interval.value + math.hypot(interval.high - interval.value, more)
    return replace(interval, low=low, high=high)


def _means(values: Array) -> npt.NDArray[np.float64]:
    """Return the mean of the defined values of each row, NaN where there is none."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    total: Array = np.where(known, values, 0).sum(axis=1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _median(values: Array) -> float:
    return float(np.median(values))
