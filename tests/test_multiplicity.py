"""Corrections worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from solarxai import metrics
from solarxai.errors import ValidationError


def test_holm_multiplies_the_smallest_by_all_and_the_greatest_by_one():
    found = metrics.holm(np.array([0.01, 0.04, 0.03, 0.005]))
    np.testing.assert_allclose(found, [0.03, 0.06, 0.06, 0.02])


def test_corrected_values_end_at_one():
    np.testing.assert_array_equal(metrics.holm(np.array([0.6, 0.9])), [1, 1])


def test_tests_that_were_not_made_are_not_counted():
    for correct in (metrics.holm, metrics.benjamini_hochberg):
        found = correct(np.array([np.nan, 0.01, np.nan]))
        np.testing.assert_array_equal(found, [np.nan, 0.01, np.nan])
        assert np.isnan(correct(np.array([np.nan]))).all()
        assert correct(np.zeros(0)).shape == (0,)


def test_benjamini_hochberg_worked_by_hand():
    found = metrics.benjamini_hochberg(np.array([0.01, 0.04, 0.03, 0.5]))
    np.testing.assert_allclose(found, [0.04, 0.16 / 3, 0.16 / 3, 0.5])


def test_the_input_is_left_alone():
    p = np.array([0.01, 0.02])
    metrics.holm(p)
    metrics.benjamini_hochberg(p)
    np.testing.assert_array_equal(p, [0.01, 0.02])


def test_holm_keeps_the_chance_of_any_false_claim():
    p = np.random.default_rng(0).random((2000, 10))
    false = np.mean([metrics.holm(row).min() <= 0.05 for row in p])
    assert scipy.stats.binomtest(round(false * 2000), 2000, 0.05).pvalue > 0.01


def test_a_p_value_beyond_one_is_refused():
    for correct in (metrics.holm, metrics.benjamini_hochberg):
        with pytest.raises(ValidationError, match=r"p-value 1.2 is not between 0 and 1"):
            correct(np.array([0.1, 1.2]))
