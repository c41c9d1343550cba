"""The networks of an ensemble, or one alone, trained one after the other and repeatably."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import NamedTuple

import torch

from solarxai.classifier import Classifier
from solarxai.training.checkpoints import Checkpoints, State
from solarxai.training.descent import Sides, descend
from solarxai.training.recipe import Epoch, Recipe

__all__ = ["Member", "reproducible", "train_members"]

Tell = Callable[[int, int, str], None]


class Member(NamedTuple):
    """One network that was trained, of an ensemble or alone: its best epoch, and all of them."""

    classifier: Classifier
    best: int
    history: tuple[Epoch, ...]


def train_members(
    members: int,
    build: Callable[[], Classifier],
    sides: Sides,
    recipe: Recipe,
    *,
    keep: Callable[[Classifier, int], None],
    progress: Tell | None,
    checkpoints: Checkpoints,
) -> list[Member]:
    """Return so many networks, of which those that `checkpoints` hold are not trained again.

    Parameters
    ----------
    members
        How many.
    build
        Makes one with the weights that torch's generator gives.
    sides, recipe
        What they learn from, and how; the seed is that of the first.
    keep
        Given the classifier of each epoch.
    progress
        Called after each epoch with epochs done and at most, of all members, and a line.
    checkpoints
        Where the state is kept.
    """
    return [
        _trained(i, build, sides, recipe, keep, _told(progress, i, members), checkpoints)
        for i in range(members)
    ]


def _trained(
    number: int,
    build: Callable[[], Classifier],
    sides: Sides,
    recipe: Recipe,
    keep: Callable[[Classifier, int], None],
    progress: Tell | None,
    checkpoints: Checkpoints,
) -> Member:
    """Return member `number`: weights, order and augmentation come from a seed of its own."""
    mine = replace(recipe, seed=recipe.seed + number)
    with reproducible(mine.seed, mine.threads, sides.team.device):
        classifier = build()
        if number < len(checkpoints.finished):
            return _finished(number, classifier, checkpoints.finished[number])
        best, history = descend(classifier, sides, mine, keep, progress, checkpoints)
    state = {"best": best, "history": [asdict(epoch) for epoch in history]}
    checkpoints.finish({**state, "network": classifier.network.state_dict()})
    return Member(classifier, best, tuple(replace(e, member=number) for e in history))


def _finished(number: int, classifier: Classifier, state: State) -> Member:
    """Return a member that was trained before the training was stopped."""
    classifier.network.load_state_dict(state["network"])
    history = (Epoch(**{**epoch, "member": number}) for epoch in state["history"])
    return Member(classifier, state["best"], tuple(history))


def _told(progress: Tell | None, number: int, members: int) -> Tell | None:
    """Return the progress of one member as a part of that of all."""
    if progress is None or members == 1:
        return progress

    def tell(done: int, most: int, text: str) -> None:
        progress(number * most + done, members * most, f"member {number + 1}: {text}")

    return tell


@contextmanager
def reproducible(seed: int, threads: int, device: str = "cpu") -> Iterator[None]:
    """Fix torch's seed, threads and algorithms, and put everything back afterwards."""
    before = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    there = [] if device == "cpu" else [torch.device(device)]
    with torch.random.fork_rng(devices=there):
        torch.default_generator.manual_seed(seed)
        for one in there:
            with torch.cuda.device(one):
                torch.cuda.manual_seed(seed)
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=lenient)
            torch.set_num_threads(before)
