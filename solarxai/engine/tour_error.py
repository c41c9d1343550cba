"""The standard error of Expected Gradients, from the very gradients that the map is made of."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from solarxai.engine.baselines import Shape

__all__ = ["TourError", "smoothed", "within_stratum_share"]

_LAG = 3
_MOST_PAIRS = 16
_CORRELATION_LENGTH = 0.25
_LIKE_NEIGHBOURS = 0.75
_OF_BASELINES = 0.55
_WIDE = 5
_WIDER = 9
_POOLS = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}


def within_stratum_share(strata: int) -> float:
    r"""Return the variance that a design leaves ÷ half the mean square step to the next stratum.

    Parameters
    ----------
    strata
        m ≥ 2, the number of strata that the path 0 … 1 is cut into.

    Notes
    -----
    For a variogram γ(h) ∝ 1 − exp(−h/ℓ) along the path, with s = 1/(mℓ), the variance within a
    stratum is

    .. math:: \frac{1 - 2(s - 1 + e^{-s})/s^2}{1 - e^{-s}}

    times the step: 1/3 for narrow strata, where the gradient of a ReLU network, constant between
    kinks, has a linear variogram. A quarter less is left, because neighbours on the tour are alike
    and stand far apart. ℓ = 1/4 and the quarter were read from trained residual networks;
    `benchmarks/expected_gradients.py` measures how often the error lies within two standard errors.
    """
    s = 1 / (strata * _CORRELATION_LENGTH)
    within = (1 - 2 * (s - 1 + math.exp(-s)) / s**2) / (1 - math.exp(-s))
    return _LIKE_NEIGHBOURS * within


def smoothed(variance: Tensor, *, reached: float) -> Tensor:
    """Return the variance (channel, *space), averaged with the mean of the pixels around.

    Parameters
    ----------
    variance
        Of each pixel, as it was measured.
    reached
        Part of all baselines that the design visits.

    Notes
    -----
    A pixel that only a few gradients reach has a variance that is as rarely seen as they are; its
    neighbours, which other gradients reach, know better, but may differ. Around are 5 pixels an
    axis, and 9 where baselines are left out.
    """
    axes = variance.ndim - 1
    if axes not in _POOLS:
        return variance
    wide = _WIDE if reached == 1 else _WIDER
    around: Tensor = _POOLS[axes](
        variance[None], wide, stride=1, padding=wide // 2, count_include_pad=False
    )
    return (variance + around[0]) / 2


class TourError:
    r"""Accumulates contributions in the order of a leg and gives the variance of their mean.

    Parameters
    ----------
    shape
        Of the leg: strata m and visited baselines k.
    reached
        Part of all baselines that the design visits.

    Notes
    -----
    The step d from one stratum of a baseline to the next measures how much α matters for that
    baseline; its difference to the third last baseline of the tour, whose α are near, removes what
    all baselines share, which the joint stratification of α integrates well. Hence

    .. math:: \hat\sigma^2 = \frac{c(m)}{mk} \left\langle \tfrac{1}{4} (d_i - d_{i-3})^2
              \right\rangle

    with c from `within_stratum_share`. With one stratum a baseline, d is the contribution itself
    and σ² = (1 − 0.55 ρ) ⟨(d_i − d_{i−3})²⟩/2k, where ρ is the part of the baselines that is
    visited: about half of the difference between neighbours is theirs, which is no error once all
    of them are visited. Memory: at most 49 maps beside those given.
    """

    def __init__(self, shape: Shape, *, reached: float = 0.0) -> None:
        self._shape = shape
        self._reached = reached
        self._single = shape.strata == 1
        pairs = np.linspace(0, shape.strata - 2, min(shape.strata - 1, _MOST_PAIRS))
        steps = {0} if self._single else {int(j) + 1 for j in pairs.round()}
        self._steps = torch.tensor(sorted(steps))
        lag = _LAG if shape.visited > _LAG else int(self._single)
        self._behind = lag * len(steps)
        self._kept: Tensor | None = None
        self._last: Tensor | None = None
        self._squares: Tensor | None = None
        self._seen = self._count = 0

    def add(self, contributions: Tensor) -> None:
        """Take the next contributions (sample, channel, *space), strata fastest."""
        steps = contributions if self._single else self._stepped(contributions)
        self._seen += len(contributions)
        if self._kept is not None:
            steps = torch.cat([self._kept, steps])
        self._take(steps)

    def variance(self) -> Tensor | None:
        """Return the variance of the mean of all contributions, (channel, *space).

        None before any two contributions were compared.
        """
        if self._squares is None:
            return None
        halves = 2.0 if self._single or not self._behind else 4.0
        share = 1 - _OF_BASELINES * self._reached
        if not self._single:
            share = within_stratum_share(self._shape.strata)
        return self._squares * (share / (halves * self._count * self._shape.samples))

    def _stepped(self, contributions: Tensor) -> Tensor:
        """Return the steps that are looked at; none leads to the first stratum of a baseline."""
        strata = torch.arange(self._seen, self._seen + len(contributions)) % self._shape.strata
        rows = torch.isin(strata, self._steps).nonzero().flatten()
        if self._last is not None:
            contributions, rows = torch.cat([self._last, contributions]), rows + 1
        self._last = contributions[-1:].clone()
        rows = rows.to(contributions.device)
        return contributions.index_select(0, rows) - contributions.index_select(0, rows - 1)

    def _take(self, steps: Tensor) -> None:
        compared = steps
        if self._behind:
            compared = steps[self._behind :] - steps[: -self._behind]
            self._kept = steps[-self._behind :].clone()
        if len(compared):
            squares = (compared * compared).sum(dim=0)
            self._squares = squares if self._squares is None else self._squares.add_(squares)
            self._count += len(compared)
