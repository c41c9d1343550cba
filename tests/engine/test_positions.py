"""Densities of positions: drawn as they say, weighted so that every mean is kept."""

import numpy as np
import pytest

from solarxai.engine.positions import BINS, bridge, learned, uniform

PEAK = np.where(np.arange(BINS) == 5, 1.0, 1e-4)
EVEN = (np.arange(20000) + 0.5) / 20000


@pytest.mark.parametrize("positions", [uniform(), bridge(), learned(PEAK)])
@pytest.mark.parametrize("power", [0, 1, 2])
def test_weighted_means_are_those_of_even_positions(positions, power):
    alphas, weights = positions.places(EVEN)
    assert np.mean(weights * alphas**power) == pytest.approx(1 / (power + 1), rel=1e-3)


def test_even_positions_stay_where_they_are_and_weigh_one():
    alphas, weights = uniform().places(EVEN)
    assert alphas == pytest.approx(EVEN)
    assert weights == pytest.approx(np.ones_like(EVEN))


def test_the_middle_of_a_bridge_is_visited_most_and_its_ends_a_fifth_as_often_at_least():
    density = bridge().density
    assert density.max() == pytest.approx(0.2 + 0.8 * 4 / np.pi, rel=1e-3)
    assert density.min() >= 0.2
    assert density == pytest.approx(density[::-1])


def test_a_density_that_was_learnt_is_high_where_contributions_are():
    density = learned(PEAK).density
    assert abs(density.argmax() / len(density) - 5.5 / BINS) < 0.01
    assert density.max() > 5
    assert density.min() > 0.2


def test_a_density_learnt_from_nothing_is_even():
    assert learned(np.zeros(BINS)).density == pytest.approx(np.ones(1024))


def test_the_learnt_density_costs_least_where_contributions_are_peaked():
    assert uniform().cost(PEAK) > 3 * learned(PEAK).cost(PEAK)


def test_no_position_leaves_the_path():
    alphas, weights = learned(PEAK).places(np.array([0.0, 1 - 1e-16]))
    assert alphas == pytest.approx([0.0, 1.0])
    assert alphas.max() <= 1
    assert np.isfinite(weights).all()
