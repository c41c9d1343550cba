"""Words in, results out: one line and a cure for every error, exit codes that scripts can trust."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from solarxai import cli


def type_in(*words: str, monkeypatch, capsys) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error of one command line."""
    monkeypatch.setattr(sys, "argv", ["solarxai", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


@pytest.fixture
def solarxai(monkeypatch, capsys):
    return lambda *words: type_in(*words, monkeypatch=monkeypatch, capsys=capsys)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from solarxai.cli import main\n"
        "sys.argv = ['solarxai', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'xarray', 'sunpy', 'astropy', 'dask', 'numpy', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "solarxai run workflows/quickstart.yaml" in ended.stdout
    assert ended.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["foo"], "No such command 'foo'"),
        (["run"], "Missing argument 'workflow'"),
        (["run", "none.yaml"], "none.yaml: cannot be read as a workflow"),
        (["run", "bad.yaml"], "bad.yaml: line 1: not YAML"),
        (["run", "odd.yaml"], "line 1: synth.m: unknown key"),
        (
            ["run", "good.yaml", "--cluster", "slurn"],
            "--cluster slurn: cluster: 'slurn' is not one of array, local, none, slurm. Did you",
        ),
        (["run", "good.yaml", "--cluster", "{kind: local, n: 1}"], "cluster.n: unknown key"),
        (["work", "."], "Missing option '--part'"),
        (["work", ".", "--part", "1"], "--part '1' is not I/N. Write it as --part 0/8."),
        (["work", ".", "--part", "2/2"], "there is no part 2 of 2"),
        (["work", ".", "--part", "0/2"], "no units wait to be done here"),
        (["run", "good.yaml", "--workers", "0"], "greater than or equal to 1"),
        (["run", "good.yaml", "--out", "good.yaml"], "is no run of solarxai"),
        (["run", "good.yaml", "--out", "good.yaml/deeper"], "cannot be made"),
        (["run", "good.yaml", "--set", "synth.n"], "write it as step.option=value"),
        (["run", "lost.yaml", "--out", "out"], "there is no file"),
        (
            ["run", "orphan.yaml", "--out", "out"],
            "the step 'train' reads what 'ingest' or 'ingest_iris' makes",
        ),
        (["plan", "odd.yaml"], "Nothing was run."),
        (["synth", "hmi", "out", "--n"], "'--n' is not an option with a value"),
        (["synth", "hmi", "out", "--n", "many"], "synth.n: Input should be a valid integer"),
        (["synth", "hmi", "out", "--n", "0"], "draw 1 image or more"),
        (["synth", "hmi", "out", "--mode", "match"], "'adversarial', 'paired' or 'mixed'"),
        (["ingest", "out"], "the step 'ingest' reads what 'synth' makes"),
        (["ingest", "out", "--catalog", "good.yaml"], "ingest.catalog: "),
        (["train", "out"], "the step 'train' reads what 'ingest' or 'ingest_iris' makes"),
        (["attribute", "out", "--explainers", "[{method: gradiant}]"], "gradiant"),
        (["classifier", "out"], "give one of checkpoint, network and workflow"),
        (["classifier", "out", "--checkpoint", "good.yaml"], "not a solarxai checkpoint"),
        (["classifier", "out", "--workflow", "good.yaml"], "does not train a classifier"),
        (["query", "none"], "no such folder"),
        (["query", "."], "not a store"),
        (["query", "good.yaml"], "not a store"),
        (["verify", "."], "not a store"),
        (["verify", ".", "--repair"], "not a store"),
        (["reproduce", "."], "not a store"),
        (["crate", "."], "not the folder of a run that has finished a step"),
        (["validate", "."], "not a store"),
        (["validate", ".", "--limit", "accuracy"], "--limit 'accuracy' is no limit with a value"),
        (["validate", ".", "--limit", "acuracy=0.9"], "Did you mean 'accuracy'?"),
        (["validate", ".", "--limit", "accuracy=high"], "accuracy = 'high' are out of range"),
        (["methods", "gradiant"], "Did you mean 'gradient'?"),
        (["catalog", "check", "none.yaml"], "no such catalog"),
        (["catalog", "check", "bad.yaml"], "is not YAML"),
        (["catalog", "fido", "--time", "2011", "-o", "x.yaml"], "--time '2011' is not a range"),
        (["catalog", "fido", "--time", "2011/", "-o", "x.yaml"], "is not A/B"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_line_gets_one_sentence_and_leaves_nothing(
    solarxai, tmp_path, monkeypatch, words, told
):
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text("synth: [1,")
    Path("odd.yaml").write_text("synth: {m: 1}")
    Path("good.yaml").write_text("synth: {n: 1}")
    Path("lost.yaml").write_text("ingest: {catalog: nowhere.yaml}")
    Path("orphan.yaml").write_text("train: {epochs: 1}")
    before = sorted(Path().iterdir())
    code, out, err = solarxai(*words)
    assert code == 2
    assert told in err
    assert err.startswith("solarxai: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert out == ""
    assert sorted(Path().iterdir()) == before


def test_a_folder_one_may_not_write_in_is_told(solarxai, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "mkdir", _refuse)
    (tmp_path / "good.yaml").write_text("synth: {n: 1}")
    code, _, err = solarxai("run", tmp_path / "good.yaml", "--out", tmp_path / "out")
    assert code == 2
    assert "cannot be made (Permission denied). Give a folder you may write in." in err


def _refuse(path, *args, **options):
    raise PermissionError(13, "Permission denied", str(path))


def test_debug_shows_where_an_error_came_from(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["solarxai", "run", str(tmp_path / "none.yaml"), "--debug"])
    with pytest.raises(Exception, match="cannot be read as a workflow"):
        cli.main()


def test_a_defect_is_told_without_a_traceback(solarxai, monkeypatch, tmp_path):
    (tmp_path / "good.yaml").write_text("synth: {n: 1}")
    monkeypatch.setattr("solarxai.workflow.load", lambda *a, **k: 1 / 0)
    code, _, err = solarxai("plan", tmp_path / "good.yaml")
    assert code == 2
    assert err == (
        "solarxai: unexpected ZeroDivisionError: division by zero. "
        "Run again with --debug and report what it prints.\n"
    )


def test_an_interruption_ends_with_130_and_tells_how_to_go_on(solarxai, monkeypatch, tmp_path):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("solarxai.workflow.load", interrupt)
    code, _, err = solarxai("run", "x.yaml")
    assert code == 130
    assert "the same command goes on from here" in err


def test_a_stage_alone_takes_its_options_as_words(solarxai, tmp_path):
    out = tmp_path / "run"
    code, told, err = solarxai("synth", "hmi", out, "--n", "2", "--seed=3", "--mode", "matched")
    assert code == 0
    assert "synth      2 done, 0 there already, 0 failed" in told
    assert f"next: solarxai ingest {out}" in told
    assert "synth: 2/2 scenes" in err
    record = json.loads((out / "steps" / "synth.json").read_text())
    assert record["ingredients"]["options"]["seed"] == 3
    again = solarxai("synth", "hmi", out, "--n", "2", "--seed=3", "--mode", "matched")
    assert "there already, nothing done" in again[1]
    assert "synth: there already, skipped" in again[2]


def test_a_plan_lists_steps_with_keys_and_states(solarxai, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text("synth: {n: 1}\ningest:\n")
    code, told, _ = solarxai("plan", "good.yaml")
    assert code == 0
    assert [line.split()[0] for line in told.splitlines()] == ["step", "synth", "ingest"]
    code, told, _ = solarxai("plan", "good.yaml", "--json")
    assert [(row["step"], row["state"]) for row in json.loads(told)] == [
        ("synth", "missing"), ("ingest", "missing"),
    ]  # fmt: skip
    assert not Path("runs").exists()


def test_the_help_of_a_stage_lists_the_options_of_its_pipeline(solarxai):
    code, told, _ = solarxai("train", "--help")
    assert code == 0
    assert "--epochs  int [" in told
    assert "--cluster" not in told


def test_the_help_of_validate_teaches_its_exit_codes(solarxai):
    code, told, _ = solarxai("validate", "--help")
    assert code == 0
    words = " ".join(told.split())
    assert "0, no check of the model fails" in words
    assert "1, one fails, as where the model is convicted" in words
    assert "2, unable to judge" in words
    assert "Failing checks of maps do not count" in words
    for option in ("--report", "--junit", "--limit", "--test", "--method", "--run", "--json"):
        assert option in words


def test_a_catalog_is_compared_with_its_files(solarxai, tmp_path):
    solarxai("synth", "hmi", tmp_path / "run", "--n", "1")
    catalog = tmp_path / "run" / "data" / "catalog.yaml"
    assert solarxai("catalog", "check", catalog)[0] == 0
    (catalog.parent / "scene_00000.fits").write_bytes(b"cut short")
    code, told, _ = solarxai("catalog", "check", catalog)
    assert code == 1
    assert "scene_00000.fits differs from its checksum" in told
    assert "1 files, 1 problems" in told


def test_a_catalog_is_made_from_a_search_and_filled_when_its_files_are_fetched(
    solarxai, tmp_path, monkeypatch
):
    from astropy.table import Table

    url = "https://archive.example/hmi.sharp_cea_720s.377.20110215_020000_TAI.continuum.fits"
    found = Table({"url": [url], "Instrument": ["HMI"]})
    monkeypatch.setattr("solarxai.fido.search_fido", lambda time, **words: found)
    catalog = tmp_path / "mine.yaml"
    words = ("--time", "2011-02-15T01:00/2011-02-15T02:00", "--region", "NOAA 11158")
    code, told, _ = solarxai("catalog", "fido", *words, "-o", catalog)
    assert code == 0
    assert told.splitlines()[-1] == f"solarxai catalog check {catalog} --fill"
    assert solarxai("catalog", "check", catalog, "--fill")[0] == 2
    (tmp_path / url.rpartition("/")[2]).write_bytes(b"an image")
    assert solarxai("catalog", "check", catalog, "--fill")[:2] == (0, "mine: 1 files, 0 problems\n")


def test_archives_that_do_not_answer_are_told(solarxai, tmp_path, monkeypatch):
    def silence(time, **words):
        raise ConnectionError("No online VSO mirrors could be found.")

    monkeypatch.setattr("solarxai.fido.search_fido", silence)
    code, _, err = solarxai("catalog", "fido", "--time", "2011/2012", "-o", tmp_path / "x.yaml")
    assert code == 2
    assert "the network does not answer (No online VSO mirrors could be found). Try" in err


def test_methods_are_listed_with_their_options(solarxai):
    code, told, _ = solarxai("methods")
    assert code == 0
    assert "expected_gradients" in told
    assert json.loads(solarxai("methods", "grad_cam", "--json")[1])
