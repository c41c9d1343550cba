"""What DeepLIFT methods share: contributions that must sum to the difference of two scores."""

from __future__ import annotations

from torch import Tensor

from solarxai.errors import ExplainerRefusal

__all__ = ["check_complete"]

_BROKEN = 1e-2
_ROUNDING = {"float32": 1e-5, "bfloat16": 5e-2}


def check_complete(gaps: Tensor, wanted: Tensor, values: Tensor, *, precision: str) -> Tensor:
    """Return the completeness errors (image,) unchanged if none is broken.

    Parameters
    ----------
    gaps
        (image,): sum of the values minus the score difference.
    wanted
        (image,): the score difference.
    values
        (image, channel, *space): contributions, whose rounding is allowed for, as is that of a
        score of one.
    precision
        Of the network.

    Raises
    ------
    ExplainerRefusal
        when an error is above 1 % of the difference, rounding aside.
    """
    rounding = _ROUNDING[precision] * (1 + values.flatten(1).abs().sum(dim=1))
    allowed = _BROKEN * wanted.abs() + rounding.to(wanted)
    broken = (gaps.abs() > allowed).nonzero().flatten().tolist()
    if broken:
        raise ExplainerRefusal(
            f"contributions of images {broken} do not sum to the score difference: off by "
            f"{float(gaps[broken[0]]):.3g} of {float(wanted[broken[0]]):.3g}",
            remedy="Report the network's layers: a rule fails. Use integrated_gradients meanwhile.",
        )
    return gaps
