"""Damage is redone shard by shard, a store is made again from its record, a run becomes a crate."""

import json
import shutil
import sys

import pytest
from stored_segment import contents, flip

from pipelines import attribute
from pipelines.cluster import PlainLoop
from solarxai import cli
from solarxai.errors import StoreError, WorkflowError
from solarxai.provenance import file_hash
from solarxai.query import open_store
from solarxai.store import Store
from solarxai.workflow import load, record, single_step
from solarxai.workflow.crate import PROFILE, write_crate
from solarxai.workflow.execution import execute
from solarxai.workflow.progress import Journal, Progress
from solarxai.workflow.repair import repair
from solarxai.workflow.reproduction import reproduce


class Counting(PlainLoop):
    """A loop that remembers the last argument of every call: the shard."""

    def __init__(self):
        self.shards = []

    def run(self, function, calls):
        for call in calls:
            self.shards.append(call[-1])
            yield from super().run(function, [call])


@pytest.fixture
def finished(spectra, tmp_path):
    """Return a copy of the small IRIS run, which its workflow carried out to its store."""
    return shutil.copytree(spectra[0], tmp_path / "run")


def mended(out, **options):
    loop = Counting()
    done = repair(
        Store(out / "store"),
        run_folder=options.get("run_folder"),
        cluster=loop,
        progress=Progress(),
    )
    return done, loop.shards


def sealed(out):
    (segment,) = Store(out / "store").segments()
    return segment, segment.root_hash, contents(segment.path)


def test_damaged_shards_are_redone_and_no_other(finished):
    segment, root, before = sealed(finished)
    flip(segment.path / "gradient" / "c.1.0.0")
    (segment.path / "score" / "c.2").unlink()
    (done,), shards = mended(finished)
    assert shards == [1, 2]
    assert done.shards == (1, 2)
    assert done.root_hash == root
    assert contents(segment.path) == before
    aside = finished / "store" / "damaged" / segment.run
    assert (aside / "gradient" / "c.1.0.0").is_file()
    assert mended(finished) == ([], [])
    (segment.path / "ledger" / "000001.json").write_bytes(b"{")
    assert mended(finished)[1] == [1]
    assert contents(segment.path) == before


def test_each_shard_damaged_alone_is_redone_alone(finished):
    segment, root, before = sealed(finished)
    for shard in segment.shards:
        flip(segment.path / "gradient" / f"c.{shard}.0.0")
        (done,), shards = mended(finished)
        assert shards == [shard]
        assert done.root_hash == root
    assert contents(segment.path) == before


def test_what_all_shards_share_is_put_back_without_redoing_a_shard(finished):
    segment, _, before = sealed(finished)
    names = ["label/c.0", "zarr.json", "headers.parquet", "classifier.safetensors", "run.json"]
    for name in names:
        flip(segment.path / name)
    shutil.rmtree(segment.path / "wavelength")
    (done,), shards = mended(finished)
    assert shards == []
    assert {*names, "wavelength/c.0", "wavelength/zarr.json"} == set(done.shared)
    assert contents(segment.path) == before
    flip(segment.path / "ledger" / "begin.json")
    assert mended(finished)[1] == []
    assert contents(segment.path) == before


def test_a_damaged_seal_is_made_again(finished):
    segment, _, before = sealed(finished)
    flip(segment.path / "SEALED.json")
    assert mended(finished)[1] == []
    assert contents(segment.path) == before


def test_a_repair_that_was_killed_goes_on(finished):
    segment, _, before = sealed(finished)
    segment.discard(1)
    segment.discard(2)
    assert mended(finished)[1] == [1, 2]
    assert contents(segment.path) == before


def test_a_run_that_is_not_finished_is_left_to_its_driver(finished):
    segment, _, _ = sealed(finished)
    (segment.path / "SEALED.json").unlink()
    (segment.path / "ledger" / "000002.json").unlink()
    assert mended(finished) == ([], [])
    flip(segment.path / "gradient" / "c.1.0.0")
    (done,), shards = mended(finished)
    assert shards == [1]
    assert done.root_hash is None


def test_a_store_elsewhere_needs_the_folder_of_its_run(finished, tmp_path):
    segment, _, before = sealed(finished)
    flip(segment.path / "label" / "c.0")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(finished / "store", elsewhere / "store")
    damaged = contents(elsewhere / "store")
    with pytest.raises(StoreError, match=r"it lacks classifier.safetensors, samples.*run-folder"):
        mended(elsewhere)
    assert contents(elsewhere / "store") == damaged
    mended(elsewhere, run_folder=finished)
    assert contents(elsewhere / "store" / "segments" / segment.run) == before


def test_a_run_folder_that_has_changed_is_refused(finished):
    segment, _, _ = sealed(finished)
    flip(segment.path / "label" / "c.0")
    sides = json.loads((finished / "split.json").read_text())
    first = next(name for name, side in sides.items() if side == "test")
    (finished / "split.json").write_text(json.dumps(sides | {first: "train"}))
    with pytest.raises(StoreError, match="samples, classifier, options or code are others"):
        mended(finished)


def test_baselines_of_another_run_are_refused(run_of_its_own):
    methods = [{"method": "expected_gradients", "samples": 8, "n_baselines": 8}]
    attribute.run(out=run_of_its_own, explainers=methods, shard_size=3)
    segment, root, _ = sealed(run_of_its_own)
    flip(segment.path / "score" / "c.1")
    file = run_of_its_own / "baselines.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"\1")
    with pytest.raises(StoreError, match="the baselines of this run are not there, or are others"):
        mended(run_of_its_own)
    file.write_bytes(whole)
    assert mended(run_of_its_own)[1] == [1]
    assert Store(run_of_its_own / "store").segment(segment.run).root_hash == root


def test_maps_of_other_code_are_not_redone(finished, monkeypatch):
    segment, _, _ = sealed(finished)
    flip(segment.path / "gradient" / "c.1.0.0")
    monkeypatch.setattr("solarxai.workflow.repair.code_hash", lambda: "0" * 64)
    with pytest.raises(StoreError, match="made by other code"):
        mended(finished)


def test_maps_of_no_explainer_are_not_redone(tmp_path):
    from stored_segment import begin, fill, rows

    from solarxai.store import create_store

    segment = fill(begin(create_store(tmp_path / "store"), rows()))
    segment.seal()
    flip(segment.path / "gradient" / "c.1.0.0")
    with pytest.raises(StoreError, match=r"run\.json does not say which explainers"):
        mended(tmp_path)


def ask(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["solarxai", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr().out


def test_verify_repairs_and_ends_with_the_same_root_hash(finished, monkeypatch, capsys):
    store = finished / "store"
    code, whole = ask(monkeypatch, capsys, "verify", store)
    assert code == 0
    (segment,) = Store(store).segments()
    flip(segment.path / "gradient" / "c.1.0.0")
    assert ask(monkeypatch, capsys, "verify", store)[0] == 1
    code, told = ask(monkeypatch, capsys, "verify", store, "--repair")
    assert code == 0
    assert f"done again: {segment.run[:12]}: shard 1\n" in told
    assert told.endswith(whole)
    assert "nothing was damaged" in ask(monkeypatch, capsys, "verify", store, "--repair")[1]


def test_a_store_is_reproduced_to_the_byte_and_differences_are_told(
    finished, tmp_path, monkeypatch, capsys
):
    """Of two processors only the name differs here: it is told, and the bytes are the same."""
    path = next((finished / "store" / "records").iterdir())
    told = json.loads(path.read_text())
    told["steps"]["attribute"]["made"]["in"][-1]["machine"]["processor"] = "an abacus"
    path.write_text(json.dumps(told))
    again = tmp_path / "again"
    code, out = ask(monkeypatch, capsys, "reproduce", finished / "store", "--out", again)
    assert code == 0, out
    assert "reproduced: every byte is the same" in out
    assert "machine: processor was an abacus, is " in out
    options = told["steps"]["attribute"]["made"]["options"]
    options["explainers"] = [{"method": "input_x_gradient", "batch_size": 256}]
    path.write_text(json.dumps(told))
    other = tmp_path / "other"
    shutil.copytree(again, other, ignore=shutil.ignore_patterns("store", "attribute.json"))
    code, out = ask(monkeypatch, capsys, "reproduce", finished / "store", "--out", other)
    assert code == 1
    assert "not reproduced: " in out
    assert "gradient/c.0.0.0" in out


def test_a_store_without_record_and_an_input_that_is_gone_are_told(finished, tmp_path):
    store = open_store(finished / "store")
    given = {"out": tmp_path / "again", "cluster": PlainLoop(), "progress": Progress()}
    with pytest.raises(WorkflowError, match="0 runs begin with 'zz'"):
        reproduce(store, run="zz", **given)
    with pytest.raises(WorkflowError, match=r"write it as step\.option=value"):
        reproduce(store, settings=["train"], **given)
    path = next((finished / "store" / "records").iterdir())
    told = json.loads(path.read_text())
    gone = {"path": "/nowhere/catalog.yaml", "sha256": "0" * 64}
    told["steps"]["ingest_iris"]["made"]["inputs"] = {"catalog": gone}
    told["steps"]["ingest_iris"]["made"]["options"]["catalog"] = gone["path"]
    del told["steps"]["synth_iris"]
    path.write_text(json.dumps(told))
    with pytest.raises(WorkflowError, match=r"--set ingest_iris\.catalog=PATH"):
        reproduce(store, **given)
    path.unlink()
    with pytest.raises(WorkflowError, match="no record of how this run was made"):
        reproduce(store, **given)


def test_the_record_holds_what_made_the_maps_and_no_hash_depends_on_it(
    spectra, spectra_of_its_own, monkeypatch
):
    _, root, _ = sealed(spectra[0])
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    options = {"explainers": [{"method": "gradient", "batch_size": 256}], "batch_size": 256}
    workflow = single_step(
        "attribute", {**options, "shard_size": 3, "split": None}, seed=0, threads=1
    )
    execute(workflow, out=spectra_of_its_own, cluster=PlainLoop(), progress=Progress())
    record.note_job(spectra_of_its_own)
    (spectra_of_its_own / "jobs" / "solarxai-ab12-4712.err").touch()
    segment, again, _ = sealed(spectra_of_its_own)
    assert again == root
    told = record.read_record(spectra_of_its_own / "store", segment.run)
    assert record.slurm_jobs(spectra_of_its_own) == ["4711", "4712"]
    made = told["steps"]["train"]["made"]
    assert made["options"]["epochs"] == 2
    assert {"seed", "threads", "cluster", "workers", "workflow", "inputs"} <= set(made)
    (where,) = made["in"]
    assert set(where["code"]) == {"version", "hash", "commit", "dirty"}
    assert {"torch", "numpy", "python"} <= set(where["versions"])
    assert {"node", "system", "processor", "cores"} == set(where["machine"])
    assert "deterministic_algorithms" in where["numerics"]
    weights = told["steps"]["train"]["files"]["classifier.safetensors"]["sha256"]
    assert weights == file_hash(spectra_of_its_own / "classifier.safetensors")
    assert segment.provenance["device"] == "cpu"


@pytest.fixture
def journalled(finished):
    """Return the run with a journal, as the command line keeps one."""
    minutes = iter(range(60))
    journal = Journal(
        finished / "run.jsonl", now=lambda: f"2026-01-01T00:{next(minutes):02d}:00+00:00"
    )
    progress = Progress(journal=journal)
    for name in record.step_records(finished):
        with progress.stage(name):
            pass
        progress.event("step done", step=name)
    return finished


def test_a_run_becomes_a_process_run_crate(journalled, tmp_path):
    from rocrate.rocrate import ROCrate

    write_crate(journalled, tmp_path / "run.zip", agent="https://orcid.org/0000-0002-1825-0097")
    crate = ROCrate(tmp_path / "run.zip")
    root = crate.root_dataset
    assert {"name", "description", "datePublished", "license"} <= set(root.properties())
    assert root["conformsTo"].id == PROFILE
    assert root["conformsTo"].type == "CreativeWork"
    assert crate.metadata.properties()["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    steps = record.step_records(journalled)
    actions = [one for one in crate.get_entities() if one.type == "CreateAction"]
    assert {one.id for one in actions} == {one.id for one in root["mentions"]}
    assert [one["name"].split()[-1] for one in root["mentions"]] == list(steps)
    for action in actions:
        assert action["instrument"].type == "SoftwareApplication"
        assert action["instrument"]["softwareVersion"]
        assert action["startTime"] < action["endTime"]
        assert action["agent"].type == "Person"
        assert "workflow.yaml" in [one.id for one in action["object"]]
        assert all(crate.dereference(one.id) is not None for one in action["result"])
    made = {one["name"].split()[-1]: one for one in actions}
    assert "store/" in [one.id for one in made["attribute"]["result"]]
    assert "classifier.safetensors" in [one.id for one in made["attribute"]["object"]]
    hashes = [one.get("sha256") for one in made["ingest_iris"]["object"]]
    assert file_hash(journalled / "data" / "catalog.yaml") in hashes


def test_a_crate_holds_the_results_and_a_workflow_that_runs(
    journalled, tmp_path, monkeypatch, capsys
):
    code, out = ask(monkeypatch, capsys, "crate", journalled, "-o", tmp_path / "crate")
    assert code == 0
    assert out.strip() == str(tmp_path / "crate")
    (segment,) = Store(journalled / "store").segments()
    (packed,) = Store(tmp_path / "crate" / "store").segments()
    assert contents(packed.path) == contents(segment.path)
    assert not (tmp_path / "crate" / "data").exists()
    workflow = load(tmp_path / "crate" / "workflow.yaml")
    assert [step.name for step in workflow.steps] == list(record.step_records(journalled))
    options = {step.name: step.options for step in workflow.steps}
    assert options["attribute"]["shard_size"] == 3
    with pytest.raises(WorkflowError, match="is there already"):
        write_crate(journalled, tmp_path / "crate", agent="a")
    with pytest.raises(WorkflowError, match="not the folder of a run that has finished a step"):
        write_crate(tmp_path, tmp_path / "other", agent="a")


def test_a_missing_rocrate_is_told(journalled, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rocrate", None)
    monkeypatch.setitem(sys.modules, "rocrate.model", None)
    with pytest.raises(WorkflowError, match=r"pip install 'solarxai\[crate\]'"):
        write_crate(journalled, tmp_path / "crate", agent="a")
