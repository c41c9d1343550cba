"""Transformer relevance: attention weighted by the gradient of the score, rolled out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from solarxai.engine.attention import Attentions
from solarxai.explainers import Problem
from solarxai.explainers._attention import AttentionMap

__all__ = ["TransformerRelevance"]


@dataclass(frozen=True, kw_only=True)
class TransformerRelevance(AttentionMap):
    r"""The relevance of each patch for the score: attention that raises it, through all layers.

    Notes
    -----
    With the attention :math:`A_l` of each head, the gradient of the explained score to it, and the
    mean over heads of the positive part of their product, relevance starts from the identity:

    .. math:: R \leftarrow R + \bar A_l R, \qquad
              \bar A_l = \left\langle \left( \nabla A_l \odot A_l \right)^+ \right\rangle_h .

    The map is the row of the class token over the patches, or the mean row, without the identity
    it started from, where the scores are made from the mean of the tokens. It is never negative:
    what lowers the score is not shown, and the map of a difference of two scores is not the
    difference of their maps. There is no completeness axiom; the scale follows the score's.
    The network needs patches cut by a convolution and attention between all tokens;
    `torch.nn.MultiheadAttention` and `scaled_dot_product_attention` are opened, masks and
    `torch.nn.TransformerEncoderLayer` are refused. One further image goes forward and backward to
    see which tokens the scores read.

    References
    ----------
    Chefer, Gur & Wolf 2021, Generic Attention-model Explainability for Interpreting Bi-Modal and
    Encoder-Decoder Transformers, arXiv:2103.15679, equations 5 and 6.
    """

    units: ClassVar[str] = "relevance"

    def steps(
        self, problem: Problem, attentions: Attentions, x: Tensor, weights: Tensor
    ) -> list[Tensor]:
        """Return I + Ā of each layer."""
        pairs = attentions.gradients(problem.stream, x, weights)
        raising = [(a.double() * g.double()).clamp_min(0).mean(dim=1) for a, g in pairs]
        unmixed = torch.eye(raising[0].shape[-1]).to(raising[0])
        return [unmixed + mean for mean in raising]

    def followed(self, steps: list[Tensor], attentions: Attentions) -> Tensor:
        """Return the mean row of the tokens read in R without the identity it started from."""
        return super().followed(steps, attentions) - attentions.start(steps[-1])
