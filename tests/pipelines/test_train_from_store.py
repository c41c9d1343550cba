"""The step `train` learns from a store as from the run that made it, and notices what changes."""

import shutil
from types import SimpleNamespace

import pytest
from pydantic_core import to_jsonable_python

from pipelines import attribute, train
from pipelines.train import Source
from solarxai.errors import WorkflowError
from solarxai.provenance import file_hash
from solarxai.workflow import load, single_step
from solarxai.workflow.execution import plan
from solarxai.workflow.progress import Progress

FILES = ("classifier.safetensors", "training.json", "split.json")

WORKFLOW = """
synth: {n: 24}
ingest:
train: {source: archive/store, epochs: 2}
"""


@pytest.fixture(scope="module")
def store(trained, tmp_path_factory):
    """Return a store of all samples of the small run; do not write in it."""
    folder = tmp_path_factory.mktemp("archive")
    out = shutil.copytree(trained, folder / "run", ignore=shutil.ignore_patterns("data"))
    attribute.run(out=out, split="all", explainers=[{"method": "gradient"}], shard_size=16)
    return (out / "store").rename(folder / "store")


def test_a_training_from_a_store_gives_the_bytes_of_one_from_the_samples(trained, store, tmp_path):
    out, lines = tmp_path / "run", []
    out.mkdir()
    display = SimpleNamespace(
        say=lines.append, open=lambda _: None, update=lambda _: None, close=lambda _: None
    )
    source = Source.of(store)
    train.run(out=out, progress=Progress(display=display), source=source, epochs=2, n_bootstrap=50)
    for name in FILES:
        assert file_hash(out / name) == file_hash(trained / name)
    (line,) = lines
    assert line.startswith("images stay in ")
    assert f" shards of {store} (" in line


@pytest.fixture
def file(store, tmp_path):
    """Return a workflow file that stands beside a copy of the store."""
    shutil.copytree(store, tmp_path / "archive" / "store")
    path = tmp_path / "from_store.yaml"
    path.write_text(WORKFLOW)
    return path


def test_its_path_is_relative_to_the_workflow_file(file, monkeypatch):
    monkeypatch.chdir("/")
    source = load(file).steps[-1].options["source"]
    assert source == Source.of(file.parent / "archive" / "store")
    assert load(file, settings=["train.source=null"]).steps[-1].options["source"] is None


def test_another_content_makes_another_key_and_other_maps_do_not(file):
    before = {item.step.name: item.key for item in plan(load(file), out=None)}
    (segment,) = (file.parent / "archive" / "store" / "segments").iterdir()
    (segment / "SEALED.json").unlink()
    assert {item.step.name: item.key for item in plan(load(file), out=None)} == before
    (segment / "ledger" / "000001.json").unlink()
    after = {item.step.name: item.key for item in plan(load(file), out=None)}
    assert [name for name in before if after[name] != before[name]] == ["train"]


def test_a_record_of_the_step_can_be_carried_out_again(file):
    options = load(file).steps[-1].options
    again = single_step("train", to_jsonable_python(dict(options)), seed=0, threads=1)
    assert again.steps[0].options == options


def test_what_cannot_be_is_told_with_its_line(file):
    with pytest.raises(WorkflowError, match=r"line 4: train\.source: .*none: no such folder"):
        load(file, settings=["train.source=none"])
    with pytest.raises(WorkflowError, match=r"line 4: train\.source: .*not a store"):
        load(file, settings=["train.source=archive"])
    with pytest.raises(WorkflowError, match="in_memory always goes with the run's own samples"):
        load(file, settings=["train.in_memory=always"])
