"""How relevance is shared among the inputs of a layer: each rule a few numbers and signs.

Every rule here has one form. With some changed inputs v_t(x), changed weights W_t and biases b_t,

    R_i = Σ_parts c_p Σ_t s_t v_t(x)_i Σ_j W_t,ji R_j / (Σ_t s_t z_t,j),   z_t = W_t v_t(x) + b_t,

where the denominator is kept away from zero by `epsilon` times its sign. A rule is the list of its
parts, a composite says which rule is for which kind of layer.

References
----------
Bach et al. 2015, doi:10.1371/journal.pone.0130140. Montavon et al. 2017,
doi:10.1016/j.patcog.2016.11.008. Montavon et al. 2019, doi:10.1007/978-3-030-28954-6_10.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Composite", "Part", "Rule", "Term"]

Change = Callable[[Tensor], Tensor]


def _same(values: Tensor) -> Tensor:
    return values


def _positive(values: Tensor) -> Tensor:
    return values.clamp_min(0)


def _negative(values: Tensor) -> Tensor:
    return values.clamp_max(0)


def _squared(values: Tensor) -> Tensor:
    return values.square()


@dataclass(frozen=True, kw_only=True)
class Term:
    """One product of changed inputs and changed weights.

    Parameters
    ----------
    inputs, weight
        What is made of the layer's input and weights.
    bias
        What is made of its bias; None leaves it out.
    sign
        +1 or −1, in the sum of the terms and in what comes back.
    """

    inputs: Change = _same
    weight: Change = _same
    bias: Change | None = _same
    sign: float = 1.0

    def vanishes(self, x: Tensor) -> bool:
        """Return whether the term is zero, because it reads negative inputs and there are none."""
        return self.inputs is _negative and self.bias is None and not bool((x < 0).any())


@dataclass(frozen=True, kw_only=True)
class Part:
    """Terms with one denominator.

    Parameters
    ----------
    terms
        Their sum is the denominator.
    coefficient
        Of the relevance that this part gives back.
    outputs
        "all", or only outputs of the layer that are "positive" or "negative".
    """

    terms: tuple[Term, ...]
    coefficient: float = 1.0
    outputs: str = "all"

    def factor(self, denominator: Tensor, given: Tensor, epsilon: float) -> Tensor:
        """Return what relevance is multiplied by before it goes back through the terms.

        Parameters
        ----------
        denominator
            Sum of the terms.
        given
            What the layer itself gives.
        epsilon
            Added to the denominator, with its sign.
        """
        factor = self.coefficient / stabilised(denominator, epsilon)
        if self.outputs == "all":
            return factor
        return factor * ((given > 0) if self.outputs == "positive" else (given < 0))


Rule = tuple[Part, ...] | None
"""The parts of a rule; None for contributions to the layer's own output (the ε rule)."""


def stabilised(values: Tensor, epsilon: float) -> Tensor:
    """Return values moved away from zero by epsilon; zero counts as positive."""
    return values + torch.where(values < 0, -epsilon, epsilon)


def z_plus(*, bias: bool = True) -> Rule:
    """Return the z⁺ rule: shares of what makes an output larger.

    Parameters
    ----------
    bias
        Whether a positive bias takes its share: that part of the relevance is lost.
    """
    return (Part(terms=_raising(_positive if bias else None)),)


def z_signed() -> Rule:
    """Return the z⁺ rule for outputs of both signs, without bias.

    Positive outputs are shared by what raises them, negative ones by what lowers them.
    """
    raising = Part(terms=_raising(None), outputs="positive")
    return raising, Part(terms=_lowering(None), outputs="negative")


def alpha_beta(alpha: float, beta: float) -> Rule:
    """Return the αβ rule: shares of what raises an output less shares of what lowers it."""
    raising = Part(terms=_raising(_positive), coefficient=alpha)
    return raising, Part(terms=_lowering(_negative), coefficient=-beta)


def gamma_rule(gamma: float) -> Rule:
    """Return the γ rule in the form for inputs of both signs (Andéol et al. 2021)."""

    def more_positive(values: Tensor) -> Tensor:
        return values + gamma * values.clamp_min(0)

    def more_negative(values: Tensor) -> Tensor:
        return values + gamma * values.clamp_max(0)

    def favouring(same: Change, other: Change, outputs: str) -> Part:
        agreeing = Term(inputs=_positive, weight=same, bias=same)
        return Part(
            terms=(agreeing, Term(inputs=_negative, weight=other, bias=None)), outputs=outputs
        )

    return (
        favouring(more_positive, more_negative, "positive"),
        favouring(more_negative, more_positive, "negative"),
    )


def z_box(low: float, high: float) -> Rule:
    """Return the rule for inputs between two values; the bias has no share."""

    def lowest(values: Tensor) -> Tensor:
        return torch.full_like(values, low)

    def highest(values: Tensor) -> Tensor:
        return torch.full_like(values, high)

    terms = (
        Term(bias=None),
        Term(inputs=lowest, weight=_positive, bias=None, sign=-1.0),
        Term(inputs=highest, weight=_negative, bias=None, sign=-1.0),
    )
    return (Part(terms=terms),)


def w_square() -> Rule:
    """Return the rule for inputs without bounds: shares by squared weights alone."""
    return (Part(terms=(Term(inputs=torch.ones_like, weight=_squared, bias=None),)),)


def _raising(bias: Change | None) -> tuple[Term, Term]:
    return (
        Term(inputs=_positive, weight=_positive, bias=bias),
        Term(inputs=_negative, weight=_negative, bias=None),
    )


def _lowering(bias: Change | None) -> tuple[Term, Term]:
    return (
        Term(inputs=_positive, weight=_negative, bias=bias),
        Term(inputs=_negative, weight=_positive, bias=None),
    )


@dataclass(frozen=True, kw_only=True)
class Composite:
    """Which rule is for which layer.

    Parameters
    ----------
    convolution, dense
        Rules of convolutions and dense layers.
    first
        Rule of the layers that read the image itself; "same" for the rule of their kind.
    positive_sums
        Whether a sum shares relevance among its positive summands alone.
    epsilon
        Added to the denominators of the ε rule; others have `stabiliser`.
    stabiliser
        Added to all other denominators.
    rectifiers_only
        Whether activations other than ReLU are refused.
    box
        Least and largest value that an image may have, where a rule relies on them.
    """

    convolution: Rule
    dense: Rule
    first: Rule | str = "same"
    positive_sums: bool = False
    epsilon: float = 1e-6
    stabiliser: float = 1e-9
    rectifiers_only: bool = False
    box: tuple[float, float] | None = None
