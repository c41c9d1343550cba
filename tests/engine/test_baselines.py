"""The nested design: every baseline, every stratum, unbiased."""

import numpy as np
import pytest

from solarxai.engine.baselines import Shape, draw_design, shape_of, tour


@pytest.mark.parametrize(
    ("samples", "baselines", "strata", "visited"),
    [(200, 100, 2, 100), (200, 500, 1, 200), (200, 150, 1, 150), (200, 1, 200, 1), (7, 3, 2, 3)],
)
def test_gradients_are_spread_over_baselines(samples, baselines, strata, visited):
    shape = shape_of(samples, baselines)
    assert shape == Shape(strata=strata, visited=visited)
    assert shape.samples <= samples


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
    design = draw_design(np.arange(10), Shape(strata=4, visited=10), np.random.default_rng(0))
    assert design.baselines.tolist() == list(range(10))
    assert np.floor(design.alphas * 4).tolist() == [[0, 1, 2, 3]] * 10


def test_all_positions_together_are_evenly_spread():
    design = draw_design(np.arange(89), Shape(strata=1, visited=89), np.random.default_rng(0))
    gaps = np.diff(np.sort(design.alphas.ravel()))
    assert gaps.max() < 2.7 / 89


@pytest.mark.parametrize(("samples", "baselines"), [(8, 4), (6, 25), (5, 7)])
def test_every_baseline_and_position_is_as_likely_as_any_other(samples, baselines):
    generator = np.random.default_rng(0)
    counts, alphas = np.zeros(baselines), []
    draws = 4000
    for _ in range(draws):
        shape = shape_of(samples, baselines)
        design = draw_design(np.arange(baselines), shape, generator)
        counts[design.baselines] += 1 / shape.visited
        alphas.append(design.alphas.ravel())
    assert counts / draws * baselines == pytest.approx(np.ones(baselines), abs=0.15)
    histogram = np.histogram(np.concatenate(alphas), bins=10, range=(0, 1), density=True)[0]
    assert histogram == pytest.approx(np.ones(10), abs=0.1)
