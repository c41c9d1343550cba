"""DeepLIFT-SHAP: contributions to the score, averaged over references."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from solarxai.engine.deep_lift import Rescaled
from solarxai.engine.moments import Moments
from solarxai.explainers import Attribution, Explainer, Problem
from solarxai.explainers._deep_lift import check_complete

__all__ = ["DeepLIFTShap"]


@dataclass(frozen=True, kw_only=True)
class DeepLIFTShap(Explainer):
    r"""The contribution of each input value to the score, averaged over baselines as references.

    Parameters
    ----------
    n_baselines
        How many training images to draw as baselines where the caller draws them; read by
        `solarxai.attribution`.

    Notes
    -----
    The mean of the DeepLIFT maps (rescale rule, see `deeplift`) against each baseline x′; it sums
    to f(x) − ⟨f(x′)⟩ and approximates the Shapley values of pixels. The standard error is that of
    the mean over the baselines, as a sample of all there might be; None for a single one. Each map
    is checked against its score difference. One pass each way for each pair of image and baseline,
    and one forward an image.

    References
    ----------
    Lundberg & Lee 2017, A Unified Approach to Interpreting Model Predictions, arXiv:1705.07874.
    Shrikumar, Greenside & Kundaje 2017, arXiv:1704.02685.
    """

    uses_baselines: ClassVar[bool] = True
    linear: ClassVar[bool] = True

    n_baselines: int = 100

    def alone(self) -> Explainer:
        """Return the method itself: its passes are for one image each already."""
        return self

    def attribute(self, problem: Problem) -> Attribution:
        """Return the contributions, in units of the score, with standard and completeness error."""
        network = Rescaled(problem.prepared, rule="deeplift_shap")
        pairs = zip(problem.x, problem.weights, strict=True)
        found = [self._explain(problem, network, *pair) for pair in pairs]
        values, stderr, gaps = (torch.stack(part) for part in zip(*found, strict=True))
        several = len(problem.given_baselines()) > 1
        return Attribution(
            values=values, stderr=stderr if several else None, completeness_error=gaps
        )

    def _explain(
        self, problem: Problem, network: Rescaled, image: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        stream, moments, gap = problem.stream, Moments(), torch.zeros((), dtype=torch.float64)
        here = network.against(stream, image[None])
        baselines = problem.given_baselines()
        for part in stream.parts(baselines):
            weights = weight.expand(len(part), -1)
            # Multipliers are the same seen from either end; the map from a baseline to x is minus
            # that from x to the baseline.
            found, scores = here.contributions(stream, part, weights)
            wanted = ((here.scores - scores).double() * weights.to(scores)).sum(dim=1)
            gaps = -found.double().flatten(1).sum(dim=1) - wanted
            gap += check_complete(gaps, wanted, found, precision=self.precision).sum().cpu()
            moments.add(-found)
        stderr = moments.stderr() if len(baselines) > 1 else torch.zeros_like(moments.mean)
        return moments.mean.to(image), stderr.to(image), (gap / len(baselines)).to(image)
