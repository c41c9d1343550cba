"""The score between a baseline and an image, and beyond: where it stops following the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from solarxai.engine.gradients import Stream, apart, check_finite
from solarxai.engine.inputs import checked_baselines
from solarxai.engine.preparation import Snapshot, prepare
from solarxai.engine.targets import Target, target_weights
from solarxai.errors import ContractError
from solarxai.explainers import Passes

__all__ = ["ScalingCurve", "scaling_curve"]

_REACHED = 0.9
_ALPHAS = tuple(i / 20 for i in range(31))
_FIRST_PART = 0.1
_GRADIENTS = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class ScalingCurve:
    """Scores along the straight way from baselines to images, and where they saturate.

    Parameters
    ----------
    alphas
        (alpha,) increasing: 0 is the baseline, 1 the image.
    scores
        (batch, baseline, alpha) float64, in units of the score.
    saturation
        (batch, baseline): the first alpha, linear between those computed, at which 90 % of the
        change of the score from baseline to image is reached. NaN where there is no change.
    first_tenth
        (batch, baseline): the part of the gradient's mass that lies at alpha below 0.1; 0.1 where
        the gradient is the same all along, 1 where the score is saturated beyond. NaN where the
        gradient vanishes all along.
    passes
        Images sent forward and backward.
    """

    alphas: Tensor
    scores: Tensor
    saturation: Tensor
    first_tenth: Tensor
    passes: Passes

    def saturated(self, *, before: float = 0.5) -> Tensor:
        """Return (batch, baseline): whether 90 % of the change is reached before that alpha.

        The gradient at such an image is small for what the image needs no more of, not for what
        it did not need.
        """
        return self.saturation < before


def scaling_curve(
    model: nn.Module | Snapshot,
    x: Tensor,
    *,
    baselines: Tensor,
    target: Target = "difference",
    alphas: Sequence[float] = _ALPHAS,
    batch_size: int = 32,
) -> ScalingCurve:
    r"""Return the score of x′ + α(x − x′) for each image, baseline and α, and where it saturates.

    Parameters
    ----------
    model
        Network in evaluation mode: (batch, channel, *space) to scores (batch, class). It is not
        changed.
    x
        (batch, channel, *space) float32.
    baselines
        (baseline, channel, *space): each image is scaled from each of them.
    target
        What is explained; see `solarxai.explain`.
    alphas
        Increasing, with 0 and 1 among them; those above 1 go beyond the image.
    batch_size
        Most images in one pass through the network.

    Raises
    ------
    ContractError
        when the alphas do not increase or lack 0 or 1, or images or baselines are no good.
    ExplainerRefusal
        when the network cannot be run, or its scores are not finite.

    Notes
    -----
    The gradient's mass is :math:`\int \lVert (x - x') \odot \nabla f \rVert_1 \, d\alpha`, the
    contributions of Integrated Gradients taken without their sign, by the midpoints of 20 equal
    parts of 0 … 1. A pair costs one forward pass for each α and 20 forward and backward.

    References
    ----------
    Sundararajan, Taly & Yan 2016, Gradients of Counterfactuals, arXiv:1611.02639.
    Sturmfels, Lundberg & Lee 2020, doi:10.23915/distill.00022.
    Ancona et al. 2018, arXiv:1711.06104.
    """
    grid = _checked(alphas)
    x = x.detach()
    with apart():
        stream = Stream(prepare(model, x), batch_size=batch_size)
        baselines = checked_baselines(baselines, x)
        weights = target_weights(target, batch=len(x), classes=stream.prepared.classes)
        pairs = [_Way(stream, a, b, w) for a, w in zip(x, weights, strict=True) for b in baselines]
        scores = torch.stack([way.scores(grid) for way in pairs])
        share = torch.stack([way.first_tenth() for way in pairs])
    check_finite(scores, what="score", whose="pairs of image and baseline")
    shape = (len(x), len(baselines))
    return ScalingCurve(
        alphas=grid,
        scores=scores.reshape(*shape, -1),
        saturation=_saturation(grid, scores).reshape(shape),
        first_tenth=share.reshape(shape),
        passes=Passes(forward=stream.forward, backward=stream.backward),
    )


class _Way:
    """The straight way from a baseline to an image."""

    def __init__(self, stream: Stream, image: Tensor, baseline: Tensor, weight: Tensor) -> None:
        self._stream = stream
        self._image = image
        self._baseline = baseline
        self._weight = weight

    def scores(self, alphas: Tensor) -> Tensor:
        """Return the explained scores (alpha,) float64 on the CPU."""
        parts = [self._stream.scores(self._at(part)) for part in self._stream.parts(alphas)]
        return torch.cat(parts).double().cpu() @ self._weight.double().cpu()

    def first_tenth(self) -> Tensor:
        """Return the part of the gradient's mass below 0.1, a number."""
        alphas = (torch.arange(_GRADIENTS) + 0.5) / _GRADIENTS
        masses = torch.cat([self._masses(part) for part in self._stream.parts(alphas)])
        return masses[alphas < _FIRST_PART].sum() / masses.sum()

    def _masses(self, alphas: Tensor) -> Tensor:
        gradient = self._stream.gradient(
            self._at(alphas), self._weight.expand(len(alphas), -1)
        ).double()
        mass = (gradient * (self._image - self._baseline)).abs().flatten(1).sum(dim=1)
        return mass.cpu()

    def _at(self, alphas: Tensor) -> Tensor:
        alphas = alphas.to(self._image).reshape(-1, *[1] * self._image.ndim)
        return self._baseline + alphas * (self._image - self._baseline)


def _checked(alphas: Sequence[float]) -> Tensor:
    grid = torch.tensor(list(alphas), dtype=torch.float64)
    increasing = bool((grid.diff() > 0).all() & torch.isfinite(grid).all())
    if not increasing or 0.0 not in grid or 1.0 not in grid:
        raise ContractError(
            f"alphas are {grid.tolist()}",
            remedy="Give finite numbers in increasing order, with 0 and 1 among them.",
        )
    return grid


def _saturation(alphas: Tensor, scores: Tensor) -> Tensor:
    """Return (pair,): the first alpha from 0 on with 90 % of the change, linear in between."""
    start, end = (int((alphas == value).nonzero()[0, 0]) for value in (0.0, 1.0))
    change = scores[:, end] - scores[:, start]
    share = (scores[:, start:] - scores[:, start, None]) / change[:, None]
    after = (share >= _REACHED).int().argmax(dim=1, keepdim=True)
    before = (after - 1).clamp_min(0)
    low, high = share.gather(1, before), share.gather(1, after)
    grid = alphas[start:]
    part = ((_REACHED - low) / (high - low))[:, 0]
    found = grid[before[:, 0]] + part * (grid[after[:, 0]] - grid[before[:, 0]])
    return torch.where(change == 0, torch.nan, found)
