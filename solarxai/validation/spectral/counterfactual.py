"""The score of spectra before and after every change: lines, swaps, nuisances, sliding windows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.classifier import Classifier
from solarxai.schema import SPECTROGRAM, kind_of
from solarxai.validation.causal.interventions import NotApplicable
from solarxai.validation.selection import CLASSES
from solarxai.validation.spectral import changes as change
from solarxai.validation.spectral.nuisances import Means

__all__ = ["LINES", "NUISANCES", "SWAPS", "SpectralCounterfactuals", "intervene_spectra"]

Array = npt.NDArray[Any]
Progress = Callable[[int, int, str], None]

LINES = ("k", "h", "triplet", "continuum")
"""Windows that are replaced: by the mean of the other class, and of both."""

_BATCH = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """Spectra of known class, and what they are changed by.

    Parameters
    ----------
    spectra
        (n, ..., w).
    counts
        (n, ...) maxima, DN an exposure.
    preflare
        (n,) whether the class is pre-flare.
    means
        Of the two classes.
    seed
        Of every random number.
    """

    spectra: Array
    counts: Array
    preflare: npt.NDArray[np.bool_]
    means: Means
    seed: int = 0

    def rng(self, purpose: str) -> np.random.Generator:
        """Return a generator that depends on the seed and a purpose alone."""
        text = f"{self.seed}:{purpose}".encode()
        return np.random.default_rng(int.from_bytes(hashlib.sha256(text).digest()[:8], "big"))

    def of_other(self, made: Callable[[Array, int, int], Array]) -> Array:
        """Return spectra made by `made(spectra, own class, other class)`, class by class."""
        out = np.empty_like(self.spectra)
        for own, rows in enumerate((~self.preflare, self.preflare)):
            if rows.any():
                out[rows] = made(self.spectra[rows], own, 1 - own)
        return out


Change = Callable[[Shown], Sequence[Array]]


def _line_swapped(name: str) -> Change:
    def made(shown: Shown) -> list[Array]:
        weight = change.window_weight(shown.means.window(name))
        return [
            shown.of_other(
                lambda x, _, other: change.window_replaced(x, weight, shown.means.spectrum[other])
            )
        ]

    return made


def _line_common(name: str) -> Change:
    def made(shown: Shown) -> list[Array]:
        weight = change.window_weight(shown.means.window(name))
        return [change.window_replaced(shown.spectra, weight, shown.means.overall)]

    return made


def _beyond_twin(line: str, twin: str) -> Change:
    """Replace a line by what the twin says it would be in the other class."""

    def made(shown: Shown) -> list[Array]:
        means, weight = shown.means, change.window_weight(shown.means.window(line))

        def swap(x: Array, _: int, other: int) -> Array:
            mean = means.spectrum[other]
            new = change.from_twin(x, means.axis, line, twin, mean, mean)
            return change.window_replaced(x, weight, new)

        return [shown.of_other(swap)]

    return made


def _zero_point_swapped(shown: Shown) -> list[Array]:
    zero, axis = shown.means.zero_point, shown.means.axis
    if not np.isfinite(zero).all():
        raise NotApplicable("no photospheric lines show where the wavelength scale stands")
    return [shown.of_other(lambda x, i, j: change.shifted(x, axis, zero[j] - zero[i]))]


def _slope_swapped(shown: Shown) -> list[Array]:
    slope, axis, outside = shown.means.slope, shown.means.axis, shown.means.outside
    return [
        shown.of_other(lambda x, i, j: change.tilted(x, axis, float(slope[j] - slope[i]), outside))
    ]


SWAPS: Mapping[str, Change] = {
    "wavelength zero-point": _zero_point_swapped,
    "continuum slope": _slope_swapped,
    "light at k that h lacks": _beyond_twin("k", "h"),
    "light at h that k lacks": _beyond_twin("h", "k"),
}
"""What spectra are given of the other class although it is no part of the chromosphere."""


def _shift(points: float) -> Change:
    def made(shown: Shown) -> list[Array]:
        axis = shown.means.axis
        velocity = change.point_velocity(axis) * points
        return [change.shifted(shown.spectra, axis, v) for v in (velocity, -velocity)]

    return made


def _slope(shown: Shown) -> list[Array]:
    axis, outside = shown.means.axis, shown.means.outside
    return [change.tilted(shown.spectra, axis, s, outside) for s in (0.01, -0.01)]


def _scale(shown: Shown) -> list[Array]:
    return [shown.spectra * np.float32(s) for s in (1.02, 0.98)]


def _noise(shown: Shown) -> list[Array]:
    return [change.noisier(shown.spectra, shown.counts, shown.rng("noise"))]


def _spike(shown: Shown) -> list[Array]:
    return [change.spiked(shown.spectra, shown.rng("spike"), shown.means.outside)]


NUISANCES: Mapping[str, Change] = {
    "shift of 0.5 points": _shift(0.5),
    "shift of 1 point": _shift(1.0),
    "shift of 2 points": _shift(2.0),
    "slope of 1 % per Å": _slope,
    "scale of 2 %": _scale,
    "half the exposure": _noise,
    "spike": _spike,
}
"""Changes that should not matter; each gives one or more variants."""

_SLIT: Mapping[str, Change] = {
    "slit turned over": lambda shown: [change.rows_mirrored(shown.spectra)],
    "slit rolled by half": lambda shown: [change.rows_rolled(shown.spectra)],
    "slit shuffled": lambda shown: [change.rows_shuffled(shown.spectra, shown.rng("slit"))],
}


@dataclass(frozen=True, kw_only=True, eq=False)
class SpectralCounterfactuals:
    """Margins (pre-flare minus active, logits) as they are and after each change.

    Parameters
    ----------
    original
        (n,) margins of the samples as they are.
    preflare
        (n,) whether the class is pre-flare.
    region
        (n,) active region.
    lines, common, swaps, nuisances
        (variant, n) margins after each change by name: windows given the mean of the other class,
        or of both; what is swapped; nuisances.
    slit
        The same for changes along the slit; empty for networks of single spectra.
    windows
        (window, n) margins with a sliding window given the other class's structure; NaN for the
        samples that were not asked.
    centres
        (window,) of these windows, Å.
    width
        Of these windows, Å.
    rows
        (band, n) margins with a band of the slit copied from beside; empty as `slit`.
    bands
        (band, 2) first row and row after the last.
    left_out
        Rows (intervention, label, reason, count) for changes that could not be made; their margins
        are NaN.
    """

    original: Array
    preflare: npt.NDArray[np.bool_]
    region: Array
    lines: Mapping[str, Array]
    common: Mapping[str, Array]
    swaps: Mapping[str, Array]
    nuisances: Mapping[str, Array]
    windows: Array
    centres: Array
    width: float
    slit: Mapping[str, Array] = field(default_factory=dict)
    rows: Array = field(default_factory=lambda: np.zeros((0, 0)))
    bands: Array = field(default_factory=lambda: np.zeros((0, 2), dtype=int))
    left_out: tuple[Mapping[str, Any], ...] = ()


def intervene_spectra(
    samples: xr.Dataset,
    classifier: Classifier,
    means: Means,
    *,
    width: float = 0.5,
    window_samples: int = 1500,
    seed: int = 0,
    progress: Progress | None = None,
) -> SpectralCounterfactuals:
    """Return the margins of samples as they are and after every change.

    Parameters
    ----------
    samples
        Samples of the kind the classifier takes, of the two classes.
    classifier
        The classifier.
    means
        Of `measure_means` of the same samples, or of others like them.
    width
        Of the sliding window, Å, at least three points; it moves by half of it.
    window_samples
        At most so many samples are asked with each window, evenly spread over the list.
    seed, progress
        Of every random number; called with (done, total, what).
    """
    shown = Shown(
        spectra=samples["image"].values.astype(np.float32),
        counts=_counts(samples),
        preflare=samples["label"].values == CLASSES[1],
        means=means,
        seed=seed,
    )
    along = _SLIT if kind_of(samples) is SPECTROGRAM else {}
    groups: dict[str, Mapping[str, Change]] = {
        "lines": {name: _line_swapped(name) for name in LINES},
        "common": {name: _line_common(name) for name in LINES},
        "swaps": SWAPS,
        "nuisances": NUISANCES,
        "slit": along,
    }
    tell = _Steps(progress, sum(map(len, groups.values())) + 1)
    missing: list[Mapping[str, Any]] = []
    scored = {
        group: _scored(changes, shown, classifier, tell, missing)
        for group, changes in groups.items()
    }
    width = max(width, 3 * float(np.diff(means.axis).max()))
    centres = _centres(means, width)
    few = _few(len(shown.preflare), window_samples)
    tell("sliding windows")
    bands = _bands(shown.spectra.shape[1]) if along else np.zeros((0, 2), dtype=int)
    return SpectralCounterfactuals(
        original=_margins(classifier, shown.spectra),
        preflare=shown.preflare,
        region=samples["region"].values,
        windows=_windows(shown, classifier, centres, width, few),
        centres=centres,
        width=width,
        rows=_rows(shown, classifier, bands),
        bands=bands,
        left_out=tuple(missing),
        **scored,
    )


class _Steps:
    """Tells how far the changes are."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self, what: str) -> None:
        self.done += 1
        if self.progress:
            self.progress(self.done, self.total, what)


def _margins(classifier: Classifier, spectra: Array) -> Array:
    return classifier.margins(spectra, batch_size=_BATCH if spectra.ndim == 2 else 32)


def _scored(
    changes: Mapping[str, Change],
    shown: Shown,
    classifier: Classifier,
    tell: _Steps,
    missing: list[Mapping[str, Any]],
) -> dict[str, Array]:
    made, n = {}, len(shown.preflare)
    for name, one in changes.items():
        try:
            made[name] = np.stack([_margins(classifier, spectra) for spectra in one(shown)])
        except NotApplicable as why:
            made[name] = np.full((1, n), np.nan)
            row = {"intervention": name, "label": "all", "reason": str(why)}
            missing.append({**row, "count": n})
        tell(name)
    return made


def _windows(
    shown: Shown, classifier: Classifier, centres: Array, width: float, few: Array
) -> Array:
    """Return margins (window, n) with the structure of the other class in each window."""
    axis, found = shown.means.axis, np.full((len(centres), len(shown.preflare)), np.nan)
    part = Shown(
        spectra=shown.spectra[few], counts=shown.counts[few],
        preflare=shown.preflare[few], means=shown.means,
    )  # fmt: skip
    for number, centre in enumerate(centres):
        inside = np.abs(axis - centre) <= width / 2
        weight = change.window_weight(inside)
        mean = shown.means.spectrum
        structure = mean / change.edge_level(mean, axis, inside)

        def swap(x: Array, _: int, other: int) -> Array:
            new = change.edge_level(x, axis, inside) * structure[other]  # noqa: B023
            return change.window_replaced(x, weight, new)  # noqa: B023

        found[number, few] = _margins(classifier, part.of_other(swap))
    return found


def _rows(shown: Shown, classifier: Classifier, bands: Array) -> Array:
    made = [
        _margins(classifier, change.rows_copied(shown.spectra, int(a), int(b))) for a, b in bands
    ]
    return np.stack(made) if made else np.zeros((0, len(shown.preflare)))


def _centres(means: Means, width: float) -> Array:
    """Return the centres of windows that lie on the axis with three points beside, Å."""
    step = float(np.median(np.diff(means.axis)))
    low, high = (means.axis[i] + s * (width / 2 + 4 * step) for i, s in ((0, 1), (-1, -1)))
    return np.linspace(low, high, max(int((high - low) / (width / 2)) + 1, 1))


def _bands(slits: int) -> Array:
    """Return bands of the slit: a twentieth of it each, two rows at least."""
    edges = np.arange(0, slits + 1, max(2, slits // 20))
    return np.stack([edges[:-1], edges[1:]], axis=1)


def _few(n: int, most: int) -> npt.NDArray[np.intp]:
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.intp))


def _counts(samples: xr.Dataset) -> Array:
    """Return the maxima in DN an exposure, (n, ...), NaN where they are not known."""
    shape = samples["image"].shape[:-1]
    if "peak" not in samples.variables or "exposure_time" not in samples.variables:
        return np.full(shape, np.nan)
    time = samples["exposure_time"].values.reshape(-1, *[1] * (len(shape) - 1))
    return np.asarray(samples["peak"].values * time, dtype=float)
