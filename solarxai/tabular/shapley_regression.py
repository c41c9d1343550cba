"""Shapley regression values: what each feature adds to a model that is trained again without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from solarxai.engine.coalitions import all_coalitions, shapley_shares, shapley_values
from solarxai.errors import ContractError

__all__ = ["ShapleyPredictions", "ShapleyRegression", "shapley_predictions", "shapley_regression"]

Floats = npt.NDArray[np.float64]
Predict = Callable[[Floats], Floats]
Fit = Callable[[Floats, Floats], Predict]

_MOST = 12


@dataclass(frozen=True, kw_only=True, eq=False)
class ShapleyRegression:
    """How the explained variance divides among features.

    Parameters
    ----------
    values
        (feature,): shares that sum to `explained`.
    explained
        R² of the model of all features.
    worth
        (2^feature,): R² of the model of each subset; feature i is in subset number c where bit i
        of c is set.
    """

    values: Floats
    explained: float
    worth: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class ShapleyPredictions:
    """How predictions divide among features.

    Parameters
    ----------
    values
        (row, feature), in units of the answer: with `mean`, they sum to `predictions`.
    mean
        The prediction without any feature.
    predictions
        (row,): those of the model of all features.
    """

    values: Floats
    mean: float
    predictions: Floats


def shapley_regression(
    features: Floats,
    answers: Floats,
    fit: Fit,
    *,
    tested: tuple[Floats, Floats] | None = None,
) -> ShapleyRegression:
    r"""Return the share of each feature in R², from models trained on all subsets of features.

    Parameters
    ----------
    features
        (row, feature), of 12 features or fewer: there are 2^feature models to train.
    answers
        (row,): numbers, or 0 and 1 for a classifier of which `fit` returns the probability.
    fit
        Trains on (row, some features) and answers, and returns what predicts (row,) from a table
        of these features, such as ``lambda x, y: LinearRegression().fit(x, y).predict``.
    tested
        Features and answers on which R² is measured; None for those trained on.

    Raises
    ------
    ContractError
        when there are more than 12 features, the tables do not fit or are not finite, or the
        answers do not vary.

    Notes
    -----
    The Shapley values of the game v(S) = R² of the model trained on the features S, where the
    model of no feature predicts the mean answer. Correlated features share what they explain
    together, where the coefficients of one model do not. Measured on other rows than those
    trained on, a share may be negative: the feature does harm.

    References
    ----------
    Lipovetsky & Conklin 2001, Analysis of Regression in Game Theory Approach,
    doi:10.1002/asmb.446.
    """
    _check(features, answers)
    rows, truth = (features, answers) if tested is None else tested
    _check(rows, truth, columns=features.shape[1])
    spread = float(((truth - answers.mean()) ** 2).sum())
    if not spread > 0 or not float(np.ptp(truth)) > 0:
        raise ContractError(
            "the answers do not vary: no share of their variance can be explained",
            remedy="Give rows with different answers.",
        )
    made = _predictions(features, answers, fit, rows)
    worth = np.array([1 - float(((truth - found) ** 2).sum()) / spread for found in made])
    return ShapleyRegression(
        values=shapley_values(worth), explained=float(worth[-1] - worth[0]), worth=worth
    )


def shapley_predictions(
    features: Floats, answers: Floats, fit: Fit, rows: Floats
) -> ShapleyPredictions:
    """Return what each feature adds to the predictions, from models trained on all subsets.

    Parameters
    ----------
    features, answers, fit
        As for `shapley_regression`.
    rows
        (row, feature): what to predict and explain.

    Raises
    ------
    ContractError
        when there are more than 12 features, or the tables do not fit or are not finite.

    References
    ----------
    Štrumbelj, Kononenko & Robnik-Šikonja 2009, doi:10.1016/j.datak.2009.01.004.
    """
    _check(features, answers)
    _check(rows, np.zeros(len(rows)), columns=features.shape[1])
    shares = shapley_shares(features.shape[1])
    values = np.zeros((len(rows), features.shape[1]))
    for number, found in enumerate(_predictions(features, answers, fit, rows)):
        values += found[:, None] * shares[:, number]
    return ShapleyPredictions(values=values, mean=float(answers.mean()), predictions=found)


def _predictions(features: Floats, answers: Floats, fit: Fit, rows: Floats) -> Iterator[Floats]:
    """Yield what the model of each subset predicts for the rows, (row,)."""
    count = features.shape[1]
    yield np.full(len(rows), answers.mean())
    for number in range(1, 2**count):
        chosen = all_coalitions(count)(np.array([number]))[0]
        found = np.asarray(fit(features[:, chosen], answers)(rows[:, chosen]), dtype=np.float64)
        if found.shape != (len(rows),) or not np.isfinite(found).all():
            raise ContractError(
                f"the model of features {np.flatnonzero(chosen).tolist()} predicts "
                f"{found.shape} for {len(rows)} rows, or numbers that are not finite",
                remedy="Let `fit` return a function from a table to one finite number a row.",
            )
        yield found


def _check(features: Floats, answers: Floats, *, columns: int | None = None) -> None:
    whole = features.ndim == 2 and len(features) and features.shape[1]
    if (
        not whole
        or answers.shape != features.shape[:1]
        or features.shape[1:] != (columns or features.shape[-1],)
    ):
        raise ContractError(
            f"features {features.shape} and answers {answers.shape} do not fit",
            remedy="Give tables (row, feature) of the same features, and one answer a row.",
        )
    if features.shape[1] > _MOST:
        raise ContractError(
            f"{features.shape[1]} features have 2^{features.shape[1]} subsets to train on",
            remedy=f"Choose {_MOST} features or fewer.",
        )
    if not (np.isfinite(features).all() and np.isfinite(answers).all()):
        raise ContractError(
            "features or answers contain values that are not finite",
            remedy="Leave such rows out.",
        )
