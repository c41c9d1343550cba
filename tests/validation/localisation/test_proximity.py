"""Distances from the penumbra, and Adeyeha's score, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from solarxai.schema import INVALID, PENUMBRA, PORE, QUIET
from solarxai.validation.localisation.proximity import (
    adeyeha,
    hull_distances,
    mean_distance,
    structure_distances,
)

SHAPE = (1, 32, 32)


@pytest.fixture
def bar():
    """Return a column of penumbra at x = 8."""
    segmentation = np.full(SHAPE, QUIET, np.uint8)
    segmentation[0, :, 8] = PENUMBRA
    return segmentation


def dot(y, x):
    values = np.zeros(SHAPE, np.float32)
    values[0, y - 1 : y + 2, x - 1 : x + 2] = 1
    return values


def test_the_distance_of_a_dot_is_its_distance(bar):
    values = np.zeros(SHAPE, np.float32)
    values[0, 5, 20] = -3
    assert mean_distance(values, bar)["distance to penumbra"][0] == 12
    values[0, 5, 8] = 3
    assert mean_distance(values, bar)["distance to penumbra"][0] == 6


def test_a_flat_map_has_a_relative_distance_of_one_and_the_mask_of_zero(bar):
    flat = mean_distance(np.ones(SHAPE, np.float32), bar)
    assert flat["distance to penumbra"][0] == pytest.approx(np.abs(np.arange(32) - 8).mean())
    assert flat["relative distance to penumbra"][0] == pytest.approx(1)
    mask = mean_distance((bar == PENUMBRA).astype(np.float32), bar)
    assert mask["relative distance to penumbra"][0] == 0


def test_without_a_penumbra_or_a_map_the_distance_is_undefined(bar):
    bare = np.full(SHAPE, QUIET, np.uint8)
    assert np.isinf(structure_distances(bare)).all()
    assert np.isnan(mean_distance(np.ones(SHAPE, np.float32), bare)["distance to penumbra"][0])
    assert np.isnan(mean_distance(np.zeros(SHAPE, np.float32), bar)["distance to penumbra"][0])


def test_distances_leave_invalid_pixels_out(bar):
    bar[0, :, 20:] = INVALID
    values = np.ones(SHAPE, np.float32)
    values[0, :, 20:] = 50
    found = mean_distance(values, bar)
    assert found["distance to penumbra"][0] == pytest.approx(np.abs(np.arange(20) - 8).mean())


def test_the_hull_of_a_dot_is_the_dot_with_its_edge():
    found = hull_distances(dot(10, 10))[0]
    assert found[10, 10] == 0
    assert found[10, 30] == pytest.approx(19, abs=1)


def test_proximity_is_the_mean_distance_from_each_structure_to_the_nearest_hull():
    segmentation = np.full(SHAPE, QUIET, np.uint8)
    segmentation[0, 9:12, 9:12] = PENUMBRA
    segmentation[0, 9:12, 27:30] = PORE
    hulls = hull_distances(dot(10, 10))
    found = adeyeha(hulls, segmentation)
    assert found["Adeyeha proximity"][0] == pytest.approx(hulls[0, 10, 28] / 2)
    assert hulls[0, 10, 28] == pytest.approx(17, abs=1)
    assert found["Adeyeha colocation"][0] == 0.5


def test_noise_everywhere_scores_best_by_adeyeha_and_not_by_ours(bar):
    noise = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    found = adeyeha(hull_distances(noise), bar)
    assert found["Adeyeha proximity"][0] == 0
    assert found["Adeyeha colocation"][0] == 1
    assert mean_distance(noise, bar)["relative distance to penumbra"][0] == pytest.approx(
        1, abs=0.1
    )


def test_a_flat_map_has_no_hull_and_a_quiet_patch_no_structure(bar):
    flat = np.ones(SHAPE, np.float32)
    assert np.isnan(hull_distances(flat)).all()
    found = adeyeha(hull_distances(flat), bar)
    assert np.isnan(found["Adeyeha proximity"][0])
    assert np.isnan(found["Adeyeha colocation"][0])
    bare = adeyeha(hull_distances(dot(10, 10)), np.full(SHAPE, QUIET, np.uint8))
    assert np.isnan(bare["Adeyeha proximity"][0])
