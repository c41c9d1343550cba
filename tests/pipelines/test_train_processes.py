"""Processes that train together: started here or by torchrun, told where one dies."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import get_type_hints

import pytest

from pipelines import processes, train
from pipelines.processes import Place, Telling, launched_place, run_together
from solarxai.cli import _making
from solarxai.errors import IngestError, TrainingError
from solarxai.provenance import file_hash
from solarxai.workflow import execution, load
from solarxai.workflow.progress import Progress

SMALL = {"epochs": 2, "n_bootstrap": 10, "model_options": {"width": 2}}
FILES = ("classifier.safetensors", "training.json", "split.json")


class Heard:
    """Keeps what the first process tells."""

    def __init__(self):
        self.reached, self.said = [], []
        self.telling = Telling(
            reach=lambda *words: self.reached.append(words), say=self.said.append
        )


@pytest.fixture
def forked(monkeypatch):
    """Begin processes as copies of this one, which need not import anything: seconds less each."""
    fork = multiprocessing.get_context("fork")
    monkeypatch.setattr(processes.multiprocessing, "get_context", lambda _: fork)


def added(about, team, telling):
    """Return the sum of the ranks, told once."""
    telling.reach(1, 2, f"process {team.rank}") if team.leads else None
    return about, team.sums(float(team.rank), 1.0)


def broken(about, team, telling):
    """Fail in one process, in the way that was asked for, while the others wait for it."""
    how, rank = about
    if team.rank == rank:
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "told":
            raise IngestError("block 7 is gone", remedy="Ingest again.")
        raise ZeroDivisionError("an accident")
    while True:
        team.sums(1.0)


def test_the_first_process_gives_the_result_and_all_take_part():
    heard = Heard()
    found = run_together(added, "this", processes=2, device="cpu", telling=heard.telling)
    assert found == ("this", [1.0, 2.0])
    assert heard.reached == [(1, 2, "process 0")]


@pytest.mark.parametrize(
    ("how", "rank", "kind", "message"),
    [
        ("killed", 1, TrainingError, r"process 1 of those that train together died \(signal SIGK"),
        ("killed", 0, TrainingError, r"process 0 of those that train together died \(signal SIGK"),
        ("told", 1, IngestError, "block 7 is gone"),
        ("accident", 1, TrainingError, "ZeroDivisionError: an accident"),
    ],
)
def test_a_process_that_fails_fails_the_run_with_its_own_words(forked, how, rank, kind, message):
    started = time.monotonic()
    with pytest.raises(kind, match=message):
        run_together(broken, (how, rank), processes=2, device="cpu", telling=Heard().telling)
    assert time.monotonic() - started < 120


def test_a_run_with_two_processes_is_that_with_one_but_for_rounding(forked, run_of_its_own):
    progress = Progress()
    made = train.run(out=run_of_its_own, progress=progress, processes=2, **SMALL)
    first = [file_hash(run_of_its_own / name) for name in FILES]
    several = json.loads((run_of_its_own / "training.json").read_text())
    assert (made.done, progress.stages[0].done) == (2, 2)
    options = {**SMALL, "processes": 2, "in_memory": "never", "readers": 1}
    train.run(out=run_of_its_own, **options)
    assert [file_hash(run_of_its_own / name) for name in FILES] == first
    train.run(out=run_of_its_own, **SMALL)
    alone = json.loads((run_of_its_own / "training.json").read_text())
    for one, other in zip(alone["history"], several["history"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)
    assert file_hash(run_of_its_own / "split.json") == first[2]


def test_places_are_those_of_the_environment():
    whole = {"WORLD_SIZE": "4", "RANK": "3", "MASTER_ADDR": "n1", "MASTER_PORT": "29500"}
    assert launched_place({}) is None
    assert launched_place({"WORLD_SIZE": "1", "RANK": "0"}) is None
    assert launched_place(whole) == Place(3, 4, 3)
    assert launched_place({**whole, "LOCAL_RANK": "1"}) == Place(3, 4, 1)
    with pytest.raises(TrainingError, match="WORLD_SIZE is 4, and MASTER_ADDR, MASTER_PORT is not"):
        launched_place({"WORLD_SIZE": "4", "RANK": "3"})


def test_another_number_of_processes_than_the_workflow_says_is_refused(run_of_its_own, monkeypatch):
    for name, value in {
        "WORLD_SIZE": "4",
        "RANK": "3",
        "MASTER_ADDR": "a",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match="WORLD_SIZE is 4, and the step train has processes 2"):
        train.run(out=run_of_its_own, processes=2, **SMALL)


def with_training_noted(workflow, ran):
    """Return the workflow with pipelines that only note that they were asked to run."""

    def noting(step):
        def run(**given):
            ran.append((step.name, given["out"], given["threads"]))

        run.__annotations__ = get_type_hints(step.run, include_extras=True)
        return replace(step, run=run)

    return replace(workflow, steps=tuple(map(noting, workflow.steps)))


@pytest.mark.parametrize("how", ["join", "command line"])
def test_another_process_of_a_run_takes_its_training_alone(spectra, monkeypatch, how):
    out, path, _ = spectra
    ran = []
    workflow = with_training_noted(load(path, settings=["train.epochs=1"]), ran)
    before = sorted(path.name for path in (out / "steps").iterdir())
    if how == "join":
        execution.join(workflow, out=out)
    else:
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", "1")
        _making._carry_out(workflow, out, resume=False)
    assert ran == [("train", out.resolve(), 1)]
    assert sorted(path.name for path in (out / "steps").iterdir()) == before


def test_another_process_of_a_run_that_is_trained_does_nothing(spectra):
    out, path, _ = spectra
    workflow = load(path)
    kept = {name: file_hash(out / name) for name in FILES}
    execution.join(workflow, out=out)
    assert {name: file_hash(out / name) for name in FILES} == kept


def free_port():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


@pytest.mark.slow
def test_two_nodes_of_torchrun_carry_out_one_workflow(tmp_path):
    (tmp_path / "small.yaml").write_text(
        "synth: {n: 24, mode: matched, clutter: false}\ningest:\n"
        "train: {epochs: 2, n_bootstrap: 10, model_options: {width: 2}, processes: 2}\n"
        "attribute: {explainers: [{method: gradient}]}\n"
    )
    port = free_port()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    solarxai = Path(sys.executable).with_name("solarxai")
    run = ["run", str(tmp_path / "small.yaml"), "--out"]

    def node(rank):
        words = [
            sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--node-rank",
            str(rank), "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port",
            str(port), "--no-python", str(solarxai), *run, str(tmp_path / "nodes"),
        ]  # fmt: skip
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(words, env=environment, **pipes)

    nodes = [node(0), node(1)]
    told = [one.communicate(timeout=400) for one in nodes]
    assert [one.returncode for one in nodes] == [0, 0], told
    subprocess.run(
        [str(solarxai), *run, str(tmp_path / "here")], check=True, env=environment,
        capture_output=True,
    )  # fmt: skip
    for name in FILES:
        assert file_hash(tmp_path / "nodes" / name) == file_hash(tmp_path / "here" / name)
    record = json.loads((tmp_path / "nodes" / "attribute.json").read_text())
    assert record["root hash"]


def test_a_process_ends_when_the_one_that_started_it_is_gone(tmp_path):
    driver = (
        "import sys; from pipelines.processes import *; from test_train_processes import *\n"
        "if __name__ == '__main__':\n"
        "    run_together(waiting, sys.argv[1], processes=2, device='cpu', "
        "telling=Heard().telling)\n"
    )
    (tmp_path / "driver.py").write_text(driver)
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    run = subprocess.Popen(
        [sys.executable, str(tmp_path / "driver.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": paths},
    )
    end = time.monotonic() + 400
    while len(found := list(tmp_path.glob("*.pid"))) < 2 and time.monotonic() < end:
        time.sleep(0.1)
    assert len(found) == 2
    run.kill()
    run.wait()
    end = time.monotonic() + 60
    alive = {int(path.stem) for path in found}
    while alive and time.monotonic() < end:
        time.sleep(0.1)
        alive = {pid for pid in alive if Path(f"/proc/{pid}").exists() and not _zombie(pid)}
    assert not alive


def waiting(about, team, telling):
    """Leave the number of this process, and wait for ever."""
    (Path(about) / f"{os.getpid()}.pid").touch()
    time.sleep(600)


def _zombie(pid):
    return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z"
