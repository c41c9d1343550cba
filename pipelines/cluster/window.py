"""Units sent to workers of Dask through a window: the scheduler never holds more than a few."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any

from distributed import Client, Future, KilledWorker

from solarxai.errors import SolarxaiError, WorkflowError

__all__ = ["WINDOW", "WORKER_ENVIRONMENT", "run_windowed"]

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


def run_windowed(
    client: Client,
    function: Callable[..., Any],
    queue: Iterator[tuple[int, tuple[Any, ...]]],
    *,
    window: int,
    watch: Callable[[bool], None] | None = None,
    every: float | None = None,
) -> Iterator[tuple[int, Any]]:
    """Yield (index of the call, its result or the `SolarxaiError` it raised) as they end.

    A result is taken from its worker and released before the next unit is sent.

    Parameters
    ----------
    client
        To the scheduler.
    function
        A function of `solarxai`: its name is all that a worker is sent.
    queue
        (index, arguments) of each call; drawn only as the window allows.
    window
        Units in flight.
    watch
        Called after every unit with True, and with False each time none ends for a while; it
        raises when there is nothing left to wait for.
    every
        Seconds of such a while.

    Raises
    ------
    WorkflowError
        when a unit ends its worker again and again.
    """
    ended: SimpleQueue[Future] = SimpleQueue()
    running: dict[Future, int] = {}

    def send(units: Iterable[tuple[int, tuple[Any, ...]]]) -> None:
        for index, call in units:
            future = client.submit(function, *call, pure=False)
            running[future] = index
            future.add_done_callback(ended.put)

    send(islice(queue, window))
    while running:
        try:
            future = ended.get(timeout=every)
        except Empty:
            if watch:
                watch(False)
            continue
        index = running.pop(future)
        result = _result(future)
        future.release()
        if watch:
            watch(True)
        yield index, result
        send(islice(queue, 1))


def _result(future: Future) -> Any:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, KilledWorker):
        raise WorkflowError(
            f"a unit of work ended {error.allowed_failures + 1} workers: {error.last_worker}",
            remedy="It may need more memory than a worker has, or more time than a job has.",
        ) from error
    if not isinstance(error, SolarxaiError):
        raise error
    return error
