"""Deep Taylor decomposition: the score shared out among what speaks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from solarxai.engine.rules import Composite, w_square, z_box, z_plus, z_signed
from solarxai.explainers._relevance import Relevance, checked_box

__all__ = ["DeepTaylor"]


@dataclass(frozen=True, kw_only=True)
class DeepTaylor(Relevance):
    r"""The share of each input value in the score, handed down along positive contributions.

    Parameters
    ----------
    low
        Least value an image may have: with both ends the layers that read the image use the rule of
        the box. None for images without bounds, and the w² rule.
    high
        Largest value an image may have.

    Notes
    -----
    Above the image every layer shares by

    .. math:: R_i = \sum_j \frac{x_i w_{ij}^+}{\sum_k x_k w_{kj}^+} R_j,

    a sum of branches likewise by its positive summands. The layers that read the image use

    .. math:: \frac{w_{ij}^2}{\sum_k w_{kj}^2}
        \quad \text{or} \quad
        \frac{x_i w_{ij} - l \, w_{ij}^+ - h \, w_{ij}^-}
             {\sum_k x_k w_{kj} - l \, w_{kj}^+ - h \, w_{kj}^-}.

    Biases take no share, so the map sums to the score; what an output without any such contribution
    holds is lost and reported as the completeness error. A negative score is minus the
    decomposition of its opposite: dense layers share it by what lowers it. The relevance of one
    score has the sign of that score everywhere; a difference of two scores has that of either. Only
    ReLU has the roots that the rules are derived from: other activations are refused.

    References
    ----------
    Montavon et al. 2017, Explaining NonLinear Classification Decisions with Deep Taylor
    Decomposition, doi:10.1016/j.patcog.2016.11.008.
    """

    rule: ClassVar[str] = "deep_taylor"

    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checked_box("DeepTaylor", self.low, self.high)

    def rules(self) -> Composite:
        """Return z⁺ rules above a box or w² rule."""
        box = checked_box("DeepTaylor", self.low, self.high)
        first = w_square() if box is None else z_box(*box)
        return Composite(
            box=box,
            convolution=z_plus(bias=False),
            dense=z_signed(),
            first=first,
            positive_sums=True,
            rectifiers_only=True,
        )
