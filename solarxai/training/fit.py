"""Samples with a split in, a classifier with its scores and the shortcuts it had to beat out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn import functional

from solarxai import metrics, registry
from solarxai.classifier import Classifier, InputContract
from solarxai.errors import TrainingError
from solarxai.metrics import Interval
from solarxai.provenance import array_hash
from solarxai.splits import SIDES, check_split
from solarxai.training.augmentation import Augmentation
from solarxai.training.evaluation import SHORTCUTS, Evaluation, evaluate, shortcut_scores

__all__ = ["Augmentation", "Epoch", "Evaluation", "Training", "train"]

Array = npt.NDArray[Any]

_SCORED = ("validation", "test")
_LEAST_A_CLASS = dict(zip(SIDES, (8, 1, 1), strict=True))


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one pass over the training set came to; losses are class-balanced, in nats."""

    number: int
    learning_rate: float
    loss: float
    validation_loss: float
    validation_accuracy: float
    validation_tss: float

    def __str__(self) -> str:
        return (
            f"loss {self.loss:.3f}, validation loss {self.validation_loss:.3f}, "
            f"TSS {self.validation_tss:.3f}"
        )


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
    recipe = _Recipe(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        patience=patience,
        seed=seed,
        threads=threads,
        augment=augment or Augmentation(),
    )
    _check_samples(samples, scale_mm)
    parts = {split: _Part.of(samples, split) for split in SIDES}
    contract = _contract(parts["train"].images, scale_mm)
    with _reproducible(seed, threads):
        classifier = _untrained(model, model_options or {}, contract)
        keep = _keeper(keep_epochs)
        best, history = _fit(
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


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    """The options of the optimisation, checked."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    patience: int
    seed: int
    threads: int
    augment: Augmentation

    def __post_init__(self) -> None:
        whole = min(self.epochs, self.patience, self.threads) >= 1 and self.batch_size >= 2
        real = self.learning_rate > 0 and self.weight_decay >= 0 and 0 <= self.label_smoothing < 1
        if not (whole and real):
            raise TrainingError(
                f"epochs {self.epochs}, patience {self.patience}, batch_size {self.batch_size}, "
                f"threads {self.threads}, learning_rate {self.learning_rate}, weight_decay "
                f"{self.weight_decay} or label_smoothing {self.label_smoothing} is out of range",
                remedy="epochs, patience and threads >= 1, batch_size >= 2, learning_rate > 0, "
                "weight_decay >= 0, 0 <= label_smoothing < 1.",
            )


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One split as arrays: images (sample, y, x), truth (sample,), regions (sample,)."""

    images: npt.NDArray[np.float32]
    truth: npt.NDArray[np.bool_]
    regions: Array

    @classmethod
    def of(cls, samples: xr.Dataset, split: str) -> _Part:
        """Return the rows of that split."""
        rows = np.flatnonzero(samples["split"].values == split)
        chosen = samples[["image", "label", "region"]].isel(sample=rows)
        return cls(
            images=chosen["image"].values,
            truth=np.asarray(chosen["label"].values == InputContract().classes[1], dtype=bool),
            regions=chosen["region"].values,
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


def _fit(
    classifier: Classifier,
    learn: _Part,
    check: _Part,
    recipe: _Recipe,
    keep: Callable[[Classifier, int], None],
    progress: Callable[[int, int, str], None] | None,
) -> tuple[int, tuple[Epoch, ...]]:
    """Return the best epoch's number, whose weights the network is left with, and the history."""
    network = classifier.network
    _lay_out(network, torch.channels_last)
    descent = _Descent.of(classifier, learn, recipe)
    history: list[Epoch] = []
    best, state = 0, deepcopy(network.state_dict())
    keep(classifier, 0)
    for number in range(1, recipe.epochs + 1):
        rate = float(descent.schedule.get_last_lr()[0])
        loss = descent.pass_over(learn)
        epoch = _judge(classifier, check, number=number, learning_rate=rate, loss=loss)
        history.append(epoch)
        keep(classifier, number)
        if progress:
            progress(number, recipe.epochs, str(epoch))
        if best == 0 or epoch.validation_loss < history[best - 1].validation_loss:
            best, state = number, deepcopy(network.state_dict())
        if number - best >= recipe.patience:
            break
    network.load_state_dict(state)
    _lay_out(network, torch.contiguous_format)
    return best, tuple(history)


@dataclass(frozen=True, kw_only=True)
class _Descent:
    """A network on its way down, with everything random that leads it."""

    classifier: Classifier
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    generator: torch.Generator
    recipe: _Recipe

    @classmethod
    def of(cls, classifier: Classifier, part: _Part, recipe: _Recipe) -> _Descent:
        """Return the state before the first step."""
        optimiser = torch.optim.AdamW(
            classifier.network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        steps = math.ceil(_epoch_size(part.truth) / recipe.batch_size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, recipe.learning_rate, recipe.epochs * steps, cycle_momentum=False
        )
        generator = torch.Generator().manual_seed(recipe.seed)
        return cls(
            classifier=classifier, optimiser=optimiser, schedule=schedule, generator=generator,
            recipe=recipe,
        )  # fmt: skip

    def pass_over(self, part: _Part) -> float:
        """Take one step a batch over a class-balanced epoch and return the mean loss."""
        network, contract = self.classifier.network.train(), self.classifier.contract
        rows = _balanced_order(part.truth, self.generator)
        batches = torch.tensor_split(rows, math.ceil(len(rows) / self.recipe.batch_size))
        images, truth = torch.from_numpy(part.images)[:, None], torch.from_numpy(part.truth).long()
        total = 0.0
        for batch in batches:
            x = (
                self.recipe.augment(images[batch], self.generator) - contract.offset
            ) / contract.scale
            scores = network(x.contiguous(memory_format=torch.channels_last))
            loss = functional.cross_entropy(
                scores, truth[batch], label_smoothing=self.recipe.label_smoothing
            )
            self.optimiser.zero_grad()
            torch.autograd.backward(loss)
            self.optimiser.step()
            self.schedule.step()
            total += float(loss.detach()) * len(batch) / len(rows)
        network.eval()
        if not math.isfinite(total):
            raise TrainingError(
                "the training loss is not finite", remedy="Give a smaller learning_rate."
            )
        return total


def _lay_out(network: nn.Module, order: torch.memory_format) -> None:
    """Store the kernels of 2-D convolutions in that order; their values stay."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=order)


def _epoch_size(truth: npt.NDArray[np.bool_]) -> int:
    return 2 * math.ceil(len(truth) / 2)


def _balanced_order(truth: npt.NDArray[np.bool_], generator: torch.Generator) -> Tensor:
    """Return rows in random order, as many of each class; the rarer class is repeated."""
    wanted = _epoch_size(truth) // 2
    chosen = []
    for value in (False, True):
        rows = torch.from_numpy(np.flatnonzero(truth == value))
        rounds = math.ceil(wanted / len(rows))
        orders = [torch.randperm(len(rows), generator=generator) for _ in range(rounds)]
        chosen.append(rows[torch.cat(orders)[:wanted]])
    both = torch.cat(chosen)
    return both[torch.randperm(len(both), generator=generator)]


def _judge(
    classifier: Classifier, part: _Part, *, number: int, learning_rate: float, loss: float
) -> Epoch:
    margin = classifier.margins(part.images).astype(float)
    surprise = np.logaddexp(0, np.where(part.truth, -margin, margin))
    return Epoch(
        number=number,
        learning_rate=learning_rate,
        loss=loss,
        validation_loss=float(np.mean([surprise[part.truth == v].mean() for v in (False, True)])),
        validation_accuracy=metrics.accuracy(part.truth, margin > 0),
        validation_tss=metrics.tss(part.truth, margin > 0),
    )


def _keeper(folder: Path | None) -> Callable[[Classifier, int], None]:
    """Return what saves the classifier of an epoch in `folder`, or does nothing without one."""

    def keep(classifier: Classifier, number: int) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            noted = replace(classifier, notes={"epoch": number})
            noted.save(folder / f"epoch-{number:03d}.safetensors")

    return keep


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
