"""Layer-wise relevance propagation: the score shared out among the inputs, layer by layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from solarxai.engine.rules import (
    Composite,
    Rule,
    alpha_beta,
    gamma_rule,
    w_square,
    z_box,
    z_plus,
)
from solarxai.errors import ContractError
from solarxai.explainers._relevance import Relevance, checked_box

__all__ = ["LRP"]


@dataclass(frozen=True, kw_only=True)
class LRP(Relevance):
    r"""The relevance of each input value: its share of the score, handed down layer by layer.

    Parameters
    ----------
    composite
        Which rule is for which layer (convolutions / dense layers / layers that read the image):
        "epsilon" (ε / ε / ε), "epsilon_plus" (z⁺ / ε / z⁺), "epsilon_gamma_box" (γ / ε / box),
        "epsilon_alpha2_beta1" (α2β1 / ε / α2β1), "gamma" (γ / γ / γ), "z_plus" (z⁺ / z⁺ / z⁺) or
        "w_square" (z⁺ / ε / w²).
    epsilon
        Added to the denominators of the ε rule with their sign, in units of a layer's output: more
        of it absorbs more of the relevance of weak contributions.
    gamma
        How much the γ rule favours contributions that raise an output.
    sums
        How a sum of branches shares: "epsilon", in proportion to the summands, or "z_plus", among
        the positive ones. With z⁺ rules for convolutions only the second keeps all relevance: a
        branch that gives a negative value may have no positive contributions to hand it on to.
    low
        Least value an image may have, for the box.
    high
        Largest value an image may have, for the box.

    Notes
    -----
    Output j of a layer, :math:`z_j = \sum_i x_i w_{ij} + b_j`, hands its relevance to the inputs i
    by their contributions,

    .. math:: R_i = \sum_j \frac{x_i w_{ij}}{z_j + \epsilon \, \mathrm{sign}(z_j)} R_j,

    the ε rule; z⁺ takes only positive contributions, γ weighs them more, αβ takes α of positive and
    β of negative ones, the box and w² rules are for a first layer whose inputs may be zero. Sums of
    branches, poolings and batch norms that could not be folded use the first equation, activations
    hand relevance on, a maximum gives it to the largest input. The relevance of the scores is the
    scores times the target's weights. The sum of a map is then the score, except for what biases
    and ε take: the completeness error is what is missing. Modules, functions and residual sums
    alike have rules; products of activations, attention and softmax are refused. The map says how
    the network would share its score under rules that were chosen, not what would change the score.

    References
    ----------
    Bach et al. 2015, doi:10.1371/journal.pone.0130140. Montavon et al. 2019, Layer-Wise Relevance
    Propagation: An Overview, doi:10.1007/978-3-030-28954-6_10. Kohlbrenner et al. 2020,
    arXiv:1910.09840.
    """

    rule: ClassVar[str] = "lrp"

    composite: str = "epsilon_plus"
    epsilon: float = 1e-6
    gamma: float = 0.25
    sums: str = "epsilon"
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_choice("composite", self.composite, tuple(_COMPOSITES))
        _check_choice("sums", self.sums, ("epsilon", "z_plus"))
        _check_number("epsilon", self.epsilon)
        _check_number("gamma", self.gamma)
        box = checked_box("LRP", self.low, self.high)
        if "box" in _COMPOSITES[self.composite] and box is None:
            raise ContractError(
                f"LRP: {self.composite} needs low and high",
                remedy="Give the least and the largest value that an image may have.",
            )

    def rules(self) -> Composite:
        """Return the rules of the composite chosen."""
        convolution, dense, first = _COMPOSITES[self.composite]
        return Composite(
            convolution=self._rule(convolution),
            dense=self._rule(dense),
            first="same" if first == "same" else self._rule(first),
            epsilon=self.epsilon,
            positive_sums=self.sums == "z_plus",
            box=checked_box("LRP", self.low, self.high) if first == "box" else None,
        )

    def _rule(self, name: str) -> Rule:
        box = checked_box("LRP", self.low, self.high)
        if name == "box" and box is not None:
            return z_box(*box)
        return gamma_rule(self.gamma) if name == "gamma" else _RULES[name]


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ContractError(
            f"LRP: {name} is {value!r}", remedy=f"Choose one of {', '.join(known)}."
        )


def _check_number(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ContractError(f"LRP: {name} is {value!r}", remedy="Give a finite number above 0.")


_RULES: dict[str, Rule] = {
    "epsilon": None,
    "z_plus": z_plus(),
    "alpha2_beta1": alpha_beta(2.0, 1.0),
    "w_square": w_square(),
}

_COMPOSITES = {
    "epsilon": ("epsilon", "epsilon", "same"),
    "epsilon_plus": ("z_plus", "epsilon", "same"),
    "epsilon_gamma_box": ("gamma", "epsilon", "box"),
    "epsilon_alpha2_beta1": ("alpha2_beta1", "epsilon", "same"),
    "gamma": ("gamma", "gamma", "same"),
    "z_plus": ("z_plus", "z_plus", "same"),
    "w_square": ("z_plus", "epsilon", "w_square"),
}
