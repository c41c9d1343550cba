"""What SlurmJobs says and does before and beside a real Slurm: options, refusals, watching jobs."""

import os
from pathlib import Path

import pytest

from pipelines.cluster import jobs
from pipelines.cluster import slurm as slurm_jobs
from pipelines.cluster.jobs import LOOK, TRIES, JobWatch
from solarxai.errors import WorkflowError
from solarxai.workflow import load
from solarxai.workflow.clusters import spelled_placement


class Job:
    """A job as dask-jobqueue has it."""

    numbers = iter(range(1, 10**6))

    def __init__(self):
        self.job_id = str(next(self.numbers))
        self.cancelled = False

    async def close(self):
        self.cancelled = True


class Loop:
    """An event loop that runs at once what it is given."""

    def add_callback(self, function, *arguments):
        coroutine = function(*arguments)
        with pytest.raises(StopIteration):
            coroutine.send(None)


class Adapting:
    """A cluster whose missing jobs are submitted before each look."""

    def __init__(self, names):
        self.names, self.workers, self.observed, self.loop = names, {}, set(), Loop()
        self.refill()

    def refill(self):
        for name in self.names:
            self.workers.setdefault(name, Job())


class Scene:
    """A queue, a clock, a folder of logs and a watch over them."""

    def __init__(self, folder: Path, names="ab", **options):
        self.now, self.states, self.cluster = 0.0, {}, Adapting(names)
        options = {"start_timeout": 10.0, "patience": 4, **options}
        self.watch = JobWatch(
            self.cluster, name="x", logs=folder, clock=lambda: self.now, **options
        )

    def look(self, **states):
        """Look with the jobs of these names in these states, the others gone."""
        self.cluster.refill()
        self.states = {self.cluster.workers[name].job_id: state for name, state in states.items()}
        self.now += LOOK
        self.watch.look(False)


@pytest.fixture
def scene(tmp_path, monkeypatch):
    made = []

    def make(**options):
        made.append(Scene(tmp_path, **options))
        return made[-1]

    monkeypatch.setattr(jobs, "_states", lambda name: made[-1].states)
    monkeypatch.setattr(jobs, "_ending", lambda job: "(ExitCode=7:0)")
    return make


def test_a_job_may_wait_in_the_queue_for_days(scene):
    watched = scene()
    for _ in range(1000):
        watched.look(a="PENDING", b="PENDING")
    assert not any(job.cancelled for job in watched.cluster.workers.values())


def test_jobs_dead_at_start_are_replaced_and_then_given_up(scene, tmp_path):
    watched = scene()
    for _ in range(TRIES - 1):
        watched.look()
        assert watched.cluster.workers == {}
    watched.cluster.refill()
    last = max(job.job_id for job in watched.cluster.workers.values())
    text = "".join(f"line {number}\n" for number in range(40))
    for job in watched.cluster.workers.values():
        (tmp_path / f"x-{job.job_id}.err").write_text(text)
    with pytest.raises(WorkflowError, match="6 jobs of Slurm ended before their worker") as failed:
        watched.look()
    told = str(failed.value)
    assert f"job {last} (ExitCode=7:0); the last lines of {tmp_path}/x-{last}.err:" in told
    assert "| line 25\n" in told
    assert "line 24\n" not in told


def test_a_dead_job_without_a_log_is_told_so(scene, tmp_path):
    watched = scene()
    for _ in range(TRIES - 1):
        watched.look()
    with pytest.raises(WorkflowError, match=f"left no log in {tmp_path}"):
        watched.look()


def test_one_bad_node_does_not_end_a_run_that_has_workers(scene):
    watched = scene()
    watched.cluster.observed = {"a"}
    for _ in range(20):
        watched.look(a="RUNNING")
    watched.cluster.observed = set()
    watched.look(a="RUNNING", b="PENDING")


def test_a_job_that_runs_too_long_without_a_worker_is_cancelled(scene):
    watched = scene(names="a")
    (stuck,) = watched.cluster.workers.values()
    for _ in range(int(10 / LOOK) + 1):
        assert not stuck.cancelled
        watched.look(a="RUNNING")
    watched.look(a="RUNNING")
    assert stuck.cancelled


def test_workers_that_come_and_go_without_a_unit_end_the_run(scene):
    watched = scene(names="a", patience=3)
    watched.cluster.observed = {"a"}
    for _ in range(3):
        watched.look(a="RUNNING")
        del watched.cluster.workers["a"]
    with pytest.raises(WorkflowError, match="4 jobs came and went without ending one") as failed:
        watched.look(a="RUNNING")
    assert "longer walltime" in failed.value.remedy


def test_a_unit_that_ends_makes_up_for_workers_that_went(scene):
    watched = scene(names="a", patience=3)
    for _ in range(10):
        watched.cluster.observed = {"a"}
        watched.look(a="RUNNING")
        watched.watch.look(True)
        del watched.cluster.workers["a"]


def test_a_queue_that_does_not_answer_condemns_no_job(scene, monkeypatch):
    watched = scene()
    monkeypatch.setattr(jobs, "_states", lambda name: None)
    for _ in range(100):
        watched.look()


def test_the_queue_is_asked_by_name_and_may_fail(monkeypatch, tmp_path):
    program = tmp_path / "squeue"
    program.write_text('#!/bin/sh\necho "$@" > "$0.words"; printf "7 RUNNING\\n8 PENDING\\n"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert jobs._states("mine") == {"7": "RUNNING", "8": "PENDING"}
    assert "--name=mine" in Path(f"{program}.words").read_text()
    program.write_text("#!/bin/sh\nexit 1\n")
    assert jobs._states("mine") is None


@pytest.fixture
def sbatch(monkeypatch, tmp_path):
    """Put a program `sbatch` on the path that keeps what it is asked and says yes."""
    program = tmp_path / "sbatch"
    program.write_text(f"#!/bin/sh\ncat > {tmp_path}/asked\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "asked"


def test_a_job_asks_for_what_the_options_say(sbatch, tmp_path):
    slurm_jobs.SlurmJobs(
        folder=tmp_path, partition="long", account="sun", walltime="1-00:00:00", memory="6 GiB",
        cores=3, gpus=1, prologue=["module load cuda"], directives=["--constraint=icelake"],
        python="/opt/my python",
    ).close()  # fmt: skip
    lines = sbatch.read_text().splitlines()
    for word in (
        "-p long", "-A sun", "-t 1-00:00:00", "--mem=6G", "--cpus-per-task=3", "--gres=gpu:1",
        "--no-requeue", "--constraint=icelake",
    ):  # fmt: skip
        assert f"#SBATCH {word}" in lines
    assert lines.index("module load cuda") == len(lines) - 2
    assert lines[-1].startswith("'/opt/my python' -m distributed.cli.dask_worker tls://")
    assert "--nthreads 1 " in lines[-1]
    assert 'export MALLOC_TRIM_THRESHOLD_="${MALLOC_TRIM_THRESHOLD_:-536870912}"' in lines
    exported = [line.split("=")[0].removeprefix("export ") for line in lines if "export " in line]
    assert "DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION" in exported
    assert all(name.isidentifier() for name in exported)


def test_without_options_the_site_decides(sbatch, tmp_path):
    slurm_jobs.SlurmJobs(folder=tmp_path).close()
    text = sbatch.read_text()
    assert "#SBATCH -p" not in text
    assert "#SBATCH -A" not in text
    assert "--gres" not in text


def test_without_slurm_the_remedy_is_a_login_node(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorkflowError, match="there is no program `sbatch` on this machine"):
        slurm_jobs.SlurmJobs(folder=tmp_path)


def test_what_sbatch_refuses_is_told_before_anything_runs(sbatch, tmp_path):
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho 'invalid   partition' >&2; exit 1\n")
    with pytest.raises(WorkflowError, match="sbatch refuses such a job: invalid partition"):
        slurm_jobs.SlurmJobs(folder=tmp_path)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("walltime: an hour", "cluster.walltime: String should match pattern"),
        ("memory: 4", "cluster.memory: Input should be a valid string, not 4"),
        ("memory: 4 cups", "cluster.memory: String should match pattern"),
        ("gpus: 2", "cluster.gpus: Input should be less than or equal to 1"),
        ("cores: 0", "cluster.cores: Input should be greater than or equal to 1"),
        ("prologue: module load", "cluster.prologue: Input should be a valid array"),
        ("minimum: 3, maximum: 2", "cluster: slurm: minimum 3 is above maximum 2"),
        ("start_timeout: 0", "cluster.start_timeout: Input should be greater than 0"),
        ("partitoin: a", "cluster.partitoin: unknown key. Did you mean 'partition'?"),
    ],
)
def test_options_are_checked_like_those_of_a_step(tmp_path, options, told):
    path = tmp_path / "slurm.yaml"
    path.write_text(f"synth: {{n: 1}}\ncluster: {{kind: slurm, {options}}}\n")
    with pytest.raises(WorkflowError) as refused:
        load(path)
    assert told in refused.value.what


def test_a_walltime_and_all_other_options_come_from_a_file_or_the_line(tmp_path):
    words = (
        "{kind: slurm, partition: gpu, walltime: 12:00:00, memory: 8GB, cores: 2, gpus: 1, "
        "prologue: [module load cuda], minimum: 1, maximum: 40, start_timeout: 120}"
    )
    (tmp_path / "slurm.yaml").write_text(f"synth: {{n: 1}}\ncluster: {words}\n")
    written = load(tmp_path / "slurm.yaml").cluster
    assert (written.kind, written.options["walltime"]) == ("slurm", "12:00:00")
    assert spelled_placement(words, beside=load(tmp_path / "slurm.yaml").cluster) == written


def test_without_dask_jobqueue_the_remedy_is_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm_jobs, "SLURMCluster", None)
    (tmp_path / "slurm.yaml").write_text("synth: {n: 1}\ncluster: slurm\n")
    with pytest.raises(WorkflowError, match=r"needs dask-jobqueue; run `pip install 'solarxai"):
        load(tmp_path / "slurm.yaml")
