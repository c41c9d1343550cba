"""Units of work in a plain loop: what every other cluster has to equal, byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from solarxai.errors import SolarxaiError

__all__ = ["PlainLoop"]


class PlainLoop:
    """Runs the units one after the other in this process.

    Parameters
    ----------
    folder, workers
        Not used: a loop keeps no file and has one worker.
    """

    def __init__(self, *, folder: Path | None = None, workers: int = 1) -> None:
        del folder, workers

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
