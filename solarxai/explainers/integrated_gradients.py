"""Integrated Gradients: contributions to the score along a straight path from a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from solarxai.engine.completeness import ScoreDifference
from solarxai.engine.path_integrals import integrate_lines
from solarxai.engine.quadrature import quadrature
from solarxai.explainers import Attribution, Problem
from solarxai.explainers._baseline import Comparing

__all__ = ["IntegratedGradients"]


@dataclass(frozen=True, kw_only=True)
class IntegratedGradients(Comparing):
    r"""The contribution of each input value to the score, along straight paths from baselines.

    Parameters
    ----------
    steps
        Gradients along each path.
    rule
        Where they are taken and how they are weighted: "gauss_legendre", "riemann_left",
        "riemann_midpoint", "riemann_right" or "trapezoid".

    Notes
    -----
    The mean over the baselines x′ of

    .. math:: (x - x') \int_0^1 \frac{\partial f}{\partial x}\big(x' + \alpha (x - x')\big)
              \, d\alpha,

    whose sum is f(x) − ⟨f(x′)⟩; the completeness error says how far the rule is from the integral.
    Every baseline costs `steps` gradients: for many of them `expected_gradients` gives the same
    map for less.

    References
    ----------
    Sundararajan, Taly & Yan 2017, Axiomatic Attribution for Deep Networks, arXiv:1703.01365.
    """

    linear: ClassVar[bool] = True

    steps: int = 64
    rule: str = "gauss_legendre"

    def __post_init__(self) -> None:
        super().__post_init__()
        quadrature(self.rule, self.steps)

    def attribute(self, problem: Problem) -> Attribution:
        """Return the contributions, in units of the score, with the completeness error."""
        stream, baselines = problem.stream, self.compared(problem)
        difference = ScoreDifference(stream, baselines)
        rule = quadrature(self.rule, self.steps)
        values, gaps = list[Tensor](), list[Tensor]()
        for image, weight in zip(problem.x, problem.weights, strict=True):
            ends = image.expand_as(baselines)
            found = integrate_lines(stream, weight, baselines, ends, rule) / len(baselines)
            values.append(found.to(image))
            gaps.append(difference.error(found, image[None], weight))
        return Attribution(values=torch.stack(values), completeness_error=torch.stack(gaps))
