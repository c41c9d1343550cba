"""How far one measured column alone gets: a logistic regression on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special

from solarxai.errors import ValidationError

__all__ = ["Logistic", "fit_logistic"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Logistic:
    """A logistic regression on one measured column, P = 1/(1 + exp(−(intercept + slope·z))).

    Parameters
    ----------
    intercept, slope
        Coefficients for z = (x − centre)/spread.
    centre, spread
        Mean and standard deviation of the column where it was fitted.
    """

    intercept: float
    slope: float
    centre: float
    spread: float

    def probability(self, x: Array) -> npt.NDArray[np.float64]:
        """Return the probability of a yes for each value of the column."""
        z = (np.asarray(x, float) - self.centre) / self.spread
        return np.asarray(scipy.special.expit(self.intercept + self.slope * z))


def fit_logistic(x: Array, truth: Array) -> Logistic:
    """Return the logistic regression of `truth` on one column `x`.

    Minimises Σ ln(1 + exp(−s·(intercept + slope·z))) + slope²/2 with s = ±1: the unit ridge keeps
    the slope finite when the column separates the classes.

    Raises
    ------
    ValidationError
        when a value is not finite or a class is absent.
    """
    column, sign = np.asarray(x, float), np.where(truth, 1.0, -1.0)
    if not np.isfinite(column).all() or len(np.unique(sign)) < 2:
        raise ValidationError(
            f"a logistic regression needs finite values and both classes; got "
            f"{int((~np.isfinite(column)).sum())} values that are not finite and "
            f"{len(np.unique(sign))} class(es)",
            remedy="Give more samples, or leave this column out.",
        )
    centre, spread = float(column.mean()), float(column.std()) or 1.0
    z = (column - centre) / spread

    def loss(beta: Array) -> tuple[float, Array]:
        margin = sign * (beta[0] + beta[1] * z)
        pull = -sign * scipy.special.expit(-margin)
        total = float(np.logaddexp(0, -margin).sum() + beta[1] ** 2 / 2)
        return total, np.array([pull.sum(), pull @ z + beta[1]])

    best = scipy.optimize.minimize(loss, np.zeros(2), jac=True, method="BFGS").x
    return Logistic(intercept=float(best[0]), slope=float(best[1]), centre=centre, spread=spread)
