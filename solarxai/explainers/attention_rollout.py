"""Attention rollout: the attention of all layers of a transformer, multiplied through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from solarxai.engine.attention import Attentions
from solarxai.errors import ContractError
from solarxai.explainers import Problem
from solarxai.explainers._attention import AttentionMap

__all__ = ["AttentionRollout"]


@dataclass(frozen=True, kw_only=True)
class AttentionRollout(AttentionMap):
    r"""The share of each patch in what the attention of all layers mixes into the token read.

    Parameters
    ----------
    residual
        Share of a token that goes past each attention unmixed, by the sum around it: 0.5 in the
        paper, 0 for the product of the attention matrices alone.

    Notes
    -----
    With the mean :math:`A_l` over the heads of layer l and the share r,

    .. math:: R = \tilde A_L \cdots \tilde A_1, \qquad \tilde A_l = (1 - r) A_l + r I.

    The map is the row of the class token over the patches, or the mean row where the scores are
    made from the mean of the tokens. Rows of R sum to 1: the map sums to 1 less the share of the
    class token itself, and is never negative.

    It is not the explanation of a class: no score enters, the map is the same for every target,
    and neither values nor perceptrons count. It tells where a transformer looks, not why it
    decides; `transformer_relevance` depends on the target. The network needs patches cut by a
    convolution and attention between all tokens; `torch.nn.MultiheadAttention` and
    `scaled_dot_product_attention` are opened, masks and `torch.nn.TransformerEncoderLayer` are
    refused. One further image goes forward and backward to see which tokens the scores read.

    References
    ----------
    Abnar & Zuidema 2020, Quantifying Attention Flow in Transformers,
    doi:10.18653/v1/2020.acl-main.385.
    """

    units: ClassVar[str] = "share of attention"

    residual: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.residual < 1:
            raise ContractError(
                f"AttentionRollout: residual is {self.residual!r}",
                remedy="Give a share of 0 or more and less than 1.",
            )

    def steps(
        self,
        problem: Problem,
        attentions: Attentions,
        x: Tensor,
        weights: Tensor,  # noqa: ARG002
    ) -> list[Tensor]:
        """Return Ã of each layer."""
        matrices = attentions.matrices(problem.stream, x)
        means = [matrix.double().mean(dim=1) for matrix in matrices]
        unmixed = self.residual * torch.eye(means[0].shape[-1]).to(means[0])
        return [(1 - self.residual) * mean + unmixed for mean in means]
