"""Networks that learnt permuted labels: whose maps do not change."""

from __future__ import annotations

import numpy as np
import pytest
from forgetful_networks import (
    SIZE,
    residual,
)

from solarxai.attribution import parse_explainers
from solarxai.errors import ValidationError
from solarxai.metrics import Interval
from solarxai.schema import mock_samples, mock_spectrograms
from solarxai.training import train
from solarxai.validation.randomisation.weights import (
    label_checks,
    label_randomisation,
    permuted_labels,
)
from solarxai.validation.report import Limits, Resampling

FEW = Resampling(n=20)
METHODS = parse_explainers([{"method": "gradient"}, {"method": "guided_backprop"}])


def divided(n=60):
    """Return mock samples, three regions in five to train, one to validate, one to test."""
    samples = mock_samples(n, size=SIZE)
    number = np.arange(n) // 4
    sides = np.array(["train", "train", "train", "validation", "test"], dtype=object)
    return samples.assign_coords(split=("sample", sides[number % 5]))


def test_permuted_labels_keep_how_many_of_each_a_region_has():
    samples = divided()
    made = permuted_labels(samples, seed=1)
    assert (made["label"].values != samples["label"].values).any()
    for region in set(samples["region"].values):
        here = samples["region"].values == region
        assert sorted(made["label"].values[here]) == sorted(samples["label"].values[here])
    assert (permuted_labels(samples, seed=1)["label"].values == made["label"].values).all()


def test_regions_of_one_label_exchange_labels_as_wholes():
    samples = mock_spectrograms(80, slits=3)
    sides = np.repeat(["train", "validation", "test"], [48, 16, 16]).astype(object)
    samples = samples.assign_coords(split=("sample", sides))
    made = permuted_labels(samples, seed=1)
    assert (made["label"].values != samples["label"].values).any()
    for region in set(samples["region"].values):
        assert len(set(made["label"].values[samples["region"].values == region])) == 1
    for side in set(sides):
        here = sides == side
        assert sorted(made["label"].values[here]) == sorted(samples["label"].values[here])


def test_labels_that_cannot_move_are_refused():
    samples = divided()
    samples = samples.isel(sample=samples["label"].values == "pore")
    with pytest.raises(ValidationError, match="none of 100 permutations of whole regions"):
        permuted_labels(samples)


def test_permuted_labels_are_learnt_by_another_network_beside_an_honest_one():
    samples = divided()
    options = {"model_options": {"width": 8}, "epochs": 10, "batch_size": 16}
    classifier = train(samples, **options, n_bootstrap=2).classifier
    before = classifier.hash
    found = label_randomisation(
        samples,
        classifier,
        parse_explainers([{"method": "gradient"}, {"method": "attention_rollout"}]),
        train_options=options,
        resampling=FEW,
    )
    assert classifier.hash == before
    assert 0.2 < found.moved < 0.8
    assert set(found.accuracies) == {"labels permuted", "labels true, another seed"}
    assert found.accuracies["labels true, another seed"] > 0.9
    assert [one["method"] for one in found.left_out] == ["attention_rollout"]
    layers = [r["layer"] for r in found.rows if r["measure"] == "HOG"]
    assert layers == ["labels permuted", "labels true, another seed", "difference"]
    (check,) = label_checks(found.rows, limits=Limits())
    assert check.sense == "at least"
    assert check.regions == 3


def test_a_map_that_labels_do_not_change_fails():
    words = {"method": "m", "group": "g", "measure": "rank likeness", "structures": 9}

    def row(layer, value):
        return {
            **words,
            "layer": layer,
            "interval": Interval(value=value, low=value - 0.01, high=value, n_groups=5),
        }

    def verdict(permuted, again):
        rows = [
            row("labels permuted", permuted),
            row("labels true, another seed", again),
            row("difference", again - permuted),
        ]
        return label_checks(rows, limits=Limits())[0].verdict

    assert verdict(0.1, 0.6) == "holds"
    assert verdict(1.0, 1.0) == "fails"
    assert verdict(0.05, 0.1) == "fails"


def test_options_that_the_label_test_sets_itself_are_refused():
    with pytest.raises(ValidationError, match=r"train_options \['members', 'seed'\]"):
        label_randomisation(divided(), residual(), METHODS, train_options={"seed": 1, "members": 3})
    samples = divided()
    samples["split"].values[samples["split"].values == "test"] = "train"
    with pytest.raises(ValidationError, match="no test sample to explain"):
        label_randomisation(samples, residual(), METHODS, train_options={})
