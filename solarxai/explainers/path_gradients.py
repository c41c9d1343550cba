"""Path gradients: contributions to the score along a path through given images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from solarxai.engine.completeness import ScoreDifference
from solarxai.engine.path_integrals import integrate_lines
from solarxai.engine.quadrature import quadrature
from solarxai.explainers import Attribution, Explainer, Problem

__all__ = ["PathGradients"]


@dataclass(frozen=True, kw_only=True)
class PathGradients(Explainer):
    r"""The contribution of each input value to the score, along a path through the baselines.

    Parameters
    ----------
    steps
        Gradients along each straight leg of the path.
    rule
        Where they are taken and how they are weighted: "gauss_legendre", "riemann_left",
        "riemann_midpoint", "riemann_right" or "trapezoid".
    n_baselines
        How many training images to draw as corners of the path where the caller draws them; read
        by `solarxai.attribution`.

    Notes
    -----
    The path γ goes straight from the first baseline to the second and so on, in the order given,
    and ends in the image, with the integral

    .. math:: \int_0^1 \frac{\partial f}{\partial x}\big(\gamma(\alpha)\big) \,
              \frac{d \gamma}{d \alpha} \, d\alpha,

    whose sum is f(x) less the score of the *first* baseline. With one baseline it is Integrated
    Gradients. A path that bends, given as a function or as points, is integrated by
    `solarxai.engine.path_integrals`.

    References
    ----------
    Sundararajan, Taly & Yan 2017, Axiomatic Attribution for Deep Networks, arXiv:1703.01365.
    Friedman 2004, Paths and consistency in additive cost sharing,
    doi:10.1007/s001820400173.
    """

    uses_baselines: ClassVar[bool] = True
    linear: ClassVar[bool] = True

    steps: int = 32
    rule: str = "gauss_legendre"
    n_baselines: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        quadrature(self.rule, self.steps)

    def alone(self) -> Explainer:
        """Return the method itself: its passes hold one image each already."""
        return self

    def attribute(self, problem: Problem) -> Attribution:
        """Return the contributions, in units of the score, with the completeness error."""
        stream, way = problem.stream, problem.given_baselines()
        difference = ScoreDifference(stream, way[:1])
        rule = quadrature(self.rule, self.steps)
        values, gaps = list[Tensor](), list[Tensor]()
        for image, weight in zip(problem.x, problem.weights, strict=True):
            ends = torch.cat([way[1:], image[None]])
            found = integrate_lines(stream, weight, way, ends, rule)
            values.append(found.to(image))
            gaps.append(difference.error(found, image[None], weight))
        return Attribution(values=torch.stack(values), completeness_error=torch.stack(gaps))
