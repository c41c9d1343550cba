"""The skill of a network on splits that are honest and on splits that leak: one task, one table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from matplotlib.figure import Figure
from pydantic import Field

from pipelines.options import checked
from pipelines.train import SUPPLIED, Hours, Per, shown_to_network
from solarxai import blocks, training
from solarxai.errors import SolarxaiError
from solarxai.plotting import to_png
from solarxai.plotting.skill import roc_figure, skill_reliability_figure, split_kinds_figure
from solarxai.provenance import write_atomically
from solarxai.training.skill import classifier_fit, contrast
from solarxai.training.skill_table import KINDS, SkillTable
from solarxai.workflow import Cluster, Outcome
from solarxai.workflow.progress import Progress

__all__ = ["OUTPUTS", "complaints", "run"]

OUTPUTS = ("skill/*.json", "skill/*.md", "skill/*.png")

_FIGURES: Mapping[str, Callable[[SkillTable], Figure]] = {
    "splits": split_kinds_figure,
    "reliability": skill_reliability_figure,
    "roc": roc_figure,
}


def complaints(options: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the options of the trainings."""
    try:
        checked(training.train, options["train"] or {}, without=SUPPLIED)
    except SolarxaiError as error:
        return [str(error)]
    return []


def run(
    *,
    out: Path,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    folds: Annotated[int, Field(ge=3)] = 5,
    repeats: Annotated[int, Field(ge=1)] = 5,
    gap_hours: Hours = 24.0,
    per: Per = "spectrum",
    levels: Sequence[str] = ("spectrum", "raster", "observation"),
    n_bootstrap: Annotated[int, Field(ge=1)] = 1000,
    train: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Outcome:
    """Write `out/skill/skill.json`, `skill.md` and figures, and tell the true skill statistics.

    Parameters
    ----------
    out
        Folder of the run; it holds `samples/`.
    cluster
        Not used: trainings follow one another.
    progress
        Follows the trainings.
    threads
        Threads of torch.
    folds
        Of the split by active region: every region is tested once.
    repeats
        Random splits by observation and by spectrum, which leak and stand beside for contrast.
    gap_hours
        Test samples within so many hours of a training sample are left out.
    per
        What of a spectrogram the network is shown.
    levels
        Of `solarxai.training.levels.LEVELS`: what a forecast is made for.
    n_bootstrap
        Resamples of regions behind each interval.
    train
        Options of `solarxai.training.train`.
    seed
        Of folds, splits and trainings.

    Raises
    ------
    TrainingError
        when the samples do not fill the folds, or cannot train.
    """
    del cluster
    folder = out / "skill"
    folder.mkdir(exist_ok=True)
    samples = shown_to_network(blocks.open_samples(out / "samples"), per)
    options = checked(training.train, train or {}, without=SUPPLIED)
    fit = classifier_fit(**{"seed": seed, "threads": threads, **options})
    trainings = folds + 2 * repeats
    with (progress or Progress()).stage("skill", total=trainings, unit="trainings") as stage:
        table = contrast(
            samples,
            fit,
            gap=timedelta(hours=gap_hours),
            k=folds,
            repeats=repeats,
            levels=list(levels),
            seed=seed,
            n_bootstrap=n_bootstrap,
            progress=stage.reach,
        )
    record = json.dumps(table.record(), indent=1, sort_keys=True)
    write_atomically(folder / "skill.json", record.encode())
    write_atomically(folder / "skill.md", table.to_markdown().encode())
    for name, draw in _FIGURES.items():
        write_atomically(folder / f"{name}.png", to_png(draw(table)))
    return Outcome(
        outputs=(folder / "skill.json", folder / "skill.md"),
        units=tuple(folder / f"{name}.png" for name in _FIGURES),
        done=trainings,
        figures=_headline(table, levels[0]),
    )


def _headline(table: SkillTable, level: str) -> dict[str, str]:
    """Return the true skill statistic by kind of split, honest first, at the first level."""
    return {f"TSS, {KINDS[kind]}": str(table.spread(kind, level=level)) for kind in KINDS}
