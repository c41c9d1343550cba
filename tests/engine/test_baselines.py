"""The nested design: every baseline, every stratum, unbiased."""

import numpy as np
import pytest

from solarxai.engine.baselines import Leg, Shape, draw_design, shapes_of, tour


@pytest.mark.parametrize(
    ("samples", "baselines", "shapes"),
    [
        (200, 100, [(2, 100)]),
        (200, 500, [(1, 200)]),
        (200, 150, [(1, 100), (2, 50)]),
        (200, 1, [(200, 1)]),
        (7, 3, [(2, 2), (3, 1)]),
    ],
)
def test_gradients_are_spread_over_baselines_and_none_is_dropped(samples, baselines, shapes):
    found = shapes_of(samples, baselines)
    assert [(shape.strata, shape.visited) for shape in found] == shapes
    assert sum(shape.samples for shape in found) == samples


def legs(samples: int, baselines: int, seed: int = 0) -> tuple[Leg, ...]:
    return draw_design(np.arange(baselines), samples, np.random.default_rng(seed))


def test_a_tour_visits_every_baseline_once_from_neighbour_to_neighbour():
    line = np.array([5, 1, 3, 0, 4, 2], dtype=np.float32)
    order = tour(line[:, None] * np.ones((1, 7), dtype=np.float32), line)
    assert order.tolist() == [3, 1, 5, 2, 4, 0]


def test_a_tour_of_equal_baselines_is_still_a_tour():
    assert sorted(tour(np.ones((4, 9), np.float32), np.zeros(4))) == [0, 1, 2, 3]


def test_a_tour_of_more_rows_than_components_are_taken_from_is_complete():
    rows = np.random.default_rng(0).standard_normal((700, 6)).astype(np.float32)
    assert sorted(tour(rows, rows[:, 0])) == list(range(700))


def test_each_baseline_stands_once_in_each_stratum():
    (leg,) = legs(40, 10)
    assert leg.shape == Shape(strata=4, visited=10)
    assert leg.baselines.tolist() == list(range(10))
    assert np.floor(leg.quantiles * 4).tolist() == [[0, 1, 2, 3]] * 10


def test_where_they_do_not_divide_every_few_baselines_get_one_more():
    once, twice = legs(14, 10)
    assert sorted([*once.baselines, *twice.baselines]) == list(range(10))
    assert np.diff(twice.baselines).tolist() in ([2, 3, 2], [3, 2, 3], [2, 3, 3], [3, 2, 2])


def test_all_positions_together_are_evenly_spread():
    (leg,) = legs(89, 89)
    gaps = np.diff(np.sort(leg.quantiles.ravel()))
    assert gaps.max() < 2.7 / 89


@pytest.mark.parametrize(("samples", "baselines"), [(8, 4), (6, 25), (5, 7), (11, 7)])
def test_every_baseline_and_position_is_as_likely_as_any_other(samples, baselines):
    generator = np.random.default_rng(0)
    counts, quantiles = np.zeros(baselines), []
    draws = 4000
    for _ in range(draws):
        for leg in draw_design(np.arange(baselines), samples, generator):
            counts[leg.baselines] += leg.shape.strata / samples
            quantiles.append(leg.quantiles.ravel())
    assert counts / draws * baselines == pytest.approx(np.ones(baselines), abs=0.15)
    histogram = np.histogram(np.concatenate(quantiles), bins=10, range=(0, 1), density=True)[0]
    assert histogram == pytest.approx(np.ones(10), abs=0.1)
