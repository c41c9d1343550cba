"""Samples with a split in, a classifier with its scores and the shortcuts it had to beat out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from solarxai.classifier import Classifier
from solarxai.errors import TrainingError
from solarxai.metrics import Interval
from solarxai.provenance import array_hash
from solarxai.schema import PATCH, Kind, kind_of
from solarxai.splits import SIDES
from solarxai.training.augmentation import Augmentation, SpectralAugmentation
from solarxai.training.descent import Epoch, Part, Recipe, descend, keeper, margins
from solarxai.training.evaluation import (
    Evaluation,
    Levels,
    choose_thresholds,
    evaluate,
    evaluate_levels,
    shortcut_scores,
    spectral_shortcuts,
)
from solarxai.training.networks import together, untrained
from solarxai.training.requirements import check_images, check_samples, contract_for

__all__ = [
    "Augmentation",
    "Epoch",
    "Evaluation",
    "Levels",
    "SpectralAugmentation",
    "Training",
    "train",
]

Array = npt.NDArray[Any]

_SCORED = ("validation", "test")
_ADDRESS = ("image", "label", "region", "observation", "raster", "slit")


@dataclass(frozen=True, kw_only=True)
class Training:
    """A trained classifier and how it came about.

    Parameters
    ----------
    classifier
        The network of the epoch with the lowest validation loss; an ensemble of such networks
        where several members were trained.
    history
        Every epoch of every member, member after member; the first of each is number 1.
    best_epochs
        Number of the epoch that was kept, a member.
    counts
        Samples by split and label, those excluded too.
    metrics
        `Evaluation` on "validation" (which chose the epoch) and "test" (which chose nothing);
        `Levels` of them, from single spectra to observations, where the samples are spectral.
    shortcuts
        For each column that could give the label away (`evaluation.shortcut_columns`), accuracy
        and roc_auc on test of a logistic regression on that one column fitted on train.
    shortcut_rows_left_out
        Rows of train and test without a finite value, by column; of spectral samples only.
    """

    classifier: Classifier
    history: tuple[Epoch, ...]
    best_epochs: tuple[int, ...]
    counts: Mapping[str, Mapping[str, int]]
    metrics: Mapping[str, Evaluation | Levels]
    shortcuts: Mapping[str, Mapping[str, Interval]]
    shortcut_rows_left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def best_epoch(self) -> int:
        """Return the number of the epoch that was kept, of the first member."""
        return self.best_epochs[0]

    def record(self) -> dict[str, Any]:
        """Return everything but the weights as JSON; equal for equal trainings."""
        made = self._plain_record()
        if self.shortcut_rows_left_out:
            made["shortcut_rows_left_out"] = dict(self.shortcut_rows_left_out)
        if len(self.best_epochs) > 1:
            del made["best_epoch"]
            made["best_epochs"] = list(self.best_epochs)
        else:
            for epoch in made["history"]:
                del epoch["member"]
        return made

    def _plain_record(self) -> dict[str, Any]:
        return {
            "classifier": self.classifier.hash,
            "best_epoch": self.best_epoch,
            "counts": {split: dict(found) for split, found in self.counts.items()},
            "metrics": {split: found.record() for split, found in self.metrics.items()},
            "shortcuts": {
                column: {name: found.record() for name, found in scores.items()}
                for column, scores in self.shortcuts.items()
            },
            "history": [asdict(epoch) for epoch in self.history],
        }


def train(
    samples: xr.Dataset,
    *,
    model: str = "residual_cnn",
    model_options: Mapping[str, Any] | None = None,
    members: int = 1,
    epochs: int = 60,
    batch_size: int = 32,
    learning_rate: float = 3e-3,
    schedule: Literal["one_cycle", "constant"] = "one_cycle",
    weight_decay: float = 1e-2,
    label_smoothing: float = 0.05,
    attribution_prior: float = 0.0,
    patience: int = 20,
    samples_an_epoch: int | None = None,
    validation_samples: int | None = None,
    normalise: Literal["global", "none"] = "global",
    seed: int = 0,
    threads: int = 1,
    augment: Augmentation | SpectralAugmentation | None = None,
    keep_epochs: Path | None = None,
    scale_mm: float = 0.5,
    naive: bool = False,
    n_bootstrap: int = 1000,
    progress: Callable[[int, int, str], None] | None = None,
) -> Training:
    """Return the classifier learnt from samples, with its scores.

    Patches teach sunspots and pores; spectra (sample, wavelength) and spectrograms (sample, slit,
    wavelength) teach pre-flare and active exposures.

    Parameters
    ----------
    samples
        Samples with the column `split` ("train", "validation", "test", "excluded").
    model, model_options
        Name of a file of `solarxai.models` and keyword arguments of its class. With spectral
        samples, `axes` and `length` are set by them where the class has such options.
    members
        Networks to train, with the seeds seed, seed + 1, ...; more than one make an ensemble, whose
        scores are the mean of theirs.
    epochs, patience
        Most epochs, and epochs without a lower validation loss after which training ends.
    batch_size, learning_rate, weight_decay, label_smoothing
        Of AdamW, which without weight decay is Adam, and of the cross entropy.
    schedule
        Whether the rate rises to `learning_rate` and falls ("one_cycle") or stays ("constant").
    attribution_prior
        Weight of the roughness of attributions in the loss (`solarxai.training.prior`): an
        experiment, 0 for none.
    samples_an_epoch
        Samples in an epoch, half of each class, drawn anew for each; as many as there are if None.
    validation_samples
        At most so many validation samples choose the epoch, half of each class, drawn with `seed`
        whatever their order; all if None. Scores are always those of all samples.
    normalise
        Whether offset and scale of the input contract are mean and standard deviation of the
        training images ("global") or 0 and 1 ("none").
    seed
        Of initial weights, order, augmentation and bootstrap: same seed, same bytes, for the same
        number of `threads`.
    threads
        Threads of torch while training; restored afterwards.
    augment
        `Augmentation` of images or `SpectralAugmentation` of spectra; the default one if None.
    keep_epochs
        Folder that gets the classifier of every epoch, `epoch-000.safetensors` being the network
        before training; of one member only.
    scale_mm
        Plate scale of the samples, Mm per pixel, for the input contract; of images only.
    naive
        Accept a split of `solarxai.splits.naive_split`, to show what its leak is worth.
    n_bootstrap
        Resamples behind each interval.
    progress
        Called after each epoch with epochs done, epochs at most, and a line of figures.

    Raises
    ------
    TrainingError
        when the samples cannot train (no or broken split, one class, too few, not finite, another
        plate scale, wavelengths not evenly spaced), an option is out of range or does not belong to
        the kind of samples, or the loss diverges.
    """
    recipe = Recipe(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        attribution_prior=attribution_prior,
        patience=patience,
        seed=seed,
        threads=threads,
        augment=augment or _usual_augmentation(samples),
        schedule=schedule,
        samples_an_epoch=samples_an_epoch,
        validation_samples=validation_samples,
    )
    kind = check_samples(samples, scale_mm=scale_mm, naive=naive)
    _check_options(kind, recipe.augment, members, keep_epochs)
    parts = {split: Part.of(samples, split) for split in SIDES}
    for part in parts.values():
        check_images(part.images, kind)
    contract = contract_for(samples, parts["train"].images, scale_mm=scale_mm, normalise=normalise)
    build = partial(untrained, model, model_options or {}, contract)
    check = parts["validation"].drawn(validation_samples, seed)
    trained = [
        _trained(
            i,
            build,
            parts["train"],
            check,
            recipe,
            keeper(keep_epochs),
            _told(progress, i, members),
        )
        for i in range(members)
    ]
    best = tuple(member.best for member in trained)
    with _reproducible(seed, threads):
        classifier = together([member.classifier for member in trained])
        said = {split: margins(classifier, parts[split]) for split in _SCORED}
    chosen: dict[str, Any] = {"epoch": best[0]} if members == 1 else {"epochs": list(best)}
    if normalise != "global":
        chosen["normalise"] = normalise
    notes = {**recipe.record(), **chosen, "samples": _samples_hash(samples)}
    found, left_out = _shortcuts(samples, kind, n=n_bootstrap, seed=seed)
    return Training(
        classifier=replace(classifier, notes=notes),
        history=tuple(epoch for member in trained for epoch in member.history),
        best_epochs=best,
        counts=_counts(samples),
        metrics=_scores(samples, kind, parts, said, n=n_bootstrap, seed=seed),
        shortcuts=found,
        shortcut_rows_left_out=left_out,
    )


class _Trained(NamedTuple):
    """One network that was trained, of an ensemble or alone."""

    classifier: Classifier
    best: int
    history: tuple[Epoch, ...]


def _trained(
    number: int,
    build: Callable[[], Classifier],
    learn: Part,
    check: Part,
    recipe: Recipe,
    keep: Callable[[Classifier, int], None],
    progress: Callable[[int, int, str], None] | None,
) -> _Trained:
    """Return member `number`: weights, order and augmentation come from a seed of its own."""
    mine = replace(recipe, seed=recipe.seed + number)
    with _reproducible(mine.seed, mine.threads):
        classifier = build()
        best, history = descend(classifier, learn, check, mine, keep, progress)
    return _Trained(classifier, best, tuple(replace(e, member=number) for e in history))


def _told(
    progress: Callable[[int, int, str], None] | None, number: int, members: int
) -> Callable[[int, int, str], None] | None:
    """Return the progress of one member as a part of that of all."""
    if progress is None or members == 1:
        return progress

    def tell(done: int, most: int, text: str) -> None:
        progress(number * most + done, members * most, f"member {number + 1}: {text}")

    return tell


def _scores(
    samples: xr.Dataset,
    kind: Kind,
    parts: Mapping[str, Part],
    said: Mapping[str, Array],
    *,
    n: int,
    seed: int,
) -> dict[str, Evaluation | Levels]:
    if kind is PATCH:
        return {
            split: evaluate(
                parts[split].truth, said[split], regions=parts[split].regions, n=n, seed=seed
            )
            for split in _SCORED
        }
    narrow = samples[[c for c in samples.variables if c in _ADDRESS]].isel(wavelength=slice(0, 1))
    sides = {
        split: narrow.isel(sample=np.flatnonzero(samples["split"].values == split))
        for split in _SCORED
    }
    thresholds = choose_thresholds(sides["validation"], said["validation"])
    return {
        split: evaluate_levels(sides[split], said[split], n=n, seed=seed, thresholds=thresholds)
        for split in _SCORED
    }


def _shortcuts(
    samples: xr.Dataset, kind: Kind, *, n: int, seed: int
) -> tuple[dict[str, dict[str, Interval]], dict[str, int]]:
    if kind is PATCH:
        return shortcut_scores(samples, n=n, seed=seed), {}
    return spectral_shortcuts(samples, n=n, seed=seed)


def _usual_augmentation(samples: xr.Dataset) -> Augmentation | SpectralAugmentation:
    return Augmentation() if kind_of(samples) is PATCH else SpectralAugmentation()


def _check_options(kind: Kind, augment: object, members: int, keep_epochs: Path | None) -> None:
    wanted = Augmentation if kind is PATCH else SpectralAugmentation
    if not isinstance(augment, wanted):
        raise TrainingError(
            f"a {kind.name} cannot be changed by {type(augment).__name__}",
            remedy=f"Give a {wanted.__name__}, or none for the default one.",
        )
    if members < 1:
        raise TrainingError(f"members {members} is out of range", remedy="Give 1 or more.")
    if members > 1 and keep_epochs is not None:
        raise TrainingError(
            f"the epochs of {members} members cannot be kept in one folder",
            remedy="Keep the epochs of one network: members=1.",
        )


@contextmanager
def _reproducible(seed: int, threads: int) -> Iterator[None]:
    """Fix torch's seed, threads and algorithms, and put everything back afterwards."""
    before = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=lenient)
            torch.set_num_threads(before)


def _counts(samples: xr.Dataset) -> dict[str, dict[str, int]]:
    pairs = zip(samples["split"].values.tolist(), samples["label"].values.tolist(), strict=True)
    counts: dict[str, dict[str, int]] = {}
    for split, label in sorted(pairs):
        here = counts.setdefault(split, {})
        here[label] = here.get(label, 0) + 1
    return counts


def _samples_hash(samples: xr.Dataset) -> str:
    names = ("sample_id", "image", "label", "region", "split")
    return array_hash(*(samples[name].values for name in names))
