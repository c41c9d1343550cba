"""A small run, made once: forty matched scenes, their samples, a briefly trained classifier."""

import json
import shutil
from pathlib import Path

import pytest

from pipelines import ingest, synth, train
from solarxai.workflow.progress import Progress


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """Return the folder of a run up to its training; do not write in it."""
    out = tmp_path_factory.mktemp("trained")
    synth.run(out=out, progress=Progress(), n=40, mode="matched", clutter=False)
    ingest.run(out=out)
    train.run(out=out, epochs=2, n_bootstrap=50)
    return out


@pytest.fixture
def run_of_its_own(trained, tmp_path) -> Path:
    """Return a copy of the small run without its images."""
    out = tmp_path / "run"
    shutil.copytree(trained, out, ignore=shutil.ignore_patterns("data"))
    assert json.loads((out / "ingest.json").read_text())["counts"]["observations"] == 40
    return out
