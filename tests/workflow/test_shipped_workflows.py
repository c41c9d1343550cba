"""Every shipped workflow is a plan that can run; the quickstart is run, made small."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from solarxai import cli
from solarxai.errors import SolarxaiError
from solarxai.workflow import load
from solarxai.workflow.execution import plan

WORKFLOWS = sorted((Path(__file__).parents[2] / "workflows").glob("*.yaml"))
QUICKSTART = next(path for path in WORKFLOWS if path.stem == "quickstart")

TINY = [
    "synth.n=40", "synth.clutter=false", "train.epochs=2", "train.n_bootstrap=50",
    "attribute.explainers=[{method: gradient}, {method: grad_cam}]", "attribute.shard_size=2",
    "validate.n_bootstrap=50",
]  # fmt: skip


def command(out, *more):
    words = [word for setting in TINY for word in ("--set", setting)]
    begin = [sys.executable, "-c", "from solarxai.cli import main; main()", "run", str(QUICKSTART)]
    return [*begin, "--out", str(out), "--cluster", "none", *words, *more]


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}


def type_in(out, *more):
    return subprocess.run(
        command(out, *more), env=environment(), capture_output=True, text=True, check=False
    )


def root_hash(told):
    (line,) = (line for line in told.splitlines() if "root hash" in line)
    return line.split()[-1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    ended = type_in(out)
    assert ended.returncode == 0, ended.stderr
    return out, ended


def _for_others():
    """Return the workflows that are there to train what another one takes."""
    named = {name for one in WORKFLOWS for name in re.findall(r"workflow: (\S+)", one.read_text())}
    whole = {path for path in WORKFLOWS if "\nattribute:" in path.read_text()}
    return {path for path in WORKFLOWS if path.name in named} - whole


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_shipped_workflow_is_a_sound_plan(path, monkeypatch, tmp_path):
    """Of real data only the lists a plan reads are stood in for, by empty files."""
    monkeypatch.setenv("SOLARXAI_REAL_DATA", str(tmp_path))
    for name in re.findall(r"\$\{SOLARXAI_REAL_DATA\}/(\S+)", path.read_text()):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    steps = [item.step.name for item in plan(load(path), out=None)]
    assert "train" in steps or "classifier" in steps
    one_class = path.stem == "iris_flare_real"  # there is nothing to swap with
    last = ["attention"] * ("ingest_iris" in steps) + ["validate"] * (not one_class)
    whole = ["train"] if path in _for_others() else ["attribute", *last]
    assert steps[-len(whole) :] == whole


@pytest.mark.real_data
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_files_that_a_shipped_workflow_names_are_among_the_real_ones(path, real_data):
    for name in re.findall(r"\$\{SOLARXAI_REAL_DATA\}/(\S+)", path.read_text()):
        assert (real_data / name).is_file()


def test_a_shipped_workflow_of_real_data_says_what_to_set(monkeypatch):
    monkeypatch.delenv("SOLARXAI_REAL_DATA", raising=False)
    real = [path for path in WORKFLOWS if path.stem.endswith("_real")]
    assert len(real) > 1
    for path in real:
        with pytest.raises(SolarxaiError, match="variable SOLARXAI_REAL_DATA"):
            load(path)


def test_the_quickstart_ends_with_a_verdict_and_the_next_command(finished):
    out, ended = finished
    assert "\nsynthetic: " in ended.stdout
    assert f"next: solarxai query {out}/store --time " in ended.stdout
    assert "Traceback" not in ended.stderr
    assert (out / "report" / "index.html").stat().st_size > 10_000
    assert json.loads((out / "report" / "report.json").read_text())["checks"]


def test_the_journal_tells_every_stage(finished):
    events = [json.loads(line) for line in (finished[0] / "run.jsonl").read_text().splitlines()]
    ended = [event["stage"] for event in events if event["event"] == "stage ended"]
    assert ended == ["synth", "ingest", "train", "attribute", "validate"]


def test_the_quickstart_repeated_does_nothing_and_says_so(finished):
    out, first = finished
    again = type_in(out)
    assert again.returncode == 0
    assert again.stdout.count("there already, nothing done") == 5
    assert root_hash(again.stdout) == root_hash(first.stdout)


def test_the_command_it_names_next_works(finished):
    _, ended = finished
    (line,) = (line for line in ended.stdout.splitlines() if line.startswith("next: solarxai "))
    words = [sys.executable, "-c", "from solarxai.cli import main; main()"]
    words += line.removeprefix("next: solarxai ").split()
    asked = subprocess.run(
        [*words, "--json"], env=environment(), capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stderr
    rows = json.loads(asked.stdout)
    made = next(line for line in ended.stdout.splitlines() if line.startswith("attribute"))
    assert len(rows) == int(made.split()[1])
    assert {"time", "label", "score"} <= set(rows[0])


def ask(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["solarxai", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--time", "2011"], "--time '2011' is not a range. Write it as --time FROM/TO."),
        (["--time", "noon/night"], "'noon' is not a time"),
        (["--time", "2014/2011"], "ends (2011-01-01T00:00:00) before it begins"),
        (["--time", "1999/2000"], "The store holds "),
        (["--nearest", "noon"], "'noon' is not a time"),
        (["--score", "low/high"], "--score 'low/high' is not a range"),
        (["--label", "sunspott"], "Did you mean 'sunspot'?"),
        (["--method", "gradiant"], "Did you mean 'gradient'?"),
        (["--run", "zz"], "no run begins with 'zz'"),
        (["-o", "maps.csv"], "cannot be written as '.csv'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_question_gets_one_sentence(
    finished, tmp_path, monkeypatch, capsys, words, told
):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code, out, err = ask(monkeypatch, capsys, "query", finished[0] / "store", *words)
    assert code == 2
    assert told in err
    assert err.count("\n") == 1
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_rows_are_found_by_score_and_written_as_netcdf_zarr_and_fits(
    finished, tmp_path, monkeypatch, capsys
):
    store = finished[0] / "store"
    code, out, _ = ask(monkeypatch, capsys, "query", store, "--score", "/", "--json")
    assert code == 0
    rows = json.loads(out)
    for name in ("maps.nc", "maps.zarr", "maps"):
        code, out, _ = ask(monkeypatch, capsys, "query", store, "-o", tmp_path / name)
        assert code == 0
        assert out == f"{tmp_path / name}: {len(rows)} samples\n"
    assert len(list((tmp_path / "maps").glob("*.fits"))) == len(rows)


def test_a_flipped_bit_is_told_by_verify(finished, tmp_path, monkeypatch, capsys):
    store = tmp_path / "store"
    shutil.copytree(finished[0] / "store", store)
    code, out, _ = ask(monkeypatch, capsys, "verify", store)
    assert code == 0
    assert root_hash(out) == root_hash(finished[1].stdout)
    path = min(store.rglob("gradient/c.*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    code, out, _ = ask(monkeypatch, capsys, "verify", store)
    assert code == 1
    assert "damaged: " in out


def test_validate_exits_with_its_verdict_and_writes_the_page(
    finished, tmp_path, monkeypatch, capsys
):
    words = ("validate", finished[0] / "store", "--report", tmp_path / "report", "--json")
    code, out, _ = ask(monkeypatch, capsys, *words)
    assert code == json.loads(out)["exit_code"]
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {"index.html", "report.json", "report.junit.xml"}
    assert (tmp_path / "report" / "report.json").read_text() == out


def test_a_verdict_against_the_model_ends_the_run_with_0_and_validate_with_1(
    finished, monkeypatch, capsys
):
    """Two epochs on 40 images teach nothing: a check of the model fails."""
    out, ended = finished
    made = json.loads((out / "report" / "report.json").read_text())
    assert made["exit_code"] == 1
    assert ended.returncode == 0
    assert ask(monkeypatch, capsys, "validate", out / "store", "--test", "localisation")[0] == 1


def test_labels_are_permuted_where_the_workflow_says_so(finished, tmp_path):
    out = tmp_path / "labels"
    shutil.copytree(finished[0], out)
    ended = type_in(out, "--resume", "--set", "validate.label_randomisation=true")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("there already, nothing done") == 4
    made = json.loads((out / "report" / "report.json").read_text())
    asked = {check["method"] for check in made["checks"] if check["name"].startswith("labels ")}
    assert asked == {"gradient", "grad_cam"}
    assert {row["method"] for row in made["tables"]["labels"]} == asked


@pytest.mark.slow
def test_a_run_killed_at_any_moment_goes_on_to_the_same_root_hash(finished, tmp_path):
    expected = root_hash(finished[1].stdout)
    out = tmp_path / "killed"
    moments = random.Random(1)
    for _ in range(10):
        running = subprocess.Popen(
            command(out), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(moments.uniform(3, 12))
        running.send_signal(signal.SIGKILL)
        running.wait()
    ended = type_in(out)
    assert ended.returncode == 0, ended.stderr
    assert root_hash(ended.stdout) == expected
