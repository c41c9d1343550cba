"""Small runs, made once: forty matched scenes up to a briefly trained classifier; a small IRIS."""

import json
import shutil
from pathlib import Path

import pytest

from pipelines import ingest, synth, train
from pipelines.cluster import PlainLoop
from solarxai.workflow import Outcome, load
from solarxai.workflow.execution import execute
from solarxai.workflow.progress import Progress

SPECTRA = """
synth_iris: {regions: 6, observations: 2, rasters: 1, steps: 2, slit: 12}
ingest_iris:
train: {model: published_cnn, epochs: 2, samples_an_epoch: 64, n_bootstrap: 20}
attribute:
  explainers: [{method: gradient, batch_size: 256}]
  batch_size: 256
  shard_size: 3
attention: {lasting_minutes: 8, n_bootstrap: 20}
"""


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


@pytest.fixture(scope="session")
def carry_out():
    """Return a function that carries a workflow file out in a folder, in this process."""

    def carried(path, out, *, settings=(), **options):
        workflow = load(path, settings=settings)
        return execute(workflow, out=out, cluster=PlainLoop(), progress=Progress(), **options)

    return carried


@pytest.fixture(scope="session")
def spectra(carry_out, tmp_path_factory) -> tuple[Path, Path, dict[str, Outcome]]:
    """Return a small IRIS run: its folder, its file, and what came of each step; do not write."""
    folder = tmp_path_factory.mktemp("spectra")
    (folder / "spectra.yaml").write_text(SPECTRA)
    made = carry_out(folder / "spectra.yaml", folder / "run")
    return folder / "run", folder / "spectra.yaml", {one.name: one.outcome for one in made}


@pytest.fixture
def spectra_of_its_own(spectra, tmp_path) -> Path:
    """Return a copy of the small IRIS run up to its training, without its files."""
    unneeded = shutil.ignore_patterns("data", "store", "attention", "attribute.json")
    return shutil.copytree(spectra[0], tmp_path / "spectra", ignore=unneeded)
