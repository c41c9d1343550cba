"""Weighted least squares and the influence of rows."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from solarxai.engine.least_squares import fit_weighted
from solarxai.errors import ContractError


def problem(rows=40, columns=5):
    rng = np.random.default_rng(0)
    design = np.insert(rng.standard_normal((rows, columns - 1)), 0, 1.0, axis=1)
    answers = design @ rng.standard_normal(columns) + rng.standard_normal(rows)
    return design, answers, rng.random(rows)


def test_it_agrees_with_scikit_learn():
    design, answers, weights = problem()
    penalty = np.array([0, 0.3, 0.3, 0.3, 0.3])
    oracle = Ridge(alpha=0.3 * weights.sum())
    oracle.fit(design[:, 1:], answers, sample_weight=weights)
    found = fit_weighted(design, answers, weights, penalty=penalty).coefficients
    np.testing.assert_allclose(found, [oracle.intercept_, *oracle.coef_], rtol=1e-8)


def test_without_a_penalty_the_influence_is_that_of_leaving_the_row_out():
    design, answers, weights = problem()
    whole = fit_weighted(design, answers, weights)
    for row in (0, 7, 39):
        kept = np.delete(np.arange(40), row)
        left = fit_weighted(design[kept], answers[kept], weights[kept]).coefficients
        np.testing.assert_allclose(whole.coefficients - left, whole.influence[row], rtol=1e-6)


def test_the_influence_gives_the_standard_error_of_uneven_noise():
    rng = np.random.default_rng(1)
    design = np.insert(rng.standard_normal((400, 2)), 0, 1.0, axis=1)
    weights, noise = rng.random(400), 0.1 + np.abs(design[:, 1])
    fits = [fit_weighted(design, noise * rng.standard_normal(400), weights) for _ in range(300)]
    spread = np.std([fit.coefficients for fit in fits], axis=0)
    told = np.mean([np.sqrt((fit.influence**2).sum(axis=0)) for fit in fits], axis=0)
    np.testing.assert_allclose(told, spread, rtol=0.12)


def test_no_column_is_no_problem():
    assert fit_weighted(np.zeros((3, 0)), np.ones(3), np.ones(3)).coefficients.shape == (0,)


def test_columns_that_do_not_vary_apart_are_refused():
    design = np.ones((10, 2))
    with pytest.raises(ContractError, match=r"do not vary enough to tell the players apart.*ridge"):
        fit_weighted(design, np.arange(10.0), np.ones(10))
