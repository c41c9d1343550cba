"""The standard error of a tour: what it ignores, what it measures, how much memory it holds."""

import numpy as np
import pytest
import torch

from solarxai.engine.baselines import Shape
from solarxai.engine.tour_error import TourError, smoothed, within_stratum_share


def measured(values: np.ndarray, *, reached: float = 0.0, part: int = 7) -> float:
    """Return the standard error of contributions (baseline, stratum) of one pixel."""
    shape = Shape(strata=values.shape[1], visited=values.shape[0])
    error = TourError(shape, reached=reached)
    for some in torch.from_numpy(values.ravel()).reshape(-1, 1, 1).split(part):
        error.add(some)
    return float(error.variance()) ** 0.5


def test_narrow_strata_keep_less_of_the_step_than_wide_ones():
    assert within_stratum_share(1000) == pytest.approx(0.75 / 3, abs=1e-3)
    assert within_stratum_share(2) == pytest.approx(0.75 / 2, abs=1e-3)


def test_the_parts_in_which_contributions_come_do_not_matter():
    values = np.random.default_rng(0).standard_normal((30, 5))
    assert measured(values, part=3) == pytest.approx(measured(values, part=64), rel=1e-12)


def test_the_step_is_compared_with_that_of_the_third_last_baseline():
    values = np.random.default_rng(0).standard_normal((10, 2))
    steps = values[:, 1] - values[:, 0]
    wanted = within_stratum_share(2) / 20 * np.mean((steps[3:] - steps[:-3]) ** 2) / 4
    assert measured(values) == pytest.approx(np.sqrt(wanted), rel=1e-12)


def test_what_baselines_differ_in_is_no_error_where_all_are_visited():
    noise = np.random.default_rng(0).standard_normal((40, 1))
    assert measured(noise, reached=1.0) == pytest.approx(measured(noise) * np.sqrt(0.45), rel=1e-12)


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
    assert len(error._kept) <= 48


def test_no_variance_is_given_before_two_contributions_were_compared():
    error = TourError(Shape(strata=2, visited=5))
    assert error.variance() is None
    error.add(torch.ones(1, 1, 2))
    assert error.variance() is None


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(("reached", "wide"), [(1.0, 5), (0.5, 9)])
def test_half_of_a_variance_is_that_of_the_pixels_around(axes, reached, wide):
    variance = torch.zeros((2,) + (21,) * axes)
    variance[(0,) + (10,) * axes] = 1.0
    found = smoothed(variance, reached=reached)
    assert found[0].max() == pytest.approx(0.5 + 0.5 * wide**-axes)
    assert int((found[0] > 0).sum()) == wide**axes
    assert found[0].sum() == pytest.approx(1.0, rel=1e-5)
    assert not found[1].any()


def test_at_the_edge_only_pixels_inside_count():
    assert torch.equal(smoothed(torch.ones(1, 3, 4), reached=1.0), torch.ones(1, 3, 4))


def test_a_variance_of_more_axes_stays_as_it_is():
    variance = torch.rand(1, 2, 2, 2, 2)
    assert smoothed(variance, reached=1.0) is variance
