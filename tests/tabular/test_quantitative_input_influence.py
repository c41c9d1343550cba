"""Quantitative input influence of table features: by hand, axioms, error bars."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from solarxai.errors import ContractError
from solarxai.tabular.quantitative_input_influence import (
    set_influence,
    shapley_influence,
    unary_influence,
)

WAYS = [unary_influence, shapley_influence]


def table(rows, columns=4, *, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, columns))


def linear(x):
    return x @ np.array([3.0, -2.0, 0.0, 1.0]) + 5


def curved(x):
    return np.tanh(x[:, 0] * x[:, 1]) + x[:, 2] * x[:, 0] ** 2


def bounded(x):
    return np.tanh(x[:, 0] + x[:, 1] * x[:, 2]) + np.tanh(x[:, 3] - x[:, 0])


@pytest.mark.parametrize("influence", WAYS)
def test_a_linear_predictor_gives_weight_times_distance_from_the_mean(influence):
    rows, background = table(5), table(300, seed=1)
    found = influence(linear, rows, background, draws=4000)
    wanted = [3.0, -2.0, 0.0, 1.0] * (rows - background.mean(axis=0))
    assert (np.abs(found.values - wanted) <= 4 * found.stderr + 1e-9).all()


@pytest.mark.parametrize("influence", WAYS)
def test_a_feature_that_changes_nothing_has_no_influence(influence):
    found = influence(curved, table(5), table(50, seed=1), draws=50)
    assert np.abs(found.values[:, 3]).max() < 1e-12
    assert found.stderr[:, 3].max() < 1e-12


@pytest.mark.parametrize("influence", WAYS)
def test_a_row_that_is_its_own_background_has_no_influence(influence):
    row = table(1)
    found = influence(curved, row, row, draws=10)
    assert np.abs(found.values).max() < 1e-12


def test_of_two_causes_that_each_suffice_only_the_set_has_influence():
    """An alarm that rings for either cause: replacing one leaves it ringing."""
    alarm = lambda x: ((x[:, 0] > 0) | (x[:, 1] > 0)) * 1.0  # noqa: E731
    row, background = np.ones((1, 2)), -np.ones((1, 2))
    assert unary_influence(alarm, row, background).values.tolist() == [[0, 0]]
    assert set_influence(alarm, row, background, features=[0, 1]).values.tolist() == [1]
    assert shapley_influence(alarm, row, background).values.tolist() == [[0.5, 0.5]]


def test_two_features_that_can_change_places_have_one_influence():
    row = np.array([[0.5, 0.5, 2.0]])
    product = lambda x: x[:, 0] * x[:, 1] * x[:, 2]  # noqa: E731
    found = shapley_influence(product, row, np.zeros((1, 3)), draws=4000)
    assert abs(found.values[0, 0] - found.values[0, 1]) < 4 * found.stderr[0].max() + 1e-9


@pytest.mark.parametrize("replaced_by", ["marginal", "joint"])
def test_shapley_influences_sum_to_the_difference_of_predictions(replaced_by):
    rows, background = table(4), table(1, seed=1)
    found = shapley_influence(curved, rows, background, draws=20, replaced_by=replaced_by)
    wanted = curved(rows) - curved(background)
    np.testing.assert_allclose(found.values.sum(axis=1), wanted, atol=1e-12)


def test_replacing_all_features_together_keeps_their_bond_only_if_asked_to():
    """In the background both features are equal; drawn each on its own they often differ."""
    background = np.repeat([[0.0], [1.0]], 2, axis=1)
    equal = lambda x: (x[:, 0] == x[:, 1]) * 1.0  # noqa: E731
    both = {"features": [0, 1], "draws": 4000}
    joint = set_influence(equal, np.ones((1, 2)), background, **both, replaced_by="joint")
    apart = set_influence(equal, np.ones((1, 2)), background, **both)
    assert joint.values.tolist() == [0]
    assert abs(apart.values[0] - 0.5) < 4 * apart.stderr[0]


def test_a_set_of_one_is_the_unary_influence():
    rows, background = table(3), table(20, seed=1)
    alone = unary_influence(curved, rows, background, draws=30, seed=2)
    found = set_influence(curved, rows, background, features=[1], draws=30, seed=2)
    np.testing.assert_allclose(found.values, alone.values[:, 1])
    np.testing.assert_allclose(found.stderr, alone.stderr[:, 1])


@pytest.mark.parametrize("influence", WAYS)
def test_what_is_said_of_a_row_does_not_depend_on_its_neighbours(influence):
    rows, background = table(5), table(20, seed=1)
    whole = influence(curved, rows, background, draws=30)
    alone = influence(curved, rows[3:4], background, draws=30)
    np.testing.assert_allclose(alone.values[0], whole.values[3])


@pytest.mark.parametrize("influence", WAYS)
def test_standard_errors_are_calibrated(influence):
    rows, background = table(1), table(30, seed=1)
    truth = influence(bounded, rows, background, draws=40_000)
    errors = []
    for seed in range(200):
        found = influence(bounded, rows, background, draws=60, seed=seed + 1)
        errors.append((found.values - truth.values) / found.stderr)
    assert 0.9 <= np.sqrt(np.mean(np.square(errors))) <= 1.15


def test_a_forest_of_scikit_learn_is_explained_by_what_it_was_trained_on():
    x = table(300)
    forest = RandomForestClassifier(30, random_state=0).fit(x, x[:, 0] > 0)
    found = shapley_influence(lambda t: forest.predict_proba(t)[:, 1], x[:3], x, draws=40)
    assert np.abs(found.values).argmax(axis=1).tolist() == [0, 0, 0]


def test_no_more_rows_are_predicted_at_once_than_one_part_holds():
    sizes = []

    def noted(x):
        sizes.append(len(x))
        return x[:, 0]

    unary_influence(noted, table(2), table(5), draws=3000)
    assert max(sizes) <= 4096
    assert sum(sizes) == 2 + 2 * 4 * 3000


@pytest.mark.parametrize("influence", WAYS)
def test_one_feature_alone_has_all_the_influence(influence):
    found = influence(lambda x: x[:, 0], np.full((1, 1), 3.0), np.ones((1, 1)), draws=2)
    assert found.values.tolist() == [[2.0]]


def test_what_cannot_be_asked_is_refused():
    rows = table(3)
    with pytest.raises(ContractError, match=r"rows \(3, 4\) and background \(9, 2\) do not fit"):
        unary_influence(linear, rows, table(9, 2))
    with pytest.raises(ContractError, match=r"1 draws have no standard error"):
        unary_influence(linear, rows, rows, draws=1)
    with pytest.raises(ContractError, match=r"features \[4\] are not among the columns 0 to 3"):
        set_influence(linear, rows, rows, features=[4])
    with pytest.raises(ContractError, match=r"no way to draw 'twice'.*marginal, joint"):
        shapley_influence(linear, rows, rows, replaced_by="twice")
    with pytest.raises(ContractError, match=r"one finite number a row.*probabilities"):
        unary_influence(lambda x: x, rows, rows)
    with pytest.raises(ContractError, match=r"one finite number a row"):
        unary_influence(lambda x: np.full(len(x), np.inf), rows, rows)
