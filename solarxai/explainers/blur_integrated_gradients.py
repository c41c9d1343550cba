"""Blur Integrated Gradients: contributions to the score as the image comes into focus."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from solarxai.engine.completeness import ScoreDifference
from solarxai.engine.diffusion import Diffusion
from solarxai.engine.path_integrals import integrate_path
from solarxai.errors import ContractError
from solarxai.explainers import Attribution, Explainer, Problem

__all__ = ["BlurIntegratedGradients"]

_SPACING = 3


@dataclass(frozen=True, kw_only=True)
class BlurIntegratedGradients(Explainer):
    r"""The contribution of each input value to the score, while the image comes into focus.

    Parameters
    ----------
    steps
        Gradients along the path.
    max_sigma
        Standard deviation of the smoothing at its start, in pixels of every axis; None for as many
        as the longest axis has, where less than 1 % of any structure is left.

    Notes
    -----
    The path runs through the image smoothed by σ, from `max_sigma` to 0,

    .. math:: -\int_0^{\sigma_{\max}} \frac{\partial f}{\partial x}\big(x_\sigma\big) \,
              \frac{d x_\sigma}{d \sigma} \, d\sigma,

    and sums to f(x) less the score of the smoothest image: no baseline has to be chosen, and
    nothing is drawn into the image that it does not hold, but what smoothing keeps (the mean
    brightness) cannot get any of the score. Points lie at σ = `max_sigma`·(1 − α)³, denser
    where the image is sharp.

    References
    ----------
    Xu, Venugopalan & Sundararajan 2020, Attribution in Scale and Space, arXiv:2004.03383.
    """

    linear: ClassVar[bool] = True

    steps: int = 64
    max_sigma: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_sigma is not None and not 0 < self.max_sigma < math.inf:
            raise ContractError(
                f"max_sigma is {self.max_sigma!r}", remedy="Give a number of pixels above 0."
            )

    def alone(self) -> Explainer:
        """Return the method itself: its passes hold one image each already."""
        return self

    def attribute(self, problem: Problem) -> Attribution:
        """Return the contributions, in units of the score, with the completeness error."""
        values, gaps = list[Tensor](), list[Tensor]()
        for image, weight in zip(problem.x, problem.weights, strict=True):
            diffusion = Diffusion(image)
            largest = self.max_sigma or float(max(image.shape[1:]))

            def path(alpha: Tensor, flow: Diffusion = diffusion, most: float = largest) -> Tensor:
                return flow.at(most * (1 - alpha) ** _SPACING)

            found = integrate_path(problem.stream, weight, path, steps=self.steps)
            difference = ScoreDifference(problem.stream, path(torch.zeros(1)))
            values.append(found.to(image))
            gaps.append(difference.error(found, image[None], weight))
        return Attribution(values=torch.stack(values), completeness_error=torch.stack(gaps))
