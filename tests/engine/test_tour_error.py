"""The standard error of a tour: what it ignores, what it measures, how much memory it holds."""

import numpy as np
import pytest
import torch

from solarxai.engine.baselines import Shape
from solarxai.engine.tour_error import TourError, within_stratum_share


def measured(values: np.ndarray) -> float:
    """Return the standard error of contributions (baseline, stratum) of one pixel."""
    error = TourError(Shape(strata=values.shape[1], visited=values.shape[0]))
    error.add(torch.from_numpy(values.ravel()).reshape(-1, 1, 1))
    return float(error.stderr())


def test_narrow_strata_keep_a_third_of_the_step_and_wide_ones_half():
    assert within_stratum_share(1000) == pytest.approx(1 / 3, abs=1e-3)
    assert within_stratum_share(2) == pytest.approx(0.5, abs=1e-3)


def test_what_depends_on_the_baseline_alone_is_no_error():
    values = np.repeat(np.random.default_rng(0).standard_normal((20, 1)), 2, axis=1)
    assert measured(values) == 0


def test_what_depends_on_the_position_alone_is_no_error():
    assert measured(np.tile(np.array([[0.0, 5.0, 1.0]]), (20, 1))) == 0


def test_independent_noise_is_measured_up_to_the_share_within_a_stratum():
    noise = np.random.default_rng(0).standard_normal((4000, 2))
    wanted = np.sqrt(within_stratum_share(2) / noise.size)
    assert measured(noise) == pytest.approx(wanted, rel=0.05)


def test_with_one_position_a_baseline_noise_is_measured_in_full():
    noise = np.random.default_rng(0).standard_normal((4000, 1))
    assert measured(noise) == pytest.approx(np.sqrt(1 / 4000), rel=0.05)


@pytest.mark.parametrize("shape", [(1, 2), (1, 200), (2, 1), (3, 4), (4, 1), (5, 40)])
def test_any_design_of_two_samples_has_an_error(shape):
    assert measured(np.random.default_rng(0).standard_normal(shape)) > 0


def test_memory_does_not_grow_with_the_strata():
    error = TourError(Shape(strata=400, visited=5))
    error.add(torch.randn(2000, 1, 2))
    assert sum(len(kept) for kept in error._kept.values()) <= 48


def test_no_error_is_given_before_there_is_one():
    with pytest.raises(ValueError, match=r"no two contributions"):
        TourError(Shape(strata=2, visited=5)).stderr()
