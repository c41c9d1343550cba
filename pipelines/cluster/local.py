"""Units of work in processes of this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster

from pipelines.cluster.window import WINDOW, WORKER_ENVIRONMENT, run_windowed

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
    """

    def __init__(self, *, folder: Path | None = None, workers: int = 2) -> None:
        del folder
        self._workers = workers
        self._client: Client | None = None

    def run(
        self, function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        """Yield (index of the call, its result or the `SolarxaiError` it raised) as they end.

        Parameters
        ----------
        function
            A function of `solarxai`: its name is all that a worker is sent.
        calls
            Arguments of each call: paths, indices, small records.

        Raises
        ------
        WorkflowError
            when a unit kills its worker again and again.
        """
        queue = enumerate(calls)
        for first in islice(queue, 1):
            units = chain([first], queue)
            yield from run_windowed(
                self._connected(), function, units, window=WINDOW * self._workers
            )

    def close(self) -> None:
        """End the processes, if any were started."""
        if self._client is not None:
            cluster = self._client.cluster
            self._client.close()
            cluster.close()
            self._client = None

    def _connected(self) -> Client:
        if self._client is None:
            settings = {
                "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT,
                "distributed.worker.memory.pause": False,
                "distributed.worker.memory.terminate": False,
            }
            logging.getLogger("distributed").setLevel(logging.ERROR)
            with dask.config.set(settings):
                cluster = LocalCluster(
                    n_workers=self._workers,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                )
            self._client = Client(cluster)
        return self._client
