"""Passes through a network that several computations share, each of which waits for its part."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

__all__ = ["Asking", "Scored", "answered_together"]

Scored = tuple[Tensor, Tensor]
"""The explained score (point,) and its gradient (point, …) at points."""

Found = TypeVar("Found")
Asking = Generator[Tensor, Scored, Found]
"""A computation that yields points (point, …), is sent what is `Scored` there, and returns."""


class _Waiting(NamedTuple, Generic[Found]):
    number: int
    computation: Asking[Found]
    points: Tensor


def answered_together(
    computations: Iterable[Asking[Found]], ask: Callable[[Tensor], Scored], *, most: int
) -> Iterator[tuple[int, Found]]:
    """Yield (number of a computation, what it returned) as they end.

    Parameters
    ----------
    computations
        Each asks for at most `most` points at a time. They are begun in order, and another one only
        where one that asks for as many points as the last would fit the pass.
    ask
        One pass.
    most
        Points in a pass.
    """
    unbegun = enumerate(computations)
    waiting = list[_Waiting[Found]]()
    while True:
        while not waiting or _size(waiting) + len(waiting[-1].points) <= most:
            number, computation = next(unbegun, (-1, None))
            if computation is None:
                break
            waiting.append(_Waiting(number, computation, next(computation)))
        if not waiting:
            return
        asking, waiting = _fitting(waiting, most)
        scores, gradients = ask(torch.cat([one.points for one in asking]))
        going, done = list[_Waiting[Found]](), 0
        for one in asking:
            mine = slice(done, done + len(one.points))
            done = mine.stop
            try:
                points = one.computation.send((scores[mine], gradients[mine]))
            except StopIteration as ended:
                yield one.number, ended.value
            else:
                going.append(one._replace(points=points))
        waiting = going + waiting


def _size(waiting: list[_Waiting[Found]]) -> int:
    return sum(len(one.points) for one in waiting)


def _fitting(
    waiting: list[_Waiting[Found]], most: int
) -> tuple[list[_Waiting[Found]], list[_Waiting[Found]]]:
    """Return the first, as many as fit a pass but at least one, and the rest."""
    taken = 1
    while taken < len(waiting) and _size(waiting[: taken + 1]) <= most:
        taken += 1
    return waiting[:taken], waiting[taken:]
