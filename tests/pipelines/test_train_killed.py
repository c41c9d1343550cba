"""Training is killed with SIGKILL at random steps and in the midst of writes: no bit changes."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from solarxai.provenance import file_hash

FILES = ("classifier.safetensors", "training.json", "split.json")

DRIVER = """
    import json, os, random, signal, sys
    from pathlib import Path
    import torch
    from pipelines import train
    from solarxai.provenance import file_hash
    from solarxai.training import descent
    from solarxai.workflow.progress import Progress

    torch.set_num_threads(1)
    out, kills = Path(sys.argv[1]), int(sys.argv[2])
    options = json.loads(sys.argv[3])
    draw = random.Random(int(sys.argv[4]))

    class Said:
        def __init__(self): self.lines = []
        def say(self, text): self.lines.append(text)
        def open(self, stage): pass
        update = close = open

    def trained():
        said = Said()
        train.run(out=out, progress=Progress(display=said), checkpoint_steps=2, **options)
        return said.lines

    def die(): os.kill(os.getpid(), signal.SIGKILL)

    def killed():
        child = os.fork()
        if child == 0:
            steps, at = 0, draw.randint(3, 11)
            in_write = draw.random() < 0.5
            step, replace = descent._Descent._step, Path.replace
            def counted(self, *given):
                nonlocal steps
                steps += 1
                if steps == at and not in_write: die()
                return step(self, *given)
            def cut(self, target):
                if Path(target).name == "training.checkpoint" and steps >= at: die()
                return replace(self, target)
            descent._Descent._step, Path.replace = counted, cut
            trained()
            os._exit(0)
        return os.WTERMSIG(os.waitpid(child, 0)[1])

    def hashes(): return [file_hash(out / name) for name in sys.argv[5:]]

    found = {"said whole": trained(), "whole": hashes(), "signals": []}
    for name in sys.argv[5:]:
        (out / name).unlink()
    for _ in range(kills):
        found["signals"].append(killed())
        draw.random()
    print(json.dumps({**found, "said": trained(), "killed": hashes()}))
"""


def driven(out, kills, options, seed=1):
    words = [sys.executable, "-c", textwrap.dedent(DRIVER), str(out), str(kills)]
    made = subprocess.run(
        [*words, json.dumps(options), str(seed), *FILES], capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout.splitlines()[-1])


SMALL = {"n_bootstrap": 10, "batch_size": 4, "model_options": {"width": 2}}


@pytest.mark.parametrize(
    ("options", "kills"),
    [
        ({**SMALL, "epochs": 12}, 5),
        pytest.param(
            {**SMALL, "epochs": 6, "members": 2, "in_memory": "never", "window": 2}, 3,
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_a_training_killed_again_and_again_ends_with_the_bits_of_one_that_was_not(
    run_of_its_own, options, kills
):
    found = driven(run_of_its_own, kills, options)
    assert not any("resumed" in line for line in found["said whole"])
    assert found["signals"] == [signal.SIGKILL] * kills
    assert any(line.startswith("resumed at epoch") for line in found["said"])
    assert found["killed"] == found["whole"]
    assert not (run_of_its_own / "training.checkpoint").exists()


WORKFLOW = """
synth: {n: 24, mode: matched, clutter: false}
ingest:
train: {epochs: 60, patience: 60, n_bootstrap: 10, model_options: {width: 4}, checkpoint_steps: 3}
"""


@pytest.mark.slow
def test_a_killed_run_typed_again_goes_on_in_the_middle_of_an_epoch(tmp_path):
    (tmp_path / "small.yaml").write_text(WORKFLOW)

    def words(name):
        return [
            sys.executable, "-m", "solarxai.cli", "run", str(tmp_path / "small.yaml"), "--out",
            str(tmp_path / name),
        ]  # fmt: skip

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(words("whole"), check=True, capture_output=True, env=environment)
    run = subprocess.Popen(
        words("killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    state, end = tmp_path / "killed" / "training.checkpoint", time.monotonic() + 240
    while not state.exists() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.5)
    run.kill()
    run.wait()
    assert state.exists()
    again = subprocess.run(words("killed"), check=True, capture_output=True, env=environment)
    assert b"resumed at " in again.stderr
    assert not state.exists()
    for name in FILES:
        assert file_hash(tmp_path / "killed" / name) == file_hash(tmp_path / "whole" / name)
