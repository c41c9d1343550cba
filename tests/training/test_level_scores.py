"""Scores of spectra, slit positions, rasters and observations, and their thresholds."""

import json
import math

import gaussian_spectra
import numpy as np
import pytest

from solarxai import metrics
from solarxai.errors import TrainingError
from solarxai.training.evaluation import choose_thresholds, evaluate, evaluate_levels
from solarxai.training.region_tables import tabulate


@pytest.fixture
def spectra():
    return gaussian_spectra.spectra(exposures=8, length=8)


def margins_of(samples, *, seed=0, skill=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    sign = np.where(samples["label"].values == "preflare", 1.0, -1.0)
    return skill * sign + rng.normal(0, 2, len(sign)) + shift


def test_a_unit_is_judged_by_the_mean_margin_of_its_spectra(spectra):
    margin = margins_of(spectra)
    found = evaluate_levels(spectra, margin, n=10)
    names = spectra["observation"].values
    units = np.unique(names)
    mean = np.array([margin[names == unit].mean() for unit in units])
    truth = np.array([unit.endswith("-1") for unit in units])
    level = found["observation"]
    assert (level.samples, level.regions) == (20, 10)
    assert level.scores["tss"].value == pytest.approx(metrics.tss(truth, mean > 0))
    assert level.scores["roc_auc"].value == pytest.approx(metrics.roc_auc(truth, mean))
    probability = 1 / (1 + np.exp(-mean))
    assert level.scores["brier"].value == pytest.approx(metrics.brier(truth, probability))
    assert found["spectrum"].samples == len(margin)
    counts = [found[name].samples for name in found]
    assert counts == sorted(counts, reverse=True)


def test_averaging_many_spectra_of_little_skill_gives_skill(spectra):
    found = evaluate_levels(spectra, margins_of(spectra, skill=0.7), n=10)
    tss = [found[level].scores["tss"].value for level in ("spectrum", "raster", "observation")]
    assert tss[0] < 0.45 < 0.7 < tss[2]


def test_single_rows_get_the_scores_and_intervals_of_the_plain_bootstrap(spectra):
    margin = margins_of(spectra)
    truth, regions = spectra["label"].values == "preflare", spectra["region"].values
    plain = evaluate(truth, margin, regions=regions, n=60, seed=3)
    found = evaluate_levels(spectra, margin, n=60, seed=3)["spectrum"]
    assert found.reliability == plain.reliability
    for name, interval in plain.scores.items():
        got = found.scores[name]
        assert (got.value, got.n_groups, got.n_undefined) == pytest.approx(
            (interval.value, interval.n_groups, interval.n_undefined)
        )
        assert (got.low, got.high) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_many_distinct_margins_are_told_apart_well_enough():
    rng = np.random.default_rng(0)
    truth = rng.random(20_000) < 0.2
    margin = truth + rng.normal(0, 1, 20_000)
    regions = np.array([f"AR {i}" for i in rng.integers(12, size=20_000)])
    plain = evaluate(truth, margin, regions=regions, n=30)
    found = tabulate(truth, margin, regions=regions).scores(n=30, seed=0)
    for name, interval in plain.scores.items():
        assert found[name].value == interval.value
        bounds = (interval.low, interval.high)
        assert (found[name].low, found[name].high) == pytest.approx(bounds, abs=1e-4)


def test_the_threshold_is_chosen_on_validation_and_applied_to_test(spectra):
    validation, test = (
        spectra.isel(sample=spectra["split"].values == s) for s in ("train", "test")
    )
    chosen = choose_thresholds(validation, margins_of(validation, skill=2, shift=3))
    margin = margins_of(test, skill=2, shift=3, seed=1)
    found = evaluate_levels(test, margin, n=10, thresholds=chosen)
    level = found["spectrum"]
    assert level.threshold == chosen["spectrum"]
    assert 1.5 < level.threshold < 4.5
    truth = test["label"].values == "preflare"
    said = margin > level.threshold
    assert level.at_threshold["tss"].value == pytest.approx(metrics.tss(truth, said))
    assert level.at_threshold["accuracy"].value == pytest.approx(np.mean(truth == said))
    assert level.at_threshold["tss"].value > level.scores["tss"].value + 0.1
    assert level.scores["tss"].value == pytest.approx(metrics.tss(truth, margin > 0))


@pytest.mark.parametrize(("threshold", "tpr_of_all"), [(math.inf, 0.0), (-math.inf, 1.0)])
def test_infinite_thresholds_call_nothing_or_everything_a_yes(spectra, threshold, tpr_of_all):
    chosen = dict.fromkeys(("spectrum", "slit_position", "raster", "observation"), threshold)
    found = evaluate_levels(spectra, margins_of(spectra), n=10, thresholds=chosen)["spectrum"]
    yes = np.mean(spectra["label"].values == "preflare")
    right = yes if tpr_of_all else 1 - yes
    assert found.at_threshold["accuracy"].value == pytest.approx(right)
    assert found.at_threshold["tss"].value == 0
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert record["threshold"] == str(threshold)


def test_intervals_resample_regions_not_spectra(spectra):
    bad = np.isin(spectra["region"].values, ["AR 0", "AR 1", "AR 2"])
    sign = np.where(spectra["label"].values == "preflare", 1.0, -1.0)
    found = evaluate_levels(spectra, np.where(bad, -sign, sign), n=200)["spectrum"]
    assert found.scores["tss"].high - found.scores["tss"].low > 0.7


def test_spectrograms_have_no_level_of_slit_positions():
    samples = gaussian_spectra.spectrograms(exposures=4, length=8)
    found = evaluate_levels(samples, margins_of(samples), n=10)
    assert [found[level].samples for level in found] == [40, 40, 20]
    assert list(found) == ["spectrogram", "raster", "observation"]
    assert set(found.record()) == set(found)


def test_margins_without_truth_or_number_are_refused(spectra):
    with pytest.raises(TrainingError, match="1 of them not finite"):
        evaluate_levels(spectra, np.append(margins_of(spectra)[1:], np.nan))
    with pytest.raises(TrainingError, match="no column 'raster'"):
        evaluate_levels(spectra.drop_vars("raster"), margins_of(spectra))
