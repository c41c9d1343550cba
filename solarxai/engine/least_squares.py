"""Weighted least squares, and how much each row of the design moves its answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from solarxai.errors import ContractError

__all__ = ["Fit", "fit_weighted"]

Floats = npt.NDArray[np.float64]

_SINGULAR = 1e-10


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """A fit.

    Parameters
    ----------
    coefficients
        (column,).
    influence
        (row, column): how far the coefficients would go back if the row were not there, to first
        order for penalised columns and exactly for the others.
    """

    coefficients: Floats
    influence: Floats


def fit_weighted(
    design: Floats, answers: Floats, weights: Floats, *, penalty: Floats | float = 0.0
) -> Fit:
    r"""Return the coefficients β that minimise the weighted squares, with the influence of rows.

    Parameters
    ----------
    design
        (row, column).
    answers
        (row,).
    weights
        (row,), not negative.
    penalty
        Of the square of each coefficient, one or (column,), per unit of weight.

    Raises
    ------
    ContractError
        when rows of positive weight do not determine every coefficient.

    Notes
    -----
    The minimum of :math:`\sum_j w_j \big[(y_j - z_j \beta)^2 + \lambda \beta^2\big]`, with
    influences :math:`H^{-1} w_j (z_j e_j - \lambda \beta) / (1 - h_j)`, where :math:`h_j` is the
    leverage: their squares add up to the jackknife's variance.

    References
    ----------
    MacKinnon & White 1985, doi:10.1016/0304-4076(85)90158-7 (HC3).
    """
    weighted = design * weights[:, None]
    curvature = weighted.T @ design + np.diag(
        np.broadcast_to(np.asarray(penalty, dtype=np.float64), design.shape[1]) * weights.sum()
    )
    _check_determined(curvature)
    inverse = np.linalg.inv(curvature)
    coefficients = inverse @ (weighted.T @ answers)
    residual = answers - design @ coefficients
    leverage = np.einsum("rc,cd,rd->r", weighted, inverse, design, optimize=True)
    pull = weighted * residual[:, None] - weights[:, None] * penalty * coefficients
    room = np.maximum(1 - leverage, np.sqrt(_SINGULAR))
    return Fit(coefficients=coefficients, influence=(pull @ inverse) / room[:, None])


def _check_determined(curvature: Floats) -> None:
    if not len(curvature):
        return
    spread = np.linalg.eigvalsh(curvature)
    if not spread[0] > _SINGULAR * spread[-1]:
        raise ContractError(
            "the coalitions drawn do not vary enough to tell the players apart",
            remedy="Take more samples, fewer players, a wider kernel or a larger ridge.",
        )
