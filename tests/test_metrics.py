"""Scores against tables worked by hand and scikit-learn; intervals against what they promise."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle
from sklearn.linear_model import LogisticRegression

from solarxai import metrics
from solarxai.errors import ValidationError


def table(hits, false_alarms, misses, correct_negatives):
    """Return truth and prediction with that 2×2 table."""
    counts = (hits, false_alarms, misses, correct_negatives)
    truth = np.repeat([True, False, True, False], counts)
    predicted = np.repeat([True, True, False, False], counts)
    return truth, predicted


def test_the_table_counts_what_it_was_made_of():
    assert metrics.contingency(*table(3, 5, 7, 11)) == (3, 5, 7, 11)


def test_tss_is_the_hit_rate_less_the_false_alarm_rate():
    assert metrics.tss(*table(30, 10, 10, 90)) == pytest.approx(0.75 - 0.10)


def test_tss_does_not_change_when_the_rarer_class_is_thinned_but_hss_does():
    assert metrics.tss(*table(30, 100, 10, 900)) == pytest.approx(
        metrics.tss(*table(30, 10, 10, 90))
    )
    assert metrics.hss(*table(30, 100, 10, 900)) < metrics.hss(*table(30, 10, 10, 90)) - 0.2


def test_hss_of_a_table_worked_by_hand():
    # Correct 120 of 140; by chance (40·40 + 100·100)/140 = 82.857; (120 − 82.857)/(140 − 82.857).
    assert metrics.hss(*table(30, 10, 10, 90)) == pytest.approx(0.65)


def test_a_constant_forecast_has_no_skill():
    truth = np.array([True, False, True, False])
    assert metrics.tss(truth, np.ones(4, bool)) == 0
    assert metrics.hss(truth, np.ones(4, bool)) == 0


def test_scores_are_undefined_where_a_class_is_absent():
    truth, score = np.ones(3, bool), np.arange(3.0)
    for found in (
        metrics.tss(truth, score > 1),
        metrics.roc_auc(truth, score),
        metrics.brier_skill(truth, score / 3),
        metrics.average_precision(~truth, score),
        metrics.hss(truth, truth),
    ):
        assert math.isnan(found)


def test_scores_of_no_samples_are_undefined():
    none = np.zeros(0)
    for score in (
        metrics.accuracy,
        metrics.brier,
        metrics.brier_skill,
        metrics.average_precision,
        metrics.roc_auc,
    ):
        assert math.isnan(score(none.astype(bool), none))


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40).filter(
        lambda rows: len({yes for yes, _ in rows}) == 2
    )
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_scores_agree_with_scikit_learn_also_with_ties(rows):
    truth = np.array([yes for yes, _ in rows])
    score = np.array([s / 6 for _, s in rows])
    assert metrics.roc_auc(truth, score) == pytest.approx(oracle.roc_auc_score(truth, score))
    assert metrics.average_precision(truth, score) == pytest.approx(
        oracle.average_precision_score(truth, score)
    )
    assert metrics.brier(truth, score) == pytest.approx(oracle.brier_score_loss(truth, score))
    assert metrics.accuracy(truth, score > 0.5) == pytest.approx(
        oracle.accuracy_score(truth, score > 0.5)
    )


SCORED = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=30).filter(
    lambda rows: len({yes for yes, _ in rows}) == 2
)


def columns(rows):
    """Return truth and margins of a list of pairs."""
    return np.array([yes for yes, _ in rows]), np.array([float(m) for _, m in rows])


@given(SCORED)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_roc_curve_agrees_with_scikit_learn_and_holds_its_own_area(rows):
    truth, score = columns(rows)
    found = metrics.roc_curve(truth, score)
    false_alarms, hits, thresholds = oracle.roc_curve(truth, score, drop_intermediate=False)
    np.testing.assert_allclose(found.false_alarm_rate, false_alarms)
    np.testing.assert_allclose(found.hit_rate, hits)
    np.testing.assert_array_equal(found.threshold, thresholds)
    area = np.trapezoid(found.hit_rate, found.false_alarm_rate)
    assert area == pytest.approx(metrics.roc_auc(truth, score))


@given(SCORED, st.sampled_from(["accuracy", "hss", "pseudo_tss", "tss"]))
@settings(max_examples=120, deadline=None, derandomize=True)
def test_the_best_threshold_is_the_best_of_every_possible_one(rows, name):
    truth, margin = columns(rows)
    score = getattr(metrics, name)
    levels = np.unique(margin)
    cuts = [-math.inf, *(levels[1:] + levels[:-1]) / 2, math.inf]
    if name == "pseudo_tss" and len(levels) == 1:
        with pytest.raises(ValidationError, match="with 1 different margins"):
            metrics.best_threshold(truth, margin, score=metrics.Contingency.pseudo_tss)
        return
    found = metrics.best_threshold(truth, margin, score=getattr(metrics.Contingency, name))
    tried = {cut: score(truth, margin > cut) for cut in cuts}
    best = np.nanmax([*tried.values()])
    assert score(truth, margin > found) == pytest.approx(best)
    equally_good = [abs(cut) for cut, value in tried.items() if value >= best - 1e-12]
    assert abs(found) == min(equally_good)


def test_the_best_threshold_of_tss_worked_by_hand():
    # Above 1.5: TPR 2/3, FPR 0. Above −0.5: TPR 1, FPR 1/2. Above 0.5: TPR 2/3, FPR 1/2.
    margin = np.array([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, -3.0])
    truth = np.array([False, False, True, False, True, True, False])
    assert metrics.best_threshold(truth, margin) == -0.5
    truth[6], margin[6] = False, 0.5
    assert metrics.best_threshold(truth, margin) == 1.5


def test_neighbouring_margins_are_told_apart():
    low = 1.0
    high = np.nextafter(low, 2)
    for below, above in ((low, high), (high, np.nextafter(high, 2))):
        found = metrics.best_threshold(np.array([False, True]), np.array([below, above]))
        assert below <= found < above


def test_a_forecast_without_skill_is_best_never_made():
    truth, margin = np.array([True, False]), np.array([-1.0, 1.0])
    assert math.isinf(metrics.best_threshold(truth, margin))


@pytest.mark.parametrize("truth", [[True, True], []])
def test_a_threshold_needs_both_classes(truth):
    with pytest.raises(ValidationError, match=f"of {len(truth)} validation samples"):
        metrics.best_threshold(np.array(truth, bool), np.zeros(len(truth)))


@given(SCORED)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_pseudo_tss_is_the_sum_of_the_precisions_of_both_classes_less_one(rows):
    truth, margin = columns(rows)
    said = margin > 0
    found = metrics.pseudo_tss(truth, said)
    if said.all() or not said.any():
        assert math.isnan(found)
        return
    both = oracle.precision_score(truth, said, average=None)
    assert found == pytest.approx(both.sum() - 1)
    # On the table of which truth and forecast have changed places, it is the TSS.
    assert found == pytest.approx(metrics.tss(said, truth))


def test_pseudo_tss_changes_with_the_ratio_of_the_classes_where_tss_does_not():
    balanced, rare = table(60, 20, 40, 80), table(6, 20, 4, 80)
    assert metrics.tss(*balanced) == pytest.approx(metrics.tss(*rare))
    assert metrics.pseudo_tss(*balanced) == pytest.approx(60 / 80 + 80 / 120 - 1)
    assert metrics.pseudo_tss(*rare) < metrics.pseudo_tss(*balanced) - 0.2


def test_tables_may_be_scored_many_at_once():
    many = metrics.Contingency(
        np.array([30, 3]), np.array([10, 5]), np.array([10, 7]), np.array([90, 11])
    )
    for name in ("accuracy", "hss", "pseudo_tss", "tss"):
        single = getattr(metrics, name)
        expected = [single(*table(30, 10, 10, 90)), single(*table(3, 5, 7, 11))]
        np.testing.assert_allclose(getattr(many, name)(), expected)


def test_the_expected_calibration_error_weighs_bins_by_their_samples():
    truth = np.array([True, False, False, False, True])
    probability = np.array([0.05, 0.05, 0.05, 0.05, 0.9])
    # |1/4 − 0.05| in a bin of four, |1 − 0.9| in a bin of one.
    assert metrics.expected_calibration_error(truth, probability) == pytest.approx(
        (4 * 0.2 + 0.1) / 5
    )
    assert math.isnan(metrics.expected_calibration_error(truth[:0], probability[:0]))


def test_climatology_has_no_brier_skill_and_the_truth_has_all():
    truth = np.array([True, False, False, False])
    assert metrics.brier_skill(truth, np.full(4, 0.25)) == pytest.approx(0)
    assert metrics.brier_skill(truth, truth.astype(float)) == 1


def test_reliability_counts_every_sample_once_and_says_how_often_it_came_true():
    probability = np.array([0.0, 0.05, 0.95, 0.95, 1.0])
    truth = np.array([False, True, True, True, False])
    low, high = metrics.reliability(truth, probability, bins=10)
    assert low == (0.0, 0.1, pytest.approx(0.025), 0.5, 2)
    assert high[2:] == (pytest.approx(2.9 / 3), pytest.approx(2 / 3), 3)


def test_a_statistic_of_equal_groups_has_an_interval_of_no_width():
    x, groups = np.tile([1.0, 2.0], 10), np.repeat(np.arange(10), 2)
    found = metrics.block_bootstrap(np.mean, x, groups=groups, n=50)
    assert (found.value, found.low, found.high, found.n_groups) == (1.5, 1.5, 1.5, 10)


def test_repeating_a_region_adds_no_certainty():
    rng = np.random.default_rng(0)
    x = rng.normal(size=30)
    once = metrics.block_bootstrap(np.mean, x, groups=np.arange(30))
    many = metrics.block_bootstrap(np.mean, np.repeat(x, 20), groups=np.repeat(np.arange(30), 20))
    assert many.high - many.low == pytest.approx(once.high - once.low)


def test_the_interval_of_a_mean_is_as_wide_as_students_t_says():
    x = np.random.default_rng(1).normal(size=12)
    found = metrics.block_bootstrap(np.mean, x, groups=np.arange(12), n=4000)
    half_width = 2.2010 * x.std(ddof=1) / np.sqrt(12)
    assert (found.high - found.low) / 2 == pytest.approx(half_width, rel=0.06)


def test_the_95_percent_interval_holds_the_truth_95_times_in_100():
    rng, trials, held = np.random.default_rng(2), 400, 0
    for trial in range(trials):
        groups = np.repeat(np.arange(30), rng.integers(2, 7, 30))
        x = rng.normal(size=30)[groups] + rng.normal(size=len(groups))
        found = metrics.block_bootstrap(np.mean, x, groups=groups, n=250, seed=trial)
        held += found.low <= 0 <= found.high
    simulation_error = math.sqrt(0.95 * 0.05 / trials)
    assert simulation_error == pytest.approx(0.011, abs=5e-4)
    assert 0.92 <= held / trials <= 0.98


def test_the_same_seed_gives_the_same_interval_in_any_order_of_group_names():
    rng = np.random.default_rng(3)
    truth, score, groups = rng.random(60) < 0.5, rng.normal(size=60), np.arange(60) // 3
    first = metrics.block_bootstrap(metrics.roc_auc, truth, score, groups=groups, n=80, seed=5)
    again = metrics.block_bootstrap(metrics.roc_auc, truth, score, groups=groups, n=80, seed=5)
    other = metrics.block_bootstrap(metrics.roc_auc, truth, score, groups=groups, n=80, seed=6)
    assert first == again
    assert first != other


def test_rows_may_be_looked_up_by_number():
    x = np.random.default_rng(4).normal(size=40)
    rows, groups = np.arange(40), np.arange(40) // 4
    by_number = metrics.block_bootstrap(lambda i: float(x[i].mean()), rows, groups=groups, n=60)
    assert by_number == metrics.block_bootstrap(np.mean, x, groups=groups, n=60)


def test_resamples_without_a_class_are_left_out_and_counted():
    truth = np.array([True, False, False, False])
    found = metrics.block_bootstrap(
        metrics.roc_auc, truth, np.arange(4.0), groups=np.arange(4), n=500
    )
    # A resample lacks the only yes with probability (3/4)^4 = 0.316; all are yes with (1/4)^4.
    assert found.n_undefined / 500 == pytest.approx(0.320, abs=0.06)
    assert found.low == found.high == 0


def test_a_statistic_that_is_never_defined_has_an_undefined_interval():
    found = metrics.block_bootstrap(lambda x: math.nan, np.ones(4), groups=np.arange(4), n=20)
    assert found.n_undefined == 20
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_one_region_gives_no_interval():
    found = metrics.block_bootstrap(np.mean, np.arange(4.0), groups=np.zeros(4))
    assert (found.value, found.n_groups) == (1.5, 1)
    assert found.record()["low"] is None
    hits = metrics.proportion_interval(np.ones(4, bool), groups=np.zeros(4))
    assert math.isnan(hits.low)


def test_an_interval_reads_as_value_and_bounds():
    assert str(metrics.Interval(value=0.5, low=0.25, high=1, n_groups=3)) == "0.500 [0.250, 1.000]"


def test_bootstraps_refuse_rows_without_groups():
    with pytest.raises(ValidationError, match="as many in each array as groups"):
        metrics.block_bootstrap(np.mean, np.ones(3), groups=np.arange(2))
    with pytest.raises(ValidationError, match="needs rows"):
        metrics.block_bootstrap(np.mean, np.ones(0), groups=np.arange(0))
    with pytest.raises(ValidationError, match="level 95 is not between 0 and 1"):
        metrics.block_bootstrap(np.mean, np.ones(2), groups=np.arange(2), level=95)


def test_no_error_in_a_hundred_still_leaves_doubt():
    found = metrics.proportion_interval(np.ones(100, bool), groups=np.arange(100) // 5)
    # Clopper–Pearson for 100 of 100: (0.025)^(1/100).
    assert found.low == pytest.approx(0.025 ** (1 / 100))
    assert found.high == 1


def test_a_logistic_regression_agrees_with_scikit_learn():
    rng = np.random.default_rng(5)
    x = rng.normal(50, 20, 80)
    truth = x + rng.normal(0, 20, 80) > 50
    ours = metrics.fit_logistic(x, truth)
    z = ((x - x.mean()) / x.std())[:, None]
    theirs = LogisticRegression(C=1.0, tol=1e-10).fit(z, truth).predict_proba(z)[:, 1]
    np.testing.assert_allclose(ours.probability(x), theirs, atol=1e-5)


def test_a_column_that_separates_the_classes_gives_a_finite_slope():
    x, truth = np.arange(20.0), np.arange(20) >= 10
    fitted = metrics.fit_logistic(x, truth)
    assert 1 < fitted.slope < 20
    assert ((fitted.probability(x) > 0.5) == truth).all()


def test_a_constant_column_predicts_the_base_rate():
    fitted = metrics.fit_logistic(np.full(8, 3.0), np.arange(8) < 2)
    np.testing.assert_allclose(fitted.probability(np.array([3.0])), 0.25, atol=1e-5)


def test_a_regression_refuses_one_class_or_values_that_are_not_finite():
    with pytest.raises(ValidationError, match=r"1 class\(es\)"):
        metrics.fit_logistic(np.arange(4.0), np.ones(4, bool))
    with pytest.raises(ValidationError, match="1 values that are not finite"):
        metrics.fit_logistic(np.array([1.0, np.nan]), np.array([True, False]))
