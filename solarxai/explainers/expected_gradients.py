"""Expected Gradients: contributions to the score, averaged over baselines and paths."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from solarxai.engine.paths import Paths
from solarxai.engine.seeds import image_generator
from solarxai.explainers import Attribution, Explainer, Problem

__all__ = ["ExpectedGradients"]


@dataclass(frozen=True, kw_only=True)
class ExpectedGradients(Explainer):
    r"""The contribution of each input value to the score, against a set of baselines.

    Parameters
    ----------
    samples
        Most gradients an image; with B baselines ⌊samples/B⌋·B of them are taken, or `samples`
        where there are more baselines than that.
    seed
        Of the path positions, together with the image itself.
    n_baselines
        How many training images to draw as baselines where the caller draws them; read by
        `solarxai.attribution`.

    Notes
    -----
    The expectation over baselines x′ and positions α of

    .. math:: (x - x') \, \frac{\partial f}{\partial x}\big(x' + \alpha (x - x')\big),

    whose sum is f(x) − ⟨f(x′)⟩. The estimator is stratified in both (`solarxai.engine.baselines`).
    The standard error is that of the estimator for the *given* baselines: their own choice is not
    in it. Each image has its own random numbers and its own passes, so its map depends neither on
    its place in the batch nor on its neighbours.

    References
    ----------
    Erion et al. 2021, doi:10.1038/s42256-021-00343-w. Lundberg & Lee 2017, arXiv:1705.07874.
    """

    uses_baselines: ClassVar[bool] = True

    samples: int = field(default=200, metadata={"minimum": 2})
    seed: int = field(default=0, metadata={"minimum": 0})
    n_baselines: int = 100

    def alone(self) -> Explainer:
        """Return the method itself: its passes hold one image each already."""
        return self

    def attribute(self, problem: Problem) -> Attribution:
        """Return the contributions, in units of the score, with standard and completeness error."""
        paths = Paths(problem.stream, problem.given_baselines())
        pairs = zip(problem.x, problem.weights, strict=True)
        found = [self._explain(paths, *pair) for pair in pairs]
        values, stderr, gaps = (torch.stack(part) for part in zip(*found, strict=True))
        return Attribution(values=values, stderr=stderr, completeness_error=gaps)

    def _explain(
        self, paths: Paths, image: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        generator = image_generator(self.seed, image)
        values, stderr = paths.integrate(image, weight, samples=self.samples, generator=generator)
        return values, stderr, paths.completeness_error(values, image, weight)
