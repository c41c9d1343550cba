"""The whole validation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from solarxai.errors import ValidationError
from solarxai.validation import validate_samples
from solarxai.validation.classification import classification_checks, confusion_rows
from solarxai.validation.counterfactual import Resampling
from solarxai.validation.report import Limits
from solarxai.validation.verdict import held_out

METHODS = ["flat", "penumbra"]


def validated(samples, classifier, **words):
    return validate_samples(samples, classifier, METHODS, **{"n_bootstrap": 50, **words})


def test_an_honest_network_passes_every_check(spots, classifier):
    report = validated(spots, classifier("rim"))
    assert report.exit_code == 0
    assert [verdict.outcome for verdict in report.verdicts] == ["looks at the penumbra"]


@pytest.mark.parametrize("cheat", ["corner", "brightness", "rim and corner"])
def test_a_cheat_fails(spots, classifier, cheat):
    report = validated(spots, classifier(cheat))
    assert report.exit_code == 1
    assert report.verdicts[0].swayed_by


def test_equal_arguments_give_equal_bytes(spots, classifier):
    first, again = (validated(spots, classifier("rim")).to_json() for _ in range(2))
    assert first == again
    assert first != validated(spots, classifier("rim"), seed=1).to_json()


def test_each_structure_is_a_row_with_its_address_and_scores(spots, classifier):
    report = validated(spots, classifier("rim"))
    rows = json.loads(report.to_json())["tables"]["structures"]
    assert len(rows) == 40
    assert rows[0]["time"] == "2014-01-01T00:00:00"
    assert rows[0]["predicted"] == "sunspot"
    assert rows[0]["score, penumbra removed"] < 0 < rows[0]["score"]
    assert rows[0]["score, penumbra painted"] is None
    assert rows[0]["share in penumbra, penumbra"] == 1


def test_samples_seen_in_training_take_no_part(spots, classifier):
    split = np.array((["train"] * 2 + ["validation"] + ["test"]) * 10, dtype=object)
    chosen, rows = held_out(spots.assign_coords(split=("sample", split)))
    assert chosen.sizes["sample"] == 10
    assert rows[0]["count"] == 30
    assert rows[0]["reason"] == "seen in training"


def test_nothing_held_out_is_refused(spots, classifier):
    split = np.array(["train"] * 40, dtype=object)
    with pytest.raises(ValidationError, match="none of 40 samples was held out of training"):
        validated(spots.assign_coords(split=("sample", split)), classifier("rim"))


def test_a_method_without_maps_is_refused_with_the_near_name(spots, classifier):
    with pytest.raises(ValidationError, match=r"no maps of \['penumbre'\].*'penumbra'"):
        validate_samples(spots, classifier("rim"), ["penumbre"])


def test_stored_scores_of_another_classifier_are_found_out(spots, classifier):
    right = classifier("rim").margins(spots["image"].values)
    name = "stored scores: greatest difference from the classifier's"
    for offset, verdict in ((0.0, "holds"), (0.5, "fails")):
        stored = spots.assign_coords(score=("sample", right + offset))
        checks = validated(stored, classifier("rim")).checks
        assert next(c.verdict for c in checks if c.name == name) == verdict


def test_a_large_store_can_be_thinned_evenly(spots, classifier):
    report = validated(spots, classifier("rim"), max_structures=6)
    rows = report.tables["confusion"]
    assert [row["called pore"] + row["called sunspot"] for row in rows] == [6, 6]


def test_the_confusion_counts_each_origin_and_label(spots):
    margins = np.where(np.arange(40) < 10, -1.0, 1.0)
    rows = confusion_rows(spots, margins)
    assert [(r["label"], r["called pore"], r["called sunspot"]) for r in rows] == [
        ("pore", 5, 15),
        ("sunspot", 5, 15),
    ]


def test_ambiguous_structures_are_listed_but_not_scored(spots):
    label = spots["label"].values.copy()
    label[:2] = "ambiguous"
    mixed = spots.assign_coords(label=("sample", label))
    margins = np.where(spots["label"].values == "sunspot", 1.0, -1.0)
    margins[:2] *= -1
    checks = classification_checks(mixed, margins, limits=Limits(), resampling=Resampling(n=20))
    rightly = [c for c in checks if c.name == "called rightly"]
    assert [(c.value, c.structures) for c in rightly] == [(1, 19), (1, 19)]
    assert {row["label"] for row in confusion_rows(mixed, margins)} == {
        "ambiguous",
        "pore",
        "sunspot",
    }


def test_progress_is_told(spots, classifier):
    told = []
    validated(spots, classifier("rim"), progress=lambda *args: told.append(args))
    assert told[-1] == (2, 2, "localisation")
