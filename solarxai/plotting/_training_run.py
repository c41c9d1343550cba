"""The folder of a run as a film's material: history, one sample, its maps at every epoch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.attribution import parse_explainers
from solarxai.attribution.inputs import Inputs, inputs_of
from solarxai.blocks import open_samples
from solarxai.classifier import Classifier
from solarxai.errors import QueryError, WorkflowError
from solarxai.explainers import Explainer
from solarxai.inspection.over_training import explain_over_training
from solarxai.schema import SPECTROGRAM, kind_of
from solarxai.spectrograms import flatten

__all__ = ["Progress", "TrainingFilm", "read_training"]

Progress = Callable[[int, int, str], None]
"""Called with how much is done, of how much, and what."""

_WITH_BASELINES, _WITHOUT = "expected_gradients", "input_x_gradient"


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingFilm:
    """What a film of a training shows.

    Parameters
    ----------
    history
        A record an epoch, as in `training.json`.
    epochs
        Number of the epoch of each frame, 0 being the network before training.
    sample
        One sample, without the dimension `sample`.
    maps
        (frame, *space) float32, NaN where a spectrum was dropped.
    margins
        (frame,): score of the second class minus that of the first; the mean over its spectra.
    method, unit
        Of the maps.
    """

    history: tuple[Mapping[str, float], ...]
    epochs: tuple[int, ...]
    sample: xr.Dataset
    maps: npt.NDArray[np.float32]
    margins: npt.NDArray[np.float64]
    method: str
    unit: str


def read_training(
    run: Path, *, method: str | None, sample: str | None, progress: Progress | None
) -> TrainingFilm:
    """Return the maps of one sample at every epoch that a run kept; see `training_movie`."""
    history = _history(run)
    paths = sorted((run / "epochs").glob("epoch-*.safetensors"))
    if not paths:
        raise WorkflowError(
            f"{run}/epochs holds no checkpoint (epoch-000.safetensors)",
            remedy="Train with `keep_epochs: true`, then make the film.",
        )
    first = Classifier.load(paths[0])
    chosen = _chosen(run, first, sample)
    taken = inputs_of(chosen, first)
    baselines = _baselines(run, first)
    name, explainer = _explainer(run, method, compared=baselines is not None)
    images = np.concatenate(list(taken.batches()))
    steps = explain_over_training(
        paths, images, method=name, baselines=baselines, **asdict(explainer)
    )
    epochs, maps, margins = [], [], []
    for step in steps:
        epochs.append(step.epoch)
        maps.append(_map(step.attribution.values[:, 0].numpy(), taken))
        margins.append(float((step.scores[:, 1] - step.scores[:, 0]).mean()))
        if progress:
            progress(len(epochs), len(paths), "epochs explained")
    return TrainingFilm(
        history=history,
        epochs=tuple(epochs),
        sample=chosen.isel(sample=0),
        maps=np.stack(maps),
        margins=np.array(margins),
        method=name,
        unit=explainer.units,
    )


def _history(run: Path) -> tuple[Mapping[str, float], ...]:
    path = run / "training.json"
    try:
        return tuple(json.loads(path.read_text())["history"])
    except (OSError, ValueError, KeyError) as error:
        raise WorkflowError(
            f"{path} tells no history of a training ({type(error).__name__})",
            remedy="Give the folder of a run whose step `train` is done.",
        ) from error


def _chosen(run: Path, classifier: Classifier, wanted: str | None) -> xr.Dataset:
    """Return Samples of one row, in the form the classifier takes or as a spectrogram."""
    samples = open_samples(run / "samples")
    names = samples["sample_id"].values.astype(str)
    if wanted is None:
        return samples.isel(sample=[_telling(run, samples, classifier.contract.classes[1])])
    if wanted in names:
        return samples.isel(sample=[int(np.flatnonzero(names == wanted)[0])])
    if kind_of(samples) is SPECTROGRAM:
        inside = [i for i, name in enumerate(names) if wanted.startswith(f"{name}-y")]
        single = flatten(samples.isel(sample=inside)) if inside else None
        if single is not None and wanted in single["sample_id"].values:
            return single.isel(sample=np.flatnonzero(single["sample_id"].values == wanted))
    if wanted.isdecimal() and int(wanted) < len(names):
        return samples.isel(sample=[int(wanted)])
    raise QueryError(
        f"{run}/samples has no sample {wanted!r}",
        remedy=f"Give a name such as {str(names[0])!r}, or a number from 0 to {len(names) - 1}.",
    )


def _telling(run: Path, samples: xr.Dataset, label: str) -> int:
    """Return the first row of that label, of the test side if there is one; else the first."""
    path = run / "split.json"
    sides = json.loads(path.read_text()) if path.is_file() else {}
    rows = np.flatnonzero(samples["label"].values.astype(str) == label)
    tested = [row for row in rows if sides.get(str(samples["sample_id"].values[row])) == "test"]
    return int(next(iter([*tested, *rows]), 0))


def _baselines(run: Path, classifier: Classifier) -> npt.NDArray[np.float32] | None:
    """Return the run's baselines in the units of images, which a classifier turns back."""
    path = run / "baselines.npy"
    if not path.is_file():
        return None
    inputs: npt.NDArray[np.float32] = np.load(path)[:, 0]
    return (inputs * classifier.contract.scale + classifier.contract.offset).astype(np.float32)


def _explainer(run: Path, wanted: str | None, *, compared: bool) -> tuple[str, Explainer]:
    """Return a method by its name, with the options that the run's own attribution gave it."""
    path = run / "steps" / "attribute.json"
    record = json.loads(path.read_text()) if path.is_file() else {}
    entries = record.get("ingredients", {}).get("options", {}).get("explainers", [])
    name = wanted or (_WITH_BASELINES if compared else _WITHOUT)
    fitting = [entry for entry in entries if name in (entry.get("name"), entry.get("method"))]
    entry = next(iter(fitting), {"method": name})
    explainer = next(iter(parse_explainers([entry]).values()))
    if explainer.uses_baselines and not compared:
        raise WorkflowError(
            f"{run} has no baselines.npy, which {name} compares with",
            remedy=f"Attribute with {name} first, or take another method.",
        )
    return str(entry["method"]), explainer


def _map(values: npt.NDArray[np.float32], taken: Inputs) -> npt.NDArray[np.float32]:
    """Return the map of the one sample, (*space)."""
    made: npt.NDArray[np.float32] = taken.space(values).values[0]
    return made
