"""A classifier learnt from the samples of a run, in this process or in several together."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import xarray as xr
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationInfo

from pipelines.options import with_options_of
from pipelines.processes import Telling, joined, launched_place, run_together
from solarxai import blocks, splits, training
from solarxai.errors import SolarxaiError, TrainingError
from solarxai.provenance import write_atomically
from solarxai.schema import SPECTROGRAM, kind_of
from solarxai.spectrograms import flatten
from solarxai.training.biased import Bias, select
from solarxai.training.checkpoints import Checkpointing
from solarxai.training.shards import BlockFolder, ShardedSamples
from solarxai.training.stored import contents, open_stored
from solarxai.training.team import Team
from solarxai.workflow import Cluster, Folder, Outcome
from solarxai.workflow.progress import Progress

__all__ = [
    "OUTPUTS", "SUPPLIED", "Hours", "Per", "Source", "complaints", "run", "shown_to_network",
]  # fmt: skip

Per = Literal["spectrum", "spectrogram"]
Hours = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0)]

CHECKPOINT = "training.checkpoint"
OUTPUTS = (
    "classifier.safetensors", "training.json", "split.json", "epochs/*.safetensors", CHECKPOINT,
)  # fmt: skip

SUPPLIED = frozenset(
    {"threads", "scale_mm", "keep_epochs", "naive", "progress", "checkpointing", "team"}
)
"""Parameters of `solarxai.training.train` that are no options."""


@dataclass(frozen=True)
class Source:
    """A store to learn from.

    Parameters
    ----------
    path
        Its folder.
    contents
        Hash of the samples it holds, by which a step's key tells whether they have changed.
    """

    path: str
    contents: str

    @classmethod
    def of(cls, path: Path) -> Source:
        """Return the store of a folder as it is now."""
        return cls(path=str(path), contents=contents(path))


def _source(given: Any, info: ValidationInfo) -> Source:
    """Return the store of a path as workflow files spell it, or of what a record keeps of one."""
    named = given["path"] if isinstance(given, Mapping) and "path" in given else given
    path = TypeAdapter(Folder).validate_python(named, context=info.context)
    try:
        return Source.of(path)
    except SolarxaiError as error:
        raise ValueError(str(error)) from error


StoreFolder = Annotated[Source, BeforeValidator(_source)]


def complaints(options: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the options beyond their types."""
    found = []
    if options["split_by"] != "region" and options["gap_hours"] is not None:
        by = options["split_by"]
        found.append(f"gap_hours goes with split_by region, and this splits by {by}")
    if options.get("source") is not None and options["in_memory"] == "always":
        found.append("in_memory always goes with the run's own samples, and source names a store")
    return found


@with_options_of(training.train, without=SUPPLIED)
def run(
    *,
    out: Path,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    source: StoreFolder | None = None,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    split_by: Literal["region", "observation"] = "region",
    gap_hours: Hours | None = None,
    per: Per = "spectrum",
    keep_epochs: bool = False,
    bias: Bias | None = None,
    processes: Count = 1,
    in_memory: Literal["auto", "always", "never"] = "auto",
    memory_mb: Count = 4096,
    checkpoint_seconds: Seconds | None = 60.0,
    checkpoint_steps: Count | None = None,
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
        Threads of torch, of each process.
    source
        The store whose samples are learnt from, relative to the workflow file; those of the run
        itself if None. Its images are read shard by shard, its column `split` is not.
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
    processes
        Processes that train together, each with its part of every batch; of this machine, or of
        all where torchrun or srun started them (WORLD_SIZE then is this number).
    in_memory
        Whether all images are held in memory: "auto" does while the block files have no more than
        `memory_mb`. Otherwise they are read block by block, a window of blocks at a time. Those of
        a store never are.
    memory_mb
        Megabytes (1e6) for images, of each process; where they are not all held and `window` is
        not given, half of them are the window and the other half what is read ahead of it.
    checkpoint_seconds, checkpoint_steps
        Seconds and steps after which the state of the training is written, whichever is first, to
        go on from where it was killed; null for never.
    **options
        Those of `solarxai.training.train`.
    """
    del cluster
    progress = progress or Progress()
    job = _Job(
        out=out, threads=threads, source=None if source is None else Path(source.path),
        fractions=fractions, split_by=split_by, gap_hours=gap_hours, per=per,
        keep_epochs=keep_epochs, bias=bias, in_memory=in_memory, memory_mb=memory_mb,
        checkpoint_seconds=checkpoint_seconds, checkpoint_steps=checkpoint_steps, options=options,
    )  # fmt: skip
    epochs = int(options["epochs"]) * int(options["members"])
    if keep_epochs:
        (out / "epochs").mkdir(exist_ok=True)
    with progress.stage("train", total=epochs, unit="epochs") as stage:
        telling = Telling(stage.reach, progress.say)
        return _learnt_by(processes, job, telling)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """The options of `run`, as each process is told them."""

    out: Path
    threads: int
    source: Path | None
    fractions: tuple[float, float, float]
    split_by: Literal["region", "observation"]
    gap_hours: float | None
    per: Per
    keep_epochs: bool
    bias: Bias | None
    in_memory: str
    memory_mb: int
    checkpoint_seconds: float | None
    checkpoint_steps: int | None
    options: Mapping[str, Any]


def _learnt_by(processes: int, job: _Job, telling: Telling) -> Outcome:
    """Return what came of a job in one process or in several, of this machine or of more."""
    device = job.options["device"]
    if device == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    place = launched_place(os.environ)
    if place is not None and place.size != processes:
        raise TrainingError(
            f"WORLD_SIZE is {place.size}, and the step train has processes {processes}",
            remedy=f"Say `processes: {place.size}`, which its result depends on, or start so many.",
        )
    if place is not None:
        with joined(place, device=device) as team:
            return _learn(job, team, telling)
    if processes > 1:
        made: Outcome = run_together(
            _learn, job, processes=processes, device=device, telling=telling
        )
        return made
    return _learn(job, Team(device=device), telling)


def _learn(job: _Job, team: Team, telling: Telling) -> Outcome:
    """Return what came of a job; of several processes, the first one writes and tells."""
    out, options = job.out, dict(job.options)
    columns, shown, window = _samples(job, telling if team.leads else None)
    trained = training.train(
        shown,
        threads=job.threads,
        naive=job.split_by != "region",
        scale_mm=_scale_mm(job, columns),
        keep_epochs=out / "epochs" if job.keep_epochs else None,
        progress=telling.reach if team.leads else None,
        checkpointing=_checkpointing(job, telling),
        team=team,
        **{**options, "window": window},
    )
    if not team.leads:
        return Outcome(outputs=())
    made = _written(trained, columns, out)
    (out / CHECKPOINT).unlink(missing_ok=True)
    return made


def _scale_mm(job: _Job, columns: xr.Dataset) -> float:
    """Return the plate scale as the store has it, or as the samples of the run were ingested."""
    if job.source is not None:
        return float(columns.attrs.get("scale_mm", 0.5))
    return float(json.loads((job.out / "ingest.json").read_text()).get("scale_mm", 0.5))


def _samples(
    job: _Job, telling: Telling | None
) -> tuple[xr.Dataset, xr.Dataset | ShardedSamples, int | None]:
    """Return the columns with their split, what the network is shown, and the window."""
    folder, most = job.out / "samples", job.memory_mb * 1_000_000
    if job.source is None and _all_in_memory(job, folder, most):
        samples = _split(blocks.open_samples(folder), job)
        return samples, shown_to_network(samples, job.per), None
    opened = BlockFolder.open(folder) if job.source is None else open_stored(job.source)
    columns = _split(opened.columns, job)
    spectra = kind_of(columns) is SPECTROGRAM and job.per == "spectrum"
    window = job.options["window"] or max(1, most // 2 // opened.largest)
    if telling:
        kind = "blocks" if job.source is None else f"shards of {job.source}"
        telling.say(
            f"images stay in {len(opened.shards)} {kind} ({opened.nbytes / 1e6:.0f} MB), "
            f"{min(window, len(opened.shards))} at a time: at most "
            f"{opened.bound(window, job.options['readers']) / 1e6:.0f} MB of them at hand"
        )
    return columns, opened.shown(columns, spectra=spectra), window


def _all_in_memory(job: _Job, folder: Path, most: int) -> bool:
    size = sum(path.stat().st_size for path in folder.glob("*.nc"))
    return job.in_memory == "always" or (job.in_memory == "auto" and size <= most)


def _split(opened: xr.Dataset, job: _Job) -> xr.Dataset:
    seed = int(job.options["seed"])
    if job.split_by == "region":
        gap = None if job.gap_hours is None else timedelta(hours=job.gap_hours)
        samples = splits.split(opened, fractions=job.fractions, seed=seed, gap=gap)
    else:
        samples = splits.naive_split(opened, by=job.split_by, fractions=job.fractions, seed=seed)
    return samples if job.bias is None else select(samples, job.bias, seed=seed)


def _checkpointing(job: _Job, telling: Telling) -> Checkpointing | None:
    if job.checkpoint_seconds is None and job.checkpoint_steps is None:
        return None
    due = _due(job.checkpoint_seconds, job.checkpoint_steps, clock=time.monotonic)
    return Checkpointing(path=job.out / CHECKPOINT, due=due, say=telling.say, left=True)


def _due(
    seconds: float | None, steps: int | None, *, clock: Callable[[], float]
) -> Callable[[], bool]:
    """Return what says, asked after each step, whether so many seconds or steps have gone by."""
    since, taken = clock(), 0

    def due() -> bool:
        nonlocal since, taken
        taken += 1
        late = seconds is not None and clock() - since >= seconds
        if not late and (steps is None or taken < steps):
            return False
        since, taken = clock(), 0
        return True

    return due


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
