"""Honest networks are acquitted, cheats are convicted."""

from __future__ import annotations

import numpy as np
import pytest

from solarxai.schema import PENUMBRA, QUIET, mock_samples
from solarxai.validation.counterfactual import (
    Resampling,
    counterfactual_checks,
    intervene,
    reach_verdict,
)
from solarxai.validation.interventions import NUISANCES, cut_patches, pictures, quiet_mask
from solarxai.validation.report import Limits

FEW = Resampling(n=100, seed=0)


def judged(samples, classifier, **limits):
    found = intervene(samples, classifier, limits=Limits(**limits))
    checks = counterfactual_checks(found, samples, limits=Limits(**limits), resampling=FEW)
    return found, checks, reach_verdict(checks, "synthetic", limits=Limits(**limits))


def check_named(checks, name):
    return next(check for check in checks if check.name == name)


def test_a_network_that_counts_penumbral_pixels_looks_at_the_penumbra(spots, classifier):
    found, checks, verdict = judged(spots, classifier("rim"))
    assert verdict.outcome == "looks at the penumbra"
    assert verdict.swayed_by == ()
    assert not [check.name for check in checks if check.verdict == "fails"]
    spot = spots["label"].values == "sunspot"
    assert (found.loss("penumbra removed")[spot] > 8).all()
    assert np.abs(found.loss("quiet Sun replaced")[spot]).max() < 0.2


def test_a_network_that_reads_the_corner_is_convicted_and_its_place_named(spots, classifier):
    found, _, verdict = judged(spots, classifier("corner"))
    assert verdict.outcome == "does not look at the penumbra"
    assert set(verdict.swayed_by) == {"shift", "rotation", "mirror", "background"}
    spot = spots["label"].values == "sunspot"
    assert np.abs(found.loss("penumbra removed")[spot]).max() < 1e-3


def test_a_network_that_reads_brightness_is_convicted_and_named(spots, classifier):
    _, _, verdict = judged(spots, classifier("brightness"))
    assert verdict.outcome == "does not look at the penumbra"
    assert verdict.swayed_by == ("brightness",)


def test_a_network_that_reads_the_rim_and_the_corner_is_swayed(spots, classifier):
    _, checks, verdict = judged(spots, classifier("rim and corner"))
    assert {"shift", "rotation", "mirror"} <= set(verdict.swayed_by)
    assert check_named(checks, "nuisance rotation: calls changed").verdict == "fails"


def test_the_sentence_states_the_fractions_with_their_intervals(spots, classifier):
    _, _, verdict = judged(spots, classifier("rim"))
    assert verdict.sentence.startswith(
        "synthetic: this model looks at the penumbra (removing it flips 100 % [83, 100] of 20 "
        "sunspots in 10 regions, the same area of quiet Sun 0 % [0, 17])"
    )


def test_a_painted_penumbra_turns_pores_into_sunspots(spots, classifier):
    found, checks, _ = judged(spots, classifier("rim"))
    pores = spots["label"].values == "pore"
    assert (found.score("penumbra painted")[pores] > 0).all()
    assert check_named(checks, "penumbra painted: pores no longer called so").value == 1
    assert np.isnan(found.score("penumbra painted")[~pores]).all()


def test_few_structures_leave_the_verdict_undecided(spots, classifier):
    _, checks, verdict = judged(spots.isel(sample=slice(0, 8)), classifier("rim"))
    assert verdict.outcome == "undecided"
    assert "fewer than 5 sunspots" in verdict.sentence
    assert {c.verdict for c in checks if c.group.endswith("sunspot")} == {"informs"}


def test_one_region_leaves_the_verdict_undecided(spots, classifier):
    alone = spots.assign_coords(region=("sample", np.array(["AR 1"] * 40, dtype=object)))
    _, _, verdict = judged(alone, classifier("rim"))
    assert verdict.outcome == "undecided"
    assert "in 1 region, the same area" in verdict.sentence


def test_without_a_sunspot_called_so_there_is_nothing_to_lose(spots, classifier):
    pores = spots.isel(sample=spots["label"].values == "pore")
    _, _, verdict = judged(pores, classifier("rim"))
    assert verdict.sentence == (
        "synthetic: undecided; no sunspot is called so, so there is no call to lose."
    )


def test_real_and_synthetic_structures_are_judged_apart(spots, classifier):
    origin = np.array(["real"] * 20 + ["synthetic"] * 20, dtype=object)
    mixed = spots.assign_coords(origin=("sample", origin))
    _, checks, _ = judged(mixed, classifier("rim"))
    name = "penumbra removed: sunspots no longer called so"
    assert {c.group: c.structures for c in checks if c.name == name} == {
        "real · sunspot": 10,
        "synthetic · sunspot": 10,
    }


def test_a_score_depends_neither_on_the_order_nor_on_the_company(spots, classifier):
    whole = intervene(spots, classifier("rim"))
    part = intervene(spots.isel(sample=[6, 2, 3]), classifier("rim"))
    for name, scores in part.changed.items():
        np.testing.assert_allclose(scores, whole.changed[name][:, [6, 2, 3]], rtol=1e-5, atol=1e-5)


def test_what_cannot_be_done_is_counted_with_its_reason(spots, classifier):
    covered = spots.copy()
    covered["segmentation"] = spots["segmentation"].where(
        spots["segmentation"] != QUIET, PENUMBRA
    ).astype("uint8")  # fmt: skip
    found = intervene(covered, classifier("rim"))
    reasons = {(r["intervention"], r["label"]): (r["reason"], r["count"]) for r in found.left_out}
    assert reasons["penumbra removed", "sunspot"] == (
        "no quiet Sun to copy in this observation or its like",
        20,
    )
    assert np.isnan(found.score("penumbra removed")).all()


def test_a_patch_without_quiet_sun_borrows_from_its_observation(spots):
    segmentation = spots["segmentation"].values.copy()
    segmentation[0][segmentation[0] == QUIET] = PENUMBRA
    names = spots["observation"].values.copy()
    names[[0, 1]] = "one observation"
    shared = spots.assign_coords(observation=("sample", names))
    shared["segmentation"] = spots["segmentation"].copy(data=segmentation)
    patches = cut_patches(shared, scale_mm=0.5)
    assert patches[0].granulation is patches[1].granulation
    assert patches[2].granulation is not patches[1].granulation


def test_pores_too_dim_for_a_penumbra_are_left_out(spots, classifier):
    pale = spots.copy()
    pale["image"] = spots["image"].where(spots["image"] > 0.6, 0.6).astype("float32")
    found = intervene(pale, classifier("rim"))
    reasons = {r["intervention"]: r["reason"] for r in found.left_out if r["label"] == "pore"}
    assert reasons["penumbra painted"] == "the pore is too dim to carry a penumbra"
    assert reasons["quiet Sun replaced"] == "the pore is too dim to carry a penumbra"


def test_quiet_sun_keeps_two_pixels_from_structures():
    segmentation = mock_samples(1)["segmentation"].values[0]
    quiet = quiet_mask(segmentation)
    y, x = np.mgrid[:32, :32] - 15.5
    radius = np.hypot(y, x)
    assert not quiet[radius < 9].any()
    assert quiet[radius > 11].all()


def test_the_wings_of_a_penumbra_are_replaced_with_it(spots):
    image = spots["image"].values.copy()
    y, x = np.mgrid[:32, :32] - 15.5
    radius = np.hypot(y, x)
    image[0][(radius >= 8) & (radius < 11.5)] = 0.92
    shaded = spots.copy()
    shaded["image"] = spots["image"].copy(data=image)
    patch = cut_patches(shaded, scale_mm=0.5)[0]
    wings = patch.with_wings(patch.part(PENUMBRA))
    assert wings[(radius >= 4) & (radius < 10)].all()
    assert wings[(radius >= 10) & (radius < 11)].mean() > 0.9
    assert not wings[radius < 4].any()
    assert not wings[radius > 15].any()
    made = pictures(patch, "sunspot")["penumbra removed"]
    assert made[(radius > 8) & (radius < 10)].mean() == pytest.approx(1.0, abs=0.03)


def test_every_intervention_gives_a_picture(spots):
    patches = cut_patches(spots, scale_mm=0.5)
    assert list(pictures(patches[0], "sunspot")) == [
        "penumbra removed",
        "quiet Sun replaced",
        "all penumbra removed",
        "penumbra removed, darkness kept",
        "umbra removed",
    ]
    assert list(pictures(patches[1], "pore")) == ["penumbra painted", "quiet Sun replaced"]
    assert pictures(patches[1], "ambiguous") == {}


@pytest.mark.parametrize("name", ["rotation", "mirror", "shift"])
def test_geometric_nuisances_keep_the_values(spots, name):
    patch = cut_patches(spots.isel(sample=[0]), scale_mm=0.5)[0]
    for image in NUISANCES[name](patch):
        assert image.shape == patch.image.shape
        assert np.isin(image, patch.image).all()


def test_progress_reaches_the_number_of_structures(spots, classifier):
    told = []
    intervene(spots, classifier("rim"), progress=lambda *args: told.append(args))
    assert told[-1] == (40, 40, "interventions")
