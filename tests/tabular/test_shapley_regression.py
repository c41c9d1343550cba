"""Shapley regression values: R² and predictions divided by hand."""

from itertools import permutations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

from solarxai.errors import ContractError
from solarxai.tabular.shapley_regression import shapley_predictions, shapley_regression


def straight(x, y):
    return LinearRegression().fit(x, y).predict


def table(rows=200, columns=4, *, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, columns))


def independent(rows=64):
    """Return columns that are exactly uncorrelated, with mean 0 and variance 1."""
    columns = np.stack([np.cos(2 * np.pi * k * np.arange(rows) / rows) for k in (1, 2, 3)], axis=1)
    return columns / columns.std(axis=0)


def test_uncorrelated_features_explain_what_their_slopes_say():
    """R² of y = Σ b x with uncorrelated x is Σ b² ÷ Var y, feature by feature."""
    x = independent()
    found = shapley_regression(x, x @ [3.0, 2.0, 0.0] + 7, straight)
    np.testing.assert_allclose(found.values, [9 / 13, 4 / 13, 0], atol=1e-12)
    assert found.explained == pytest.approx(1)


def test_a_feature_given_twice_is_shared_in_halves():
    x = independent()[:, [0, 0, 1]]
    found = shapley_regression(x, x[:, 0] + x[:, 2], straight)
    np.testing.assert_allclose(found.values, [0.25, 0.25, 0.5], atol=1e-12)


def test_shares_are_the_mean_gain_of_r_squared_over_all_orders():
    x = table() @ np.linalg.cholesky(0.5 + 0.5 * np.eye(4)).T
    y = x @ [1.0, -2.0, 0.5, 0.0] + table(columns=1, seed=1)[:, 0]

    def explained(columns):
        return LinearRegression().fit(x[:, columns], y).score(x[:, columns], y) if columns else 0.0

    wanted, orders = np.zeros(4), list(permutations(range(4)))
    for order in orders:
        for place, feature in enumerate(order):
            gain = explained([*order[:place], feature]) - explained(list(order[:place]))
            wanted[feature] += gain / len(orders)
    found = shapley_regression(x, y, straight)
    np.testing.assert_allclose(found.values, wanted, atol=1e-10)
    assert found.values.sum() == pytest.approx(found.explained)
    assert found.worth[0b0101] == pytest.approx(explained([0, 2]))


def test_any_model_can_be_trained():
    x = table()
    tree = lambda a, b: DecisionTreeRegressor(max_depth=4, random_state=0).fit(a, b).predict  # noqa: E731
    found = shapley_regression(x, (x[:, 0] > 0) * (x[:, 1] > 0) * 1.0, tree)
    assert found.values[:2].min() > 4 * np.abs(found.values[2:]).max()


def test_measured_on_other_rows_noise_explains_nothing():
    x, y = table(60, 6), table(60, 1, seed=1)[:, 0]
    tested = (table(500, 6, seed=2), table(500, 1, seed=3)[:, 0])
    assert shapley_regression(x, y, straight).explained > 0.05
    found = shapley_regression(x, y, straight, tested=tested)
    assert found.explained < 0
    assert found.values.sum() == pytest.approx(found.explained)


def test_predictions_of_uncorrelated_features_divide_by_slope_times_value():
    x = independent()
    found = shapley_predictions(x, x @ [3.0, 2.0, 0.0] + 7, straight, x[:5])
    np.testing.assert_allclose(found.values, x[:5] * [3.0, 2.0, 0.0], atol=1e-10)
    assert found.mean == pytest.approx(7)


def test_contributions_to_predictions_sum_to_them():
    x = table()
    y, rows = np.exp(x[:, 0]) * x[:, 1], table(7, seed=4)
    tree = lambda a, b: DecisionTreeRegressor(max_depth=4, random_state=0).fit(a, b).predict  # noqa: E731
    found = shapley_predictions(x, y, tree, rows)
    np.testing.assert_allclose(found.mean + found.values.sum(axis=1), found.predictions)
    np.testing.assert_allclose(found.predictions, tree(x, y)(rows))


def test_two_features_that_can_change_places_have_one_share():
    x = table(columns=3)
    x = np.concatenate([x, x[:, [1, 0, 2]]])
    found = shapley_regression(x, x[:, 0] * x[:, 1] + x[:, 0] + x[:, 1] + x[:, 2], straight)
    assert found.values[0] == pytest.approx(found.values[1])


def test_more_than_twelve_features_are_refused():
    with pytest.raises(ContractError, match=r"13 features have 2\^13 subsets.*12 features"):
        shapley_regression(table(columns=13), np.arange(200.0), straight)


def test_answers_that_do_not_vary_are_refused():
    with pytest.raises(ContractError, match=r"answers do not vary"):
        shapley_regression(table(), np.ones(200), straight)
    tested = (table(5), np.full(5, 3.0))
    with pytest.raises(ContractError, match=r"answers do not vary"):
        shapley_regression(table(), np.arange(200.0), straight, tested=tested)


@pytest.mark.parametrize(
    ("x", "y"),
    [(table(), np.zeros(3)), (np.zeros(5), np.zeros(5)), (np.zeros((0, 2)), np.zeros(0)),
     (np.zeros((4, 0)), np.zeros(4))],
)  # fmt: skip
def test_tables_that_do_not_fit_are_refused(x, y):
    with pytest.raises(ContractError, match=r"features .* and answers .* do not fit"):
        shapley_regression(x, y, straight)


def test_rows_of_other_features_are_refused():
    with pytest.raises(ContractError, match="do not fit"):
        shapley_predictions(table(), np.arange(200.0), straight, table(5, 3))


def test_values_that_are_not_finite_are_refused():
    x = table()
    x[3, 1] = np.nan
    with pytest.raises(ContractError, match=r"not finite.*Leave such rows out"):
        shapley_regression(x, np.arange(200.0), straight)


@pytest.mark.parametrize(
    "wrong", [lambda z: np.zeros((len(z), 2)), lambda z: np.full(len(z), np.nan)]
)
def test_a_model_that_predicts_no_number_a_row_is_refused(wrong):
    with pytest.raises(ContractError, match=r"model of features \[0\] predicts"):
        shapley_regression(table(), np.arange(200.0), lambda a, b: wrong)
