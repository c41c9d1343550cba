"""What sampling methods share: a budget, a seed, and when the answer is sure enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import Tensor

from solarxai.errors import ContractError
from solarxai.explainers import Explainer

__all__ = ["Sampling"]

_ROUNDS = 100


@dataclass(frozen=True, kw_only=True)
class Sampling(Explainer):
    """A method that draws random numbers and reports a standard error.

    Parameters
    ----------
    samples
        Evaluations an image; with `stop_at_stderr`, in one round.
    seed
        Of the random numbers, together with the image itself.
    stop_at_stderr
        Add rounds until the root mean square of the standard error is at most this part of the
        root mean square of the map; None for one round.
    max_passes
        Most evaluations an image; None for 100 rounds.
    """

    samples: int = field(default=200, metadata={"minimum": 2})
    seed: int = field(default=0, metadata={"minimum": 0})
    stop_at_stderr: float | None = None
    max_passes: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stop_at_stderr is not None and not self.stop_at_stderr > 0:
            raise ContractError(
                f"{type(self).__name__}: stop_at_stderr is {self.stop_at_stderr!r}",
                remedy="Give a number above 0, such as 0.1 for ten per cent of the map.",
            )
        if self.max_passes is not None and self.max_passes < 2:
            raise ContractError(
                f"{type(self).__name__}: max_passes is {self.max_passes!r}",
                remedy="Give a whole number of 2 or more.",
            )

    def rounds(self) -> Iterator[int]:
        """Yield the evaluations of each round; the caller stops when `enough` says so."""
        left = self.max_passes or self.samples * _ROUNDS
        if self.stop_at_stderr is None:
            left = min(left, self.samples)
        while left >= 2:
            yield min(left, self.samples)
            left -= self.samples

    def enough(self, values: Tensor, stderr: Tensor) -> bool:
        """Return whether the map of one image is as sure as was asked for."""
        if self.stop_at_stderr is None:
            return True
        spread = float(stderr.double().square().mean().sqrt())
        return spread <= self.stop_at_stderr * float(values.double().square().mean().sqrt())
