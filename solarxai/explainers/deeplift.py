"""DeepLIFT: contributions to the score against one reference, by the rescale rule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from solarxai.engine.deep_lift import Rescaled
from solarxai.explainers import Attribution, Explainer, Problem
from solarxai.explainers._baseline import Comparing
from solarxai.explainers._deep_lift import check_complete

__all__ = ["DeepLIFT"]


@dataclass(frozen=True, kw_only=True)
class DeepLIFT(Comparing):
    r"""The contribution of each input value to the score, against one reference image.

    Notes
    -----
    The reference is the mean of the baselines given, or an even image of `baseline_value`. With
    :math:`\Delta` for differences from what the reference gives at the same place, the gradient of
    an activation is replaced by

    .. math:: m = \frac{\Delta y}{\Delta x},

    the rescale rule, so that the contributions :math:`m \, \Delta x` of the input sum to
    :math:`f(x) - f(x')`. A maximum belongs to the place of the larger of the two maxima. Linear
    operations and sums go by the chain rule. The sum is checked: a map that breaks it by more than
    1 % is refused. One pass an image each way, and one forward for the reference. The map depends
    on how the network is built, unlike that of `integrated_gradients`: two networks that are one
    function may have two maps. Products of activations, attention and softmax are refused. The
    reveal-cancel rule is not offered.

    References
    ----------
    Shrikumar, Greenside & Kundaje 2017, Learning Important Features Through Propagating Activation
    Differences, arXiv:1704.02685.
    """

    linear: ClassVar[bool] = True

    def alone(self) -> Explainer:
        """Return the same method with every image in passes of its own."""
        return replace(self, batch_size=1)

    def attribute(self, problem: Problem) -> Attribution:
        """Return the contributions, in units of the score, with the completeness error."""
        stream = problem.stream
        image = self.compared(problem).mean(dim=0, keepdim=True)
        reference = Rescaled(problem.prepared, rule="deeplift").against(stream, image)
        values, gaps = [], []
        for x, weights in problem.parts():
            found, scores = reference.contributions(stream, x, weights)
            wanted = ((scores - reference.scores).double() * weights.to(scores)).sum(dim=1)
            gap = found.double().flatten(1).sum(dim=1) - wanted
            gaps.append(check_complete(gap, wanted, found, precision=self.precision).to(x))
            values.append(found)
        return Attribution(values=torch.cat(values), completeness_error=torch.cat(gaps))
