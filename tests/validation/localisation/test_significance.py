"""Tests whose outcome is known: maps that know nothing, and maps that know the mask."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from solarxai.errors import ValidationError
from solarxai.schema import INVALID
from solarxai.validation.localisation._masks import Masks
from solarxai.validation.localisation.measures import EDGE, measure
from solarxai.validation.localisation.nulls import (
    MASK_NULLS,
    TESTED,
    NullSamples,
    exchanges,
    null_samples,
    shifts,
    turns,
)
from solarxai.validation.localisation.significance import permutation_test, significance_rows
from solarxai.validation.report import Resampling

FEW = Resampling(n=100)


def independent(values, regions):
    return NullSamples(
        values=np.asarray(values, float),
        own=np.zeros(len(values), dtype=np.intp),
        regions=np.array([str(region) for region in regions]),
    )


def masks_of(samples):
    return Masks.of(samples["segmentation"].values, samples["central"].values)


@pytest.fixture
def sunspots(spots):
    """Return the sunspots, turned and moved so that no two regions look alike."""
    chosen = spots.isel(sample=np.flatnonzero(spots["label"].values == "sunspot")).copy(deep=True)
    for row in range(chosen.sizes["sample"]):
        for name in ("segmentation", "central", "penumbra", "image"):
            plane = chosen[name].values[row].copy()
            plane[:, 16 + row // 3 :] = chosen[name].values[row][0, 0]
            chosen[name].values[row] = np.roll(plane, row // 2, axis=0)
    return chosen


def test_a_quarter_turn_is_exactly_that_and_draw_0_is_the_mask_itself():
    plane = np.random.default_rng(0).random((10, 10))
    places = turns((10, 10), n=8)
    disc = places[0] >= 0
    np.testing.assert_array_equal(places[0][disc], np.arange(100)[disc])
    for quarters in range(4):
        turned = plane.ravel()[places[2 * quarters]]
        np.testing.assert_array_equal(turned[disc], np.rot90(plane, quarters).ravel()[disc])
    assert ((places >= 0) == disc).all()


def test_shifts_keep_every_pixel_and_depend_on_the_seed():
    places = shifts((6, 9), n=5, seed=3)
    np.testing.assert_array_equal(np.sort(places, axis=1), np.tile(np.arange(54), (5, 1)))
    np.testing.assert_array_equal(places[0], np.arange(54))
    assert not np.array_equal(places, shifts((6, 9), n=5, seed=4))


def test_regions_of_like_size_exchange_their_masks():
    sizes = np.array([10, 12, 100, 11, 90, 95, 13])
    regions = np.array(["a", "a", "b", "c", "d", "d", "e"])
    partners, own, strata = exchanges(sizes, regions, most=3)
    assert (partners[np.arange(7), own] == np.arange(7)).all()
    assert len({*strata[[2, 4, 5]]}) == 1
    assert len({*strata[[0, 1, 3]]}) == 1
    lone = next(k for k in range(3) if partners[3, k] in (0, 1))
    assert partners[3, lone] == 0
    assert (partners[[0, 1], own[3]] == 3).all()
    assert (np.bincount(strata) >= 2).all()
    assert set(regions[partners[4][partners[4] >= 0]]) == set(regions[strata == strata[4]])


def test_own_values_are_those_of_the_localisation_table(sunspots):
    sunspots["segmentation"].values[:, :2, :2] = INVALID
    values = np.random.default_rng(0).normal(size=sunspots["image"].shape).astype(np.float32)
    masks = masks_of(sunspots)
    found = null_samples(
        {"noise": values},
        masks,
        regions=sunspots["region"].values,
        sizes=sunspots["area_mm2"].values,
        n=4,
    )
    assert set(found) == {("noise", null, name) for null in MASK_NULLS for name in TESTED}
    expected = measure(values, masks.segmentation, masks.central, names=TESTED)
    for null in ("mask shifted", "mask exchanged"):
        for name in TESTED:
            observed = found["noise", null, name].observed
            np.testing.assert_allclose(observed, expected[name][masks.complete], rtol=1e-5)


def test_a_map_drawn_after_its_own_mask_beats_every_other(sunspots):
    rows = significance_rows(
        sunspots, {"penumbra": sunspots["penumbra"].values}, resampling=FEW, n=999, draws=12
    )
    assert {row["method"] for row in rows} == {"penumbra", EDGE}
    assert len(rows) == 2 * len(MASK_NULLS) * len(TESTED)
    auc = {r["null"]: r for r in rows if (r["method"], r["quantity"]) == ("penumbra", "AUC")}
    for row in auc.values():
        assert row["value"] == pytest.approx(1)
        assert row["null value"] < 1
        assert row["p"] == pytest.approx(0.002)
        assert row["p corrected"] <= 0.002 * len(rows) + 1e-12
        assert row["p corrected"] >= row["p"]
        assert row["interval"].value > 0.9
    near = next(
        r
        for r in rows
        if (r["method"], r["quantity"], r["null"])
        == ("penumbra", "relative distance to penumbra", "mask shifted")
    )
    assert near["value"] == 0
    assert near["interval"].value == -1
    assert near["standardised"] < -3


def test_a_flat_map_has_nothing_to_tell(sunspots):
    flat = np.ones(sunspots["image"].shape, np.float32)
    rows = significance_rows(sunspots, {"flat": flat}, resampling=FEW, n=199, draws=6)
    for row in rows:
        if row["method"] == "flat" and row["quantity"] != "relative distance to penumbra":
            assert row["p"] == 1
            assert row["interval"].value == pytest.approx(0, abs=1e-6)


def test_p_values_of_values_worked_by_hand():
    """Two regions of two draws: own 1 and 1, others 0, so T is 1, ½ and 0 in ratio 1 : 2 : 1."""
    found = permutation_test(independent([[1, 0], [1, 0]], "ab"), n=20000, alternative="greater")
    assert found.p == pytest.approx(0.25, abs=0.01)
    assert found.null == pytest.approx(0.5, abs=0.01)
    assert found.standardised == pytest.approx(0.5 / math.sqrt(1 / 8), rel=0.03)
    less = permutation_test(independent([[1, 0], [1, 0]], "ab"), n=99, alternative="less")
    assert less.p == 1
    assert found.effect.value == 1
    assert found.effect.low == pytest.approx(2 * 0.025 ** (1 / 2) - 1)


def test_structures_of_one_region_are_no_more_evidence_than_one():
    values = np.random.default_rng(1).normal(size=(6, 10))
    once = permutation_test(independent(values, "abcdef"), n=499)
    many = permutation_test(
        independent(np.repeat(values, 5, axis=0), np.repeat([*"abcdef"], 5)), n=499
    )
    assert once.p == many.p
    assert (once.effect.low, once.effect.high) == (many.effect.low, many.effect.high)
    assert (many.structures, many.regions) == (30, 6)


def test_undefined_structures_are_left_out_and_undefined_draws_are_not_drawn():
    values = np.array([[1.0, np.nan, 0.0], [np.nan, 1.0, 1.0], [1.0, 0.0, 0.0]])
    found = permutation_test(independent(values, "abc"), n=999, alternative="greater")
    assert (found.structures, found.regions) == (2, 2)
    assert found.p == pytest.approx(1 / 2 * 1 / 3, abs=0.04)
    nothing = permutation_test(independent(np.full((2, 3), np.nan), "ab"))
    assert math.isnan(nothing.p)
    assert nothing.regions == 0


def test_a_stratum_that_is_undefined_with_some_mask_is_left_out():
    values = np.array([[1.0, 0.0], [0.0, np.nan], [2.0, 1.0], [1.0, 2.0]])
    values[1, 1], values[0, 1] = 1.0, np.nan
    samples = NullSamples(
        values=values,
        own=np.array([0, 1, 0, 1]),
        regions=np.array([*"abcd"]),
        strata=np.array([0, 0, 1, 1]),
    )
    found = permutation_test(samples, n=999, alternative="greater")
    assert (found.structures, found.regions, found.value) == (2, 2, 2)
    assert found.p == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_p_values_are_uniform_when_own_draws_are_as_good_as_others(alternative):
    rng = np.random.default_rng(7)
    regions = np.repeat(np.arange(8), rng.integers(1, 5, 8))
    found = []
    for trial in range(400):
        traits = rng.normal(size=(8, 6))[regions]
        values = np.exp(traits + rng.normal(size=traits.shape))
        samples = independent(values, regions)
        found.append(
            permutation_test(
                samples, n=399, seed=trial, alternative=alternative, resampling=Resampling(n=2)
            ).p
        )
    assert scipy.stats.kstest(found, "uniform").pvalue > 0.01


def test_p_values_of_exchanged_masks_are_uniform_also_where_masks_differ_in_themselves():
    rng = np.random.default_rng(8)
    found = []
    for trial in range(400):
        values = rng.normal(size=(6, 1)) + 3 * rng.normal(size=(1, 6)) + rng.normal(size=(6, 6))
        samples = NullSamples(
            values=values,
            own=np.arange(6),
            regions=np.arange(6).astype(str),
            strata=np.zeros(6, dtype=np.intp),
        )
        found.append(permutation_test(samples, n=399, seed=trial, resampling=Resampling(n=2)).p)
    assert scipy.stats.kstest(found, "uniform").pvalue > 0.01


def test_an_unknown_alternative_or_no_permutation_is_refused():
    with pytest.raises(ValidationError, match="n = 0"):
        permutation_test(independent([[1, 0]], "a"), n=0)
    with pytest.raises(ValidationError, match="alternative 'more'"):
        permutation_test(independent([[1, 0]], "a"), alternative="more")


def test_pores_and_spots_without_an_umbra_are_not_tested(spots):
    pores = spots.isel(sample=np.flatnonzero(spots["label"].values == "pore"))
    assert significance_rows(pores, {"flat": pores["flat"].values}, resampling=FEW, n=9) == []
    bare = spots.isel(sample=slice(0, 4)).copy(deep=True)
    bare["segmentation"].values[:] = 0
    assert significance_rows(bare, {"flat": bare["flat"].values}, resampling=FEW, n=9) == []
