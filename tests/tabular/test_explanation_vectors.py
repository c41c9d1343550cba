"""Explanation vectors against surrogates known by hand, by differences and by scikit-learn."""

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from sklearn.ensemble import RandomForestClassifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from solarxai.errors import ContractError, ExplainerRefusal
from solarxai.tabular.explanation_vectors import SURROGATES, explanation_vectors

EITHER = pytest.mark.parametrize("surrogate", SURROGATES)


class Halves:
    """The two sides of a plane, by name."""

    def __init__(self, normal, offset=0.0):
        self.normal, self.offset = np.asarray(normal, dtype=float), offset

    def predict(self, table):
        return np.where(table @ self.normal > self.offset, "sunspot", "pore")


class Sigmoid(Halves):
    """The same with probabilities."""

    classes_ = np.array(["pore", "sunspot"])

    def predict_proba(self, table):
        p = 1 / (1 + np.exp(-3 * (table @ self.normal - self.offset)))
        return np.stack([1 - p, p], axis=1)


def cloud(rows=500, features=3, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, features))


def cosines(values, direction):
    return values @ direction / np.linalg.norm(values, axis=1) / np.linalg.norm(direction)


@EITHER
@pytest.mark.parametrize("kind", [Halves, Sigmoid])
def test_vectors_near_a_plane_point_across_it(surrogate, kind):
    normal = np.array([2.0, -1.0, 0.0])
    rows = cloud(20, seed=1) * 0.5
    rows -= np.outer(rows @ normal, normal) / (normal @ normal)
    found = explanation_vectors(
        kind(normal), rows, cloud(800), surrogate=surrogate, target="sunspot"
    )
    assert np.median(cosines(found.values, normal)) > (0.9 if surrogate == "parzen" else 0.98)
    assert cosines(found.values, normal).min() > 0.75
    assert abs(np.mean(found.probability) - 0.5) < 0.1


def test_along_a_line_the_parzen_surrogate_is_the_normal_distribution():
    """Of many even rows, p(x) is the part of a normal density beyond the edge: Φ(x/σ)."""
    background = np.linspace(-10, 10, 3000)[:, None]
    rows, scale = np.array([[-1.0], [0.0], [0.3]]), background.std()
    found = explanation_vectors(
        Halves([1.0]), rows, background, width=0.5 / scale, target="sunspot"
    )
    density = np.exp(-((rows / 0.5) ** 2) / 2) / np.sqrt(2 * np.pi) / 0.5
    np.testing.assert_allclose(found.values, density, rtol=1e-4)
    np.testing.assert_allclose(found.probability, ndtr(rows[:, 0] / 0.5), atol=2e-3)


@EITHER
@pytest.mark.parametrize("kind", [Halves, Sigmoid])
def test_vectors_are_the_differences_of_the_surrogate(surrogate, kind):
    scales, step = np.array([1.0, 5.0, 0.2]), 1e-5
    background, rows = cloud(200) * scales, cloud(4, seed=2) * scales
    options = {"surrogate": surrogate, "target": "pore", "width": 0.8, "least_agreement": 0.0}
    model = kind([1.0, 0.3, -4.0])
    found = explanation_vectors(model, rows, background, **options)
    for feature, scale in enumerate(scales):
        shift = step * scale * np.eye(3)[feature]
        up, down = (
            explanation_vectors(model, rows + s * shift, background, **options).probability
            for s in (1, -1)
        )
        wanted = (up - down) / (2 * step * scale)
        np.testing.assert_allclose(found.values[:, feature], wanted, rtol=1e-6, atol=1e-9)


def test_the_gaussian_process_is_that_of_scikit_learn():
    background, rows = cloud(150), cloud(6, seed=3)
    model, width = Sigmoid([1.0, 1.0, 0.0]), 1.3
    found = explanation_vectors(
        model, rows, background, surrogate="gaussian_process", target="sunspot", width=width
    )
    probits = ndtri(np.clip(model.predict_proba(background), 0.025, 0.975))
    variance, scale = (probits**2).mean(), background.std(axis=0)
    oracle = GaussianProcessRegressor(
        ConstantKernel(variance) * RBF(width), alpha=variance * 0.01, optimizer=None
    ).fit(background / scale, probits[:, 1])
    mean, spread = oracle.predict(rows / scale, return_std=True)
    np.testing.assert_allclose(found.probability, ndtr(mean / np.sqrt(1 + spread**2)), rtol=1e-6)


@EITHER
def test_the_agreement_is_that_of_surrogates_made_without_each_row(surrogate):
    background, model = cloud(40, 2), Halves([1.0, 0.5])
    options = {"surrogate": surrogate, "width": 0.6, "least_agreement": 0.0}
    found = explanation_vectors(model, background[:1], background, **options)
    scale, right = background.std(axis=0), []
    for row in range(len(background)):
        rest = np.delete(background, row, axis=0)
        rest = rest / rest.std(axis=0) * scale
        at = background[row : row + 1]
        alone = explanation_vectors(model, at, rest, target="sunspot", **options)
        right.append((alone.probability[0] > 0.5) == (model.predict(at)[0] == "sunspot"))
    assert found.agreement == pytest.approx(np.mean(right), abs=1.5 / 40)


@EITHER
@pytest.mark.parametrize(
    "classifier",
    [
        KNeighborsClassifier(5),
        SVC(),
        RandomForestClassifier(20, random_state=0),
    ],
)
def test_classifiers_of_scikit_learn_are_taken_as_they_are(surrogate, classifier):
    table = cloud(400, 2)
    truth = np.where((table**2).sum(axis=1) < 1.4, "inside", "outside")
    classifier.fit(table, truth)
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    rows = 1.2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    found = explanation_vectors(classifier, rows, table, surrogate=surrogate, target="outside")
    outward = (found.values * rows).sum(axis=1) / np.linalg.norm(found.values, axis=1) / 1.2
    assert np.mean(outward) > 0.75
    assert (outward > 0).all()
    assert found.agreement > 0.85


def test_each_row_is_explained_for_its_own_class_where_none_is_named():
    rows = np.array([[-0.3, 0.0], [0.3, 0.0]])
    for model in (Halves([1.0, 0.0]), Sigmoid([1.0, 0.0])):
        found = explanation_vectors(model, rows, cloud(400, 2))
        assert found.target.tolist() == ["pore", "sunspot"]
        assert found.values[0, 0] < 0 < found.values[1, 0]
        assert (found.probability > 0.5).all()


def test_three_classes_are_told_apart():
    table = cloud(600, 2)
    sectors = ((np.arctan2(table[:, 1], table[:, 0]) + np.pi) // (2.1 * np.pi / 3)).astype(int)
    model = KNeighborsClassifier(7).fit(table, sectors)
    each = [
        explanation_vectors(model, table[:5], table, target=k, width=0.5) for k in model.classes_
    ]
    assert len(each) == 3
    np.testing.assert_allclose(sum(e.probability for e in each), 1.0)
    np.testing.assert_allclose(sum(e.values for e in each), 0.0, atol=1e-12)


def test_far_from_all_rows_parzen_has_the_class_of_the_nearest_and_no_nan():
    """The kernel itself underflows there: a quotient of two zeros."""
    found = explanation_vectors(
        Halves([1.0, 0.0]), np.array([[1e3, 0.0]]), cloud(200, 2), width=0.3, target="sunspot"
    )
    assert found.probability.tolist() == [1.0]
    assert found.values.tolist() == [[0.0, 0.0]]


def test_far_from_all_rows_the_gaussian_process_does_not_know():
    found = explanation_vectors(
        Halves([1.0, 0.0]), np.array([[1e3, 0.0]]), cloud(200, 2), surrogate="gaussian_process"
    )
    assert found.probability.tolist() == [0.5]
    assert found.values.tolist() == [[0.0, 0.0]]


def test_a_feature_that_never_varies_has_no_part():
    background = np.column_stack([cloud(300, 2), np.full(300, 7.0)])
    found = explanation_vectors(Halves([1.0, 0.0, 0.0]), background[:5], background)
    np.testing.assert_allclose(found.values[:, 2], 0.0, atol=1e-12)


def test_a_row_does_not_depend_on_its_neighbours():
    rows, background = cloud(600, 2, seed=4), cloud(300, 2)
    model = Halves([1.0, 1.0])
    together = explanation_vectors(model, rows, background, width=0.4).values
    alone = explanation_vectors(model, rows[300:301], background, width=0.4).values
    np.testing.assert_allclose(together[300:301], alone, rtol=1e-9, atol=1e-12)


def test_a_classifier_that_the_surrogate_cannot_follow_is_refused():
    class Hash:
        def predict(self, table):
            return (np.abs(table[:, 0] * 1e6) % 2 < 1).astype(int)

    with pytest.raises(ExplainerRefusal, match=r"parzen surrogate agrees .* less than 80%"):
        explanation_vectors(Hash(), cloud(2), cloud(300))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rows": cloud(3, 2)}, "do not fit"),
        ({"background": cloud(4001)}, "do not fit"),
        ({"rows": np.full((1, 3), np.nan)}, "not finite"),
        ({"surrogate": "forest"}, "'forest' of width None cannot be made"),
        ({"width": 0.0}, "cannot be made"),
        ({"classifier": object()}, "neither predict_proba nor predict"),
        ({"classifier": Halves([1.0, 0.0, 0.0], 99.0)}, "with one class only"),
        ({"target": "plage"}, r"'plage'.* not all among"),
    ],
)
def test_what_cannot_be_explained_is_refused(change, told):
    given = {"classifier": Halves([1.0, 0.0, 0.0]), "rows": cloud(2), "background": cloud(100)}
    with pytest.raises(ContractError, match=told):
        explanation_vectors(**(given | change))


def test_labels_of_the_wrong_shape_are_refused():
    class Wide:
        def predict(self, table):
            return np.zeros((len(table), 2))

    with pytest.raises(ContractError, match=r"predicts \(100, 2\) for 100 rows"):
        explanation_vectors(Wide(), cloud(2), cloud(100))
