"""A classifier learnt from the samples of a run: one task, in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import xarray as xr
from pydantic import Field

from pipelines.options import with_options_of
from solarxai import blocks, splits, training
from solarxai.provenance import write_atomically
from solarxai.schema import SPECTROGRAM, kind_of
from solarxai.spectrograms import flatten
from solarxai.training.biased import Bias, select
from solarxai.workflow import Cluster, Outcome
from solarxai.workflow.progress import Progress

__all__ = ["OUTPUTS", "SUPPLIED", "Hours", "Per", "complaints", "run", "shown_to_network"]

Per = Literal["spectrum", "spectrogram"]
Hours = Annotated[float, Field(ge=0)]

OUTPUTS = ("classifier.safetensors", "training.json", "split.json", "epochs/*.safetensors")


SUPPLIED = frozenset({"threads", "scale_mm", "keep_epochs", "naive", "progress"})
"""Parameters of `solarxai.training.train` that are no options."""


def complaints(options: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the options beyond their types."""
    if options["split_by"] != "region" and options["gap_hours"] is not None:
        return [f"gap_hours goes with split_by region, and this splits by {options['split_by']}"]
    return []


@with_options_of(training.train, without=SUPPLIED)
def run(
    *,
    out: Path,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    split_by: Literal["region", "observation"] = "region",
    gap_hours: Hours | None = None,
    per: Per = "spectrum",
    keep_epochs: bool = False,
    bias: Bias | None = None,
    **options: Any,
) -> Outcome:
    """Write `out/classifier.safetensors`, `training.json` and `split.json`, and tell the scores.

    Parameters
    ----------
    out
        Folder of the run; it holds `samples/` and `ingest.json`.
    cluster
        Not used: training is one task.
    progress
        Follows the epochs.
    threads
        Threads of torch.
    fractions
        Of the regions: for training, validation and test.
    split_by
        What stands on one side alone: an active region, or, to repeat studies that did so, an
        observation, which flatters (see the step `skill`).
    gap_hours
        With a split by region, leave out test samples within so many hours of a training sample.
    per
        What of a spectrogram the network is shown: each "spectrum", or the whole "spectrogram";
        patches are always shown whole.
    keep_epochs
        Keep the classifier of every epoch in `out/epochs/`.
    bias
        Learn from those samples alone that an archive with this bias would hold.
    **options
        Those of `solarxai.training.train`.
    """
    del cluster
    progress = progress or Progress()
    ingested = json.loads((out / "ingest.json").read_text())
    opened = blocks.open_samples(out / "samples")
    if split_by == "region":
        gap = None if gap_hours is None else timedelta(hours=gap_hours)
        samples = splits.split(opened, fractions=fractions, seed=int(options["seed"]), gap=gap)
    else:
        samples = splits.naive_split(
            opened, by=split_by, fractions=fractions, seed=int(options["seed"])
        )
    if bias is not None:
        samples = select(samples, bias, seed=int(options["seed"]))
    shown = shown_to_network(samples, per)
    epochs = int(options["epochs"]) * int(options["members"])
    if keep_epochs:
        (out / "epochs").mkdir(exist_ok=True)
    with progress.stage("train", total=epochs, unit="epochs") as stage:
        trained = training.train(
            shown,
            threads=threads,
            naive=split_by != "region",
            scale_mm=ingested.get("scale_mm", 0.5),
            keep_epochs=out / "epochs" if keep_epochs else None,
            progress=stage.reach,
            **options,
        )
    return _written(trained, samples, out)


def shown_to_network(samples: xr.Dataset, per: Per) -> xr.Dataset:
    """Return Samples of which each row is one input of a network."""
    if kind_of(samples) is SPECTROGRAM and per == "spectrum":
        return flatten(samples)
    return samples


def _written(trained: training.Training, samples: xr.Dataset, out: Path) -> Outcome:
    files = out / "classifier.safetensors", out / "training.json", out / "split.json"
    trained.classifier.save(files[0])
    record = trained.record()
    if "bias" in samples["split"].attrs:
        record["bias"] = samples["split"].attrs["bias"]
    write_atomically(files[1], json.dumps(record, indent=1, sort_keys=True).encode())
    sides = dict(zip(samples["sample_id"].values, samples["split"].values, strict=True))
    write_atomically(files[2], json.dumps(sides, indent=0, sort_keys=True).encode())
    scores = trained.metrics["test"].scores
    figures = {f"{name} (test)": str(scores[name]) for name in ("accuracy", "tss", "roc_auc")}
    for column, found in trained.shortcuts.items():
        figures[f"accuracy of {column} alone"] = str(found["accuracy"])
    return Outcome(
        outputs=files,
        done=len(trained.history),
        figures={**figures, "classifier": trained.classifier.hash[:16]},
        next_command="solarxai attribute {out}",
    )
