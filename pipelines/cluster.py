"""Where units of work run, a plain loop or processes of this machine: the same bytes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, as_completed

from solarxai.errors import SolarxaiError, WorkflowError

__all__ = ["WINDOW", "WORKER_ENVIRONMENT", "LocalProcesses", "PlainLoop"]

WINDOW = 8
"""Units in flight a worker: the scheduler never holds more, however many there are."""

WORKER_ENVIRONMENT = {
    "MALLOC_TRIM_THRESHOLD_": str(512 * 2**20),
    "MALLOC_MMAP_THRESHOLD_": str(512 * 2**20),
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONWARNINGS": "ignore",
}
"""Set before a worker starts. Dask's own trim threshold of 64 kiB returns every freed tensor to
the system and takes it back again, which more than doubles the time of an attribution."""


class PlainLoop:
    """Runs the units one after the other in this process.

    Parameters
    ----------
    workers
        Not used: a loop has one worker.
    """

    def __init__(self, *, workers: int = 1) -> None:
        del workers

    def run(
        self, function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        """Yield (index of the call, its result or the `SolarxaiError` it raised) in order."""
        for index, call in enumerate(calls):
            try:
                result = function(*call)
            except SolarxaiError as error:
                result = error
            yield index, result

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""


class LocalProcesses:
    """Runs the units in processes of this machine, one thread each, through Dask.

    They start with the first unit, so a run with nothing to do starts none. Nothing listens
    beyond 127.0.0.1.

    Parameters
    ----------
    workers
        Number of processes.
    """

    def __init__(self, *, workers: int = 2) -> None:
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
        first = list(islice(queue, WINDOW * self._workers))
        if not first:
            return
        client = self._connected()
        running = {client.submit(function, *call, pure=False): index for index, call in first}
        ended = as_completed(list(running))
        for future in ended:
            index = running.pop(future)
            yield index, _result(future)
            future.release()
            for following, call in islice(queue, 1):
                added = client.submit(function, *call, pure=False)
                running[added] = following
                ended.add(added)

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


def _result(future: Future) -> Any:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, KilledWorker):
        raise WorkflowError(
            f"a unit of work ended {error.allowed_failures + 1} workers: {error.last_worker}",
            remedy="It may need more memory than a worker has: use fewer workers.",
        ) from error
    if not isinstance(error, SolarxaiError):
        raise error
    return error
