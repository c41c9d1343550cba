"""DeconvNet: the score projected back through the network, rectified on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from solarxai.engine.rectifiers import Rectified
from solarxai.explainers import Attribution, Explainer, Problem

__all__ = ["DeconvNet"]


@dataclass(frozen=True, kw_only=True)
class DeconvNet(Explainer):
    r"""The score projected back to the image through transposed and rectified layers, signed.

    Notes
    -----
    At every ReLU what comes back, :math:`g`, becomes :math:`\max(0, g)`, whatever the ReLU's own
    input; maxima go back to where they were found. Every ReLU has the rule, whether it is a module,
    one module used several times or a function. Other activations are refused. Like guided
    backprop, the map depends little on the upper layers: it shows what the lower ones see.

    References
    ----------
    Zeiler & Fergus 2014, Visualizing and Understanding Convolutional Networks,
    doi:10.1007/978-3-319-10590-1_53.
    """

    units: ClassVar[str] = "logit per unit of the input"

    def attribute(self, problem: Problem) -> Attribution:
        """Return the projection, in units of the score per unit of the input."""
        network = Rectified(problem.prepared, guided=False, rule="deconvnet")
        found = network.gradients(problem.stream, problem.x, problem.weights)
        return Attribution(values=torch.cat(list(found)))
