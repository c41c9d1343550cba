"""One real Slurm of four nodes for all tests of this folder, and a small run to attribute on it."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import slurm_machine

from pipelines.cluster import PlainLoop
from solarxai.workflow import load
from solarxai.workflow.execution import execute
from solarxai.workflow.progress import Progress

HERE = Path(__file__).parent

WORKFLOW = """
synth: {n: 24, mode: matched, clutter: false}
ingest:
train: {epochs: 1, n_bootstrap: 20}
attribute:
  split: all
  shard_size: 1
  explainers:
    - {method: gradient}
    - {method: expected_gradients, samples: 20, n_baselines: 8}
"""


LIMIT = 180
"""Seconds that a test may wait for jobs that do not come, unless it says otherwise."""


def pytest_collection_modifyitems(items):
    """Mark what stands in this folder; what is slow is run with what is slow, and not here."""
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.slurm)
            item.add_marker(pytest.mark.timeout(LIMIT))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Tell of the queue and the nodes where a test failed: most of what can go wrong is there."""
    report = (yield).get_result()
    if report.failed and "slurm" in item.fixturenames and os.environ.get("SLURM_CONF"):
        report.sections.append(("Slurm", slurm_machine.state()))


@pytest.fixture(scope="session")
def slurm():
    """Return the folder of a running Slurm, its programs on the path; or skip, saying why."""
    missing = slurm_machine.missing_program()
    if missing:
        pytest.skip(f"Slurm is not installed: there is no program {missing}")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    before = {name: os.environ.get(name) for name in ("SLURM_CONF", "PATH", "PYTHONPATH")}
    try:
        os.environ["SLURM_CONF"] = str(slurm_machine.start(folder))
        os.environ["PATH"] = f"{before['PATH']}{os.pathsep}{slurm_machine.SYSTEM}"
        # What a job can import, as submitted jobs inherit it: units of tests, too.
        os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), *filter(None, sys.path)])
        yield folder
    finally:
        slurm_machine.stop(folder)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def queue(slurm):
    """Return a function that tells the numbers of all queued or running jobs."""

    def queued(*words):
        asked = ["squeue", "-h", "-o", "%i", *words]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()

    return queued


@pytest.fixture(scope="session")
def workflow(tmp_path_factory) -> Path:
    """Return the file of a small workflow."""
    path = tmp_path_factory.mktemp("workflow") / "small.yaml"
    path.write_text(WORKFLOW)
    return path


@pytest.fixture(scope="session")
def finish(workflow):
    """Return a function that carries the workflow on in a folder; it returns the root hash."""

    def finished(out, cluster, **options):
        made = execute(
            load(workflow), out=out, cluster=cluster, progress=Progress(), **options
        )  # fmt: skip
        return made[-1].outcome.figures.get("root hash")

    return finished


@pytest.fixture(scope="session")
def trained(finish, tmp_path_factory) -> Path:
    """Return the folder of a run up to its training; do not write in it."""
    out = tmp_path_factory.mktemp("trained") / "run"
    finish(out, PlainLoop(), until="train")
    return out


@pytest.fixture(scope="session")
def expected(trained, finish, tmp_path_factory) -> str:
    """Return the root hash that a plain loop ends with."""
    out = shutil.copytree(trained, tmp_path_factory.mktemp("expected") / "run")
    return finish(out, PlainLoop())


@pytest.fixture
def out(trained, tmp_path) -> Path:
    """Return a copy of the trained run."""
    return shutil.copytree(trained, tmp_path / "run")
