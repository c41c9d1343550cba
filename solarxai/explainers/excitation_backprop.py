"""Excitation backprop: where a winner, followed down from the score, is likely to end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from solarxai.engine.rules import Composite, z_plus
from solarxai.explainers._relevance import Relevance

__all__ = ["ExcitationBackprop"]


@dataclass(frozen=True, kw_only=True)
class ExcitationBackprop(Relevance):
    r"""The probability that a walk down from the score along excitations ends at each input value.

    Notes
    -----
    From unit j the walk goes to unit i of the layer before with probability

    .. math:: P(i | j) = \frac{x_i w_{ij}^+}{\sum_k x_k w_{kj}^+},

    and at a sum of branches to a positive summand in proportion to it. Where the image itself is
    negative, negative weights excite. The map of one score is positive and sums to 1; that of a
    difference is the contrastive map of the paper's kind, the walk from one score less that from
    the other, and sums to 0. The completeness error is what ended at units that nothing excites.
    The size of the score does not enter. Only ReLU keeps all units positive: other activations are
    refused.

    References
    ----------
    Zhang et al. 2018, Top-Down Neural Attention by Excitation Backprop,
    doi:10.1007/s11263-017-1059-x.
    """

    units: ClassVar[str] = "probability"
    rule: ClassVar[str] = "excitation_backprop"

    def rules(self) -> Composite:
        """Return z⁺ rules without biases for all layers."""
        excited = z_plus(bias=False)
        return Composite(
            convolution=excited, dense=excited, positive_sums=True, rectifiers_only=True
        )

    def start(self, scores: Tensor, weights: Tensor) -> Tensor:
        """Return the probability that the walk begins at each score, (image, class)."""
        return torch.ones_like(scores) * weights
