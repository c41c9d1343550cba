"""The whole validation."""

from __future__ import annotations

import json

import doublet_sun
import numpy as np
import pytest
from doublet_sun import Tilt, Width, trained

from solarxai.errors import ValidationError
from solarxai.explainers.gradient import Gradient
from solarxai.spectrograms import flatten
from solarxai.validation import validate_samples
from solarxai.validation.causal.nuisances import Amplitudes
from solarxai.validation.classification import classification_checks, confusion_rows
from solarxai.validation.report import Limits, Resampling
from solarxai.validation.verdict import default_explainers

METHODS = ["flat", "penumbra"]
GENTLE = Amplitudes(brightness=0.01, zoom=1.05, foreshortening=0.95)


def validated(samples, classifier, methods=METHODS, **words):
    chosen = {"n_bootstrap": 50, "amplitudes": GENTLE, "tests": [], **words}
    return validate_samples(samples, classifier, methods, **chosen)


def test_an_honest_network_passes_every_check(spots, classifier):
    report = validated(spots, classifier("rim"))
    assert report.exit_code == 0
    assert [verdict.outcome for verdict in report.verdicts] == ["honest so far"]


@pytest.mark.parametrize("cheat", ["corner", "brightness", "rim and corner"])
def test_a_cheat_fails(spots, classifier, cheat):
    report = validated(spots, classifier(cheat))
    assert report.exit_code == 1
    assert report.verdicts[0].outcome == "convicted"
    assert "swap border" in report.verdicts[0].convicted_of


def test_maps_that_no_check_believes_do_not_convict_an_honest_network(spots, classifier):
    away = spots.assign(wrong=-spots["penumbra"])
    report = validated(away, classifier("rim"), ["wrong"], tests=["faithfulness"])
    assert {c.verdict for c in report.checks if c.method == "wrong" and c.sense} == {"fails"}
    assert report.exit_code == 0
    assert report.verdicts[0].outcome == "honest so far"


def test_every_test_of_maps_adds_its_tables(spots, classifier):
    few = spots.isel(sample=slice(0, 16))
    report = validated(few, classifier("rim"), tests=["faithfulness", "localisation"])
    assert report.settings["tests"] == ["localisation", "faithfulness"]
    assert {"localisation", "significance", "faithfulness"} <= set(report.tables)
    reasons = {row["reason"] for row in report.tables["left_out"]}
    assert "the network has no weights" in reasons


def test_an_unknown_test_is_refused_with_the_near_name(spots, classifier):
    with pytest.raises(
        ValidationError, match=r"no test of maps called 'localization'.*localisation"
    ):
        validated(spots, classifier("rim"), tests=["localization"])


def test_explainers_given_by_name_are_those_that_are_run(spots, classifier):
    few = spots.isel(sample=slice(0, 12)).assign(slope=spots["flat"][:12])
    report = validated(few, classifier("convolutional"), {"slope": Gradient()},
                       tests=["localisation"])  # fmt: skip
    rows = [r for r in report.tables["localisation"] if r["method"] == "slope"]
    assert any(row["random weights"] > 0 for row in rows)
    assert set(default_explainers(["slope", "gradient"])) == {"gradient"}


def test_amplitudes_of_nuisances_are_recorded_and_unknown_ones_refused(spots, classifier):
    few = spots.isel(sample=slice(0, 8))
    report = validated(few, classifier("rim"), amplitudes={"zoom": 1.1})
    assert report.settings["amplitudes"]["zoom"] == 1.1
    assert report.settings["amplitudes"]["partners"] == Amplitudes().partners
    with pytest.raises(ValidationError, match=r"unknown amplitudes \['zooom'\].*zoom"):
        validated(few, classifier("rim"), amplitudes={"zooom": 1.1})


def test_so_many_structures_of_each_label_are_put_under_nuisances(spots, classifier):
    report = validated(spots, classifier("rim"), tested_structures=7)
    of = {c.name: c.structures for c in report.checks}
    assert of["nuisance zoom: calls changed"] == 14
    assert of["penumbra removed: sunspots no longer called so"] == 20


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
    report = validated(spots.assign_coords(split=("sample", split)), classifier("rim"))
    assert len(report.tables["structures"]) == 10
    row = next(r for r in report.tables["left_out"] if r["reason"] == "seen in training")
    assert row["count"] == 30


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
    few = spots.isel(sample=slice(0, 8))
    validated(
        few, classifier("rim"), tests=["localisation"], progress=lambda *args: told.append(args)
    )
    assert told[-1] == (1, 2, "localisation, nulls")
    assert (8, 8, "interventions") in told


def spectra_of(samples):
    made = flatten(samples)
    return made.assign(gradient=made["image"] * 0 + 1)


def test_spectra_are_judged_by_lines_and_swaps_and_their_maps_by_what_they_hide():
    samples = spectra_of(doublet_sun.spectrograms())
    report = validate_samples(
        samples, trained(Width(), samples), ["gradient"], n_bootstrap=40, tests=["faithfulness"]
    )
    assert report.verdicts[0].outcome == "honest so far"
    assert set(report.verdicts[0].needs) == {"k", "h"}
    assert {"windows", "observations", "confusion", "faithfulness"} <= set(report.tables)
    assert {row["method"] for row in report.tables["faithfulness"]} >= {"gradient"}
    assert report.settings["methods"] == ["gradient"]
    assert report.settings["limits"]["margin_share"] == Limits().margin_share
    assert report.exit_code == 0


def test_a_cheat_on_spectra_is_convicted_whatever_its_maps_say():
    samples = spectra_of(doublet_sun.spectrograms(slope=0.06))
    label = samples["label"].values.copy()
    label[:5] = "ambiguous"
    mixed = samples.assign_coords(label=("sample", label))
    report = validate_samples(
        mixed, trained(Tilt(), samples), ["gradient"], n_bootstrap=40, tests=["localisation"]
    )
    assert report.verdicts[0].convicted_of[0] == "continuum slope"
    assert report.exit_code == 1
    assert "localisation" not in report.tables
    counted = {row["label"]: row["count"] for row in report.tables["left_out"]}
    assert counted["ambiguous"] == 5
