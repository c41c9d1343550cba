"""A workflow file is a plan that can run, or every complaint at once, with lines."""

import importlib.metadata
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from solarxai.errors import IngestError, WorkflowError
from solarxai.workflow import (
    InputFile,
    Outcome,
    describe_options,
    load,
    single_step,
    sound,
)
from solarxai.workflow.file import read_value


@dataclass(frozen=True, kw_only=True)
class Blur:
    width: float = 1.0


def refuse_even(value):
    if value % 2 == 0:
        raise IngestError(f"{value} is even.", remedy="Give an odd number.")


def complaints(options):
    return ["shape and size exclude each other"] if options.get("shape") == (1, 1) else []


def synth(
    *, out: Path, cluster: Any, progress: Any, threads: int,
    n: int, mode: Literal["natural", "matched"] = "natural", seed: int = 7,
    shape: tuple[int, int] = (64, 64), rate: float = 1e-3, blur: Blur | None = None,
    odd: Annotated[int, sound(refuse_even)] = 1, options: Mapping[str, Any] | None = None,
    time: str = "", flag: bool = False,
) -> Outcome:  # fmt: skip
    return Outcome(outputs=())


def ingest(
    *, out: Path, cluster: Any, progress: Any, threads: int,
    catalog: InputFile | None = None, first: Annotated[int, Field(ge=1)] = 1,
) -> Outcome:  # fmt: skip
    return Outcome(outputs=())


class Loop:
    def __init__(self, *, workers):
        self.workers = workers


ALIKE = ("train", "classifier", "synth_iris", "ingest_iris", "skill", "attention")

POINTS = {
    "solarxai.pipelines": {name: f"{__name__}:{name}" for name in ("synth", "ingest")}
    | dict.fromkeys(ALIKE, f"{__name__}:ingest"),
    "solarxai.clusters": dict.fromkeys(("none", "local"), f"{__name__}:Loop"),
}


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    def entry_points(*, group):
        return importlib.metadata.EntryPoints(
            importlib.metadata.EntryPoint(name, value, group)
            for name, value in POINTS[group].items()
        )

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)


@pytest.fixture
def write(tmp_path):
    def write(text, name="study.yaml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def complaint(path, **options):
    with pytest.raises(WorkflowError) as caught:
        load(path, **options)
    return caught.value.what


def test_options_are_the_parameters_with_defaults_filled_in(write):
    workflow = load(write("name: mine\nsynth: {n: 3, shape: [8, 9], blur: {width: 2}}\n"))
    (step,) = workflow.steps
    assert step.options == {
        "n": 3, "mode": "natural", "seed": 0, "shape": (8, 9), "rate": 1e-3, "flag": False,
        "blur": Blur(width=2.0), "odd": 1, "options": None, "time": "",
    }  # fmt: skip
    assert workflow.name == "mine"


def test_a_workflow_without_a_name_has_that_of_its_file(write):
    assert load(write("ingest:\n", "study.yaml")).name == "study"


def test_steps_come_in_the_order_of_the_data(write):
    workflow = load(write("ingest:\nsynth: {n: 3}\n"))
    assert [step.name for step in workflow.steps] == ["synth", "ingest"]


def test_the_seed_of_the_workflow_is_that_of_steps_without_their_own(write):
    assert load(write("seed: 5\nsynth: {n: 1}")).steps[0].options["seed"] == 5
    assert load(write("seed: 5\nsynth: {n: 1, seed: 6}")).steps[0].options["seed"] == 6


def test_numbers_and_times_are_read_as_yaml_1_2_does(write):
    options = load(write("synth: {n: 1, rate: 1e-4, time: 2014-03-29T14:07:30}")).steps[0].options
    assert options["rate"] == 1e-4
    assert options["time"] == "2014-03-29T14:07:30"
    assert load(write("synth: {n: 1, time: 12:30:00}")).steps[0].options["time"] == "12:30:00"


def test_every_problem_is_told_at_once_with_its_line(write):
    path = write("sead: 1\nsynth:\n  n: 3.5\n  mode: match\n  rat: 1\ningest:\n  first: 0\n")
    what = complaint(path)
    assert "5 problems" in what
    assert "line 1: sead: unknown key. Did you mean 'seed'?" in what
    assert "line 3: synth.n: Input should be a valid integer, not 3.5" in what
    assert "line 4: synth.mode: Input should be 'natural' or 'matched', not 'match'" in what
    assert "line 5: synth.rat: unknown key. Did you mean 'rate'?" in what
    assert "line 7: ingest.first: Input should be greater than or equal to 1, not 0" in what


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("synth: {n: true}", "synth.n: Input should be a valid integer, not True"),
        ("synth: {n: '3'}", "synth.n: Input should be a valid integer, not '3'"),
        ("synth: {n: 3, flag: yes}", "synth.flag: Input should be a valid boolean, not 'yes'"),
        ("synth: {n: 3, rate: .inf}", "synth.rate: Input should be a finite number"),
        ("synth: {n: 3, shape: [1, 2, 3]}", "synth.shape: Tuple should have at most 2 items"),
        ("synth: {n: 3, blur: {widht: 1}}", "synth.blur.widht: unknown key"),
        ("synth: {n: 3, odd: 4}", "synth.odd: 4 is even. Give an odd number."),
        ("synth: {n: 3, out: /}", "synth.out: unknown key"),
        ("synth: {}", "synth.n: Field required"),
        ("synth:", "synth.n: Field required"),
        ("synth: 3", "synth: options expected"),
        ("synth: {n: 3, shape: [1, 1]}", "synth: shape and size exclude each other"),
        ("ingest: {catalog: no.yaml}", "ingest.catalog: there is no file"),
        ("synth: {n: 1}\ningest: {catalog: study.yaml}", "the synth step makes the catalog"),
        ("train:\nclassifier:\n", "classifier and train exclude each other"),
        ("ingest:\ningest_iris:", "line 1: ingest and ingest_iris exclude each other: a run holds"),
        ("synth: {n: 1}\nsynth_iris:", "synth and synth_iris exclude each other: a run holds"),
        (
            "synth_iris:\ningest_iris: {catalog: study.yaml}",
            "line 2: ingest_iris.catalog: the synth_iris step makes the catalog",
        ),
        ("attribute:\n", "attribute: no such pipeline is installed"),
        ("name: mine", "no step at all"),
        ("cluster: locl\ningest:", "line 1: cluster: 'locl' is not one of local, none. Did you"),
        ("workers: 0\ningest:", "workers: Input should be greater than or equal to 1"),
        ("name: ../up\ningest:", "name: String should match pattern"),
        ("3: 4\ningest:", "the key 3 is not a word"),
        ("synth: {n: !!python/name:os.system }", "is not a plain value"),
        ("synth: &a {n: 1}\ningest: *a", "aliases (*name) are not supported"),
    ],
)
def test_one_problem_is_told_in_one_line(write, text, told):
    what = complaint(write(text))
    assert told in what
    assert "\n" not in what


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"synth: [1,\n", "not YAML"),
        (b"synth:\n\tn: 1\n", "line 2: not YAML"),
        (b"synth: {n: 1}\nsynth: {n: 2}\n", "not YAML"),
        (b"\xff\xfe\x00", "not UTF-8 text"),
        (b"a: \x00\n", "not YAML"),
        (b"", "this is empty"),
        (b"- synth\n", "this is a list"),
        (b"hello", "this is a str"),
        (b"[" * 5000, "not YAML"),
    ],
)
def test_what_is_no_workflow_is_refused_by_its_name(tmp_path, content, told):
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    what = complaint(path)
    assert what.startswith(str(path))
    assert told in what


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(WorkflowError, match="No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(WorkflowError, match="Is a directory"):
        load(tmp_path)


def test_paths_are_relative_to_the_file(write):
    path = write("ingest: {catalog: study.yaml}")
    assert load(path).steps[0].options["catalog"] == path


@pytest.mark.parametrize("spelled", ["${SOLARXAI_HERE}/list.yaml", "$SOLARXAI_HERE/list.yaml"])
def test_a_variable_in_a_path_is_that_of_the_environment(write, tmp_path, monkeypatch, spelled):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "list.yaml").write_text("a: 1")
    path = write(f"ingest: {{catalog: '{spelled}'}}")
    monkeypatch.setenv("SOLARXAI_HERE", str(tmp_path / "elsewhere"))
    found = load(path).steps[0].options["catalog"]
    assert found == tmp_path / "elsewhere" / "list.yaml"
    monkeypatch.delenv("SOLARXAI_HERE")
    told = "ingest.catalog: the environment variable SOLARXAI_HERE is not set; export it, or name"
    assert told in complaint(path)


def test_steps_of_spectra_come_in_the_order_of_the_data(write):
    order = ["synth_iris", "ingest_iris", "train", "skill", "attention"]
    workflow = load(write("".join(f"{name}:\n" for name in reversed(order))))
    assert [step.name for step in workflow.steps] == order


def test_settings_replace_options_before_the_checks(write):
    path = write("synth: {n: 300}\n")
    workflow = load(path, settings=["synth.n=4", "synth.shape=[2, 3]", "ingest.first=2", "seed=9"])
    assert workflow.steps[0].options["n"] == 4
    assert workflow.steps[0].options["shape"] == (2, 3)
    assert workflow.steps[1].options["first"] == 2
    assert workflow.seed == 9
    assert "synth.n: Input should be a valid integer" in complaint(path, settings=["synth.n=x"])


@pytest.mark.parametrize("setting", ["synth.n", "=3", "synth.n.deep=3"])
def test_a_setting_that_is_none_is_refused(write, setting):
    what = complaint(write("synth: {n: 300}"), settings=[setting])
    assert f"--set {setting}: " in what


def test_a_value_that_is_not_yaml_is_refused():
    with pytest.raises(WorkflowError, match="is not a YAML value"):
        read_value("[1,")
    assert read_value("[1, {a: 2.5}]") == [1, {"a": 2.5}]


def test_a_single_step_is_checked_like_a_file():
    workflow = single_step("synth", {"n": 2}, seed=3, threads=1)
    assert workflow.steps[0].options["seed"] == 3
    with pytest.raises(WorkflowError, match=re.escape("synth.nn: unknown key. Did you mean 'n'?")):
        single_step("synth", {"n": 2, "nn": 1}, seed=0, threads=1)


def test_options_are_described_from_the_signature():
    assert describe_options("ingest") == ["--catalog  Path [None]", "--first  int [1]"]
    assert "--options  Mapping[str, Any] [None]" in describe_options("synth")
    assert not any("cluster" in line for line in describe_options("ingest"))


def test_without_installed_pipelines_the_remedy_is_to_install(write, monkeypatch):
    monkeypatch.setitem(POINTS, "solarxai.pipelines", {})
    with pytest.raises(WorkflowError, match="no pipeline is installed"):
        load(write("ingest:"))
