"""The shipped script trains on two nodes together, as two processes of one machine do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cluster import PlainLoop
from solarxai.workflow import load
from solarxai.workflow.execution import execute
from solarxai.workflow.progress import Progress

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "workflows" / "train_nodes.sbatch"
WORKFLOW = """
synth: {n: 24, mode: matched, clutter: false}
ingest:
train: {epochs: 2, n_bootstrap: 20, processes: 2}
"""
FILES = ("classifier.safetensors", "training.json", "split.json")


def test_two_nodes_train_the_network_of_two_processes(slurm, tmp_path):
    (tmp_path / "small.yaml").write_text(WORKFLOW)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(f"export PATH={programs}:$PATH\n")
    (programs / "solarxai").write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'from solarxai.cli import main; main()' \"$@\"\n"
    )
    (programs / "solarxai").chmod(0o755)
    words = ["--wait", "--cpus-per-task=1", "--mem=3G", "--time=00:10:00", "--output=log"]
    settings = {"MASTER_ADDR": "127.0.0.1", "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        ["sbatch", *words, str(SCRIPT), "small.yaml", "nodes"],
        cwd=tmp_path, env={**os.environ, **settings}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, (tmp_path / "log").read_text()
    execute(
        load(tmp_path / "small.yaml"), out=tmp_path / "here", cluster=PlainLoop(),
        progress=Progress(),
    )  # fmt: skip
    for name in FILES:
        assert (tmp_path / "nodes" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
