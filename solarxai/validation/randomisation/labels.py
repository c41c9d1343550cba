"""Networks that learnt labels which mean nothing, and their maps beside those of an honest one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from solarxai.attribution import draw_baselines
from solarxai.classifier import Classifier
from solarxai.errors import ExplainerRefusal, ValidationError
from solarxai.explainers import Explainer
from solarxai.splits import SIDES
from solarxai.training import train
from solarxai.validation.randomisation._comparison import (
    LIKENESS,
    Structures,
    another_seed,
    thinned,
)
from solarxai.validation.report import Check, Limits, Resampling, judge

__all__ = ["LabelRandomisation", "label_checks", "label_randomisation", "permuted_labels"]

Array = npt.NDArray[Any]
Row = Mapping[str, Any]
Progress = Callable[[int, int, str], None]

PERMUTED, AGAIN, DIFFERENCE = "labels permuted", "labels true, another seed", "difference"
_OURS = ("seed", "keep_epochs", "patience", "members", "progress")
_BASELINES = 100
_DRAWS = 100


@dataclass(frozen=True, kw_only=True)
class LabelRandomisation:
    """How alike maps are to those of a network that learnt labels which mean nothing.

    Parameters
    ----------
    rows
        One a method, origin, measure and `layer`, as of `Randomisation`, of mode "labels":
        "labels permuted", "labels true, another seed", and the second less the first.
    accuracies
        Share of its own training labels each of the two networks got right: one that did not learn
        the permuted labels is merely another random network.
    moved
        Share of the training labels that the permutation changed.
    left_out
        Rows (method, reason) for methods that refuse a network.
    """

    rows: tuple[Row, ...]
    accuracies: Mapping[str, float]
    moved: float
    left_out: tuple[dict[str, str], ...] = ()


def permuted_labels(samples: xr.Dataset, *, seed: int = 0) -> xr.Dataset:
    """Return the samples with the labels of each side of the split permuted, regions in blocks.

    A region of one label stays one of one label: such regions exchange labels as wholes, as
    exposures of one region are no independent draws. A region of several labels keeps how many it
    has of each, on other rows. Rows that no side uses keep theirs.

    Raises
    ------
    ValidationError
        when every training label stays as it is in a hundred draws.
    """
    rng = np.random.default_rng(seed)
    given, split = samples["label"].values, samples["split"].values
    for _ in range(_DRAWS):
        labels = given.copy()
        for side in SIDES:
            _permute(labels, samples["region"].values, np.flatnonzero(split == side), rng)
        if (labels != given)[split == "train"].any():
            return samples.assign_coords(label=("sample", labels))
    raise ValidationError(
        f"none of {_DRAWS} permutations of whole regions changes a label of the training samples",
        remedy="Give more regions of each class, or regions with both.",
    )


def label_randomisation(
    samples: xr.Dataset,
    classifier: Classifier,
    methods: Mapping[str, Explainer],
    *,
    train_options: Mapping[str, Any],
    baselines: torch.Tensor | None = None,
    seed: int = 0,
    most: int | None = 32,
    resampling: Resampling | None = None,
    progress: Progress | None = None,
) -> LabelRandomisation:
    """Return how alike the classifier's maps are to those of a network of meaningless labels.

    Parameters
    ----------
    samples
        Those of the training, with the column `split`. Maps are made of its test side.
    classifier
        The network that learnt the true labels.
    methods, baselines, most, resampling
        As of `randomisation_test`.
    train_options
        Keyword arguments of `solarxai.training.train` that made the classifier. Seed, patience and
        the epoch kept are this function's: both networks take all epochs, since the validation
        loss of permuted labels would choose one that learnt nothing.
    seed
        Of the permutation; trainings take the next two. Give one that leaves them unlike the
        classifier's own.
    progress
        Called with (done, total, what): epochs of each training, then methods.

    Raises
    ------
    ValidationError
        when an option of the training is this function's, no test sample is there, or no label can
        be moved.

    Notes
    -----
    It costs two trainings. The second network learns the true labels with another seed: two honest
    networks differ in their maps as well, and only what permuted labels take away beyond that is
    due to the labels.

    References
    ----------
    Adebayo et al. 2018, Sanity Checks for Saliency Maps, arXiv:1810.03292, section 4.
    """
    _check_options(train_options)
    tested = samples.isel(sample=np.flatnonzero(samples["split"].values == "test"))
    if not tested.sizes["sample"]:
        raise ValidationError("there is no test sample to explain", remedy="Split the samples.")
    false = permuted_labels(samples, seed=seed)
    if baselines is None and any(m.uses_baselines for m in methods.values()):
        baselines = draw_baselines(samples, classifier, n=_BASELINES, seed=seed)
    trained = {
        PERMUTED: _trained(false, train_options, seed + 1, _telling(progress, PERMUTED)),
        AGAIN: _trained(samples, train_options, seed + 2, _telling(progress, AGAIN)),
    }
    structures = Structures(
        samples=thinned(tested, most),
        classifier=classifier,
        baselines=baselines,
        resampling=resampling or Resampling(seed=seed),
    )
    rows: list[Row] = []
    left_out = []
    for done, (name, explainer) in enumerate(methods.items(), start=1):
        try:
            rows += _rows(structures, trained, name, explainer)
        except ExplainerRefusal as refusal:
            left_out.append({"method": name, "reason": refusal.what})
        if progress:
            progress(done, len(methods), f"{PERMUTED}, maps by {name}")
    learnt = samples["split"].values == "train"
    return LabelRandomisation(
        rows=tuple(rows),
        accuracies={
            PERMUTED: _accuracy(trained[PERMUTED], false, learnt),
            AGAIN: _accuracy(trained[AGAIN], samples, learnt),
        },
        moved=float(np.mean((false["label"].values != samples["label"].values)[learnt])),
        left_out=tuple(left_out),
    )


def label_checks(rows: Sequence[Row], *, limits: Limits) -> tuple[Check, ...]:
    """Return whether permuted labels take more of a map away than another training does.

    The lower bound of the difference of rank likenesses must reach `limits.label_difference`: a
    method whose maps are alike whatever was learnt fails, and one whose maps of two honest networks
    have nothing in common fails too, for nothing in them is shown to come from the labels.
    """
    made = []
    for row in rows:
        if row["layer"] != DIFFERENCE or row["measure"] != LIKENESS:
            continue
        alike = {
            other["layer"]: other["interval"].value
            for other in rows
            if all(other[word] == row[word] for word in ("method", "group", "measure"))
        }
        made.append(
            judge(
                row["interval"],
                name="labels permuted: rank likeness lost, beyond that of another training",
                group=row["group"],
                structures=row["structures"],
                limits=limits,
                limit=limits.label_difference,
                sense="at least",
                by="low",
                reason=f"{AGAIN} {alike[AGAIN]:.3g}; {PERMUTED} {alike[PERMUTED]:.3g}",
                method=row["method"],
            )
        )
    return tuple(made)


def _rows(
    structures: Structures, trained: Mapping[str, Classifier], name: str, explainer: Explainer
) -> list[Row]:
    own = structures.maps(structures.classifier, name, explainer)
    found = {}
    for step, (word, classifier) in enumerate(trained.items(), start=1):
        drawn = another_seed(explainer, step) or explainer
        found[word] = structures.compare(own, structures.maps(classifier, name, drawn))
    found[DIFFERENCE] = {m: found[AGAIN][m] - found[PERMUTED][m] for m in found[AGAIN]}
    words = {"method": name, "mode": "labels", "depth": 0}
    return [
        row for word, like in found.items() for row in structures.rows([like], layer=word, **words)
    ]


def _permute(labels: Array, regions: Array, rows: Array, rng: np.random.Generator) -> None:
    """Permute the labels of these rows in place."""
    pure = []
    for region in sorted(set(regions[rows].tolist())):
        block = rows[regions[rows] == region]
        if len(set(labels[block].tolist())) > 1:
            labels[block] = labels[rng.permutation(block)]
        else:
            pure.append(block)
    words = [labels[block[0]] for block in pure]
    for block, turn in zip(pure, rng.permutation(len(pure)), strict=True):
        labels[block] = words[turn]


def _telling(progress: Progress | None, which: str) -> Progress | None:
    """Return what follows a training and says which one."""
    if progress is None:
        return None
    return lambda done, total, figures: progress(done, total, f"{which}: {figures}")


def _trained(
    samples: xr.Dataset,
    options: Mapping[str, Any],
    seed: int,
    progress: Progress | None,
) -> Classifier:
    """Return the network after its last epoch."""
    epochs = {"patience": options["epochs"]} if "epochs" in options else {"patience": 60}
    with TemporaryDirectory() as folder:
        made = train(
            samples,
            **{"n_bootstrap": 2, **options, **epochs},
            seed=seed,
            keep_epochs=Path(folder),
            progress=progress,
        )
        return Classifier.load(Path(folder) / f"epoch-{len(made.history):03d}.safetensors")


def _accuracy(classifier: Classifier, samples: xr.Dataset, rows: Array) -> float:
    images, labels = samples["image"].values[rows], samples["label"].values[rows]
    second = classifier.contract.classes[1]
    return float(np.mean((classifier.margins(images) > 0) == (labels == second)))


def _check_options(options: Mapping[str, Any]) -> None:
    wrong = sorted(set(options) & set(_OURS))
    if wrong:
        raise ValidationError(
            f"train_options {wrong} are set by the test of the labels",
            remedy="Leave them out: it trains one network a time and keeps the last epoch.",
        )
