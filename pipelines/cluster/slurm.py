"""Units of work in jobs of Slurm, one worker a job, through dask-jobqueue."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import dask
from distributed import Client
from distributed.security import Security
from distributed.utils import get_ip
from pydantic import Field

from pipelines.cluster.jobs import LOOK, JobWatch
from pipelines.cluster.memory import Memory, in_bytes
from pipelines.cluster.window import (
    SETTINGS,
    WINDOW,
    WORKER_ENVIRONMENT,
    Connection,
    run_windowed,
)
from solarxai.errors import WorkflowError

try:
    from dask_jobqueue.slurm import SLURMCluster, SLURMJob
except ImportError:
    SLURMCluster = SLURMJob = None

__all__ = ["SlurmJobs", "complaints"]

Positive = Annotated[int, Field(ge=1)]
Jobs = Annotated[int, Field(ge=0)]
Walltime = Annotated[str, Field(pattern=r"^(\d+-)?\d{1,3}:\d{2}:\d{2}$")]

IDLE = 30
"""Looks, a second apart, at which a job has nothing to do before it is given back."""

BESIDE = 200 * 2**20
"""Bytes of a job that its worker does not have: Dask's nanny beside it, 60 MB when it has started,
and the files that both map."""

LOSSES = 10
"""Workers that may end during one unit (walltime, preemption) before the unit is held to blame."""


class SlurmJobs:
    """Runs the units in jobs of Slurm, each with one worker of one thread.

    The first unit submits them, and half a minute without work gives them back. A job that ends
    (walltime, scancel, preemption, a dead node) is replaced and its units are done elsewhere; jobs
    that end before their worker reports are replaced twice, then the run fails with the last lines
    of a log. Scheduler and workers talk TLS, with a certificate of this run, so that nobody else on
    a shared machine can send them work.

    Parameters
    ----------
    folder
        Folder of the run, on a file system that the nodes share; logs go to `folder/jobs`.
    workers
        Jobs at most, unless `maximum` says otherwise.
    partition, account
        Where to queue and whom to charge; the site's default if empty.
    walltime
        Of one job, [days-]hours:minutes:seconds. Longer than the longest unit.
    memory
        Of one job; a unit that needs more fails and says so.
    cores
        Reserved for one job. Its worker computes on one.
    gpus
        Reserved for one job, 0 or 1: one worker a GPU.
    prologue
        Lines of shell before the worker starts, such as `module load cuda`.
    directives
        More words for sbatch, such as `--constraint=icelake`.
    interface
        Network interface that scheduler and workers listen on, such as `ib0`; the one of the
        default route if empty.
    python
        Python of the nodes; the one that runs this if empty.
    minimum, maximum
        Jobs at least and at most; both are `workers` if None. With a smaller minimum, jobs follow
        the work.
    start_timeout
        Seconds from the start of a job (not from its submission) to the report of its worker.

    Raises
    ------
    WorkflowError
        when this machine has no Slurm, or when Slurm would not take such a job.
    """

    def __init__(
        self,
        *,
        folder: Path,
        workers: int = 2,
        partition: str = "",
        account: str = "",
        walltime: Walltime = "01:00:00",
        memory: Memory = "4GB",
        cores: Positive = 1,
        gpus: Annotated[int, Field(ge=0, le=1)] = 0,
        prologue: list[str] | None = None,
        directives: list[str] | None = None,
        interface: str = "",
        python: str = "",
        minimum: Jobs | None = None,
        maximum: Positive | None = None,
        start_timeout: Annotated[float, Field(gt=0)] = 300.0,
    ) -> None:
        self._folder = folder / "jobs"
        self._memory = max(in_bytes(memory) - BESIDE, 0)
        self.gpus = gpus
        self._maximum = maximum or workers
        self._minimum = self._maximum if minimum is None else min(minimum, self._maximum)
        self._start_timeout = start_timeout
        self._interface = interface
        self._name = f"solarxai-{uuid.uuid4().hex[:8]}"
        self._words = {
            "queue": partition or None,
            "account": account or None,
            "walltime": walltime,
            "memory": memory,
            "cores": 1,
            "processes": 1,
            "job_cpu": cores,
            "job_name": self._name,
            "interface": interface or None,
            "python": shlex.quote(python or sys.executable),
            "death_timeout": max(60, int(start_timeout)),
            "job_script_prologue": [*_exports(), *(prologue or ())],
            # A requeued job would come back beside the one that replaced it.
            "job_extra_directives": [
                "--no-requeue",
                *(["--gres=gpu:1"] if gpus else []),
                *(directives or ()),
            ],
            "worker_extra_args": ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"],
        }
        self._held = ExitStack()
        self._client: Client | None = None
        self._watch: JobWatch | None = None
        _ask(SLURMJob("tls://here:0", name=self._name, **self._words).job_script())

    def run(
        self, function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        """Yield (index of the call, its result or the `SolarxaiError` it raised) as they end.

        Raises
        ------
        WorkflowError
            when jobs end before their workers report, or come and go without ending a unit.
        """
        window = WINDOW * self._maximum
        return run_windowed(self._connection, function, calls, window=window, memory=self._memory)

    def close(self) -> None:
        """Cancel the jobs, if any were submitted."""
        self._held.close()
        self._client = self._watch = None

    def _connected(self) -> tuple[Client, JobWatch]:
        if self._client is None or self._watch is None:
            logging.getLogger("distributed").setLevel(logging.ERROR)
            self._held.enter_context(dask.config.set(_SETTINGS))
            self._folder.mkdir(parents=True, exist_ok=True)
            cluster = self._held.enter_context(self._submitting())
            (self._folder / "worker.sh").write_text(cluster.job_script())
            self._client = self._held.enter_context(Client(cluster))
            self._watch = JobWatch(
                cluster,
                name=self._name,
                logs=self._folder,
                start_timeout=self._start_timeout,
                patience=LOSSES * self._maximum,
            )
        return self._client, self._watch

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        client, watch = self._connected()
        self._adapt(self._minimum)
        try:
            yield Connection(client, watch.look, LOOK)
        finally:
            self._adapt(0)

    def _adapt(self, minimum: int) -> None:
        """Keep so many jobs at least; between steps none, so that nothing idles for hours."""
        if self._client is not None:
            self._client.cluster.adapt(
                minimum=minimum,
                maximum=self._maximum,
                interval="1s",
                target_duration="1s",
                wait_count=IDLE,
            )

    def _submitting(self) -> Any:
        place = {"interface": self._interface} if self._interface else {"host": get_ip()}
        return SLURMCluster(
            name=self._name,
            security=self._secured(),
            protocol="tls://",
            log_directory=str(self._folder),
            scheduler_options={**place, "dashboard_address": "127.0.0.1:0"},
            **self._words,
        )

    def _secured(self) -> Security:
        """Return a certificate of this run, in files that the nodes can read until its end."""
        made = Security.temporary()
        texts = {"ca": made.tls_ca_file, "cert": made.tls_worker_cert, "key": made.tls_worker_key}
        paths = {name: self._folder / f"{self._name}.{name}" for name in texts}
        for path in paths.values():
            self._held.callback(path.unlink, missing_ok=True)
        files = {name: _written(path, texts[name]) for name, path in paths.items()}
        roles = {
            f"tls_{role}_{name}": files[name]
            for role in ("client", "scheduler", "worker")
            for name in ("cert", "key")
        }
        return Security(tls_ca_file=files["ca"], require_encryption=True, **roles)


def _written(path: Path, text: str) -> str:
    """Write a file that nobody else may read; return its path."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(text)
    return str(path)


_SETTINGS = {
    **SETTINGS,
    "distributed.deploy.lost-worker-timeout": "5s",
    "distributed.scheduler.allowed-failures": LOSSES,
}


def complaints(options: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the options together, and whether anything is missing here."""
    found = []
    minimum, maximum = options["minimum"], options["maximum"]
    if minimum is not None and maximum is not None and minimum > maximum:
        found.append(f"minimum {minimum} is above maximum {maximum}")
    if SLURMCluster is None:
        found.append("needs dask-jobqueue; run `pip install 'solarxai[slurm]'`")
    return found


def _exports() -> list[str]:
    """Return the settings of a worker as lines of shell; those of the user are kept."""
    settings = {
        f"DASK_{name.replace('.', '__').replace('-', '_').upper()}": str(value)
        for name, value in SETTINGS.items()
    }
    return [
        f'export {name}="${{{name}:-{value}}}"'
        for name, value in (WORKER_ENVIRONMENT | settings).items()
    ]


def _ask(script: str) -> None:
    """Ask Slurm whether it would take a job, before anything runs."""
    sbatch = shutil.which("sbatch")
    if sbatch is None:
        raise WorkflowError(
            "cluster: slurm: there is no program `sbatch` on this machine",
            remedy="Run on a login node of the cluster, or choose `cluster: local`.",
        )
    asked = subprocess.run(
        [sbatch, "--test-only"], input=script, capture_output=True, text=True, check=False
    )
    if asked.returncode:
        raise WorkflowError(
            f"cluster: slurm: sbatch refuses such a job: {' '.join(asked.stderr.split())}",
            remedy="Correct partition, account, walltime, memory, cores or gpus.",
        )
