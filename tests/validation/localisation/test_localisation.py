"""Maps whose localisation can be told by hand."""

from __future__ import annotations

import numpy as np
import pytest

from solarxai.schema import INVALID, PENUMBRA, QUIET, UMBRA
from solarxai.validation.localisation.measures import (
    EDGE,
    SHARES,
    edge_maps,
    localisation_checks,
    localisation_rows,
    measure,
    moved_masks,
)
from solarxai.validation.report import Limits, Resampling


@pytest.fixture
def scene():
    """Return a 10 by 10 segmentation: 20 pixels of penumbra in the second row pair, 10 of umbra."""
    segmentation = np.full((1, 10, 10), QUIET, np.uint8)
    segmentation[0, 2:4] = PENUMBRA
    segmentation[0, 4] = UMBRA
    return segmentation, segmentation == PENUMBRA


def test_a_flat_map_has_every_segment_at_its_share_of_the_area(scene):
    found = measure(np.full((1, 10, 10), -3, np.float32), *scene)
    assert found["share in penumbra"][0] == pytest.approx(0.2)
    assert found["share in umbra"][0] == pytest.approx(0.1)
    assert found["share in quiet Sun"][0] == pytest.approx(0.7)
    assert found["enrichment in penumbra"][0] == pytest.approx(1)
    assert found["AUC"][0] == pytest.approx(0.5)
    assert found["average precision"][0] == pytest.approx(0.2)


def test_the_mask_itself_is_a_perfect_map(scene):
    found = measure((scene[0] == PENUMBRA).astype(np.float32), *scene)
    assert found["enrichment in penumbra"][0] == pytest.approx(5)
    for name in ("share in penumbra", "AUC", "average precision", "pointing game", "IoU"):
        assert found[name][0] == 1


def test_sign_does_not_matter_and_shares_add_up_to_one(scene):
    values = np.random.default_rng(0).standard_normal((1, 10, 10)).astype(np.float32)
    found, mirrored = measure(values, *scene), measure(-values, *scene)
    assert sum(found[name][0] for name in SHARES) == pytest.approx(1)
    assert found["AUC"] == mirrored["AUC"]


def test_half_of_the_greatest_pixels_inside_gives_an_iou_of_one_third(scene):
    """10 of 20 inside and 10 outside: intersection 10, union 30."""
    values = np.zeros((1, 10, 10), np.float32)
    values[0, 2] = 2
    values[0, 8] = 1
    assert measure(values, *scene)["IoU"][0] == pytest.approx(1 / 3)


def test_invalid_pixels_take_no_part(scene):
    segmentation, central = scene
    segmentation[0, 8:] = INVALID
    values = np.ones((1, 10, 10), np.float32)
    values[0, 8:] = 1000
    values[0, 2, 0] = 1.000001
    found = measure(values, segmentation, central)
    assert found["share in penumbra"][0] == pytest.approx(20 / 80)
    assert found["enrichment in penumbra"][0] == pytest.approx(1)
    assert found["pointing game"][0] == 1


def test_a_map_of_zeros_and_a_patch_without_penumbra_are_undefined(scene):
    segmentation, central = scene
    assert np.isnan(measure(np.zeros((1, 10, 10), np.float32), *scene)["AUC"][0])
    bare = np.full_like(segmentation, QUIET)
    found = measure(np.ones((1, 10, 10), np.float32), bare, central & False)
    assert np.isnan(found["AUC"][0])
    assert np.isnan(found["enrichment in penumbra"][0])
    assert found["share in penumbra"][0] == 0


def test_the_edge_detector_sees_a_step_and_nothing_else():
    image = np.ones((2, 8, 8), np.float32)
    image[0, :, 4:] = 2
    edges = edge_maps(image)
    assert not edges[1].any()
    assert edges[0, :, [3, 4]] == pytest.approx(4)
    assert edges[0, :, [0, 1, 6, 7]] == pytest.approx(0)


def test_moved_masks_turn_and_change_places(scene):
    segmentation, central = scene
    both = np.concatenate([segmentation, np.full_like(segmentation, QUIET)])
    moved = moved_masks(both, np.concatenate([central, central]))
    assert len(moved["rotated mask"]) == 3
    np.testing.assert_array_equal(moved["rotated mask"][1][0][0], both[0, ::-1, ::-1])
    np.testing.assert_array_equal(moved["other structure's mask"][0][0][1], both[0])


def test_oblong_masks_are_turned_by_half_a_turn_alone():
    segmentation = np.zeros((1, 4, 6), np.uint8)
    moved = moved_masks(segmentation, segmentation == 1)
    assert [m[0].shape for m in moved["rotated mask"]] == [(1, 4, 6)]
    assert moved["other structure's mask"] == []


def rows_of(spots, **maps):
    return localisation_rows(
        spots,
        {name: spots[name].values for name in ("flat", "penumbra")},
        random_maps=maps,
        random_rows=np.array([0, 2]),
        resampling=Resampling(n=50),
    )


def find(rows, method, quantity, group="synthetic · sunspot"):
    return next(
        r for r in rows if (r["method"], r["quantity"], r["group"]) == (method, quantity, group)
    )


def test_the_table_has_each_method_and_the_edge_detector_beside(spots):
    rows = rows_of(spots)
    assert {row["method"] for row in rows} == {"flat", "penumbra", EDGE}
    assert find(rows, "flat", "enrichment in penumbra")["interval"].value == pytest.approx(1)
    best = find(rows, "penumbra", "AUC")
    assert best["interval"].value == 1
    assert best["edge detector"] == find(rows, EDGE, "AUC")["interval"].value
    assert best["structures"] == 20


def test_masks_that_belong_elsewhere_lose_what_is_not_symmetric(spots):
    off = spots.isel(sample=slice(0, 12)).copy()
    for name in ("segmentation", "penumbra"):
        off[name] = off[name].copy(data=np.roll(off[name].values, 9, axis=2))
    rows = rows_of(off)
    row = find(rows, "penumbra", "AUC")
    assert row["interval"].value == 1
    assert row["rotated mask"] < 0.6
    assert row["other structure's mask"] == 1


def test_edges_and_distances_stand_in_the_table(spots):
    rows = rows_of(spots)
    for name in ("enrichment within 1 px of inner boundary", "relative distance to penumbra"):
        row = find(rows, "flat", name)
        assert row["interval"].value == pytest.approx(1)
        assert row["rotated mask"] == pytest.approx(1)
    assert find(rows, "penumbra", "relative distance to penumbra")["interval"].value == 0
    signed = find(rows, "flat", "signed enrichment within 2 px of outer boundary")
    assert signed["interval"].value == pytest.approx(1)
    near = find(rows, "penumbra", "Adeyeha colocation")
    assert near["interval"].value == 1
    assert near["interval"].low == pytest.approx(0.025 ** (1 / near["interval"].n_groups))


def test_every_quantity_can_be_measured_at_once(scene):
    found = measure(np.ones((1, 10, 10), np.float32), *scene)
    assert {"share within 1 px of outer boundary", "distance to penumbra"} < set(found)
    assert found["relative distance to penumbra"][0] == pytest.approx(1)
    assert np.isnan(found["Adeyeha proximity"][0])


def test_maps_of_random_weights_stand_beside_their_method(spots):
    flat = np.ones((2, 32, 32), np.float32)
    rows = rows_of(spots, penumbra=flat)
    assert find(rows, "penumbra", "enrichment in penumbra")["random weights"] == pytest.approx(1)
    assert np.isnan(find(rows, "flat", "enrichment in penumbra")["random weights"])


def test_pores_have_shares_but_no_detector_of_penumbra(spots):
    rows = [row for row in rows_of(spots) if row["group"].endswith("pore")]
    assert {row["quantity"] for row in rows if row["method"] == "flat"} == {
        "share in pore",
        "share in quiet Sun",
        "share in penumbra",
        "enrichment in pore",
    }


def test_no_localisation_number_convicts_or_acquits(spots):
    checks = localisation_checks(rows_of(spots), limits=Limits())
    assert {check.verdict for check in checks} == {"informs"}
    auc = next(c for c in checks if c.name == "AUC" and c.method == "flat")
    assert auc.reason.startswith("beside it: edge detector 0.")
