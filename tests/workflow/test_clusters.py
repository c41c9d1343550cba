"""Where units run is said by a kind, or by a kind with options that are checked like any other."""

import importlib.metadata
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from solarxai.errors import WorkflowError
from solarxai.workflow import Placement, load, make_cluster, spelled_placement


class Loop:
    def __init__(self, *, folder: Path, workers: int = 1) -> None:
        self.folder, self.workers = folder, workers


class Queue(Loop):
    def __init__(
        self, *, folder: Path, workers: int = 1,
        partition: str = "", gpus: Annotated[int, Field(ge=0, le=1)] = 0,
        least: int = 0, most: int = 9, prologue: list[str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(folder=folder, workers=workers)
        self.partition, self.gpus, self.most, self.prologue = partition, gpus, most, prologue


def complaints(options):
    least, most = options.get("least", 0), options.get("most", 0)
    return [f"least {least} is above most {most}"] if least > most else []


def ingest(*, out: Path, cluster: Callable[..., None], progress: None, threads: int) -> None:
    return None


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    points = {
        "solarxai.pipelines": {"ingest": "ingest"},
        "solarxai.clusters": {"none": "Loop", "queue": "Queue"},
    }

    def entry_points(*, group):
        return importlib.metadata.EntryPoints(
            importlib.metadata.EntryPoint(name, f"{__name__}:{value}", group)
            for name, value in points[group].items()
        )

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    return points


@pytest.fixture
def read(tmp_path):
    def read(text, **options):
        (tmp_path / "study.yaml").write_text(f"ingest:\n{text}")
        return load(tmp_path / "study.yaml", **options).cluster

    return read


def test_a_kind_alone_has_the_options_of_its_class(read, tmp_path):
    assert read("") == Placement(kind="none")
    placement = read("cluster: queue")
    made = make_cluster(placement, workers=3, folder=tmp_path)
    assert (type(made), made.workers, made.folder) == (Queue, 3, tmp_path.resolve())
    assert (made.partition, made.gpus, made.most, made.prologue) == ("", 0, 9, None)


def test_options_stand_below_the_kind_and_can_be_set_on_the_line(read, tmp_path):
    text = "cluster: {kind: queue, partition: long, gpus: 1, prologue: [module load cuda]}"
    placement = read(text, settings=["cluster.most=20"])
    made = make_cluster(placement, workers=1, folder=tmp_path)
    assert (made.partition, made.gpus, made.most) == ("long", 1, 20)
    assert made.prologue == ["module load cuda"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "cluster: quue",
            "line 2: cluster: 'quue' is not one of none, queue. Did you mean 'queue'",
        ),
        ("cluster:\n  kind: quue", "line 3: cluster: 'quue' is not one of none, queue"),
        ("cluster: 3", "line 2: cluster: a kind or {kind: ..., options} expected, not 3"),
        ("cluster: {partition: a}", "cluster: a kind or {kind: ..., options} expected, not {'part"),
        (
            "cluster:\n  kind: queue\n  gpu: 1",
            "line 4: cluster.gpu: unknown key. Did you mean",
        ),
        (
            "cluster: {kind: queue, gpus: 2}",
            "cluster.gpus: Input should be less than or equal",
        ),
        ("cluster: {kind: queue, gpus: yes}", "cluster.gpus: Input should be a valid integer"),
        ("cluster: {kind: queue, folder: /tmp}", "cluster.folder: unknown key"),
        ("cluster: {kind: none, gpus: 1}", "cluster.gpus: unknown key"),
        ("cluster: {kind: queue, least: 10}", "line 2: cluster: queue: least 10 is above most 9"),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(read, text, told):
    with pytest.raises(WorkflowError, match=re.escape(told)):
        read(text)


def test_the_line_names_a_kind_or_kind_and_options(read):
    written = read("cluster: {kind: queue, most: 20}")
    assert spelled_placement("queue", beside=written) is written
    assert spelled_placement("none", beside=written) == Placement(kind="none")
    spelled = spelled_placement("{kind: queue, partition: short}", beside=written)
    assert (spelled.options["partition"], spelled.options["most"]) == ("short", 9)
    with pytest.raises(WorkflowError, match="--cluster nune: cluster: 'nune' is not one of"):
        spelled_placement("nune", beside=written)


def test_without_installed_clusters_the_remedy_is_to_install(read, installed):
    installed["solarxai.clusters"] = {}
    with pytest.raises(WorkflowError, match="cluster: none is installed; run `pip install"):
        read("")


def test_this_module_is_where_the_complaints_are_looked_for():
    assert sys.modules[Queue.__module__].complaints is complaints
