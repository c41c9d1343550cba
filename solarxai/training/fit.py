"""Samples with a split in, a classifier with its scores and the shortcuts it had to beat out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from solarxai import registry
from solarxai.classifier import Classifier, InputContract
from solarxai.errors import TrainingError
from solarxai.metrics import Interval
from solarxai.provenance import array_hash
from solarxai.splits import SIDES, check_split
from solarxai.training.augmentation import Augmentation
from solarxai.training.descent import Epoch, Part, Recipe, descend, keeper
from solarxai.training.evaluation import SHORTCUTS, Evaluation, evaluate, shortcut_scores

__all__ = ["Augmentation", "Epoch", "Evaluation", "Training", "train"]

Array = npt.NDArray[Any]

_SCORED = ("validation", "test")
_LEAST_A_CLASS = dict(zip(SIDES, (8, 1, 1), strict=True))


@dataclass(frozen=True, kw_only=True)
class Training:
    """A trained classifier and how it came about.

    Parameters
    ----------
    classifier
        The network of the epoch with the lowest validation loss.
    history
        Every epoch, the first of which is number 1.
    best_epoch
        Number of the epoch that was kept.
    counts
        Samples by split and label, those excluded too.
    metrics
        `Evaluation` on "validation" (which chose the epoch) and "test" (which chose nothing).
    shortcuts
        For each of `SHORTCUTS`, accuracy and roc_auc on test of a logistic regression on that one
        column fitted on train.
    """

    classifier: Classifier
    history: tuple[Epoch, ...]
    best_epoch: int
    counts: Mapping[str, Mapping[str, int]]
    metrics: Mapping[str, Evaluation]
    shortcuts: Mapping[str, Mapping[str, Interval]]

    def record(self) -> dict[str, Any]:
        """Return everything but the weights as JSON; equal for equal trainings."""
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
    epochs: int = 60,
    batch_size: int = 32,
    learning_rate: float = 3e-3,
    weight_decay: float = 1e-2,
    label_smoothing: float = 0.05,
    attribution_prior: float = 0.0,
    patience: int = 20,
    seed: int = 0,
    threads: int = 1,
    augment: Augmentation | None = None,
    keep_epochs: Path | None = None,
    scale_mm: float = 0.5,
    n_bootstrap: int = 1000,
    progress: Callable[[int, int, str], None] | None = None,
) -> Training:
    """Return the classifier of sunspots and pores learnt from samples, with its scores.

    Parameters
    ----------
    samples
        Samples with the column `split` ("train", "validation", "test", "excluded").
    model, model_options
        Name of a file of `solarxai.models` and keyword arguments of its class.
    epochs, patience
        Most epochs, and epochs without a lower validation loss after which training ends.
    batch_size, learning_rate, weight_decay, label_smoothing
        Of AdamW with a one-cycle schedule that peaks at `learning_rate`, and of the cross entropy.
    attribution_prior
        Weight of the roughness of attributions in the loss (`solarxai.training.prior`): an
        experiment, 0 for none.
    seed
        Of initial weights, order, augmentation and bootstrap: same seed, same bytes, for the same
        number of `threads`.
    threads
        Threads of torch while training; restored afterwards.
    augment
        The augmentation; the default one if None.
    keep_epochs
        Folder that gets the classifier of every epoch, `epoch-000.safetensors` being the network
        before training.
    scale_mm
        Plate scale of the samples, Mm per pixel, for the input contract.
    n_bootstrap
        Resamples behind each interval.
    progress
        Called after each epoch with epochs done, epochs at most, and a line of figures.

    Raises
    ------
    TrainingError
        when the samples cannot train (no or broken split, one class, too few, not finite, another
        plate scale), an option is out of range, or the loss diverges.
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
        augment=augment or Augmentation(),
    )
    _check_samples(samples, scale_mm)
    parts = {split: Part.of(samples, split) for split in SIDES}
    contract = _contract(parts["train"].images, scale_mm)
    with _reproducible(seed, threads):
        classifier = _untrained(model, model_options or {}, contract)
        keep = keeper(keep_epochs)
        best, history = descend(
            classifier, parts["train"], parts["validation"], recipe, keep, progress
        )
        margins = {split: classifier.margins(parts[split].images) for split in _SCORED}
    evaluations = {
        split: evaluate(
            parts[split].truth, margins[split], regions=parts[split].regions, n=n_bootstrap,
            seed=seed,
        )
        for split in _SCORED
    }  # fmt: skip
    notes = {**asdict(recipe), "epoch": best, "samples": _samples_hash(samples)}
    return Training(
        classifier=replace(classifier, notes=notes),
        history=history,
        best_epoch=best,
        counts=_counts(samples),
        metrics=evaluations,
        shortcuts=shortcut_scores(samples, n=n_bootstrap, seed=seed),
    )


def _check_samples(samples: xr.Dataset, scale_mm: float) -> None:
    check_split(samples)
    measured = samples.attrs.get("scale_mm", scale_mm)
    if not math.isclose(measured, scale_mm, rel_tol=1e-6):
        raise TrainingError(
            f"the samples have {measured} Mm per pixel, the classifier was to have {scale_mm}",
            remedy=f"Give scale_mm={measured}, or ingest again at the other scale.",
        )
    used = samples.isel(sample=np.flatnonzero(np.isin(samples["split"], SIDES)))
    _check_labels(used["split"].values, used["label"].values)
    for name in ("image", *SHORTCUTS):
        bad = int((~np.isfinite(used[name].values)).sum())
        if bad:
            raise TrainingError(
                f"{bad} values of {name!r} are not finite",
                remedy="Leave those samples out (split 'excluded') or ingest them again.",
            )


def _check_labels(splits: Array, labels: Array) -> None:
    classes = InputContract().classes
    stray = sorted(set(labels.tolist()) - set(classes))
    if stray:
        raise TrainingError(
            f"samples labelled {', '.join(stray)} stand in a split to train or score on",
            remedy=f"Only {' and '.join(classes)} can; give the others the split 'excluded'.",
        )
    for split, least in _LEAST_A_CLASS.items():
        found = {name: int(((splits == split) & (labels == name)).sum()) for name in classes}
        if min(found.values()) < least:
            raise TrainingError(
                f"split {split!r} has {found}; at least {least} of each class are needed",
                remedy="Give more observations or regions, or other fractions to the split.",
            )


def _contract(images: npt.NDArray[np.float32], scale_mm: float) -> InputContract:
    mean, spread = float(images.mean(dtype=float)), float(images.std(dtype=float))
    if not spread:
        raise TrainingError(
            "every pixel of the training images has the same value",
            remedy="Look at the images: ingest made nothing of the observations.",
        )
    return InputContract(
        shape=tuple(images.shape[1:]), scale_mm=scale_mm, offset=mean, scale=spread
    )


def _untrained(model: str, options: Mapping[str, Any], contract: InputContract) -> Classifier:
    architecture = registry.load("solarxai.models", model, error=TrainingError)
    stated = {"classes": len(contract.classes), **options}
    try:
        network = architecture(**stated)
    except TypeError as error:
        raise TrainingError(
            f"model {model!r} cannot be built with options {dict(options)}: {error}",
            remedy=f"See the parameters of {architecture.__module__}:{architecture.__name__}.",
        ) from error
    return Classifier(
        network=network.eval(),
        contract=contract,
        architecture=f"{architecture.__module__}:{architecture.__qualname__}",
        options=stated,
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
