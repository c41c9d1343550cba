"""What perturbations too faint to see do to calls and to maps, beside noise as large."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from torch import Tensor

from solarxai import attribution
from solarxai.classifier import Classifier, evaluation_mode
from solarxai.errors import ValidationError
from solarxai.explainers import Explainer
from solarxai.metrics import block_bootstrap, proportion_interval
from solarxai.schema import PATCH, kind_of
from solarxai.validation.adversarial.attacks import (
    Ball,
    fast_gradient_sign,
    projected_gradient,
    random_signs,
)
from solarxai.validation.adversarial.leading import lead, quiet_corners
from solarxai.validation.adversarial.movable import Movable
from solarxai.validation.localisation.measures import measure
from solarxai.validation.randomisation.similarity import similarity
from solarxai.validation.report import Resampling
from solarxai.validation.selection import evenly, held_out

__all__ = ["Study", "study"]

Array = npt.NDArray[Any]
Progress = Callable[[int, int, str], None]
Row = dict[str, Any]

UNCHANGED, NOISE, FLIPPED = "none", "random signs", "call flipped (PGD)"
"""Perturbations whose maps are looked at, beside those that lead the map of a method."""

LED = " led"

_ALIKE = ("Spearman", "absolute Spearman")
_PLACES = ("share in penumbra", "AUC")


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """What was found.

    Parameters
    ----------
    flips
        Rows (perturbation, amplitude, label, value, low, high, structures, regions): the fraction
        of calls changed.
    maps
        Rows (perturbation, amplitude, method, quantity, ...) of sunspots: medians of what a map
        measures before (amplitude 0) and after, and of its rank correlation with the one before;
        without method, what became of the call and of the score.
    examples
        One sunspot at the greatest amplitude, that whose first led map has the median share in the
        corner: a Dataset (perturbation, y, x) with the `image`, each method's map, and the `score`
        (perturbation,).
    """

    flips: tuple[Row, ...]
    maps: tuple[Row, ...]
    examples: xr.Dataset

    def record(self) -> dict[str, Any]:
        """Return both tables as JSON, six digits, None for undefined numbers."""
        return {
            "flips": [_plain(row) for row in self.flips],
            "maps": [_plain(r) for r in self.maps],
        }

    @property
    def methods(self) -> tuple[str, ...]:
        """Return the names of the maps that were looked at."""
        return tuple(dict.fromkeys(row["method"] for row in self.maps if row["method"]))

    @property
    def sentences(self) -> tuple[str, ...]:
        """Return what the greatest amplitude at which maps were looked at did to sunspots."""
        top = max(row["amplitude"] for row in self.maps)
        kept = {
            name: self.of("call kept", name, top)["value"]
            for name in dict.fromkeys(row["perturbation"] for row in self.maps)
            if name != UNCHANGED
        }
        said = [
            f"a perturbation of {100 * top:g} % of the quiet Sun takes "
            f"{_percent(1 - kept[FLIPPED])} of the sunspots their call, noise as large "
            f"{_percent(1 - kept[NOISE])}."
        ]
        led = [name.removesuffix(LED) for name in kept if name.endswith(LED)]
        said += [
            f"{method} can be led at {100 * top:g} %: its share in a quiet corner goes from "
            f"{self._from_to('share in corner', method, top)}, in penumbra from "
            f"{self._from_to('share in penumbra', method, top)}, while "
            f"{_percent(kept[method + LED])} of the calls are kept."
            for method in led
            if method in self.methods
        ]
        return tuple(said)

    def _from_to(self, quantity: str, method: str, amplitude: float) -> str:
        before = self.of(quantity, UNCHANGED, 0.0, method)["value"]
        after = self.of(quantity, method + LED, amplitude, method)["value"]
        return f"{before:.2f} to {after:.2f}"

    def of(self, quantity: str, perturbation: str, amplitude: float, method: str = "") -> Row:
        """Return one row of the table of maps."""
        wanted = (perturbation, amplitude, method, quantity)
        names = ("perturbation", "amplitude", "method", "quantity")
        return next(row for row in self.maps if tuple(row[name] for name in names) == wanted)


def study(
    samples: xr.Dataset,
    classifier: Classifier,
    explainers: Mapping[str, Explainer],
    *,
    baselines: Tensor | None = None,
    amplitudes: Sequence[float] = (0.001, 0.002, 0.005, 0.01, 0.02, 0.04),
    map_amplitudes: Sequence[float] = (0.005, 0.01, 0.02),
    led: Sequence[Movable] = ("grad_cam", "gradient"),
    steps: int = 150,
    sharpness: float = 30.0,
    corner_px: int = 20,
    max_structures: int = 32,
    n_bootstrap: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Study:
    """Return what perturbations do to the calls and the maps of a network.

    Parameters
    ----------
    samples
        Patches; those seen in training take no part.
    classifier
        Of two classes.
    explainers
        The methods whose maps are looked at, by name.
    baselines
        For methods that need them; see `solarxai.attribution.draw_baselines`.
    amplitudes
        L-infinity, fractions of the quiet-Sun intensity, at which calls are flipped.
    map_amplitudes
        The same, at which maps are looked at and led.
    led
        Maps that are led to a quiet corner, the call and score being kept.
    steps, sharpness
        Of `adversarial.leading.lead`.
    corner_px
        Side of the corner, pixels.
    max_structures
        Of each origin and label, evenly spread.
    n_bootstrap, seed
        Resamples of the active regions behind each interval; seed of noise and intervals.
    progress
        Called with (done, total, what).

    Raises
    ------
    ValidationError
        when the samples are no patches, there is no sunspot among them, or an amplitude is not
        positive.
    """
    chosen = _checked(samples, max_structures)
    words = {"steps": steps, "sharpness": sharpness}
    told = progress or _silent
    resampling = Resampling(n=n_bootstrap, seed=seed)
    with evaluation_mode(classifier.network):
        every = _Subject(chosen, classifier, resampling)
        flips = [row for amplitude in amplitudes for row in every.flips(amplitude)]
        spots = _Subject(
            chosen.isel(sample=np.flatnonzero(chosen["label"].values == "sunspot")),
            classifier, resampling,
        )  # fmt: skip
        corners = quiet_corners(spots.samples["segmentation"].values, side=corner_px)
        maps = _Maps(spots, explainers, baselines, corners)
        rows, total = maps.rows(UNCHANGED, 0.0, spots.images), len(map_amplitudes)
        for number, amplitude in enumerate(map_amplitudes):
            told(number, total, f"maps at {amplitude:g}")
            for name, images in spots.perturbed(amplitude, corners, led, words):
                rows += maps.rows(name, amplitude, images)
        told(total, total, "maps")
    return Study(flips=tuple(flips), maps=tuple(rows), examples=maps.examples(led))


class _Subject:
    """Some samples and what the network says of them as they are."""

    def __init__(self, samples: xr.Dataset, classifier: Classifier, resampling: Resampling) -> None:
        self.samples, self.classifier, self.resampling = samples, classifier, resampling
        self.images: npt.NDArray[np.float32] = samples["image"].values
        self.margins = classifier.margins(self.images)
        self.region = samples["region"].values

    def ball(self, amplitude: float) -> Ball:
        x = self.classifier.tensor(self.images)
        return Ball.of(x, self.classifier.contract, amplitude=amplitude)

    def intensity(self, x: Tensor) -> npt.NDArray[np.float32]:
        """Return network inputs as intensities relative to the quiet Sun, (image, y, x)."""
        contract = self.classifier.contract
        return np.asarray(x[:, 0].numpy() * contract.scale + contract.offset, dtype=np.float32)

    def flips(self, amplitude: float) -> Iterator[Row]:
        """Yield the fraction of each label's calls that each perturbation changes."""
        network, ball, seed = self.classifier.network, self.ball(amplitude), self.resampling.seed
        made = {
            NOISE: random_signs(ball, seed=seed),
            "FGSM": fast_gradient_sign(network, ball),
            "PGD": projected_gradient(network, ball, seed=seed),
        }
        labels = self.samples["label"].values
        for name, x in made.items():
            changed = (self.classifier.margins(self.intensity(x)) > 0) != (self.margins > 0)
            for label in sorted(set(labels.tolist())):
                here = labels == label
                words = {"perturbation": name, "amplitude": amplitude, "label": label}
                yield {**words, **self.fraction(changed[here], self.region[here])}

    def perturbed(
        self, amplitude: float, corners: Array, led: Sequence[Movable], words: Mapping[str, Any]
    ) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
        """Yield each perturbation whose maps are looked at, and the images."""
        network, ball, seed = self.classifier.network, self.ball(amplitude), self.resampling.seed
        yield NOISE, self.intensity(random_signs(ball, seed=seed))
        yield FLIPPED, self.intensity(projected_gradient(network, ball, seed=seed))
        for method in led:
            yield (
                f"{method} led",
                self.intensity(lead(network, ball, corners, method=method, **words)),
            )

    def fraction(self, hits: Array, groups: Array) -> Row:
        found = proportion_interval(
            hits, groups=groups, n=self.resampling.n, seed=self.resampling.seed
        )
        return _interval(found, len(hits))

    def median(self, values: Array) -> Row:
        """Return the median of what is defined, resampled by region; NaN where nothing is."""
        known = np.isfinite(values)
        if not known.any():
            undefined = dict.fromkeys(("value", "low", "high"), float("nan"))
            return {**undefined, "structures": 0, "regions": 0}
        found = block_bootstrap(
            _median, values[known], groups=self.region[known], n=self.resampling.n,
            seed=self.resampling.seed,
        )  # fmt: skip
        return _interval(found, int(known.sum()))


class _Maps:
    """The maps of some samples, before and after; what they measure."""

    def __init__(
        self,
        subject: _Subject,
        explainers: Mapping[str, Explainer],
        baselines: Tensor | None,
        corners: Array,
    ) -> None:
        self.subject, self.explainers, self.baselines = subject, explainers, baselines
        self.corners = corners
        self.seen: dict[tuple[str, float], dict[str, Array]] = {}

    def rows(self, name: str, amplitude: float, images: npt.NDArray[np.float32]) -> list[Row]:
        """Return what the maps of changed images measure; those given first are the unchanged."""
        subject = self.subject
        margins = subject.classifier.margins(images)
        self.seen[name, amplitude] = made = {
            "image": images, "score": margins, **self.explained(images)
        }  # fmt: skip
        words = {"perturbation": name, "amplitude": amplitude}
        kept = (margins > 0) == (subject.margins > 0)
        change = np.abs(margins / subject.margins - 1)
        rows = [
            {
                **words,
                "method": "",
                "quantity": "call kept",
                **subject.fraction(kept, subject.region),
            },
            {
                **words,
                "method": "",
                "quantity": "relative change of score",
                **subject.median(change),
            },
        ]
        for method in self.explainers:
            rows += [
                {**words, "method": method, "quantity": quantity, **subject.median(values)}
                for quantity, values in self.measured(method, made[method]).items()
            ]
        return rows

    def explained(self, images: npt.NDArray[np.float32]) -> dict[str, Array]:
        samples = self.subject.samples
        block = samples.assign(image=(samples["image"].dims, images))
        made = attribution.attribute(
            block, self.subject.classifier, self.explainers, baselines=self.baselines
        )
        return {name: made[name].values for name in self.explainers}

    def measured(self, method: str, maps: Array) -> dict[str, Array]:
        samples = self.subject.samples
        before = next(iter(self.seen.values()))[method]
        planes = samples["segmentation"].values, samples["central"].values
        size = np.abs(maps).astype(np.float64)
        return {
            **similarity(before, maps, measures=_ALIKE),
            **measure(maps, *planes, names=_PLACES),
            "share in corner": _share(size, self.corners),
        }

    def examples(self, led: Sequence[Movable]) -> xr.Dataset:
        """Return one sunspot under every perturbation of the greatest amplitude."""
        greatest = max(amplitude for _, amplitude in self.seen)
        chosen = [key for key in self.seen if key[1] in (0.0, greatest)]
        row = self._typical(led, greatest)
        names = ("image", *self.explainers)
        made: dict[str, Any] = {
            name: (
                ("perturbation", "y", "x"),
                np.stack([self.seen[key][name][row] for key in chosen]),
            )
            for name in names
        }
        sample = self.subject.samples.isel(sample=row)
        made["segmentation"] = (("y", "x"), sample["segmentation"].values)
        made["corner"] = (("y", "x"), self.corners[row])
        made["score"] = ("perturbation", np.array([self.seen[key]["score"][row] for key in chosen]))
        words = np.array([key[0] for key in chosen], dtype=object)
        attrs = {"amplitude": greatest, "sample_id": str(sample["sample_id"].values)}
        return xr.Dataset(made, coords={"perturbation": words}, attrs=attrs)

    def _typical(self, led: Sequence[Movable], amplitude: float) -> int:
        """Return the sunspot whose led map has the median share in the corner, its call kept."""
        shown = next((method for method in led if method in self.explainers), "")
        made = self.seen[shown + LED if shown else NOISE, amplitude]
        share = _share(np.abs(made[shown or next(iter(self.explainers))]), self.corners)
        kept = np.flatnonzero((made["score"] > 0) & (self.subject.margins > 0) & np.isfinite(share))
        if not len(kept):
            return 0
        return int(kept[np.argsort(share[kept], kind="stable")[len(kept) // 2]])


def _checked(samples: xr.Dataset, most: int) -> xr.Dataset:
    if kind_of(samples) is not PATCH:
        raise ValidationError(
            f"perturbations of {kind_of(samples).name} samples are not studied",
            remedy="Give patches of sunspots and pores.",
        )
    labelled = samples.isel(sample=np.flatnonzero(samples["label"].values != "ambiguous"))
    chosen = evenly(held_out(labelled)[0], most).load()
    if "sunspot" not in chosen["label"].values:
        raise ValidationError(
            "there is no sunspot among the samples that training did not see",
            remedy="Give more samples, or another split.",
        )
    return chosen


def _share(size: Array, place: Array) -> Array:
    total = size.sum(axis=(1, 2), dtype=np.float64)
    inside = (size * place).sum(axis=(1, 2))
    return np.asarray(np.where(total > 0, inside / np.where(total > 0, total, 1), np.nan))


def _interval(found: Any, structures: int) -> Row:
    return {
        "value": found.value, "low": found.low, "high": found.high, "structures": structures,
        "regions": found.n_groups,
    }  # fmt: skip


def _plain(row: Row) -> Row:
    return {
        name: (float(f"{value:.6g}") if np.isfinite(value) else None)
        if isinstance(value, float)
        else value
        for name, value in row.items()
    }


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f} %"


def _median(values: Array) -> float:
    return float(np.median(values))


def _silent(done: int, total: int, what: str) -> None:
    """Tell nobody."""
