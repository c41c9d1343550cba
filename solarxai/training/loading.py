"""The images of one batch after the other: from memory, or from shards read ahead of need.

What is read is a shard, once an epoch: reader processes each read other shards, whole runs of
rows at a time, and the batches are cut from those at hand. Reading batches instead would have
every reader hold, and decode, every shard of the window.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from solarxai.errors import SolarxaiError, TrainingError
from solarxai.training.shards import Images, Rows, ShardedImages

__all__ = ["Loader"]


_FORK = "fork" if sys.platform == "linux" else None
"""Readers begin at once where they can be forked; they open files, and nothing else."""


_BYTES_AT_ONCE = 4 << 20
"""Bytes of batches that are put together at once, which spares time for each."""


class _Request(NamedTuple):
    """One shard and the places in it that an epoch needs, increasing, each once."""

    shard: int
    places: npt.NDArray[np.int64]


class Loader:
    """Gives the images of the batches of an epoch, in order; a context that ends its readers.

    Parameters
    ----------
    images
        Of the training side.
    window
        Shards of a window, which is read ahead while the one before it is learnt from.
    readers
        Processes that read shards; 0 reads in this one, when a shard is needed.

    Raises
    ------
    TrainingError
        when `readers` is negative, or one of them dies.

    Notes
    -----
    Images at hand are at most the rows that an epoch draws from one window, as many again where
    readers read ahead, and one shard being read in each reader; beside them 4 MiB of batches, or
    one batch.
    """

    def __init__(self, images: Images, *, window: int | None, readers: int) -> None:
        if readers < 0:
            raise TrainingError(f"readers {readers} is out of range", remedy="Give 0 or more.")
        self._images = images
        self._in_memory = None
        self._requests = _Requests()
        if not isinstance(images, ShardedImages):
            self._in_memory = torch.from_numpy(images)[:, None]
            return
        ahead = math.ceil((window or len(images.shards)) / readers) if readers else None
        self._reading: DataLoader[Tensor | SolarxaiError] = DataLoader(
            _Shards(images),
            batch_size=None,
            sampler=self._requests,
            num_workers=readers,
            multiprocessing_context=_FORK if readers else None,
            prefetch_factor=ahead,
            persistent_workers=readers > 0,
            collate_fn=_as_it_is,
            generator=torch.Generator(),
        )

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the readers."""
        if self._in_memory is None:
            del self._reading

    def batches(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the images (row, 1, *space) of each batch of rows."""
        if self._in_memory is not None:
            for batch in batches:
                yield self._in_memory[batch]
        elif batches:
            yield from self._read(self._images, [batch.numpy() for batch in batches])

    def _read(self, images: Any, batches: list[Rows]) -> Iterator[Tensor]:
        rows = np.concatenate(batches)
        requests, slot, last = _plan(images.shard[rows], images.place[rows])
        self._requests.now = requests
        arriving = iter(self._reading)
        at_hand: dict[int, npt.NDArray[np.float32]] = {}
        arrived = end = 0
        turn = {request.shard: i for i, request in enumerate(requests)}
        for some in _groups([len(batch) for batch in batches], images.space):
            start, end = end, end + sum(some)
            here = images.shard[rows[start:end]]
            out = np.empty((len(here), 1, *images.space), dtype=np.float32)
            for shard in sorted(np.unique(here).tolist(), key=turn.__getitem__):
                if turn[shard] == arrived:
                    at_hand[shard] = _next(arriving).numpy()
                    arrived += 1
                mine = np.flatnonzero(here == shard)
                out[mine, 0] = at_hand[shard][slot[start + mine]]
                if last[shard] < end:
                    del at_hand[shard]
            yield from torch.split(torch.from_numpy(out), some)


def _groups(sizes: list[int], space: tuple[int, ...]) -> Iterator[list[int]]:
    """Yield the sizes of the batches that are put together at once: one, or some bytes of them."""
    most = _BYTES_AT_ONCE // (4 * math.prod(space))
    group: list[int] = []
    for size in sizes:
        if group and sum(group) + size > most:
            yield group
            group = []
        group.append(size)
    if group:
        yield group


def _plan(
    shard: npt.NDArray[np.int32], place: npt.NDArray[np.int64]
) -> tuple[list[_Request], npt.NDArray[np.int64], dict[int, int]]:
    """Return the shards in the order of first need, and of each row where it is among its places.

    The last is the position of the last row of each shard.
    """
    requests: list[tuple[int, _Request]] = []
    slot = np.empty(len(shard), dtype=np.int64)
    last = {}
    grouped = np.argsort(shard, kind="stable")
    ends = np.flatnonzero(np.diff(shard[grouped])) + 1
    for mine in np.split(grouped, ends):
        number = int(shard[mine[0]])
        places, slot[mine] = np.unique(place[mine], return_inverse=True)
        requests.append((int(mine[0]), _Request(number, places)))
        last[number] = int(mine[-1])
    return [request for _, request in sorted(requests, key=lambda r: r[0])], slot, last


def _next(arriving: Iterator[Tensor | SolarxaiError]) -> Tensor:
    try:
        found = next(arriving)
    except RuntimeError as error:
        raise TrainingError(
            f"a process that reads samples is gone ({error})",
            remedy="See whether memory (or /dev/shm) ran out: lower memory_mb or window, or give "
            "readers 0.",
        ) from error
    if isinstance(found, SolarxaiError):
        raise found
    return found


class _Requests:
    """The shards to read, in order: what the loader of torch calls a sampler."""

    def __init__(self) -> None:
        self.now: list[_Request] = []

    def __iter__(self) -> Iterator[_Request]:
        return iter(self.now)

    def __len__(self) -> int:
        return len(self.now)


class _Shards(Dataset[Any]):
    """Images of a request; an error comes back as a value, since torch rebuilds errors by text."""

    def __init__(self, images: ShardedImages) -> None:
        self._images = ShardedImages(
            shards=images.shards,
            shard=np.zeros(0, np.int32),
            place=np.zeros(0, np.int64),
            space=images.space,
        )

    def __getitem__(self, request: _Request) -> Tensor | SolarxaiError:
        try:
            return torch.from_numpy(self._images.read(*request))
        except SolarxaiError as error:
            return error


def _as_it_is(found: Any) -> Any:
    return found
