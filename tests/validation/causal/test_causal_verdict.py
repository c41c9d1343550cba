"""Honest networks are acquitted for now, cheats are convicted of what they read."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from solarxai.metrics import Interval
from solarxai.validation.causal.counterfactual import counterfactual_checks, intervene
from solarxai.validation.causal.trial import causal_checks, draw_scenes, gather
from solarxai.validation.causal.verdict import INDIFFERENT, reach_verdict
from solarxai.validation.report import BEYOND, Limits, Resampling, judge

LIMITS = Limits()
FEW = Resampling(n=100, seed=0)


@pytest.fixture(scope="module")
def scenes(spots, gentle):
    drawn = draw_scenes(spots, scale_mm=0.5, amplitudes=gentle)
    return dataclasses.replace(drawn, disturbed=list(drawn.disturbed))


@pytest.fixture(scope="module")
def checks_of(spots, scenes, classifier):
    def make(name):
        evidence = gather(spots, classifier(name), scenes)
        return causal_checks(evidence, spots, limits=LIMITS, resampling=FEW)

    return make


def intervened(samples, classifier):
    found = intervene(samples, classifier)
    checks = counterfactual_checks(found, samples, limits=LIMITS, resampling=FEW)
    return reach_verdict(checks, "synthetic", limits=LIMITS)


def of_nuisance(name, value, low, high, *, group="synthetic · all", regions=9):
    found = Interval(value=value, low=low, high=high, n_groups=regions)
    return judge(
        found, name=f"nuisance {name}", group=group, structures=30, limits=LIMITS,
        limit=LIMITS.nuisance_flip, sense="at most", by="interval",
    )  # fmt: skip


def needed(*, removed=(1.0, 0.9, 1.0), ratio=(9.0, 7.0, 12.0), control=(0.0, 0.0, 0.1), regions=9):
    """Return the three checks on the penumbra, with value, low and high of each."""
    of = {
        "penumbra removed: sunspots no longer called so": (removed, 0.5, "at least", "low"),
        "penumbra removed: loss of score ÷ quiet control": (ratio, 3.0, "at least", "low"),
        "quiet Sun replaced: sunspots no longer called so": (control, 0.1, "at most", "value"),
    }
    return [
        judge(
            Interval(value=bounds[0], low=bounds[1], high=bounds[2], n_groups=regions), name=name,
            group="synthetic · sunspot", structures=30, limits=LIMITS, limit=limit, sense=sense,
            by=by,
        )
        for name, (bounds, limit, sense, by) in of.items()
    ]  # fmt: skip


def verdict_of(*checks):
    return reach_verdict(checks, "synthetic", limits=LIMITS)


def test_a_network_that_counts_penumbral_pixels_is_honest_so_far(checks_of):
    verdict = reach_verdict(checks_of("rim"), "synthetic", limits=LIMITS)
    assert verdict.outcome == "honest so far"
    assert verdict.needs == ("penumbra",)
    assert (verdict.convicted_of, verdict.swayed_by) == ((), ())
    assert verdict.sentence == (
        "synthetic: honest so far; this model looks at the penumbra (without it 100 % [83, 100] of "
        "20 sunspots in 10 regions are no longer called so, without as much quiet Sun 0 % "
        "[0, 17]); 19 nuisances do not sway it."
    )


def test_a_network_that_reads_the_corner_needs_no_penumbra_and_its_place_is_named(checks_of):
    verdict = reach_verdict(checks_of("corner"), "synthetic", limits=LIMITS)
    assert verdict.outcome == "convicted"
    assert verdict.needs == ()
    assert verdict.convicted_of[:3] == (INDIFFERENT, "swap border", "swap background")
    assert {"structure moved", "corners", "border"} <= set(verdict.convicted_of)
    assert "its answer rests on swap border (calls changed 1.00" in verdict.sentence


def test_a_network_that_reads_brightness_is_convicted_of_its_swap(checks_of):
    verdict = reach_verdict(checks_of("brightness"), "synthetic", limits=LIMITS)
    assert {INDIFFERENT, "swap brightness", "limb darkening"} <= set(verdict.convicted_of)
    assert "brightness" in verdict.swayed_by


def test_half_a_cheat_is_convicted_of_the_half(checks_of):
    verdict = reach_verdict(checks_of("rim and corner"), "synthetic", limits=LIMITS)
    assert verdict.outcome == "convicted"
    assert "swap border" in verdict.convicted_of


def test_a_swap_convicts_a_network_that_needs_the_penumbra_too():
    verdict = verdict_of(*needed(), of_nuisance("swap mu: calls changed", 0.4, 0.3, 0.5))
    assert verdict.outcome == "convicted"
    assert verdict.convicted_of == ("swap mu",)
    assert verdict.needs == ("penumbra",)
    assert "this model looks at the penumbra" in verdict.sentence
    assert verdict.sentence.endswith(
        "; its answer rests on swap mu (calls changed 0.40 [0.30, 0.50])."
    )


def test_a_value_beyond_the_limit_without_its_interval_sways_but_does_not_convict():
    verdict = verdict_of(*needed(), of_nuisance("zoom: calls changed", 0.12, 0.08, 0.16))
    assert verdict.outcome == "honest so far"
    assert verdict.swayed_by == ("zoom",)
    assert verdict.sentence.endswith("; 0 nuisances do not sway it; not proven: swayed by zoom.")


def test_what_convicts_is_not_said_to_sway_as_well():
    verdict = verdict_of(
        *needed(),
        of_nuisance("zoom: calls changed", 0.12, 0.08, 0.16),
        of_nuisance("zoom: change of score ÷ penumbra loss", 0.9, 0.8, 1.0),
    )
    assert (verdict.convicted_of, verdict.swayed_by) == (("zoom",), ())


def test_swaps_are_named_before_places_and_places_before_the_rest():
    verdict = verdict_of(
        *needed(),
        of_nuisance("shift: calls changed", 0.9, 0.8, 1.0),
        of_nuisance("swap roll: calls changed", 0.2, 0.15, 0.3),
        of_nuisance("swap mu: calls changed", 0.3, 0.2, 0.4),
    )
    assert verdict.convicted_of == ("swap mu", "swap roll", "shift")


@pytest.mark.parametrize(
    "lacking",
    [
        {"removed": (0.6, 0.4, 0.8)},
        {"ratio": (4.0, 2.0, 6.0)},
        {"control": (0.2, 0.1, 0.3)},
    ],
)
def test_each_of_the_three_checks_on_the_penumbra_can_convict(lacking):
    verdict = verdict_of(*needed(**lacking))
    assert verdict.outcome == "convicted"
    assert verdict.convicted_of == (INDIFFERENT,)
    assert verdict.needs == ()
    assert "does not look at the penumbra" in verdict.sentence


def test_checks_of_another_origin_do_not_count():
    elsewhere = of_nuisance("zoom: calls changed", 0.9, 0.8, 1.0, group="real · all")
    assert verdict_of(*needed(), elsewhere).outcome == "honest so far"


def test_one_region_leaves_the_verdict_undecided(spots, classifier):
    alone = spots.assign_coords(region=("sample", np.array(["AR 1"] * 40, dtype=object)))
    verdict = intervened(alone, classifier("rim"))
    assert verdict.outcome == "undecided"
    assert "in 1 region are no longer called so" in verdict.sentence


def test_few_structures_leave_the_verdict_undecided(spots, classifier):
    verdict = intervened(spots.isel(sample=slice(0, 8)), classifier("rim"))
    assert verdict.outcome == "undecided"
    assert "fewer than 5 sunspots" in verdict.sentence


def test_without_a_sunspot_called_so_there_is_nothing_to_lose(spots, classifier):
    pores = spots.isel(sample=spots["label"].values == "pore")
    assert intervened(pores, classifier("rim")).sentence == (
        "synthetic: undecided; no sunspot is called so, so there is no call to lose."
    )


@pytest.mark.parametrize(
    ("low", "high", "verdict", "beyond"),
    [
        (0.02, 0.08, "holds", False),  # value 0.05, limit 0.1
        (0.02, 0.3, "holds", False),
    ],
)
def test_by_interval_a_value_within_the_limit_holds(low, high, verdict, beyond):
    check = of_nuisance("zoom: calls changed", 0.05, low, high)
    assert (check.verdict, BEYOND in check.reason) == (verdict, beyond)


def test_by_interval_only_an_interval_wholly_beyond_fails():
    assert of_nuisance("zoom: calls changed", 0.2, 0.11, 0.3).verdict == "fails"
    between = of_nuisance("zoom: calls changed", 0.2, 0.09, 0.3)
    assert (between.verdict, between.reason) == ("informs", BEYOND)
    assert of_nuisance("zoom: calls changed", 0.9, 0.8, 1.0, regions=1).verdict == "informs"


def test_by_interval_a_lower_limit_is_passed_by_the_upper_bound():
    words = {"name": "x", "group": "g", "structures": 9, "limits": LIMITS, "limit": 0.0}
    for bounds, verdict in (((-0.1, -0.2, 0.1), "informs"), ((-0.3, -0.4, -0.1), "fails")):
        found = Interval(value=bounds[0], low=bounds[1], high=bounds[2], n_groups=5)
        assert judge(found, sense="at least", by="interval", **words).verdict == verdict
