"""Samples with a split in, a classifier with its scores and the shortcuts it had to beat out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.classifier import Classifier, InputContract
from solarxai.errors import TrainingError
from solarxai.metrics import Interval
from solarxai.provenance import code_hash, content_hash, versions
from solarxai.schema import PATCH, Kind, kind_of
from solarxai.splits import SIDES
from solarxai.training.augmentation import Augmentation, SpectralAugmentation
from solarxai.training.checkpoints import Checkpointing, Checkpoints
from solarxai.training.descent import Sides, keeper
from solarxai.training.evaluation import (
    Evaluation,
    Levels,
    choose_thresholds,
    evaluate,
    evaluate_levels,
    shortcut_scores,
    spectral_shortcuts,
)
from solarxai.training.loading import Loader
from solarxai.training.members import reproducible, train_members
from solarxai.training.networks import together, untrained
from solarxai.training.parts import Part, margins
from solarxai.training.recipe import Epoch, Recipe
from solarxai.training.requirements import check_images, check_samples, contract_for
from solarxai.training.shards import ShardedSamples, samples_hash
from solarxai.training.team import Team

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
    samples: xr.Dataset | ShardedSamples,
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
    window: int | None = None,
    readers: int = 0,
    device: Literal["cpu", "cuda"] = "cpu",
    keep_epochs: Path | None = None,
    scale_mm: float = 0.5,
    naive: bool = False,
    n_bootstrap: int = 1000,
    progress: Callable[[int, int, str], None] | None = None,
    checkpointing: Checkpointing | None = None,
    team: Team | None = None,
) -> Training:
    """Return the classifier learnt from samples, with its scores.

    Patches teach sunspots and pores; spectra (sample, wavelength) and spectrograms (sample, slit,
    wavelength) teach pre-flare and active exposures.

    Parameters
    ----------
    samples
        Samples with the column `split` ("train", "validation", "test", "excluded"); or
        `solarxai.training.shards.ShardedSamples`, whose images are read as they are needed.
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
    window
        Of images in shards: an epoch takes its rows from so many shards at a time, in random order
        within them; from all of them at once if None. Part of what the bits depend on.
    readers
        Processes that read shards ahead of need; 0 reads where training runs. Bits do not depend
        on it.
    device
        Where the network learns: "cpu", or "cuda", the first one unless `team` says another.
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
    checkpointing
        Where and when the state of the training is kept; one that is found there, of this very
        training, is gone on with, in the middle of an epoch, to the same bits.
    team
        This process's place among those that train together (`solarxai.training.team`), all of
        which call this function with the same arguments. The other ones than the first write
        nothing, and their intervals are worth nothing. None trains alone.

    Raises
    ------
    TrainingError
        when the samples cannot train (no or broken split, one class, too few, not finite, another
        plate scale, wavelengths not evenly spaced), an option is out of range or does not belong to
        the kind of samples, or the loss diverges.
    """
    columns = samples.columns if isinstance(samples, ShardedSamples) else samples
    team = team or Team(device=device)
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
        augment=augment or _usual_augmentation(columns),
        schedule=schedule,
        samples_an_epoch=samples_an_epoch,
        validation_samples=validation_samples,
        window=_window(samples, window),
        processes=team.size,
        device=device,
    )
    kind = check_samples(columns, scale_mm=scale_mm, naive=naive)
    _check_options(kind, recipe.augment, members, keep_epochs)
    parts = {split: Part.of(samples, split) for split in SIDES}
    found = _looked_through(samples, parts, kind, scale_mm, normalise) if team.leads else None
    contract, seen = team.told(found)
    build = partial(untrained, model, model_options or {}, contract)
    check = parts["validation"].drawn(validation_samples, seed)
    made_of = [recipe.record(), model, model_options or {}, members, normalise, seen]
    checkpoints = _checkpoints(checkpointing, [*made_of, keep_epochs is not None], team)
    keep = keeper(keep_epochs if team.leads else None)
    with Loader(parts["train"].images, window=recipe.window, readers=readers) as loader:
        sides = Sides(learn=parts["train"], check=check, loader=loader, team=team)
        trained = train_members(
            members, build, sides, recipe, keep=keep, progress=progress, checkpoints=checkpoints
        )
    best = tuple(member.best for member in trained)
    with reproducible(seed, threads):
        classifier = together([member.classifier for member in trained])
        said = _margins(classifier, parts, team)
    chosen: dict[str, Any] = {"epoch": best[0]} if members == 1 else {"epochs": list(best)}
    if normalise != "global":
        chosen["normalise"] = normalise
    notes = {**recipe.record(), **chosen, "samples": seen}
    n_bootstrap = n_bootstrap if team.leads else 1
    shortcuts, left_out = _shortcuts(columns, kind, n=n_bootstrap, seed=seed)
    made = Training(
        classifier=replace(classifier, notes=notes),
        history=tuple(epoch for member in trained for epoch in member.history),
        best_epochs=best,
        counts=_counts(columns),
        metrics=_scores(columns, kind, parts, said, n=n_bootstrap, seed=seed),
        shortcuts=shortcuts,
        shortcut_rows_left_out=left_out,
    )
    checkpoints.close()
    return made


def _looked_through(
    samples: xr.Dataset | ShardedSamples,
    parts: Mapping[str, Part],
    kind: Kind,
    scale_mm: float,
    normalise: str,
) -> tuple[InputContract, str]:
    """Return the input contract and the hash of samples whose every image was checked."""
    for part in parts.values():
        check_images(part.images, kind)
    columns = samples.columns if isinstance(samples, ShardedSamples) else samples
    images = parts["train"].images
    contract = contract_for(columns, images, scale_mm=scale_mm, normalise=normalise)
    return contract, samples_hash(samples)


def _margins(
    classifier: Classifier, parts: Mapping[str, Part], team: Team
) -> dict[str, npt.NDArray[np.float32]]:
    """Return the margins of the sides that are scored."""
    classifier.network.to(team.device)
    said = {split: margins(classifier, parts[split], team) for split in _SCORED}
    classifier.network.to("cpu")
    return said


def _window(samples: xr.Dataset | ShardedSamples, window: int | None) -> int | None:
    """Return the window, or None where it covers all there is to learn from."""
    if window is not None and window < 1:
        raise TrainingError(f"window {window} is out of range", remedy="Give 1 shard or more.")
    if window is None or not isinstance(samples, ShardedSamples):
        return None
    learnt = samples.columns["split"].values == "train"
    return window if window < len(np.unique(samples.images.shard[learnt])) else None


def _checkpoints(where: Checkpointing | None, made_of: list[Any], team: Team) -> Checkpoints:
    """Return the state to go on from, the same one in every process."""
    if where is None:
        return Checkpoints(None, belongs="", leads=team.leads)
    belongs = content_hash([*made_of, code_hash(), versions()])
    checkpoints = Checkpoints(where, belongs=belongs, leads=team.leads)
    checkpoints.take(team.told(checkpoints.held()))
    return checkpoints


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


def _counts(samples: xr.Dataset) -> dict[str, dict[str, int]]:
    pairs = zip(samples["split"].values.tolist(), samples["label"].values.tolist(), strict=True)
    counts: dict[str, dict[str, int]] = {}
    for split, label in sorted(pairs):
        here = counts.setdefault(split, {})
        here[label] = here.get(label, 0) + 1
    return counts
