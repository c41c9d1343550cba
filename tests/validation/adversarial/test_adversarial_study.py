"""The study: calls and maps under attacks, beside noise as large."""

import json

import numpy as np
import pytest

from solarxai.attribution import parse_explainers
from solarxai.errors import ValidationError
from solarxai.validation.adversarial.study import FLIPPED, NOISE, UNCHANGED, study

METHODS = parse_explainers([{"method": "grad_cam"}, {"method": "gradient"}])
SMALL = {
    "amplitudes": (0.01, 0.5), "map_amplitudes": (0.05, 0.3), "steps": 10, "corner_px": 8,
    "n_bootstrap": 50, "max_structures": 6,
}  # fmt: skip


@pytest.fixture(scope="module")
def found(spots, classifier):
    return study(spots, classifier("convolutional"), METHODS, **SMALL)


def test_every_attack_has_a_row_by_amplitude_and_label(found):
    keys = [(r["perturbation"], r["amplitude"], r["label"]) for r in found.flips]
    assert len(set(keys)) == len(keys) == 3 * 2 * 2
    assert all(r["structures"] == 6 and r["low"] <= r["value"] <= r["high"] for r in found.flips)


def test_an_attack_flips_what_noise_as_large_does_not(spots, classifier):
    """The margin of this network is 100 (x − 0.15) of one pixel, 15 from the threshold."""
    options = {**SMALL, "amplitudes": (0.1, 0.2), "map_amplitudes": (0.1,), "led": ()}
    gradient = parse_explainers([{"method": "gradient"}])
    rows = study(spots, classifier("corner"), gradient, **options).flips
    flipped = {(r["perturbation"], r["amplitude"]): [] for r in rows}
    for row in rows:
        flipped[row["perturbation"], row["amplitude"]].append(row["value"])
    assert flipped["FGSM", 0.1] == flipped["PGD", 0.1] == flipped[NOISE, 0.1] == [0, 0]
    assert flipped["FGSM", 0.2] == flipped["PGD", 0.2] == [1, 1]
    assert sum(flipped[NOISE, 0.2]) < 2


def test_unchanged_maps_are_like_themselves(found):
    for method in METHODS:
        assert found.of("Spearman", UNCHANGED, 0.0, method)["value"] == pytest.approx(1)
    assert found.of("call kept", UNCHANGED, 0.0)["value"] == 1
    assert found.of("relative change of score", UNCHANGED, 0.0)["value"] == 0


def test_a_led_map_lies_more_in_the_corner_than_under_noise(found):
    for method in METHODS:
        led = found.of("share in corner", f"{method} led", 0.3, method)["value"]
        assert led > found.of("share in corner", NOISE, 0.3, method)["value"]
        assert led > found.of("share in corner", UNCHANGED, 0.0, method)["value"]


def test_the_sentences_tell_the_greatest_amplitude(found):
    attack, *led = found.sentences
    taken = 1 - found.of("call kept", FLIPPED, 0.3)["value"]
    assert f"30 % of the quiet Sun takes {100 * taken:.0f} %" in attack
    assert [sentence.split()[0] for sentence in led] == list(METHODS)


def test_the_record_is_json_with_null_for_what_is_undefined(found):
    made = json.loads(json.dumps(found.record(), allow_nan=False))
    assert len(made["flips"]) == len(found.flips)
    assert len(made["maps"]) == len(found.maps)


def test_the_example_holds_every_perturbation_of_the_greatest_amplitude(found):
    names = found.examples["perturbation"].values.tolist()
    assert names == [UNCHANGED, NOISE, FLIPPED, "grad_cam led", "gradient led"]
    added = found.examples["image"] - found.examples["image"].isel(perturbation=0)
    assert float(np.abs(added).max()) <= 0.3 + 1e-5
    assert float(np.abs(added).isel(perturbation=1).max()) > 0.29


def test_the_same_seed_gives_the_same_study(found, spots, classifier):
    again = study(spots, classifier("convolutional"), METHODS, **SMALL)
    assert again.record() == found.record()


def test_samples_without_a_sunspot_are_refused(spots, classifier):
    pores = spots.isel(sample=np.flatnonzero(spots["label"].values == "pore"))
    with pytest.raises(ValidationError, match="no sunspot among the samples"):
        study(pores, classifier("convolutional"), METHODS, **SMALL)


def test_spectra_are_refused(spots, classifier):
    spectra = spots[["image"]].isel(y=0, drop=True).rename(x="wavelength")
    with pytest.raises(ValidationError, match="perturbations of spectrum samples"):
        study(spectra, classifier("convolutional"), METHODS, **SMALL)


def test_progress_is_told_by_amplitude(spots, classifier):
    told = []
    study(
        spots, classifier("convolutional"), METHODS, **{**SMALL, "led": ()},
        progress=lambda *words: told.append(words),
    )  # fmt: skip
    assert told == [(0, 2, "maps at 0.05"), (1, 2, "maps at 0.3"), (2, 2, "maps")]
