"""Units of work written down for a job array, where no scheduler may run: Slurm's own, or any."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from solarxai.workflow.orders import (
    UnitsWaiting,
    failure_of,
    forget_order,
    in_hand,
    write_order,
)

__all__ = ["WrittenOrders"]


class WrittenOrders:
    """Writes units down instead of doing them, and ends the run there, with exit code 3.

    `solarxai work OUT --part I/N` does them, in as many processes as one likes. The same run begun
    again finds them done and goes on to the next step.

    Parameters
    ----------
    folder
        Folder of the run; the order goes to `folder/work`.
    workers
        Parts to name in the command to type next.
    """

    def __init__(self, *, folder: Path, workers: int = 2) -> None:
        self._run = folder
        self._folder = folder / "work"
        self._workers = workers

    def run(
        self, function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        """Yield nothing where nothing is to do; otherwise write the calls down and end the run.

        Raises
        ------
        SolarxaiError
            that a part of the order before this one wrote down.
        UnitsWaiting
            when there is anything to do.
        """
        missing = list(calls)
        failure, broken_off = failure_of(self._folder), in_hand(self._folder)
        forget_order(self._folder)
        if failure is not None and missing:
            raise failure
        if missing:
            write_order(self._folder, function, missing)
            raise UnitsWaiting(
                f"{len(missing)} units of work wait in {self._folder}{_told(broken_off)}",
                remedy=f"Do them with `solarxai work {self._run} --part I/{self._workers}` for I "
                f"from 0 to {self._workers - 1}, for instance as a job array "
                "(workflows/slurm_array.sh); then type the same command again.",
            )
        yield from ()

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""


def _told(broken_off: list[str]) -> str:
    """Return what parts were doing when they ended; a killed process cannot say it itself."""
    if not broken_off:
        return ""
    return (
        f"; {len(broken_off)} parts ended while they did {broken_off[0]}: where that is so each "
        "time, give parts more memory or a longer walltime"
    )
