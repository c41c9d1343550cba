"""Bands along the edges of a penumbra, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from solarxai.schema import INVALID, PENUMBRA, QUIET, UMBRA
from solarxai.validation.localisation.boundaries import (
    boundary_distances,
    boundary_names,
    measure_boundaries,
)


@pytest.fixture
def layers():
    """Return 10 rows of 10: five of quiet Sun, three of penumbra, two of umbra."""
    segmentation = np.full((1, 10, 10), QUIET, np.uint8)
    segmentation[0, 5:8] = PENUMBRA
    segmentation[0, 8:] = UMBRA
    return segmentation


def test_pixels_on_either_side_of_a_straight_edge_lie_half_a_pixel_away(layers):
    found = boundary_distances(layers)
    np.testing.assert_allclose(found["outer boundary"][0, :, 4], np.abs(np.arange(10) - 4.5))
    np.testing.assert_allclose(found["inner boundary"][0, :, 4], np.abs(np.arange(10) - 7.5))


def test_a_corner_is_as_far_as_pythagoras_says():
    segmentation = np.full((1, 5, 5), QUIET, np.uint8)
    segmentation[0, 2, 2] = PENUMBRA
    found = boundary_distances(segmentation)["outer boundary"][0]
    assert found[2, 2] == found[1, 2] == 0.5
    assert found[1, 1] == pytest.approx(np.hypot(0.5, 1))
    assert found[0, 0] == pytest.approx(np.hypot(1.5, 2))


def test_a_flat_map_has_each_band_at_its_share_of_the_area(layers):
    found = measure_boundaries(np.full((1, 10, 10), -2, np.float32), layers)
    assert found["share within 1 px of inner boundary"][0] == pytest.approx(0.2)
    assert found["share within 2 px of inner boundary"][0] == pytest.approx(0.4)
    assert found["signed share within 1 px of outer boundary"][0] == pytest.approx(-0.2)
    for name in boundary_names("enrichment"):
        assert found[name][0] == pytest.approx(1)
    for name in boundary_names("signed enrichment"):
        assert found[name][0] == pytest.approx(-1)


def test_opposite_signs_on_the_two_sides_cancel_in_the_signed_share_alone(layers):
    values = np.zeros((1, 10, 10), np.float32)
    values[0, 7], values[0, 8] = 1, -1
    found = measure_boundaries(values, layers)
    assert found["share within 1 px of inner boundary"][0] == 1
    assert found["enrichment within 1 px of inner boundary"][0] == pytest.approx(5)
    assert found["signed share within 1 px of inner boundary"][0] == 0
    assert found["share within 2 px of outer boundary"][0] == 0


def test_without_an_umbra_there_is_no_inner_boundary(layers):
    layers[layers == UMBRA] = PENUMBRA
    found = measure_boundaries(np.ones((1, 10, 10), np.float32), layers)
    assert np.isinf(boundary_distances(layers)["inner boundary"]).all()
    assert np.isnan(found["share within 1 px of inner boundary"][0])
    assert found["enrichment within 1 px of outer boundary"][0] == pytest.approx(1)


def test_invalid_pixels_of_a_band_take_no_part(layers):
    layers[0, :, 5:] = INVALID
    values = np.ones((1, 10, 10), np.float32)
    values[0, :, 5:] = 1000
    found = measure_boundaries(values, layers)
    assert found["share within 1 px of outer boundary"][0] == pytest.approx(0.2)


def test_a_map_of_zeros_is_undefined(layers):
    found = measure_boundaries(np.zeros((1, 10, 10), np.float32), layers)
    assert all(np.isnan(values).all() for values in found.values())
