"""Steps are made once: kept when whole, gone on with when interrupted, refused when changed."""

import fcntl
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pytest

from solarxai.errors import WorkflowError
from solarxai.workflow.execution import execute, plan
from solarxai.workflow.plan import Folder, InputFile, Outcome, PathMeaning, Step, Workflow
from solarxai.workflow.progress import Progress

OUTPUTS = ("data/*.txt", "store/**/*")


class NoCluster:
    def run(self, function, calls):
        yield from ()

    def close(self):
        pass


def synth(*, out: Path, cluster, progress, threads, n: int = 2, fail_at: int = -1) -> Outcome:
    (out / "data").mkdir(exist_ok=True)
    paths = [out / "data" / f"{index}.txt" for index in range(n)]
    made = [path for path in paths if not path.exists()]
    for index, path in enumerate(paths):
        if index == fail_at:
            raise KeyboardInterrupt
        path.write_text(f"scene {index} of {n}")
    (out / "data" / "list.txt").write_text(str(n))
    return Outcome(
        outputs=(out / "data" / "list.txt",),
        units=tuple(paths),
        done=len(made),
        skipped=n - len(made),
        figures={"scenes": n},
        sentences=("It is drawn.",),
    )


def ingest(*, out: Path, cluster, progress, threads, size: int = 3) -> Outcome:
    (out / "ingest.json").write_text(str(size))
    return Outcome(outputs=(out / "ingest.json",), done=1)


def steps(*pairs):
    return Workflow(
        name="toy",
        steps=tuple(Step(name=run.__name__, run=run, options=options) for run, options in pairs),
    )


def toy(n=2, size=3, **options):
    return steps((synth, {"n": n, **options}), (ingest, {"size": size}))


def go(workflow, out, **options):
    return execute(workflow, out=out, cluster=NoCluster(), progress=Progress(), **options)


def test_a_run_repeated_does_nothing_and_remembers_what_it_was(tmp_path):
    first = go(toy(), tmp_path / "out")
    again = go(toy(), tmp_path / "out")
    assert [result.kept for result in first] == [False, False]
    assert [result.kept for result in again] == [True, True]
    assert again[0].outcome.figures == {"scenes": 2}
    assert again[0].outcome.sentences == ("It is drawn.",)
    assert again[0].outcome.units == first[0].outcome.units


def test_keys_do_not_depend_on_the_folder(tmp_path):
    one, two = go(toy(), tmp_path / "a"), go(toy(), tmp_path / "deep" / "b")
    assert [result.key for result in one] == [result.key for result in two]


def test_an_option_changes_the_keys_of_its_step_and_of_those_behind_it(tmp_path):
    keys = [item.key for item in plan(toy(), out=None)]
    behind = [item.key for item in plan(toy(size=4), out=None)]
    before = [item.key for item in plan(toy(n=5), out=None)]
    assert keys[0] == behind[0]
    assert keys[1] != behind[1]
    assert keys[0] != before[0]
    assert keys[1] != before[1]


def test_threads_are_part_of_every_key():
    assert plan(toy(), out=None)[0].key != plan(replace(toy(), threads=3), out=None)[0].key


def test_a_file_among_the_options_stands_for_its_bytes(tmp_path):
    here, there = tmp_path / "a.yaml", tmp_path / "b.yaml"
    here.write_text("same")
    there.write_text("same")
    keys = {
        plan(steps((ingest_from, {"catalog": path})), out=None)[0].key for path in (here, there)
    }
    there.write_text("other")
    keys.add(plan(steps((ingest_from, {"catalog": there})), out=None)[0].key)
    assert len(keys) == 2


def ingest_from(
    *, out: Path, cluster, progress, threads, catalog: InputFile, store: Folder | None = None
) -> Outcome:
    return Outcome(outputs=())


ingest_from.__name__ = "ingest"


def test_a_folder_to_write_in_is_no_part_of_a_key(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("same")
    options = [{"catalog": file, "store": store} for store in (None, tmp_path / "elsewhere")]
    assert len({plan(steps((ingest_from, given)), out=None)[0].key for given in options}) == 1


def test_changed_options_are_refused_and_named(tmp_path):
    go(toy(), tmp_path)
    with pytest.raises(WorkflowError, match=re.escape("synth (synth.n was 2, is 4)")):
        go(toy(n=4), tmp_path)
    assert not (tmp_path / "data" / "3.txt").exists()


def test_resume_makes_changed_steps_again_and_leaves_nothing_of_the_old(tmp_path):
    go(steps((synth, {"n": 4})), tmp_path)
    results = go(steps((synth, {"n": 2})), tmp_path, resume=True)
    assert [result.kept for result in results] == [False]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "0.txt", "1.txt", "list.txt",
    ]  # fmt: skip
    assert (tmp_path / "data" / "0.txt").read_text() == "scene 0 of 2"


def test_an_interrupted_step_goes_on_without_being_told_to(tmp_path):
    workflow = toy(n=5)
    broken = Workflow(name="toy", steps=(replace(workflow.steps[0], run=interrupted),))
    with pytest.raises(KeyboardInterrupt):
        go(broken, tmp_path)
    assert plan(workflow, out=tmp_path)[0].state == "unfinished"
    assert go(workflow, tmp_path)[0].outcome.skipped == 3


def interrupted(*, out: Path, cluster, progress, threads, n: int = 2) -> Outcome:
    return synth(out=out, cluster=cluster, progress=progress, threads=threads, n=n, fail_at=3)


def test_an_altered_output_is_found_and_made_again(tmp_path):
    go(toy(), tmp_path)
    (tmp_path / "data" / "list.txt").write_text("9")
    state = plan(toy(), out=tmp_path)[0]
    assert (state.state, state.reason) == ("damaged", "data/list.txt is missing or altered")
    assert [result.kept for result in go(toy(), tmp_path)] == [False, True]
    assert (tmp_path / "data" / "list.txt").read_text() == "2"


def test_a_unit_that_is_gone_is_found(tmp_path):
    go(toy(), tmp_path)
    (tmp_path / "data" / "1.txt").unlink()
    assert plan(toy(), out=tmp_path)[0].state == "damaged"


def test_until_stops_behind_a_step(tmp_path):
    assert [result.name for result in go(toy(), tmp_path, until="synth")] == ["synth"]
    assert not (tmp_path / "ingest.json").exists()


def test_a_step_finds_what_an_earlier_run_made(tmp_path):
    go(steps((synth, {"n": 2})), tmp_path)
    alone = go(steps((ingest, {"size": 3})), tmp_path)
    whole = go(toy(), tmp_path)
    assert alone[0].key == whole[1].key
    assert [result.kept for result in whole] == [True, True]


def test_a_step_without_its_input_is_refused(tmp_path):
    with pytest.raises(WorkflowError, match="the step 'ingest' reads what 'synth' makes"):
        go(steps((ingest, {"size": 3})), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(WorkflowError, match="is no run of solarxai"):
        go(toy(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(WorkflowError, match="is no run of solarxai"):
        go(toy(), tmp_path / "out")


def test_a_folder_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(WorkflowError, match="cannot be made"):
        go(toy(), tmp_path / "out" / "deeper")


def test_two_runs_do_not_share_a_folder(tmp_path):
    go(toy(), tmp_path)
    with (tmp_path / "steps" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(WorkflowError, match="another run is at work"):
            go(toy(), tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"step": "synth"}', ""])
def test_a_record_that_is_none_is_named(tmp_path, text):
    go(toy(), tmp_path)
    record = tmp_path / "steps" / "synth.json"
    record.write_text(text)
    with pytest.raises(WorkflowError, match=re.escape(f"{record}: not the record of a step")):
        go(toy(), tmp_path)


def test_records_name_no_path_of_this_machine(tmp_path):
    go(toy(), tmp_path / "out")
    for record in (tmp_path / "out" / "steps").glob("*.json"):
        assert str(tmp_path) not in record.read_text()
        assert json.loads(record.read_text())["state"] == "done"


def test_leftovers_of_a_killed_write_are_swept(tmp_path):
    go(toy(), tmp_path)
    (tmp_path / "data" / ".7.fits.k2j4h5").write_text("half")
    (tmp_path / ".gitignore").write_text("*")
    go(toy(), tmp_path)
    assert not (tmp_path / "data" / ".7.fits.k2j4h5").exists()
    assert (tmp_path / ".gitignore").exists()


@pytest.mark.parametrize("name", ["flares.csv", "skill.md", "roc.png", "index.html", "r.json"])
def test_leftovers_of_every_kind_of_output_are_swept(tmp_path, name):
    go(toy(), tmp_path)
    (tmp_path / "data" / f".{name}.k2j4h5").write_text("half")
    (tmp_path / "data" / f".{name}").write_text("mine")
    go(toy(), tmp_path)
    assert not (tmp_path / "data" / f".{name}.k2j4h5").exists()
    assert (tmp_path / "data" / f".{name}").exists()


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("ingest_iris", "'synth_iris' makes.*, or give ingest_iris a catalog"),
        ("skill", "'ingest_iris' makes"),
        ("train", "'ingest' or 'ingest_iris' makes"),
        ("attention", "'attribute' makes"),
    ],
)
def test_a_step_of_spectra_without_its_input_names_what_makes_it(tmp_path, name, needs):
    alone = Workflow(name="toy", steps=(Step(name=name, run=ingest, options={"size": 3}),))
    with pytest.raises(WorkflowError, match=f"the step '{name}' reads what {needs}"):
        go(alone, tmp_path)


def test_training_follows_spectra_as_it_follows_images(tmp_path):
    """The key of a step is that of what it reads: another ingest, another key."""
    file, keys = tmp_path / "mine.yaml", set()
    file.write_text("mine")
    for kind in ("ingest", "ingest_iris"):
        made = Step(name=kind, run=ingest_from, options={"catalog": file})
        train = Step(name="train", run=ingest, options={"size": 3})
        planned = plan(Workflow(name="toy", steps=(made, train)), out=None)
        assert list(planned[1].ingredients["needs"]) == [kind]
        keys.add(planned[1].key)
    assert len(keys) == 2


def test_the_meaning_of_a_path_is_found_below_an_option_that_may_be_absent():
    from solarxai.workflow.record import path_meaning

    assert path_meaning(Annotated[Path, PathMeaning("bytes")] | None) == "bytes"
    assert path_meaning(Path) == ""
