"""The verdict on the maps of a run: one task, in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pipelines.options import with_options_of
from solarxai import validation
from solarxai.errors import SolarxaiError
from solarxai.page import write_page
from solarxai.provenance import write_atomically
from solarxai.query import open_store
from solarxai.validation import Limits, Report
from solarxai.workflow import Cluster, Folder, Outcome
from solarxai.workflow.progress import Progress

__all__ = ["OUTPUTS", "complaints", "run"]

OUTPUTS = ("report/index.html", "report/report.json")


def complaints(options: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the limits."""
    try:
        if isinstance(options["limits"], Mapping):
            Limits.parse(options["limits"])
    except SolarxaiError as error:
        return [str(error)]
    return []


@with_options_of(validation.validate, without={"progress"})
def run(
    *,
    out: Path,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    store: Folder | None = None,
    **options: Any,
) -> Outcome:
    """Write `out/report/index.html` and `report.json`, and tell the verdict.

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
        The store; `out/store` if None.
    **options
        Those of `solarxai.validation.validate`; `run` is by default that of this folder.

    Raises
    ------
    ValidationError
        when the store holds too little to check.
    """
    del cluster
    folder = out / "report"
    folder.mkdir(exist_ok=True)
    opened = open_store(store or out / "store")
    options["run"] = options["run"] or _own_run(out)
    chosen = {name: options[name] for name in ("methods", "run")}
    with (progress or Progress()).stage("validate", unit="checks") as stage, _threads(threads):
        made = validation.validate(opened, progress=stage.reach, **options)
        report = replace(made, tables=_with_files_left_out(made, out))
        samples = validation.stored_samples(opened, **chosen)
        classifier = validation.load_classifier(opened, samples.attrs["runs"])
        write_page(report, samples, classifier, folder / "index.html", progress=stage.reach)
    write_atomically(folder / "report.json", report.to_json().encode())
    return _told(report, folder)


def _own_run(out: Path) -> str | None:
    """Return the run that was attributed in this folder: the store may hold others."""
    path = out / "attribute.json"
    return str(json.loads(path.read_text())["run"]) if path.is_file() else None


def _with_files_left_out(report: Report, out: Path) -> dict[str, Any]:
    """Return the report's tables, with a row for each file that could not be ingested."""
    path = out / "ingest.json"
    failures = json.loads(path.read_text())["failures"] if path.is_file() else []
    rows = [
        {"intervention": "ingest", "label": item["file"], "reason": item["error"], "count": 1}
        for item in failures
    ]
    return {**report.tables, "left_out": [*report.tables["left_out"], *rows]}


def _told(report: Report, folder: Path) -> Outcome:
    counts = ", ".join(f"{report.count(word)} {word}" for word in ("holds", "fails", "informs"))
    return Outcome(
        outputs=(folder / "report.json", folder / "index.html"),
        done=len(report.checks),
        figures={"checks": counts, "page": f"{folder.name}/index.html"},
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
