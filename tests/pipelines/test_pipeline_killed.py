"""A run is killed with SIGKILL at every write to its store, and loses at most the shard in flight.

Every write, renaming and removal below the store is counted through an audit hook, and every
fsync; a child process is killed before each of them in turn. What no kill changes (the samples and
the hash of the code) is read once, before the children are forked.
"""

import json
import subprocess
import sys
import textwrap

import pytest

DRIVER = """
    import json, os, shutil, signal, sys
    from pathlib import Path
    import numpy as np
    from pipelines import attribute
    from solarxai import blocks
    from solarxai.attribution import bridge
    from solarxai.provenance import code_hash
    from solarxai.query import open_store
    from solarxai.errors import QueryError
    from solarxai.store import Store

    out, base = map(Path, sys.argv[1:3])
    beginning, filling = map(int, sys.argv[3:5])
    LANES = 2
    held, code = blocks.open_samples(out / "samples"), code_hash()
    blocks.open_samples = lambda folder: held.copy()
    attribute.code_hash = bridge.code_hash = lambda: code
    SMALL = {"explainers": [{"method": "gradient"}], "shard_size": 3}
    CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"}

    def writes(event, arguments):
        if event == "open":
            return bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        return event in CHANGES

    def attributed(run, die_at):
        count = begun = 0
        def step():
            nonlocal count
            count += 1
            if count == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
        def hook(event, arguments):
            nonlocal begun
            if event == "os.rename" and Path(arguments[1]).parent.name == "segments":
                begun = count + 1
            if writes(event, arguments) and str(run / "store") in os.fspath(arguments[0]):
                step()
        fsync = os.fsync
        def counted(descriptor):
            step()
            fsync(descriptor)
        def hooked(event, arguments):
            try:
                hook(event, arguments)
            except TypeError:  # a descriptor, not a path
                pass
        os.fsync = counted
        sys.addaudithook(hooked)
        made = attribute.run(out=run, **SMALL)
        told = json.loads((run / "attribute.json").read_text())
        return {"writes": count, "begun": begun, "done": made.done, "root": told["root hash"]}

    def looked(run):
        # what a reader sees after the kill: sound shards, and no row of another
        if not (run / "store" / "store.json").exists():
            return {"rows": 0, "shards": 0}
        store = open_store(run / "store")
        assert all(finding.problem == "unfinished" for finding in store.verify())
        held = [s for one in store.segments() for s in one.shards if one.holds(s)]
        rows = [r for one in store.segments() for s in held
                for r in range(one.rows(s).start, one.rows(s).stop)]
        try:
            found = store.query().load()
        except QueryError:
            assert not rows
            return {"rows": 0, "shards": 0}
        right = np.load(base / "right.npz", allow_pickle=True)
        assert found.sample_id.values.tolist() == right["ids"][rows].tolist()
        assert (found.gradient.values == right["maps"][rows]).all()
        return {"rows": len(rows), "shards": len(held)}

    def reference(run):
        found = open_store(run / "store").query().load()
        np.savez(base / "right.npz", ids=found.sample_id.values, maps=found.gradient.values)
        return found.sizes["sample"]

    def forked(base, work, *arguments):
        pid = os.fork()
        if not pid:
            try:
                (base / "told.json").write_text(json.dumps(work(*arguments)))
                os._exit(0)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
        return pid

    def child(base, work, *arguments):
        return os.waitpid(forked(base, work, *arguments), 0)[1]

    def told(base, work, *arguments):
        assert child(base, work, *arguments) == 0
        return json.loads((base / "told.json").read_text())

    shutil.copytree(out, base / "whole")
    whole = told(base, attributed, base / "whole", None)
    n = told(base, reference, base / "whole")
    begun, writes_in_all = whole["begun"], whole["writes"]
    points = [*range(1, begun, beginning), *range(begun, writes_in_all + 1, filling)]

    def killed(lane, points):
        lost, again = [], 0
        for point in points:
            run = lane / "killed"
            shutil.copytree(out, run, ignore=shutil.ignore_patterns("samples"))
            (run / "samples").symlink_to(out / "samples")
            status = child(lane, attributed, run, point)
            assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (point, status)
            seen = told(lane, looked, run)
            lost.append([point, seen["shards"]])
            if point >= begun or not (point - 1) % 20:
                again += 1
                resumed = told(lane, attributed, run, None)
                assert resumed["done"] == n - seen["rows"], (point, resumed, seen)
                assert resumed["root"] == whole["root"], point
                assert told(lane, looked, run)["rows"] == n
                assert not list((run / "store").rglob(".*"))
            shutil.rmtree(run)
        return {"lost": lost, "resumed": again}

    lanes = [base / f"lane{number}" for number in range(LANES)]
    for lane in lanes:
        (lane / "own").mkdir(parents=True)
    pids = [forked(lane, killed, lane / "own", points[k::LANES]) for k, lane in enumerate(lanes)]
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * LANES
    made = [json.loads((lane / "told.json").read_text()) for lane in lanes]
    lost = sorted(point for one in made for point in one["lost"])
    resumed = sum(one["resumed"] for one in made)
    facts = {"writes": writes_in_all, "begun": begun, "resumed": resumed, "lost": lost}
    print(json.dumps(facts))
"""


EVERY = pytest.param(1, 1, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])


@pytest.mark.parametrize(("beginning", "filling"), [(300, 11), EVERY])
def test_a_run_killed_at_any_write_loses_no_shard_that_was_ledgered(
    run_of_its_own, tmp_path, beginning, filling
):
    words = [run_of_its_own, tmp_path, beginning, filling]
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DRIVER), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["writes"] > told["begun"] > 100
    shards = [held for _, held in told["lost"]]
    assert shards == sorted(shards)  # what was ledgered stays
    assert {held for point, held in told["lost"] if point <= told["begun"]} == {0}
    print({**told, "lost": len(shards)})
    assert set(shards) == {0, 1, 2, 3} if filling == 1 else len(set(shards)) > 2
