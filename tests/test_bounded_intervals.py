"""Intervals of statistics that live between bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from solarxai import metrics
from solarxai.errors import ValidationError


def test_the_interval_is_students_t_on_the_logit_scale():
    x, groups = np.random.default_rng(0).uniform(0.4, 1.0, 12), np.arange(12)
    found = metrics.block_bootstrap(np.mean, x, groups=groups, n=4000, bounds=(0, 1))
    error = x.std(ddof=1) / math.sqrt(12) / (x.mean() * (1 - x.mean()))
    middle = math.log(x.mean() / (1 - x.mean()))
    for bound, sign in ((found.low, -1), (found.high, 1)):
        expected = 1 / (1 + math.exp(-(middle + sign * 2.2010 * error)))
        assert bound == pytest.approx(expected, abs=0.003)


def test_other_bounds_are_the_same_interval_stretched():
    x, groups = np.random.default_rng(1).uniform(0, 1, 20), np.arange(20) // 2
    one = metrics.block_bootstrap(np.mean, x, groups=groups, n=200, bounds=(0, 1))
    other = metrics.block_bootstrap(np.mean, 2 * x - 1, groups=groups, n=200, bounds=(-1, 1))
    assert other.low == pytest.approx(2 * one.low - 1)
    assert other.high == pytest.approx(2 * one.high - 1)


def test_the_interval_stays_inside_the_bounds_where_a_score_is_nearly_perfect():
    hits = np.ones(40)
    hits[0] = 0
    found = metrics.block_bootstrap(np.mean, hits, groups=np.arange(40) // 5, n=500, bounds=(0, 1))
    assert 0 < found.low < 0.975 < found.high < 1


def test_a_perfect_score_of_ten_regions_leaves_the_doubt_of_ten_trials():
    groups = np.repeat(np.arange(10), 3)
    best = metrics.block_bootstrap(np.mean, np.ones(30), groups=groups, n=50, bounds=(0, 1))
    assert (best.low, best.high) == (pytest.approx(0.025**0.1), 1)
    worst = metrics.block_bootstrap(np.mean, -np.ones(30), groups=groups, n=50, bounds=(-1, 1))
    assert (worst.low, worst.high) == (-1, pytest.approx(1 - 2 * 0.025**0.1))


def test_an_undefined_statistic_has_an_undefined_interval():
    found = metrics.block_bootstrap(
        lambda x: math.nan, np.ones(4), groups=np.arange(4), n=20, bounds=(0, 1)
    )
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_a_statistic_outside_its_bounds_is_refused():
    with pytest.raises(ValidationError, match="statistic 3 is outside its bounds 0 to 1"):
        metrics.block_bootstrap(np.mean, np.full(4, 3.0), groups=np.arange(4), bounds=(0, 1))
