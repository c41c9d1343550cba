"""The verdict on a classifier and on the maps of a run: one task, in this process."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.options import checked, with_options_of
from pipelines.train import SUPPLIED, shown_to_network
from solarxai import blocks, training, validation
from solarxai.errors import SolarxaiError, ValidationError
from solarxai.page.folder import write_report
from solarxai.query import SaliencyStore, open_store
from solarxai.validation import Limits, Report
from solarxai.validation.causal.nuisances import Amplitudes
from solarxai.validation.labels import with_label_randomisation
from solarxai.validation.maps import economical
from solarxai.validation.randomisation import labels
from solarxai.validation.report import Resampling
from solarxai.validation.stored import stored_explainers
from solarxai.workflow import Cluster, Folder, Outcome
from solarxai.workflow.progress import Progress

__all__ = ["OUTPUTS", "complaints", "run"]

OUTPUTS = ("report/index.html", "report/report.json", "report/report.junit.xml")

_PARSED: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "limits": Limits.parse,
    "amplitudes": Amplitudes.parse,
}

_SET_BY_THE_TEST = frozenset({"seed", "patience", "members"})


def complaints(options: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the limits and the amplitudes."""
    found = []
    for name, parse in _PARSED.items():
        try:
            if isinstance(options[name], Mapping):
                parse(options[name])
        except SolarxaiError as error:
            found.append(str(error))
    return found


@with_options_of(validation.validate, without={"progress"})
def run(
    *,
    out: Path,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    store: Folder | None = None,
    label_randomisation: bool = False,
    **options: Any,
) -> Outcome:
    """Write `index.html`, `report.json` and `report.junit.xml` in `out/report`, tell the verdict.

    Parameters
    ----------
    out
        Folder of the run.
    cluster
        Not used: validation is one task.
    progress
        Follows the checks.
    threads
        Threads of torch.
    store
        The store, of patches or of spectra; `out/store` if None.
    label_randomisation
        Train twice more, once on permuted labels, and tell whether the maps change: only where
        this run, or the workflow its classifier comes from, trained the network.
    **options
        Those of `solarxai.validation.validate`; `run` is by default that of this folder.

    Raises
    ------
    ValidationError
        when the store holds too little to check, or the labels are to be permuted and the training
        is not at hand.
    """
    del cluster
    opened = open_store(store or out / "store")
    options["run"] = options["run"] or _own_run(out)
    chosen = {name: options[name] for name in ("methods", "run")}
    trained = _training_of(out, opened, options["run"]) if label_randomisation else None
    with (progress or Progress()).stage("validate", unit="checks") as stage, _threads(threads):
        made = validation.validate(opened, progress=stage.reach, **options)
        if trained is not None:
            made = _with_labels(made, opened, trained, out, threads, stage.reach)
        report = replace(made, tables=_with_files_left_out(made, out))
        samples = validation.stored_samples(opened, **chosen)
        classifier = validation.load_classifier(opened, samples.attrs["runs"])
        files = write_report(report, samples, classifier, out / "report", progress=stage.reach)
    return _told(report, files)


def _own_run(out: Path) -> str | None:
    """Return the run that was attributed in this folder: the store may hold others."""
    path = out / "attribute.json"
    return str(json.loads(path.read_text())["run"]) if path.is_file() else None


def _training_of(out: Path, store: SaliencyStore, run: str | None) -> Path:
    """Return the folder in which the network that the store explains was trained."""
    runs = None if run is None else [name for name in store.runs if name.startswith(run)]
    explained = validation.load_classifier(store, runs).hash
    for folder in (out, out / "classifier"):
        paths = folder / "training.json", folder / "steps" / "train.json"
        whole = all(path.is_file() for path in paths)
        if whole and json.loads(paths[0].read_text())["classifier"] == explained:
            return folder
    raise ValidationError(
        f"label_randomisation trains the network again, and {out} does not hold the training of "
        f"{explained[:12]}, which its maps explain",
        remedy="Use it in a workflow with the step `train`, or leave it out.",
    )


def _with_labels(
    report: Report,
    store: SaliencyStore,
    trained: Path,
    out: Path,
    threads: int,
    progress: Callable[[int, int, str], None],
) -> Report:
    """Return the report with what a training on permuted labels showed."""
    runs, settings = report.settings["runs"], report.settings
    explainers = stored_explainers(store, runs, settings["methods"])
    options = json.loads((trained / "steps" / "train.json").read_text())["ingredients"]["options"]
    sides = json.loads((trained / "split.json").read_text())
    samples = blocks.open_samples(trained / "samples")
    column = [sides.get(name, "none") for name in samples["sample_id"].values]
    samples = samples.assign_coords(split=("sample", np.array(column, dtype=object)))
    baselines = out / "baselines.npy"
    found = labels.label_randomisation(
        shown_to_network(samples, options["per"]),
        validation.load_classifier(store, runs),
        {name: economical(method) for name, method in explainers.items() if method is not None},
        train_options=_train_options(options, trained, threads),
        baselines=torch.from_numpy(np.load(baselines)) if baselines.is_file() else None,
        seed=options["seed"] + options["members"] - 1,
        resampling=Resampling(n=settings["n_bootstrap"], seed=settings["seed"]),
        progress=progress,
    )
    return with_label_randomisation(report, found)


def _train_options(options: Mapping[str, Any], trained: Path, threads: int) -> dict[str, Any]:
    """Return the keyword arguments of `training.train` that the step `train` recorded.

    Its other options made the column `split`, which is at hand.
    """
    taken = set(inspect.signature(training.train).parameters) - _SET_BY_THE_TEST
    kept = {name: value for name, value in options.items() if name in taken - SUPPLIED}
    return {
        **checked(training.train, kept, without=SUPPLIED),
        "threads": threads,
        "scale_mm": json.loads((trained / "ingest.json").read_text()).get("scale_mm", 0.5),
        "naive": options["split_by"] != "region",
    }


def _with_files_left_out(report: Report, out: Path) -> dict[str, Any]:
    """Return the report's tables, with a row for each file that could not be ingested."""
    path = out / "ingest.json"
    failures = json.loads(path.read_text())["failures"] if path.is_file() else []
    rows = [
        {"intervention": "ingest", "label": item["file"], "reason": item["error"], "count": 1}
        for item in failures
    ]
    return {**report.tables, "left_out": [*report.tables["left_out"], *rows]}


def _told(report: Report, files: tuple[Path, Path, Path]) -> Outcome:
    counts = ", ".join(f"{report.count(word)} {word}" for word in ("holds", "fails", "informs"))
    page, record, junit = files
    return Outcome(
        outputs=(record, junit, page),
        done=len(report.checks),
        figures={"checks": counts, "page": f"{page.parent.name}/{page.name}"},
        sentences=tuple(verdict.sentence for verdict in report.verdicts),
    )


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
