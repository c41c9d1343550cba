"""Jobs of a real Slurm: grown and given back, cancelled, killed, preempted, dead at start."""

import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise

import pytest
from noted_units import Noting, noted

from pipelines.cluster import WORKER_ENVIRONMENT, PlainLoop
from pipelines.cluster import jobs as watching
from pipelines.cluster import slurm as slurm_jobs
from solarxai import schema
from solarxai.errors import WorkflowError

BEFORE = dict(os.environ)
HERE = {"interface": "lo", "memory": "1GB", "walltime": "00:10:00"}


@pytest.fixture
def jobs(slurm, tmp_path, queue, monkeypatch):
    """Return a function that makes a cluster; it is closed, and leaves no job, at the end."""
    made = []
    settings = {**slurm_jobs._SETTINGS, "distributed.deploy.lost-worker-timeout": "1s"}
    monkeypatch.setattr(slurm_jobs, "_SETTINGS", settings)
    monkeypatch.setattr(slurm_jobs, "LOOK", 0.5)
    monkeypatch.setattr(watching, "LOOK", 0.5)

    def make(*, folder=tmp_path, **options):
        made.append(slurm_jobs.SlurmJobs(folder=folder, **{**HERE, **options}))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()
    wait_until(lambda: not queue(), "jobs are left")


def wait_until(true, otherwise, *, within=60.0):
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.1)


def ledgered(out):
    return len(list(out.glob("store/segments/*/ledger/0*.json")))


def running(cluster):
    """Return the numbers of the jobs whose workers are here."""
    if cluster._client is None:
        return []
    held = cluster._client.cluster
    return [str(job.job_id) for name, job in list(held.workers.items()) if name in held.observed]


def scancel(cluster, queue):
    subprocess.run(["scancel", running(cluster)[0]], check=True)


def sigkill(cluster, queue):
    """Kill a worker and the process above it, which Slurm started."""
    above = cluster._client.run(os.getppid)
    worker, nanny = next(zip(cluster._client.run(os.getpid).values(), above.values(), strict=True))
    os.kill(nanny, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)


def preempt(cluster, queue):
    """Fill all nodes for a moment with jobs of a partition that goes first."""
    for _ in range(4):
        words = ["sbatch", "--partition=urgent", "--exclusive", "-o", "/dev/null"]
        subprocess.run([*words, "--wrap", "sleep 2"], check=True, capture_output=True)


def test_a_run_whose_jobs_end_early_ends_with_the_root_hash_of_a_plain_loop(
    jobs, queue, out, finish, expected
):
    """One run: a job is cancelled, a worker killed, and all jobs are preempted."""
    cluster = jobs(folder=out, workers=2)
    seen, done = [], []

    ended = threading.Event()

    def disturbing():
        for disturb in (scancel, sigkill, preempt):
            before = ledgered(out)
            wait_until(lambda n=before: ledgered(out) >= n + 2 or ended.is_set(), "no shard")
            wait_until(lambda: len(running(cluster)) == 2 or ended.is_set(), "a job is missing")
            if not ended.is_set():
                seen.append(set(running(cluster)))
                disturb(cluster, queue)
                done.append(disturb)
        while not ended.wait(0.2):
            pass

    thread = threading.Thread(target=disturbing)
    thread.start()
    try:
        root = finish(out, Noting(cluster, out / "shards.log", 0.3))
    finally:
        seen.append(set(running(cluster)))
        ended.set()
        thread.join()
    assert root == expected
    assert done == [scancel, sigkill, preempt]
    for before, after in pairwise(seen):
        assert after - before, "no job was replaced"
    begun, kept = (noted(out / "shards.log", word) for word in ("begun", "ended"))
    assert set(begun) == set(kept)
    assert len(begun) - len(set(begun)) <= 4  # in flight: one, one, and two


def test_jobs_follow_the_work_up_and_down(jobs, queue, monkeypatch):
    monkeypatch.setattr(slurm_jobs, "IDLE", 3)
    cluster = jobs(minimum=0, maximum=4)
    peak = 0
    for _ in cluster.run(time.sleep, [(0.4,)] * 28):
        peak = max(peak, len(queue()))
    assert peak == 4
    wait_until(lambda: not queue(), "idle jobs were kept")
    assert [result for _, result in cluster.run(abs, [(-1,), (-2,)])] == [1, 2]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"python": "/no/such/python"}, "/no/such/python: No such file or directory"),
        ({"prologue": ["echo the module is not there >&2", "exit 7"]}, "the module is not there"),
    ],
    ids=["python", "prologue"],
)
def test_jobs_that_die_at_start_fail_the_run_with_the_last_lines_of_a_log(jobs, options, told):
    cluster = jobs(start_timeout=60, **options)
    began = time.monotonic()
    with pytest.raises(WorkflowError, match="ended before their worker reported") as failed:
        list(cluster.run(abs, [(-1,)]))
    assert time.monotonic() - began < 60
    assert told in str(failed.value)
    assert "ExitCode" in str(failed.value)
    assert "worker.sh" in failed.value.remedy


def test_jobs_that_start_and_never_report_fail_the_run_after_the_timeout(jobs):
    cluster = jobs(start_timeout=2, workers=1, prologue=["echo waiting for a licence", "sleep 99"])
    with pytest.raises(WorkflowError, match=r"(?s)before their worker reported.*for a licence"):
        list(cluster.run(abs, [(-1,)]))


def test_a_job_that_slurm_would_not_take_is_refused_before_anything_runs(jobs):
    with pytest.raises(WorkflowError, match=r"sbatch refuses such a job: .*invalid partition"):
        jobs(partition="nowhere")
    with pytest.raises(WorkflowError, match=r"sbatch refuses such a job: .*configuration"):
        jobs(memory="900GB")


def test_nothing_to_do_submits_no_job(jobs, queue):
    assert list(jobs().run(abs, [])) == []
    assert queue() == []


def test_each_worker_has_a_gpu_of_its_own(jobs):
    cluster = jobs(gpus=1, workers=2, directives=["--nodelist=n1"])
    assert cluster.gpus == 1
    wanted = [("CUDA_VISIBLE_DEVICES",)] * 2
    list(cluster.run(time.sleep, [(0.3,)] * 8))
    wait_until(lambda: len(cluster._client.run(os.getpid)) == 2, "a worker is missing")
    assert sorted(cluster._client.run(os.getenv, *wanted[0]).values()) == ["0", "1"]
    assert {result for _, result in cluster.run(os.getenv, wanted)} <= {"0", "1"}


def test_a_worker_starts_with_our_settings_and_listens_nowhere_else(jobs):
    cluster = jobs(workers=1)
    calls = [(name,) for name in WORKER_ENVIRONMENT]
    found = {calls[index][0]: value for index, value in cluster.run(os.getenv, calls)}
    assert found == {name: BEFORE.get(name, value) for name, value in WORKER_ENVIRONMENT.items()}
    addresses = [*cluster._client.scheduler_info()["workers"], cluster._client.scheduler.address]
    assert all(address.startswith("tls://127.0.0.1:") for address in addresses)


def test_a_unit_that_a_job_has_no_memory_for_fails_once_and_the_job_stays(jobs, queue):
    cluster = jobs(workers=1)
    results = dict(cluster.run(schema.mock_samples, [(10,), (10**6,), (20,)]))
    assert [results[0].sizes["sample"], results[2].sizes["sample"]] == [10, 20]
    assert isinstance(results[1], WorkflowError)
    assert "the unit mock_samples(1000000) needs more memory than the 0.79 GB" in results[1].what
    assert len(queue()) == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_that_comes_to_its_walltime_is_replaced(jobs, out, finish, expected):
    """A minute is the shortest that Slurm counts; it looks every half."""
    cluster = jobs(folder=out, workers=1, walltime="00:01:00")
    seen, ended = set(), threading.Event()

    def looking():
        while not ended.wait(0.5):
            seen.update(running(cluster))

    thread = threading.Thread(target=looking)
    thread.start()
    try:
        root = finish(out, Noting(cluster, out / "shards.log", 3.0))
    finally:
        ended.set()
        thread.join()
    assert root == expected
    assert len(seen) > 1
    logs = "".join(path.read_text() for path in out.glob("jobs/*.err"))
    assert "DUE TO TIME LIMIT" in logs
    begun, kept = (noted(out / "shards.log", word) for word in ("begun", "ended"))
    assert set(begun) == set(kept)
    assert 1 <= len(begun) - len(set(begun)) <= len(seen) - 1


def test_a_driver_killed_leaves_no_job_and_the_run_goes_on(
    slurm, queue, workflow, out, finish, expected
):
    slowly = "import noted_units; noted_units.slow_down(0.3); from solarxai.cli import main; main()"
    words = [sys.executable, "-c", slowly, "run", str(workflow)]
    spelled = "{kind: slurm, interface: lo, memory: 1GB, start_timeout: 60}"
    words += ["--out", str(out), "--cluster", spelled, "--workers", "3"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    driver = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE)
    wait_until(lambda: ledgered(out) >= 2 or driver.poll() is not None, "no shard was written")
    driver.kill()
    assert driver.communicate()[1].count(b"Traceback") == 0
    wait_until(lambda: not queue(), "worker jobs outlived their scheduler")
    assert not list(out.glob("store/segments/*/SEALED.json"))
    assert ledgered(out) >= 2
    assert finish(out, PlainLoop()) == expected
