"""Units of work in processes of this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import dask
from distributed import Client, LocalCluster
from pydantic import Field

from pipelines.cluster.memory import Memory, in_bytes, share_of_this_machine
from pipelines.cluster.window import (
    SETTINGS,
    WINDOW,
    WORKER_ENVIRONMENT,
    Connection,
    run_windowed,
)
from solarxai.errors import WorkflowError
from solarxai.workflow.devices import VISIBLE, visible_gpus

__all__ = ["LocalProcesses"]


class LocalProcesses:
    """Runs the units in processes of this machine, one thread each, through Dask.

    They start with the first unit, so a run with nothing to do starts none. Nothing listens
    beyond 127.0.0.1.

    Parameters
    ----------
    folder
        Not used: these workers keep no file.
    workers
        Number of processes.
    memory
        Of each process, such as 4GB: a unit that needs more fails and says so. An equal share of
        this machine if empty.
    gpus
        0 or 1: whether each process is given a GPU of its own, and sees no other.

    Raises
    ------
    WorkflowError
        when there are fewer GPUs than processes that are to have one.
    """

    def __init__(
        self,
        *,
        folder: Path | None = None,
        workers: int = 2,
        memory: Memory | None = None,
        gpus: Annotated[int, Field(ge=0, le=1)] = 0,
    ) -> None:
        del folder
        self._workers = workers
        self._memory = in_bytes(memory) if memory else share_of_this_machine(workers)
        self._gpus = visible_gpus() if gpus else ()
        if gpus and len(self._gpus) < workers:
            raise WorkflowError(
                f"cluster: local: {workers} workers are to have a GPU each, and this machine shows "
                f"{len(self._gpus)}",
                remedy="Give cluster.gpus 0, or no more --workers than there are GPUs.",
            )
        self._client: Client | None = None

    @property
    def gpus(self) -> int | None:
        """Return 1 if each worker has a GPU of its own, None if it sees what this process sees."""
        return 1 if self._gpus else None

    def run(
        self, function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        """Yield (index of the call, its result or the `SolarxaiError` it raised) as they end.

        Raises
        ------
        WorkflowError
            when a unit kills its worker again and again.
        """
        window = WINDOW * self._workers
        return run_windowed(self._connection, function, calls, window=window, memory=self._memory)

    def close(self) -> None:
        """End the processes, if any were started."""
        if self._client is not None:
            cluster = self._client.cluster
            self._client.close()
            cluster.close()
            self._client = None

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        yield Connection(self._connected())

    def _connected(self) -> Client:
        if self._client is None:
            logging.getLogger("distributed").setLevel(logging.ERROR)
            environment = {"distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT}
            with dask.config.set(SETTINGS | environment):
                cluster = _Processes(
                    gpus=self._gpus,
                    n_workers=0 if self._gpus else self._workers,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    memory_limit=0,
                )
                if self._gpus:
                    cluster.scale(self._workers)
                    cluster.wait_for_workers(self._workers)
            self._client = Client(cluster)
        return self._client


class _Processes(LocalCluster):  # type: ignore[misc]
    """Worker processes, each with the GPU of its number."""

    def __init__(self, *, gpus: tuple[str, ...], **options: Any) -> None:
        self._visible = gpus
        super().__init__(**options)

    def new_worker_spec(self) -> dict[Any, Any]:
        """Return name and description of one more worker."""
        return {
            name: {**spec, "options": {**spec["options"], "env": self._seeing(name)}}
            for name, spec in super().new_worker_spec().items()
        }

    def _seeing(self, name: Any) -> dict[str, str]:
        return {VISIBLE: self._visible[int(name) % len(self._visible)]}
