"""The optimisation: images and truth in, the weights of the best epoch and the history out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from solarxai import metrics
from solarxai.classifier import Classifier, InputContract
from solarxai.errors import TrainingError
from solarxai.training.augmentation import Augmentation, Draws
from solarxai.training.checkpoints import Checkpoints, State
from solarxai.training.loading import Loader
from solarxai.training.order import balanced_order, epoch_size, windowed
from solarxai.training.parts import Part, margins
from solarxai.training.prior import roughness
from solarxai.training.recipe import Epoch, Recipe
from solarxai.training.shards import ShardedImages
from solarxai.training.team import Team

__all__ = ["Sides", "descend", "keeper"]

_SMALL = 64 * 64
"""Pixels of the largest image whose channels lie together in memory."""

_LIGHT_KM_S = 299_792.458

Tell = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Sides:
    """What a network learns from, and how it gets there.

    Parameters
    ----------
    learn, check
        The sides that teach and that choose the epoch.
    loader
        Of the images of `learn`.
    team
        The processes that learn together.
    """

    learn: Part
    check: Part
    loader: Loader
    team: Team


def descend(
    classifier: Classifier,
    sides: Sides,
    recipe: Recipe,
    keep: Callable[[Classifier, int], None],
    progress: Tell | None,
    checkpoints: Checkpoints,
) -> tuple[int, tuple[Epoch, ...]]:
    """Return the best epoch's number, whose weights the network is left with, and the history.

    Where `checkpoints` hold a state, it goes on from there.
    """
    network = classifier.network
    _lay_out(network, _order(classifier.contract))
    with sides.team.together(network) as call:
        descent = _Descent.of(classifier, sides, recipe, call, checkpoints)
        if checkpoints.current is None:
            keep(classifier, 0)
        else:
            descent.restore(checkpoints.current)
        while descent.goes_on:
            epoch = descent.pass_over()
            keep(classifier, epoch.number)
            if progress:
                progress(epoch.number, recipe.epochs, str(epoch))
            descent.offer()
        network.load_state_dict(descent.best_state)
    _lay_out(network, torch.contiguous_format)
    return descent.best, tuple(descent.history)


@dataclass(kw_only=True)
class _Descent:
    """A network on its way down, with everything random that leads it, and how far it has come.

    `number` is the epoch at work, `done` its batches that are learnt, `loss` their sum so far, and
    `rate` and `start` the learning rate and the state of the generator before it.
    """

    classifier: Classifier
    sides: Sides
    recipe: Recipe
    call: Callable[[Tensor], Tensor]
    checkpoints: Checkpoints
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    generator: torch.Generator
    start: Tensor
    best_state: dict[str, Tensor]
    best: int = 0
    history: list[Epoch] = field(default_factory=list)
    number: int = 1
    done: int = 0
    loss: float = 0.0
    rate: float = 0.0

    @classmethod
    def of(
        cls,
        classifier: Classifier,
        sides: Sides,
        recipe: Recipe,
        call: Callable[[Tensor], Tensor],
        checkpoints: Checkpoints,
    ) -> _Descent:
        """Return the state before the first step."""
        optimiser = torch.optim.AdamW(
            classifier.network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        truth = sides.learn.truth
        steps = math.ceil(epoch_size(truth, recipe.samples_an_epoch) / recipe.batch_size)
        schedule: torch.optim.lr_scheduler.LRScheduler
        if recipe.schedule == "constant":
            schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda _: 1.0)
        else:
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimiser, recipe.learning_rate, recipe.epochs * steps, cycle_momentum=False
            )
        generator = torch.Generator().manual_seed(recipe.seed)
        return cls(
            classifier=classifier, sides=sides, recipe=recipe, call=call, checkpoints=checkpoints,
            optimiser=optimiser, schedule=schedule, generator=generator,
            start=generator.get_state(), best_state=deepcopy(classifier.network.state_dict()),
        )  # fmt: skip

    @property
    def goes_on(self) -> bool:
        """Return whether another epoch is to be learnt."""
        patient = self.number - 1 - self.best < self.recipe.patience
        return self.number <= self.recipe.epochs and patient

    def pass_over(self) -> Epoch:
        """Take one step a batch over what is left of a class-balanced epoch, and judge it."""
        if not self.done:
            self.rate = float(self.schedule.get_last_lr()[0])
        network, learn, team = self.classifier.network.train(), self.sides.learn, self.sides.team
        batches = self._batches()
        rows = sum(len(batch) for batch in batches)
        truth = torch.from_numpy(learn.truth).long()
        left = batches[self.done :]
        mine = [batch[team.part(len(batch))] for batch in left]
        for batch, own, images in zip(left, mine, self.sides.loader.batches(mine), strict=True):
            loss, due = self._step(images, truth[own], len(batch))
            self.loss += loss * len(batch) / rows
            self.done += 1
            if due:
                self.checkpoints.keep(self.state())
        network.eval()
        if not math.isfinite(self.loss):
            raise TrainingError(
                "the training loss is not finite", remedy="Give a smaller learning_rate."
            )
        return self._judged()

    def offer(self) -> None:
        """Write the state between two epochs, if it is due."""
        (due,) = self.sides.team.sums(float(self.checkpoints.due()))
        if due:
            self.checkpoints.keep(self.state())

    def state(self) -> State:
        """Return everything that what follows depends on."""
        return {
            "number": self.number,
            "done": self.done,
            "loss": self.loss,
            "rate": self.rate,
            "history": [asdict(epoch) for epoch in self.history],
            "best": self.best,
            "best_state": self.best_state,
            "network": self.classifier.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": _plain(self.schedule.state_dict()),
            "start": self.start,
            "generator": self.generator.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state() if self.sides.team.device != "cpu" else None,
        }

    def restore(self, state: State) -> None:
        """Go on where `state` was taken, and say so."""
        self.number, self.done = state["number"], state["done"]
        self.loss, self.rate, self.best = state["loss"], state["rate"], state["best"]
        self.history = [Epoch(**epoch) for epoch in state["history"]]
        self.best_state = state["best_state"]
        self.classifier.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.start = state["start"]
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None:
            torch.cuda.set_rng_state(state["cuda"])
        size = epoch_size(self.sides.learn.truth, self.recipe.samples_an_epoch)
        steps = math.ceil(size / self.recipe.batch_size)
        self.checkpoints.say(
            f"resumed at epoch {self.number}, batch {self.done + 1} of {steps}"
            if self.done < steps
            else f"resumed at the end of epoch {self.number}"
        )

    def _batches(self) -> Sequence[Tensor]:
        """Return the rows of each batch of this epoch, drawn anew where it was begun before."""
        learn, recipe = self.sides.learn, self.recipe
        generator = self.generator
        if self.done:
            generator = torch.Generator()
            generator.set_state(self.start)
        else:
            self.start = generator.get_state()
        rows = balanced_order(learn.truth, generator, recipe.samples_an_epoch)
        if isinstance(learn.images, ShardedImages) and recipe.window is not None:
            shard = learn.images.shard
            rows = windowed(rows, shard, learn.truth, recipe.window, generator)
        return torch.tensor_split(rows, math.ceil(len(rows) / recipe.batch_size))

    def _step(self, images: Tensor, truth: Tensor, batch: int) -> tuple[float, bool]:
        """Take one step with this process's part of a batch.

        Returns
        -------
        tuple
            The mean loss over the whole batch, and whether the state is to be written.
        """
        team = self.sides.team
        if team.size > 1:
            self._reseed()
        loss = self._loss(self._input(images, batch), truth.to(team.device))
        self.optimiser.zero_grad()
        torch.autograd.backward(loss * (team.size * len(truth) / batch) if team.size > 1 else loss)
        self.optimiser.step()
        self.schedule.step()
        said = float(loss.detach())
        if team.size == 1:
            return said, self.checkpoints.due()
        mean, due = team.sums(said * len(truth) / batch, float(self.checkpoints.due()))
        return mean, bool(due)

    def _reseed(self) -> None:
        """Give dropout its own draws in each process and step, so that none need be kept."""
        team = self.sides.team
        place = (self.recipe.seed, self.number, self.done, team.rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))

    def _input(self, images: Tensor, batch: int) -> Tensor:
        """Return what the network is shown: augmented, normalised, empty rows filled."""
        contract, team = self.classifier.contract, self.sides.team
        draws = Draws(self.generator, batch, team.part(batch))
        x = (_change(self.recipe, contract)(images, draws) - contract.offset) / contract.scale
        if contract.fills_rows:
            x = torch.where(x.isnan(), torch.zeros_like(x), x)
        x = x.contiguous(memory_format=_order(contract)) if x.ndim == 4 else x
        return x.to(team.device)

    def _loss(self, x: Tensor, truth: Tensor) -> Tensor:
        recipe = self.recipe
        loss = functional.cross_entropy(self.call(x), truth, label_smoothing=recipe.label_smoothing)
        if recipe.attribution_prior:
            axes = None if self.classifier.contract.wavelength is None else (-1,)
            rough = roughness(self.classifier.network, x, self.generator, axes=axes)
            loss = loss + recipe.attribution_prior * rough
        return loss

    def _judged(self) -> Epoch:
        """Return what the epoch came to, and stand before the next one."""
        epoch = _judge(
            self.classifier, self.sides, number=self.number, learning_rate=self.rate, loss=self.loss
        )
        self.history.append(epoch)
        if self.best == 0 or epoch.validation_loss < self.history[self.best - 1].validation_loss:
            self.best = self.number
            self.best_state = deepcopy(self.classifier.network.state_dict())
        self.number, self.done, self.loss = self.number + 1, 0, 0.0
        return epoch


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of a schedule's state: its functions are made anew."""
    return {name: value for name, value in state.items() if not callable(value)}


def _change(recipe: Recipe, contract: InputContract) -> Callable[[Tensor, Draws], Tensor]:
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


def _judge(
    classifier: Classifier, sides: Sides, *, number: int, learning_rate: float, loss: float
) -> Epoch:
    part = sides.check
    margin = margins(classifier, part, sides.team).astype(float)
    surprise = np.logaddexp(0, np.where(part.truth, -margin, margin))
    return Epoch(
        number=number,
        learning_rate=learning_rate,
        loss=loss,
        validation_loss=float(np.mean([surprise[part.truth == v].mean() for v in (False, True)])),
        validation_accuracy=metrics.accuracy(part.truth, margin > 0),
        validation_tss=metrics.tss(part.truth, margin > 0),
    )


def keeper(folder: Path | None) -> Callable[[Classifier, int], None]:
    """Return what saves the classifier of an epoch in `folder`, or does nothing without one."""

    def keep(classifier: Classifier, number: int) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            noted = replace(classifier, notes={"epoch": number})
            noted.save(folder / f"epoch-{number:03d}.safetensors")

    return keep
