"""Evaluations: the scores of margins, and of rulers."""

import json

import numpy as np
import pytest

from solarxai.schema import mock_samples
from solarxai.training.evaluation import SHORTCUTS, evaluate, shortcut_scores

TRUTH = np.array([True, True, True, False, False, False, False, False] * 4)
MARGIN = np.array([2.0, 1.0, -1.0, -2.0, -2.0, -2.0, -2.0, 1.0] * 4, dtype=np.float32)
REGIONS = np.array([f"AR {i // 8}" for i in range(32)], dtype=object)


def test_scores_are_those_of_the_table_at_margin_zero():
    found = evaluate(TRUTH, MARGIN, regions=REGIONS, n=50)
    assert (found.samples, found.regions) == (32, 4)
    assert found.scores["accuracy"].value == pytest.approx(0.75)
    assert found.scores["tss"].value == pytest.approx(2 / 3 - 1 / 5)
    assert found.scores["hss"].value == pytest.approx(2 * (2 * 4 - 1 * 1) / (3 * 5 + 3 * 5))
    assert found.scores["roc_auc"].value == pytest.approx((5 + 4.5 + 4) / 15)


def test_the_probability_is_the_logistic_of_the_margin():
    found = evaluate(TRUTH, MARGIN, regions=REGIONS, n=50)
    probability = 1 / (1 + np.exp(-MARGIN.astype(float)))
    assert found.scores["brier"].value == pytest.approx(np.mean((probability - TRUTH) ** 2))
    assert sum(occupied.samples for occupied in found.reliability) == 32


def test_regions_alike_leave_no_spread_but_accuracy_keeps_its_binomial_width():
    found = evaluate(TRUTH, MARGIN, regions=REGIONS, n=50)
    assert found.scores["tss"].low == pytest.approx(found.scores["tss"].high)
    assert found.scores["accuracy"].low == pytest.approx(0.566, abs=0.002)
    assert found.scores["accuracy"].high == pytest.approx(0.885, abs=0.002)


def test_an_evaluation_is_json_also_without_a_class():
    found = evaluate(TRUTH[:2], MARGIN[:2], regions=REGIONS[:2], n=5)
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert record["scores"]["tss"]["value"] is None
    assert record["scores"]["accuracy"]["value"] == 1


def test_a_column_that_gives_the_label_away_is_convicted_and_noise_is_not():
    samples = mock_samples(240)
    area = np.where(samples["label"] == "sunspot", 30.0, 10.0)
    area += np.random.default_rng(0).normal(0, 3, 240)
    region = np.array([f"AR {i // 4}" for i in range(240)], dtype=object)
    side = np.where(np.arange(240) < 120, "train", "test").astype(object)
    samples = samples.assign_coords(
        area_mm2=("sample", area), split=("sample", side), region=("sample", region)
    )
    found = shortcut_scores(samples, n=100, seed=0)
    assert set(found) == set(SHORTCUTS)
    assert found["area_mm2"]["accuracy"].value > 0.97
    assert found["area_mm2"]["roc_auc"].value > 0.97
    assert found["area_mm2"]["roc_auc"].low > 0.85
    for column in ("minimum_intensity", "integrated_deficit_mm2"):
        assert abs(found[column]["accuracy"].value - 0.5) < 0.14
        assert found[column]["accuracy"].n_groups == 30
