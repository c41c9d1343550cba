"""A short run of benchmarks/calibration.py."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import calibration

CASES = {case.name: case for case in calibration.CASES}


@pytest.mark.parametrize("name", ["median", "TSS", "mean of yes and no (0.7)"])
def test_the_intervals_of_sixteen_regions_hold_the_truth_as_often_as_stated(name):
    case, trials = CASES[name], 150
    truth = calibration.truth_of(case)
    held = calibration.coverage(case, 16, truth=truth, trials=trials, n=300)
    assert scipy.stats.binomtest(round(held * trials), trials, 0.95).pvalue > 0.01


def test_bounds_help_where_a_score_is_near_its_greatest_value():
    plain, bounded = (CASES[f"AUC of 0.955{word}"] for word in (", percentiles", ""))
    truth = calibration.truth_of(plain)
    assert truth == pytest.approx(scipy.stats.norm.cdf(1.2 * np.sqrt(2)), abs=0.003)
    without, with_bounds = (
        calibration.coverage(case, 16, truth=truth, trials=150, n=200) for case in (plain, bounded)
    )
    assert without < 0.93
    assert with_bounds > without


def test_p_values_of_random_maps_are_uniform():
    found = calibration.null_p_values(40, regions=8)
    assert len(found) == len(calibration.MASK_NULLS) * len(calibration.TESTED)
    worst = min(scipy.stats.kstest(p, "uniform").pvalue for p in found.values())
    assert worst > 0.01 / len(found)


def test_the_page_names_what_is_outside_the_promise(monkeypatch):
    monkeypatch.setattr(calibration, "CASES", (CASES["median"],))
    monkeypatch.setattr(calibration, "REGIONS", (8,))
    monkeypatch.setattr(calibration, "coverage", lambda *_, **__: 0.5)
    text = calibration.page(2, 3)
    assert "| median | localisation | **50.0** |" in text
    assert "* median, 8 regions: 50.0 %" in text
    assert "mask exchanged" in text
