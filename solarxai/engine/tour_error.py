"""The standard error of Expected Gradients, from the very gradients that the map is made of."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import torch
from torch import Tensor

from solarxai.engine.baselines import Shape

__all__ = ["TourError", "within_stratum_share"]

_LAG = 3
_MOST_PAIRS = 16
_CORRELATION_LENGTH = 0.25


def within_stratum_share(strata: int) -> float:
    r"""Return the variance within a stratum ÷ half the mean square step to the next stratum.

    Parameters
    ----------
    strata
        m ≥ 2, the number of strata that the path 0 … 1 is cut into.

    Notes
    -----
    For a variogram γ(h) ∝ 1 − exp(−h/ℓ) along the path, with s = 1/(mℓ),

    .. math:: \frac{1 - 2(s - 1 + e^{-s})/s^2}{1 - e^{-s}},

    which is 1/3 for narrow strata: there the gradient of a ReLU network, constant between kinks,
    has a linear variogram. ℓ = 1/4 was read from trained residual networks; `benchmarks/
    expected_gradients.py` measures how often the error lies within two standard errors.
    """
    s = 1 / (strata * _CORRELATION_LENGTH)
    return (1 - 2 * (s - 1 + math.exp(-s)) / s**2) / (1 - math.exp(-s))


class TourError:
    r"""Accumulates contributions in the order of a design and gives their mean's standard error.

    Parameters
    ----------
    shape
        Of the design: strata m and visited baselines k; at least two samples.

    Notes
    -----
    The step d from one stratum of a baseline to the next measures how much α matters for that
    baseline; its difference to the third last baseline of the tour, whose α are near, removes what
    all baselines share, which the joint stratification of α integrates well. Hence

    .. math:: \hat\sigma^2 = \frac{c(m)}{mk} \left\langle \tfrac{1}{4} (d_i - d_{i-3})^2
              \right\rangle

    with c from `within_stratum_share`. With one stratum a baseline, d is the contribution itself
    and σ² = ⟨(d_i − d_{i−3})²⟩/2k: exact where baselines are left out, too large (about twice in
    variance) where all of them are visited. Memory: at most 49 maps.
    """

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._single = shape.strata == 1
        self._lag = _LAG if shape.visited > _LAG else int(self._single)
        pairs = np.linspace(0, shape.strata - 2, min(shape.strata - 1, _MOST_PAIRS))
        self._steps = {0} if self._single else {int(j) + 1 for j in pairs.round()}
        self._kept: dict[int, deque[Tensor]] = {j: deque() for j in self._steps}
        self._last = torch.zeros(())
        self._squares: Tensor | None = None
        self._seen = self._count = 0

    def add(self, contributions: Tensor) -> None:
        """Take the next contributions (sample, channel, *space), strata fastest."""
        for contribution in contributions:
            stratum = self._seen % self._shape.strata
            if stratum in self._steps:
                self._step(stratum, contribution)
            self._last = contribution.clone()
            self._seen += 1

    def stderr(self) -> Tensor:
        """Return the standard error of the mean of all contributions, (channel, *space)."""
        if self._squares is None:
            raise ValueError("no two contributions were compared")
        halves = 2.0 if self._single or not self._lag else 4.0
        share = 1.0 if self._single else within_stratum_share(self._shape.strata)
        variance = self._squares * (share / (halves * self._count * self._shape.samples))
        return variance.sqrt()

    def _step(self, stratum: int, contribution: Tensor) -> None:
        step = contribution.clone() if self._single else contribution - self._last
        kept = self._kept[stratum]
        if not self._lag:
            self._take(step)
        elif len(kept) == self._lag:
            self._take(step - kept.popleft())
        if self._lag:
            kept.append(step)

    def _take(self, difference: Tensor) -> None:
        squares = difference.square()
        self._squares = squares if self._squares is None else self._squares.add_(squares)
        self._count += 1
