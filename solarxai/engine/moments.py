"""Mean and variance of maps as they come, and how sure both are."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Moments"]


class Moments:
    r"""Takes maps part by part and keeps their mean and central sums, in float64.

    Parameters
    ----------
    fourth
        Whether to keep the third and fourth central sums too, which `variance_stderr` needs.

    Attributes
    ----------
    count
        Maps taken.
    mean
        (channel, *space).

    Notes
    -----
    Two sets A and B with means apart by δ are merged by

    .. math:: M_2 = M_2^A + M_2^B + \delta^2 \frac{n_A n_B}{n},

    and likewise for the third and fourth sums, so no large numbers are subtracted and memory is
    that of one part, whatever the number of maps.

    References
    ----------
    Chan, Golub & LeVeque 1983, doi:10.1080/00031305.1983.10483115.
    Pébay 2008, Sandia report SAND2008-6212.
    """

    def __init__(self, *, fourth: bool = False) -> None:
        self.count = 0
        self.mean = torch.zeros((), dtype=torch.float64)
        self._powers = (2, 3, 4) if fourth else (2,)
        self._sums: tuple[Tensor, ...] = ()

    def add(self, maps: Tensor) -> None:
        """Take maps (map, channel, *space)."""
        exact = maps.double()
        mean = exact.mean(dim=0)
        deviation = exact - mean
        sums = tuple((deviation**power).sum(dim=0) for power in self._powers)
        if self.count:
            self._merge(len(maps), mean, sums)
        else:
            self.count, self.mean, self._sums = len(maps), mean, sums

    def variance(self) -> Tensor:
        """Return the unbiased variance of one map, (channel, *space)."""
        return self._sums[0] / self._more_than(1)

    def stderr(self) -> Tensor:
        """Return the standard error of the mean."""
        return (self.variance() / self.count).sqrt()

    def variance_stderr(self) -> Tensor:
        r"""Return the standard error of the variance, for four maps or more.

        Notes
        -----
        The square root of the unbiased estimate of the variance of :math:`k_2`,

        .. math:: \frac{2 n k_2^2 + (n - 1) k_4}{n (n + 1)},

        with Fisher's k-statistics; zero where it is negative.

        References
        ----------
        Stuart & Ord 1994, Kendall's Advanced Theory of Statistics, volume 1, chapter 12.
        """
        n, (second, _, fourth) = self.count, self._sums
        left = self._more_than(3)
        falling = (n - 1) * (n - 2) * left
        k4 = (n * (n + 1) * fourth - 3 * (n - 1) * second**2) / falling
        spread = (2 * n * self.variance() ** 2 + (n - 1) * k4) / (n * (n + 1))
        return spread.clamp_min(0).sqrt()

    def _more_than(self, fewest: int) -> int:
        if self.count <= fewest:
            raise ValueError(f"{self.count} maps say nothing of their spread")
        return self.count - fewest

    def _merge(self, other: int, mean: Tensor, sums: tuple[Tensor, ...]) -> None:
        step, n = mean - self.mean, self.count + other
        merged = tuple(a + b for a, b in zip(self._sums, sums, strict=True))
        cross = _cross_sums(step, self.count, other, self._sums, sums)
        self._sums = tuple(a + b for a, b in zip(merged, cross, strict=False))
        self.mean = self.mean + step * (other / n)
        self.count = n


def _cross_sums(
    step: Tensor, a: int, b: int, ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Return what the distance of the means adds to each central sum."""
    n, second = a + b, step**2 * (a * b / (a + b))
    if len(ours) == 1:
        return (second,)
    third = second * step * ((a - b) / n) + 3 * step * (a * theirs[0] - b * ours[0]) / n
    fourth = (
        second * step**2 * ((a * a - a * b + b * b) / n**2)
        + 6 * step**2 * (a * a * theirs[0] + b * b * ours[0]) / n**2
        + 4 * step * (a * theirs[1] - b * ours[1]) / n
    )
    return second, third, fourth
