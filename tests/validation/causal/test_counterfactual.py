"""The score goes with the penumbra in an honest network, and with nothing of it in a cheat."""

from __future__ import annotations

import numpy as np
import pytest

from solarxai.schema import PENUMBRA, QUIET, mock_samples
from solarxai.validation.causal.counterfactual import counterfactual_checks, intervene
from solarxai.validation.causal.interventions import cut_patches, pictures, quiet_mask
from solarxai.validation.report import Limits, Resampling

FEW = Resampling(n=100, seed=0)


def judged(samples, classifier):
    found = intervene(samples, classifier)
    return found, counterfactual_checks(found, samples, limits=Limits(), resampling=FEW)


def check_named(checks, name):
    return next(check for check in checks if check.name == name)


def test_the_score_of_a_network_that_counts_penumbral_pixels_goes_with_them(spots, classifier):
    found, checks = judged(spots, classifier("rim"))
    assert not [check.name for check in checks if check.verdict == "fails"]
    spot = spots["label"].values == "sunspot"
    assert (found.loss("penumbra removed")[spot] > 8).all()
    assert np.abs(found.loss("quiet Sun replaced")[spot]).max() < 0.2


@pytest.mark.parametrize("cheat", ["corner", "brightness"])
def test_a_cheat_loses_nothing_with_the_penumbra(spots, classifier, cheat):
    found, checks = judged(spots, classifier(cheat))
    assert check_named(checks, "penumbra removed: sunspots no longer called so").verdict == "fails"
    assert check_named(checks, "penumbra removed: loss of score ÷ quiet control").verdict == "fails"
    spot = spots["label"].values == "sunspot"
    assert np.abs(found.loss("penumbra removed")[spot]).max() < 1e-3


def test_a_painted_penumbra_turns_pores_into_sunspots(spots, classifier):
    found, checks = judged(spots, classifier("rim"))
    pores = spots["label"].values == "pore"
    assert (found.score("penumbra painted")[pores] > 0).all()
    assert check_named(checks, "penumbra painted: pores no longer called so").value == 1
    assert np.isnan(found.score("penumbra painted")[~pores]).all()


def test_few_structures_or_one_region_only_inform(spots, classifier):
    _, checks = judged(spots.isel(sample=slice(0, 8)), classifier("rim"))
    assert {c.verdict for c in checks} == {"informs"}
    alone = spots.assign_coords(region=("sample", np.array(["AR 1"] * 40, dtype=object)))
    _, checks = judged(alone, classifier("rim"))
    removed = check_named(checks, "penumbra removed: sunspots no longer called so")
    assert (removed.verdict, removed.regions) == ("informs", 1)


def test_real_and_synthetic_structures_are_judged_apart(spots, classifier):
    origin = np.array(["real"] * 20 + ["synthetic"] * 20, dtype=object)
    mixed = spots.assign_coords(origin=("sample", origin))
    _, checks = judged(mixed, classifier("rim"))
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


def test_progress_reaches_the_number_of_structures(spots, classifier):
    told = []
    intervene(spots, classifier("rim"), progress=lambda *args: told.append(args))
    assert told[-1] == (40, 40, "interventions")
