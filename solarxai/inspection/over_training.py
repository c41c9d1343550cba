"""One method across the checkpoints of a training: how a network came to look where it looks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from solarxai.classifier import Classifier, InputContract
from solarxai.engine.targets import Target
from solarxai.errors import ContractError
from solarxai.explainers import Attribution, Explainer
from solarxai.explainers._catalogue import make_explainer

__all__ = ["EpochAttribution", "explain_over_training"]

Images = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class EpochAttribution:
    """What a method says of images at one epoch of a training.

    Parameters
    ----------
    epoch
        Number of the epoch, 0 being the network before training.
    path
        The checkpoint.
    scores
        (sample, class) float32: what the network says of the images, before softmax.
    attribution
        The maps (sample, 1, *space), standard errors and passes.
    """

    epoch: int
    path: Path
    scores: Images
    attribution: Attribution


def explain_over_training(
    checkpoints: Path | Iterable[Path],
    images: Images,
    *,
    method: str,
    target: Target = "difference",
    baselines: Images | None = None,
    **options: Any,
) -> Iterator[EpochAttribution]:
    """Yield the maps of each epoch, one network in memory at a time.

    Parameters
    ----------
    checkpoints
        Files that `solarxai train --keep-epochs` wrote, or the folder of them; in the order of
        their epochs, whatever order they are given in.
    images
        (sample, *space) relative to the quiet Sun, as a classifier takes them.
    method, target
        As of `solarxai.explain`.
    baselines
        (baseline, *space) in the same units, for methods that compare with a set of images.
    **options
        The method's own.

    Raises
    ------
    ContractError
        when there are no checkpoints, one does not say its epoch or two say the same, or one has
        another input contract than those before it. Files are named before any network runs; a
        contract is compared when its turn comes.
    ExplainerRefusal
        when the method refuses a network.
    WorkflowError
        when there is no such method or option.

    Notes
    -----
    A stochastic method draws the same numbers at every epoch, since they depend on the seed and
    the image alone: its noise hardly adds to the change from one epoch to the next. Maps are in
    units of the score, which grows in training; compare their shapes, or shares of them.
    """
    explainer = make_explainer(method, **options)
    ordered = _ordered(checkpoints)
    return _explained(ordered, images, explainer, target, baselines)


def _explained(
    ordered: list[tuple[int, Path]],
    images: Images,
    explainer: Explainer,
    target: Target,
    baselines: Images | None,
) -> Iterator[EpochAttribution]:
    first: InputContract | None = None
    for epoch, path in ordered:
        classifier = Classifier.load(path)
        first = first or classifier.contract
        _check_contract(classifier.contract, first, path)
        compared = None if baselines is None else classifier.tensor(baselines)
        found = explainer(
            classifier.network, classifier.tensor(images), target=target, baselines=compared
        )
        scores = classifier.scores(images, batch_size=explainer.batch_size)
        yield EpochAttribution(epoch=epoch, path=path, scores=scores, attribution=found)


def _ordered(checkpoints: Path | Iterable[Path]) -> list[tuple[int, Path]]:
    if isinstance(checkpoints, Path):
        checkpoints = checkpoints.glob("epoch-*.safetensors")
    found = sorted((_epoch(path), path) for path in checkpoints)
    if not found:
        raise ContractError(
            "there are no checkpoints", remedy="Train with keep_epochs, and give its folder."
        )
    numbers = [epoch for epoch, _ in found]
    twice = sorted({n for n in numbers if numbers.count(n) > 1})
    if twice:
        raise ContractError(
            f"two checkpoints are of the epochs {twice}",
            remedy="Give the checkpoints of one training, each once.",
        )
    return found


def _epoch(path: Path) -> int:
    found = re.fullmatch(r"epoch-(\d+)", path.stem)
    if found is None:
        raise ContractError(
            f"{path} does not say of which epoch it is",
            remedy="Name it epoch-000.safetensors, as training does.",
        )
    return int(found[1])


def _check_contract(contract: InputContract, first: InputContract, path: Path) -> None:
    if contract != first:
        raise ContractError(
            f"{path} was trained under another input contract than the checkpoints before it: "
            f"{contract} is not {first}",
            remedy="Give the checkpoints of one training.",
        )
