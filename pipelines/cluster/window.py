"""Units sent to workers of Dask through a window: the scheduler never holds more than a few."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from distributed import Client, Future, KilledWorker

from solarxai.errors import SolarxaiError, WorkflowError
from solarxai.workflow.memory import bounded, described

__all__ = ["SETTINGS", "WINDOW", "WORKER_ENVIRONMENT", "Connection", "run_windowed"]

WINDOW = 8
"""Units in flight a worker: the scheduler never holds more, however many there are."""

WORKER_ENVIRONMENT = {
    "MALLOC_TRIM_THRESHOLD_": str(512 * 2**20),
    "MALLOC_MMAP_THRESHOLD_": str(512 * 2**20),
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONWARNINGS": "ignore",
}
"""Set before a worker starts. Dask's own trim threshold of 64 kiB returns every freed tensor to
the system and takes it back again, which more than doubles the time of an attribution. A unit runs
in a thread, to which the C library gives heaps of 64 MB of its own and unmaps each that is empty:
with the one arena of the process an attribution takes a tenth less."""

SETTINGS = {
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.scheduler.worker-saturation": 1.0,
}
"""Of Dask, for scheduler and workers. A worker over its memory is neither paused (it would stay so)
nor ended (so would the next): the unit fails, see `solarxai.workflow.memory`. Nobody looks at what
the profiler sees a hundred times a second, nor at how late a loop is that is asked fifty times; the
two are most of what scheduler and workers spend on waiting. A worker holds one unit at a time, so
that the unit it was ended by is known."""


class Connection(NamedTuple):
    """What a cluster of Dask is reached by.

    Parameters
    ----------
    client
        To the scheduler.
    watch
        Called after every unit with True, and with False each time none ends for a while; it
        raises when there is nothing left to wait for.
    every
        Seconds of such a while.
    """

    client: Client
    watch: Callable[[bool], None] | None = None
    every: float | None = None


def run_windowed(
    connected: Callable[[], AbstractContextManager[Connection]],
    function: Callable[..., Any],
    calls: Iterable[tuple[Any, ...]],
    *,
    window: int,
    memory: int | None = None,
) -> Iterator[tuple[int, Any]]:
    """Yield (index of the call, its result or the `SolarxaiError` it raised) as they end.

    A result is taken from its worker and released before the next unit is sent; so no more than
    one is here, and no more than the window on the workers.

    Parameters
    ----------
    connected
        Holds the connection; not called where there is nothing to do.
    function
        A function of `solarxai`: its name is all that a worker is sent.
    calls
        Arguments of each call: paths, indices, small records. They are drawn only as the window
        allows.
    window
        Units in flight.
    memory
        Bytes that a worker may hold; see `solarxai.workflow.memory.bounded`.

    Raises
    ------
    WorkflowError
        when a unit ends its worker again and again.
    """
    queue = enumerate(calls)
    first = list(islice(queue, window))
    if first:
        with connected() as connection:
            yield from _run(connection, function, first, queue, memory)


def _run(
    connection: Connection,
    function: Callable[..., Any],
    first: Iterable[tuple[int, tuple[Any, ...]]],
    queue: Iterator[tuple[int, tuple[Any, ...]]],
    memory: int | None,
) -> Iterator[tuple[int, Any]]:
    client, watch, every = connection
    ended: SimpleQueue[Future] = SimpleQueue()
    running: dict[Future, tuple[int, tuple[Any, ...]]] = {}
    name = f"{getattr(function, '__name__', 'unit')}-{uuid.uuid4().hex[:12]}"

    def send(units: Iterable[tuple[int, tuple[Any, ...]]]) -> None:
        for index, call in units:
            key = f"{name}-{index}"
            future = client.submit(bounded, memory, function, *call, key=key)
            running[future] = index, call
            future.add_done_callback(ended.put)

    send(first)
    while running:
        try:
            future = ended.get(timeout=every)
        except Empty:
            if watch:
                watch(False)
            continue
        index, call = running.pop(future)
        result = _result(future, function, call, memory)
        future.release()
        if watch:
            watch(True)
        yield index, result
        send(islice(queue, 1))


def _result(
    future: Future, function: Callable[..., Any], call: tuple[Any, ...], memory: int | None
) -> Any:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, KilledWorker):
        limit = "of their own" if memory is None else f"of {memory / 1e9:.2f} GB each"
        raise WorkflowError(
            f"{described(function, call)} ended {error.allowed_failures + 1} workers {limit}, one "
            f"after the other (the last was {error.last_worker})",
            remedy="It may need more memory than a worker has (cluster.memory), or more time than "
            "a job has (cluster.walltime); with `--cluster none` it runs here, alone.",
        ) from error
    if not isinstance(error, SolarxaiError):
        raise error
    return error
