"""P-values of many tests at once, corrected for their number."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.stats

from solarxai.errors import ValidationError

__all__ = ["benjamini_hochberg", "holm"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


def holm(p: Array) -> Floats:
    """Return p-values corrected so that a false one among all of them is as rare as stated.

    Parameters
    ----------
    p
        (test,) p-values; NaN for a test that could not be made, which stays NaN and is not counted.

    Raises
    ------
    ValidationError
        when a value is outside 0–1.

    Notes
    -----
    With the m values in rising order, p̃₍ᵢ₎ = max over j ≤ i of min(1, (m − j + 1) p₍ⱼ₎). Holds
    whatever the dependence of the tests.

    References
    ----------
    Holm 1979, Scandinavian Journal of Statistics 6 65.
    """
    values, defined = _checked(p)
    order = np.argsort(values[defined], kind="stable")
    steps = np.arange(len(order), 0, -1)
    rising = np.maximum.accumulate(steps * values[defined][order])
    made = np.empty(len(order))
    made[order] = np.minimum(rising, 1)
    values[defined] = made
    return values


def benjamini_hochberg(p: Array) -> Floats:
    """Return p-values corrected so that the share of false ones among those kept is as stated.

    Parameters
    ----------
    p
        (test,) p-values; NaN stays NaN and is not counted.

    Raises
    ------
    ValidationError
        when a value is outside 0–1.

    Notes
    -----
    `scipy.stats.false_discovery_control`; holds for independent or positively dependent tests.

    References
    ----------
    Benjamini & Hochberg 1995, Journal of the Royal Statistical Society B 57 289,
    doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    values, defined = _checked(p)
    if defined.any():
        values[defined] = scipy.stats.false_discovery_control(values[defined], method="bh")
    return values


def _checked(p: Array) -> tuple[Floats, npt.NDArray[np.bool_]]:
    values = np.array(p, dtype=float)
    wrong = values[(values < 0) | (values > 1)]
    if len(wrong):
        raise ValidationError(
            f"p-value {wrong[0]:g} is not between 0 and 1",
            remedy="Give probabilities, or NaN for tests that could not be made.",
        )
    return values, ~np.isnan(values)
