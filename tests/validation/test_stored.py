"""Validation of a store with the classifier it holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from solarxai.attribution import attribute
from solarxai.classifier import Classifier, InputContract
from solarxai.errors import QueryError, ValidationError
from solarxai.explainers.expected_gradients import ExpectedGradients
from solarxai.explainers.gradient import Gradient
from solarxai.models.residual_cnn import ResidualCNN
from solarxai.query import open_store
from solarxai.schema import mock_samples
from solarxai.store import create_store
from solarxai.validation import load_classifier, stored_samples, validate
from solarxai.validation.stored import stored_explainers

METHODS = {"gradient": Gradient()}


def untrained(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ResidualCNN(width=2).eval()
    return Classifier(
        network=network,
        contract=InputContract(shape=(32, 32)),
        architecture="solarxai.models.residual_cnn:ResidualCNN",
        options={"width": 2},
    )


def write(path, classifier, *, run, samples, methods=METHODS, provenance=None):
    maps = attribute(samples, classifier, methods)
    segment = create_store(path).begin(
        samples,
        list(methods),
        run_key=run,
        provenance=provenance or {},
        checkpoint=classifier.to_bytes(),
        variables=maps.isel(sample=slice(1)),
    )
    segment.write(0, samples.merge(maps))
    segment.seal()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "store"
    write(path, untrained(0), run="first", samples=mock_samples(24, seed=1))
    return open_store(path)


@pytest.fixture(scope="module")
def report(store):
    return validate(store, n_bootstrap=20, tests=["localisation"])


def test_a_store_is_validated_with_its_own_classifier(report):
    assert report.settings["classifier"] == untrained(0).hash
    assert report.settings["runs"] == ["first"]
    assert report.settings["methods"] == ["gradient"]
    assert len(report.tables["structures"]) == 24
    same = next(c for c in report.checks if c.name.startswith("stored scores"))
    assert same.verdict == "holds"


def test_random_weights_stand_beside_the_maps(report):
    rows = [r for r in report.tables["localisation"] if r["quantity"] == "AUC"]
    beside = {row["method"]: row["random weights"] for row in rows}
    assert 0 < beside["gradient"] < 1


def test_an_untrained_network_is_not_acquitted(report):
    assert report.verdicts[0].outcome != "honest so far"


def test_all_tests_of_maps_are_made_of_a_store(store):
    report = validate(store, n_bootstrap=20, max_structures=6, tested_structures=4)
    assert report.settings["tests"] == ["localisation", "randomisation", "faithfulness"]
    assert report.tables["sensitivity"][0]["method"] == "gradient"
    assert "gradient" in {row["method"] for row in report.tables["faithfulness"]}


def recorded(path, explainers):
    write(path, untrained(0), run="r", samples=mock_samples(4), methods={"slope": Gradient()},
          provenance={"explainers": explainers})  # fmt: skip
    return stored_explainers(open_store(path), ["r"], ["slope", "expected_gradients", "mine"])


def test_explainers_are_rebuilt_with_the_options_that_the_run_records(tmp_path):
    found = recorded(
        tmp_path / "store",
        {
            "slope": {"method": "gradient"},
            "expected_gradients": {"method": "expected_gradients", "samples": 3},
            "mine": {"method": "someone_elses"},
        },
    )
    assert found == {
        "slope": Gradient(), "expected_gradients": ExpectedGradients(samples=3), "mine": None
    }  # fmt: skip


def test_older_runs_that_record_options_alone_are_named_by_their_method(tmp_path):
    found = recorded(tmp_path / "store", {"expected_gradients": {"samples": 5}, "slope": {}})
    assert found["expected_gradients"] == ExpectedGradients(samples=5)
    assert found["slope"] is None


def test_runs_that_record_no_explainers_have_the_methods_own_options(tmp_path):
    path = tmp_path / "store"
    write(path, untrained(0), run="r", samples=mock_samples(4))
    found = stored_explainers(open_store(path), ["r"], ["gradient", "mine"])
    assert found == {"gradient": Gradient(), "mine": None}


def test_a_sample_that_two_runs_explained_counts_once(store, tmp_path):
    path = tmp_path / "store"
    samples = mock_samples(24, seed=1)
    write(path, untrained(0), run="first", samples=samples)
    write(path, untrained(0), run="second", samples=samples.isel(sample=slice(4, 12)))
    found = stored_samples(open_store(path))
    np.testing.assert_array_equal(found["sample_id"].values, samples["sample_id"].values)


def test_runs_of_two_classifiers_must_be_told_apart(tmp_path):
    path = tmp_path / "store"
    write(path, untrained(0), run="first", samples=mock_samples(24, seed=1))
    write(path, untrained(1), run="second", samples=mock_samples(24, seed=1))
    with pytest.raises(ValidationError, match="2 runs explain 2 classifiers"):
        validate(open_store(path))
    assert load_classifier(open_store(path), ["second"]).hash == untrained(1).hash
    report = validate(open_store(path), run="second", n_bootstrap=20, tests=[])
    assert report.settings["classifier"] == untrained(1).hash


def test_runs_without_a_common_method_are_refused(tmp_path):
    path = tmp_path / "store"
    samples = mock_samples(8)
    write(path, untrained(0), run="first", samples=samples)
    write(path, untrained(0), run="second", samples=samples, methods={"slope": Gradient()})
    with pytest.raises(QueryError, match="have no method in common"):
        stored_samples(open_store(path))


def test_without_methods_the_interventions_alone_are_judged(store):
    report = validate(store, methods=[], n_bootstrap=20)
    assert report.verdicts[0].origin == "synthetic"
    assert {check.method for check in report.checks} == {"", "edge detector (Sobel)"}


def test_an_unknown_method_is_refused(store):
    with pytest.raises(QueryError, match="gradeint"):
        validate(store, methods=["gradeint"])
