"""Guided backprop: a gradient in which every ReLU lets only what speaks for the score pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from solarxai.engine.rectifiers import Rectified
from solarxai.explainers import Attribution, Explainer, Problem

__all__ = ["GuidedBackprop"]


@dataclass(frozen=True, kw_only=True)
class GuidedBackprop(Explainer):
    r"""The gradient of the score without what ReLUs would take back: edges in the image, signed.

    Notes
    -----
    At every ReLU the gradient :math:`g` coming back becomes

    .. math:: \max(0, g) \cdot [z > 0].

    The map depends little on the score and on the upper layers (Adebayo et al. 2018): it shows what
    the lower layers see, not what the score is made of. Every ReLU has the rule, whether it is a
    module, one module used several times or a function. Other activations are refused.

    References
    ----------
    Springenberg et al. 2015, Striving for Simplicity, arXiv:1412.6806. Adebayo et al. 2018, Sanity
    Checks for Saliency Maps, arXiv:1810.03292.
    """

    units: ClassVar[str] = "logit per unit of the input"

    def attribute(self, problem: Problem) -> Attribution:
        """Return the changed gradient, in units of the score per unit of the input."""
        network = Rectified(problem.prepared, guided=True, rule="guided_backprop")
        found = network.gradients(problem.stream, problem.x, problem.weights)
        return Attribution(values=torch.cat(list(found)))
