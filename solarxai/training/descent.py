"""The optimisation: images and truth in, the weights of the best epoch and the history out."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn import functional

from solarxai import metrics
from solarxai.classifier import Classifier, InputContract
from solarxai.errors import TrainingError
from solarxai.schema import kind_of
from solarxai.training.augmentation import Augmentation, SpectralAugmentation
from solarxai.training.prior import roughness

__all__ = ["Epoch", "Part", "Recipe", "descend", "keeper", "margins"]

Array = npt.NDArray[Any]

_SMALL = 64 * 64
"""Pixels of the largest image whose channels lie together in memory."""

_SCHEDULES = ("one_cycle", "constant")
_LIGHT_KM_S = 299_792.458
_SPECTRA_A_PASS = 1024


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one pass over the training set came to; losses are class-balanced, in nats.

    `member` counts the networks of an ensemble from 0.
    """

    number: int
    learning_rate: float
    loss: float
    validation_loss: float
    validation_accuracy: float
    validation_tss: float
    member: int = 0

    def __str__(self) -> str:
        return (
            f"loss {self.loss:.3f}, validation loss {self.validation_loss:.3f}, "
            f"TSS {self.validation_tss:.3f}"
        )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The options of the optimisation, checked."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    attribution_prior: float
    patience: int
    seed: int
    threads: int
    augment: Augmentation | SpectralAugmentation
    schedule: str = "one_cycle"
    samples_an_epoch: int | None = None
    validation_samples: int | None = None

    def record(self) -> dict[str, Any]:
        """Return the options; those with a default here are left out where they have it."""
        usual = {f.name: f.default for f in fields(self) if f.name in _LATER}
        return {k: v for k, v in asdict(self).items() if k not in usual or v != usual[k]}

    def __post_init__(self) -> None:
        whole = min(self.epochs, self.patience, self.threads) >= 1 and self.batch_size >= 2
        real = self.learning_rate > 0 and 0 <= self.label_smoothing < 1
        real = real and min(self.weight_decay, self.attribution_prior) >= 0
        if not (whole and real):
            raise TrainingError(
                f"epochs {self.epochs}, patience {self.patience}, batch_size {self.batch_size}, "
                f"threads {self.threads}, learning_rate {self.learning_rate}, weight_decay "
                f"{self.weight_decay}, label_smoothing {self.label_smoothing} or attribution_prior "
                f"{self.attribution_prior} is out of range",
                remedy="epochs, patience and threads >= 1, batch_size >= 2, learning_rate > 0, "
                "weight_decay and attribution_prior >= 0, 0 <= label_smoothing < 1.",
            )
        limits = [n for n in (self.samples_an_epoch, self.validation_samples) if n is not None]
        if self.schedule not in _SCHEDULES or min(limits, default=2) < 2:
            raise TrainingError(
                f"schedule {self.schedule!r}, samples_an_epoch {self.samples_an_epoch} or "
                f"validation_samples {self.validation_samples} is out of range",
                remedy=f"schedule is {' or '.join(_SCHEDULES)}; the others are 2 or more, or none.",
            )


_LATER = ("schedule", "samples_an_epoch", "validation_samples")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One split as arrays: images (sample, *space), truth (sample,), regions (sample,)."""

    images: npt.NDArray[np.float32]
    truth: npt.NDArray[np.bool_]
    regions: Array

    @classmethod
    def of(cls, samples: xr.Dataset, split: str) -> Part:
        """Return the rows of that split."""
        rows = np.flatnonzero(samples["split"].values == split)
        chosen = samples[["image", "label", "region"]].isel(sample=rows)
        return cls(
            images=chosen["image"].values,
            truth=np.asarray(chosen["label"].values == kind_of(samples).classes[1], dtype=bool),
            regions=chosen["region"].values,
        )

    def drawn(self, most: int | None, seed: int) -> Part:
        """Return at most that many rows, as many of each class as there are, whatever the order.

        A class with fewer rows than half of them gives all it has.
        """
        if most is None or len(self.truth) <= most:
            return self
        generator = np.random.default_rng(seed)
        both = [np.flatnonzero(self.truth == value) for value in (False, True)]
        rows = [generator.permutation(one)[: math.ceil(most / 2)] for one in both]
        chosen = np.sort(np.concatenate(rows))
        return Part(
            images=self.images[chosen], truth=self.truth[chosen], regions=self.regions[chosen]
        )


def descend(
    classifier: Classifier,
    learn: Part,
    check: Part,
    recipe: Recipe,
    keep: Callable[[Classifier, int], None],
    progress: Callable[[int, int, str], None] | None,
) -> tuple[int, tuple[Epoch, ...]]:
    """Return the best epoch's number, whose weights the network is left with, and the history."""
    network = classifier.network
    _lay_out(network, _order(classifier.contract))
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
    recipe: Recipe

    @classmethod
    def of(cls, classifier: Classifier, part: Part, recipe: Recipe) -> _Descent:
        """Return the state before the first step."""
        optimiser = torch.optim.AdamW(
            classifier.network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        steps = math.ceil(_epoch_size(part.truth, recipe.samples_an_epoch) / recipe.batch_size)
        schedule: torch.optim.lr_scheduler.LRScheduler
        if recipe.schedule == "constant":
            schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda _: 1.0)
        else:
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimiser, recipe.learning_rate, recipe.epochs * steps, cycle_momentum=False
            )
        generator = torch.Generator().manual_seed(recipe.seed)
        return cls(
            classifier=classifier, optimiser=optimiser, schedule=schedule, generator=generator,
            recipe=recipe,
        )  # fmt: skip

    def pass_over(self, part: Part) -> float:
        """Take one step a batch over a class-balanced epoch and return the mean loss."""
        network = self.classifier.network.train()
        rows = _balanced_order(part.truth, self.generator, self.recipe.samples_an_epoch)
        batches = torch.tensor_split(rows, math.ceil(len(rows) / self.recipe.batch_size))
        images, truth = torch.from_numpy(part.images)[:, None], torch.from_numpy(part.truth).long()
        total = 0.0
        for batch in batches:
            loss = self._loss(self._input(images[batch]), truth[batch])
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

    def _input(self, images: Tensor) -> Tensor:
        """Return what the network is shown: augmented, normalised, empty rows filled."""
        contract = self.classifier.contract
        x = (_change(self.recipe, contract)(images, self.generator) - contract.offset) / (
            contract.scale
        )
        if contract.fills_rows:
            x = torch.where(x.isnan(), torch.zeros_like(x), x)
        return x.contiguous(memory_format=_order(contract)) if x.ndim == 4 else x

    def _loss(self, x: Tensor, truth: Tensor) -> Tensor:
        network, recipe = self.classifier.network, self.recipe
        loss = functional.cross_entropy(network(x), truth, label_smoothing=recipe.label_smoothing)
        if recipe.attribution_prior:
            axes = None if self.classifier.contract.wavelength is None else (-1,)
            rough = roughness(network, x, self.generator, axes=axes)
            loss = loss + recipe.attribution_prior * rough
        return loss


def _change(recipe: Recipe, contract: InputContract) -> Callable[[Tensor, torch.Generator], Tensor]:
    """Return the augmentation, told the grid where it needs one."""
    if isinstance(recipe.augment, Augmentation):
        return recipe.augment
    first, last = contract.wavelength or (math.nan, math.nan)
    step = (last - first) / (contract.shape[-1] - 1)
    return partial(recipe.augment, point_km_s=_LIGHT_KM_S * step / ((first + last) / 2))


def _order(contract: InputContract) -> torch.memory_format:
    """Return how images lie in memory: the channels of a pixel together where they are small.

    Larger ones do not: torch 2.13 frees memory twice in the weight gradients of 8 channels laid out
    so, from 60 x 240 pixels on (64 x 64, 60 x 64 and 48 x 48 are sound).
    """
    small = math.prod(contract.shape) <= _SMALL
    return torch.channels_last if small else torch.contiguous_format


def _lay_out(network: nn.Module, order: torch.memory_format) -> None:
    """Store the kernels of 2-D convolutions in that order; their values stay."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=order)


def _epoch_size(truth: npt.NDArray[np.bool_], most: int | None = None) -> int:
    rows = len(truth) if most is None else most
    return 2 * math.ceil(rows / 2)


def _balanced_order(
    truth: npt.NDArray[np.bool_], generator: torch.Generator, most: int | None = None
) -> Tensor:
    """Return rows in random order, as many of each class; the rarer class is repeated."""
    wanted = _epoch_size(truth, most) // 2
    chosen = []
    for value in (False, True):
        rows = torch.from_numpy(np.flatnonzero(truth == value))
        rounds = math.ceil(wanted / len(rows))
        orders = [torch.randperm(len(rows), generator=generator) for _ in range(rounds)]
        chosen.append(rows[torch.cat(orders)[:wanted]])
    both = torch.cat(chosen)
    return both[torch.randperm(len(both), generator=generator)]


def _judge(
    classifier: Classifier, part: Part, *, number: int, learning_rate: float, loss: float
) -> Epoch:
    margin = margins(classifier, part).astype(float)
    surprise = np.logaddexp(0, np.where(part.truth, -margin, margin))
    return Epoch(
        number=number,
        learning_rate=learning_rate,
        loss=loss,
        validation_loss=float(np.mean([surprise[part.truth == v].mean() for v in (False, True)])),
        validation_accuracy=metrics.accuracy(part.truth, margin > 0),
        validation_tss=metrics.tss(part.truth, margin > 0),
    )


def margins(classifier: Classifier, part: Part) -> npt.NDArray[np.float32]:
    """Return the margins (sample,) of a part; spectra go through in larger batches than images."""
    if len(classifier.contract.shape) == 1:
        return classifier.margins(part.images, batch_size=_SPECTRA_A_PASS)
    return classifier.margins(part.images)


def keeper(folder: Path | None) -> Callable[[Classifier, int], None]:
    """Return what saves the classifier of an epoch in `folder`, or does nothing without one."""

    def keep(classifier: Classifier, number: int) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            noted = replace(classifier, notes={"epoch": number})
            noted.save(folder / f"epoch-{number:03d}.safetensors")

    return keep
