"""Workers and drivers are killed with SIGKILL at random moments, and nothing ledgered is lost.

Scheduler and nannies live in the driver: one SIGKILL ends client, scheduler and nannies together,
and there is no scheduler of its own to kill. Which shards were begun is noted by the units.
"""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

DRIVER = """
    import json, os, random, shutil, signal, sys, threading, time
    from pathlib import Path
    import psutil
    from noted_units import Noting, noted
    from pipelines import attribute
    from pipelines.cluster import LocalProcesses, PlainLoop
    from solarxai.errors import QueryError
    from solarxai.query import open_store

    out, base = map(Path, sys.argv[1:3])
    seed, worker_kills, driver_kills = map(int, sys.argv[3:6])
    OPTIONS = {"explainers": [{"method": "gradient"}], "shard_size": 3, "split": "all"}
    WORKERS, SECONDS = 2, 0.25
    dice = random.Random(seed)

    def attributed(run, log, workers=WORKERS):
        local = LocalProcesses(workers=workers) if workers else PlainLoop()
        cluster = Noting(local, log, SECONDS if workers else 0)
        try:
            made = attribute.run(out=run, cluster=cluster, **OPTIONS)
        finally:
            cluster.close()
        return {"root": json.loads((run / "attribute.json").read_text())["root hash"],
                "done": made.done, "skipped": made.skipped}

    def forked(work, *arguments):
        pid = os.fork()
        if not pid:
            try:
                (base / "told.json").write_text(json.dumps(work(*arguments)))
                os._exit(0)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
        return pid

    def told(pid):
        assert os.waitpid(pid, 0)[1] == 0
        return json.loads((base / "told.json").read_text())

    def workers(pid):
        try:
            found = psutil.Process(pid).children(recursive=True)
            return [one for one in found if "spawn_main" in " ".join(one.cmdline())]
        except psutil.Error:
            return []

    def ledgered(run):
        return {int(path.stem) for path in run.glob("store/segments/*/ledger/0*.json")}

    def looked(run):
        store = open_store(run / "store")
        assert all(finding.problem == "unfinished" for finding in store.verify())
        try:
            found = store.query().load()
        except QueryError:
            return set()
        (segment,) = store.segments()
        rows = {int(r) // segment.shard_size for r in range(segment.n_rows)
                if segment.holds(int(r) // segment.shard_size)}
        assert found.sizes["sample"] == sum(
            len(range(segment.rows(s).start, segment.rows(s).stop)) for s in rows)
        return rows

    shutil.copytree(out, base / "whole")
    whole = told(forked(attributed, base / "whole", base / "whole.log", 0))
    shards = len(ledgered(base / "whole"))
    facts = {"shards": shards, "workers killed": 0, "drivers killed": 0, "redone": 0}

    # Workers, while their driver goes on: it has to end with the same root hash.
    while facts["workers killed"] < worker_kills:
        run, log = base / f"w{facts['workers killed']}", base / f"w{facts['workers killed']}.log"
        shutil.copytree(out, run)
        pid = forked(attributed, run, log)
        while not ledgered(run):
            time.sleep(0.05)
        killed = 0
        while killed < min(4, worker_kills - facts["workers killed"]):
            time.sleep(dice.uniform(0.3, 1.0))
            alive = [one for one in workers(pid) if one.is_running()]
            if len(ledgered(run)) >= shards - 2:
                break
            if alive:
                dice.choice(alive).kill()
                killed += 1
        made = told(pid)
        facts["workers killed"] += killed
        assert killed and made["root"] == whole["root"], (killed, made, whole)
        begun, ended = noted(log, "begun"), noted(log, "ended")
        again = len(begun) - shards
        assert set(begun) == set(ended) == set(range(shards))
        assert 0 <= again <= killed, (begun, killed)
        facts["redone"] += again
        shutil.rmtree(run)

    # The driver, with the scheduler in it: the same command goes on where it was.
    run, turn = base / "d", 0
    while facts["drivers killed"] < driver_kills:
        if not run.exists():
            shutil.copytree(out, run)
        before, turn, log = ledgered(run), turn + 1, base / f"d{turn}.log"
        pid = forked(attributed, run, log)
        goal = len(before) + dice.randrange(0, 4)
        while len(ledgered(run)) < goal or not (goal or log.exists()):
            time.sleep(0.02)
        time.sleep(dice.uniform(0, 2 * SECONDS))
        left = workers(pid)
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        if not os.WIFSIGNALED(status):
            shutil.rmtree(run)  # it had ended; this was no point
            continue
        facts["drivers killed"] += 1
        gone, alive = psutil.wait_procs(left, timeout=30)
        assert not alive, "workers outlived their driver"
        held = ledgered(run)
        begun = noted(log, "begun")
        assert before <= held and looked(run) == held
        assert not before & set(begun), "a shard that was ledgered was done again"
        assert len(begun) == len(set(begun))
        lost = set(begun) - held
        assert len(lost) <= WORKERS and held - before <= set(begun)
        facts["redone"] += len(lost)
        if len(held) > shards - 6 or facts["drivers killed"] == driver_kills:
            rest = told(forked(attributed, run, base / "rest.log", 0))
            done = set(noted(base / "rest.log", "begun"))
            assert done == set(range(shards)) - held and len(done) <= shards - len(held)
            assert rest["done"] + rest["skipped"] == whole["done"]
            assert rest["root"] == whole["root"]
            shutil.rmtree(run)
            (base / "rest.log").unlink(missing_ok=True)
    print(json.dumps(facts))
"""


MANY = pytest.param(14, 10, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])


@pytest.mark.parametrize(("workers", "drivers"), [(1, 1), MANY])
def test_kills_at_random_moments_lose_only_the_shards_in_flight(
    run_of_its_own, tmp_path, workers, drivers
):
    words = [run_of_its_own, tmp_path, 6, workers, drivers]
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DRIVER), *map(str, words)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    facts = json.loads(ended.stdout.splitlines()[-1])
    assert (facts["workers killed"], facts["drivers killed"]) == (workers, drivers)
    assert facts["shards"] > 10
    assert facts["redone"] <= workers + 2 * drivers
    print(facts)
