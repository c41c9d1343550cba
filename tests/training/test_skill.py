"""Skill on splits: what leaks shows, what does not does not, and the table says which is which."""

import json
import math
from datetime import timedelta

import numpy as np
import pytest
import xarray as xr

from solarxai import metrics
from solarxai.errors import TrainingError
from solarxai.splits import folds
from solarxai.training.levels import LEVELS, aggregate
from solarxai.training.skill import (
    KINDS,
    SCORES,
    SkillTable,
    Spread,
    classifier_fit,
    contrast,
    cross_validate,
)

DAY = timedelta(days=1)


def spectra(*, shared, regions=20, observations=2, rows=40, bins=12, cue=0.8, seed=0):
    """Return spectra with a weak cue of the class and `shared` times the traits of their region."""
    rng = np.random.default_rng(seed)
    n = regions * observations * rows
    row = np.arange(n)
    region, observation = row // (observations * rows), row // rows
    yes = region % 2 == 1
    image = rng.normal(size=(n, bins)) + shared * rng.normal(size=(regions, bins))[region]
    image[:, 0] += cue * np.where(yes, 0.5, -0.5)
    start = np.datetime64("2014-01-01", "ns")
    time = start + observation * np.timedelta64(3, "D") + row % rows * np.timedelta64(9, "s")

    def words(pattern, numbers):
        return np.array([pattern.format(x) for x in numbers], dtype=object)

    columns = {
        "time": time,
        "sample_id": words("s{:06d}", row),
        "label": np.where(yes, "preflare", "active").astype(object),
        "region": words("NOAA {}", 12000 + region),
        "observation": words("obs{:03d}", observation),
        "raster": row % rows // 20,
        "slit": row % 10,
    }
    return xr.Dataset(
        {"image": (("sample", "wavelength"), image.astype(np.float32))},
        coords={name: ("sample", values) for name, values in columns.items()},
    )


def nearest(samples):
    """Return margins of a memory: mean similarity to what was learnt of each class."""
    image = samples["image"].values.astype(float)
    learnt = samples["split"].values == "train"
    yes = samples["label"].values == "preflare"
    square = (image**2).sum(axis=1)
    margins = []
    for mine in (learnt & yes, learnt & ~yes):
        distance = square[:, None] + square[mine] - 2 * image @ image[mine].T
        margins.append(np.sort(distance, axis=1)[:, 1:6].mean(axis=1))
    return margins[1] - margins[0]


def cue_only(samples):
    """Return margins of a classifier that knows the cue and nothing of regions."""
    return samples["image"].values[:, 0].astype(float)


@pytest.fixture(scope="module")
def with_traits():
    return contrast(spectra(shared=2.0), nearest, gap=DAY, repeats=4, n_bootstrap=40)


def test_traits_of_a_region_flatter_a_random_split_and_a_split_by_observation(with_traits):
    honest, by_observation, random = (
        with_traits.spread(kind).median for kind in ("region", "observation", "spectrum")
    )
    assert random > honest + 0.4
    assert by_observation > honest + 0.3


def test_without_traits_of_a_region_all_splits_agree():
    samples = spectra(shared=0.0, cue=3.0, rows=60)
    table = contrast(samples, nearest, gap=DAY, repeats=4, n_bootstrap=20)
    honest = table.spread("region").median
    assert honest > 0.5
    for kind in ("observation", "spectrum"):
        assert table.spread(kind).median == pytest.approx(honest, abs=0.05)


def test_a_fold_scores_what_the_metrics_say_of_its_test_rows():
    samples = spectra(shared=1.0)
    seen = []

    def fit(given):
        seen.append(given)
        return cue_only(given)

    table = cross_validate(samples, fit, gap=DAY, k=4, n_bootstrap=30)
    assert len(table.splits) == len(seen) == 4
    for one, given in zip(table.splits, seen, strict=True):
        margin, truth = cue_only(given), given["label"].values == "preflare"
        check, test = (given["split"].values == side for side in ("validation", "test"))
        assert one.threshold == metrics.best_threshold(truth[check], margin[check])
        said, region = margin[test] > one.threshold, given["region"].values[test]
        assert set(one.scores) == set(SCORES)
        for name, forecast in (
            ("tss", said), ("hss", said), ("pseudo_tss", said), ("roc_auc", margin[test]),
            ("brier_skill", 1 / (1 + np.exp(-margin[test]))),
        ):  # fmt: skip
            slow = metrics.block_bootstrap(
                getattr(metrics, name),
                truth[test],
                forecast,
                groups=region,
                n=30,
                bounds=metrics.BOUNDS.get(name),
            )
            for part in ("value", "low", "high", "n_groups", "n_undefined"):
                assert getattr(one.scores[name], part) == pytest.approx(getattr(slow, part)), name
        assert one.scores["accuracy"].value == pytest.approx(np.mean(said == truth[test]))


def test_margins_on_test_do_not_move_the_threshold():
    samples = spectra(shared=1.0)

    def shifted(given):
        return cue_only(given) + 100 * (given["split"].values == "test")

    plain = cross_validate(samples, cue_only, gap=DAY, n_bootstrap=5)
    moved = cross_validate(samples, shifted, gap=DAY, n_bootstrap=5)
    assert [s.threshold for s in plain.splits] == [s.threshold for s in moved.splits]
    assert moved.spread("region") == Spread(0, 0, 0, 0, 0, splits=5, undefined=0)


def test_every_region_is_tested_once_and_only_folds_keep_the_gap(with_traits):
    folds = with_traits.of("region")
    tested = [region for one in folds for region in set(one.forecasts.region.tolist())]
    assert sorted(tested) == sorted({f"NOAA {12000 + n}" for n in range(20)})
    assert {one.excluded_by_gap for one in folds} == {0}
    near = cross_validate(spectra(shared=0.0), cue_only, gap=timedelta(days=3.1), n_bootstrap=5)
    excluded = [one.excluded_by_gap for one in near.splits]
    assert min(excluded) > 0
    for one, count in zip(near.splits, excluded, strict=True):
        assert one.counts["test"]["active"] + one.counts["test"]["preflare"] + count == 320


def test_levels_are_scored_each_with_its_own_threshold():
    levels = list(LEVELS)
    table = cross_validate(
        spectra(shared=0.0, cue=1.5), cue_only, gap=DAY, levels=levels, n_bootstrap=20
    )
    units = [len(table.of("region", level=level)[0].forecasts.truth) for level in levels]
    assert units == [4 * 2 * 40, 4 * 2 * 20, 4 * 2 * 2, 4 * 2]
    medians = [table.spread("region", level=level).median for level in levels]
    assert medians[0] < medians[2] - 0.1
    assert medians[3] > 0.9
    assert len({table.of("region", level=level)[0].threshold for level in levels}) == 4


def test_the_spread_is_over_all_splits_and_the_best_is_named_as_chosen_on_test(with_traits):
    values = [one.scores["tss"].value for one in with_traits.of("region")]
    spread = with_traits.spread("region")
    assert spread == Spread(
        np.median(values), *np.quantile(values, [0.25, 0.75]), min(values), max(values), 5, 0
    )
    best = with_traits.best_chosen_on_test("observation")
    assert best.scores["tss"].value == with_traits.spread("observation").highest
    summary = with_traits.summary_markdown()
    assert summary.count("chosen on test: not a skill") == 3
    assert f"{spread.median:.2f} ({spread.lower_quartile:.2f} to" in summary


def test_the_best_of_many_splits_looks_skilful_where_there_is_no_skill():
    samples = spectra(shared=0.0, cue=0.0, rows=4)

    def blind(given):
        seed = int(given["split"].values.astype(str).tolist().index("test"))
        return np.random.default_rng([seed, len(calls)]).normal(size=given.sizes["sample"])

    calls = []

    def fit(given):
        calls.append(given)
        return blind(given)

    table = contrast(samples, fit, gap=DAY, repeats=20, n_bootstrap=5)
    assert abs(table.spread("observation").median) < 0.1
    assert table.best_chosen_on_test("observation").scores["tss"].value > 0.2


def test_an_undefined_score_is_counted_not_dropped_silently():
    def constant(given):
        return np.zeros(given.sizes["sample"])

    table = cross_validate(spectra(shared=0.0), constant, gap=DAY, n_bootstrap=5)
    spread = table.spread("region", "pseudo_tss")
    assert spread.undefined == spread.splits == 5
    assert str(spread) == "undefined"
    assert table.spread("region").median == 0
    assert "undefined" in table.summary_markdown()
    assert "inf" in table.splits_markdown()
    assert json.loads(json.dumps(table.record(), allow_nan=False))


def test_a_spread_says_on_how_many_splits_it_is_undefined():
    spread = Spread(0.5, 0.4, 0.6, 0.1, 0.9, splits=5, undefined=2)
    assert str(spread) == "0.50 (0.40 to 0.60) [0.10, 0.90], undefined on 2"


def test_the_record_is_json_and_holds_every_split(with_traits):
    record = json.loads(json.dumps(with_traits.record(), allow_nan=False))
    assert len(record["splits"]) == 5 + 4 + 4
    assert record["settings"]["gap_s"] == 86400
    assert {group["kind"] for group in record["groups"]} == set(KINDS)
    first = record["groups"][0]
    assert set(first["spread"]) == set(SCORES)
    assert first["best_of_n_chosen_on_test"]["n"] == 5
    assert sum(b["samples"] for b in first["reliability"]) == 20 * 2 * 40


def test_tables_have_a_row_a_split_and_two_a_kind(with_traits):
    lines = with_traits.to_markdown().splitlines()
    assert len(lines) == (2 + 3 * 2) + 1 + (2 + 13)
    for table in (lines[:8], lines[9:]):
        assert len({line.count("|") for line in table}) == 1
    assert "[" in lines[11]


def test_one_region_on_test_has_a_value_without_bounds():
    table = cross_validate(
        spectra(shared=0.0, regions=6).assign_coords(
            label=("sample", np.array(["active", "preflare"] * 240, dtype=object))
        ),
        cue_only, gap=DAY, k=6, n_bootstrap=5,
    )  # fmt: skip
    found = table.splits[0].scores["tss"]
    assert math.isnan(found.low)
    assert "[" not in table.splits_markdown()


def test_the_same_seed_gives_the_same_table(with_traits):
    again = contrast(spectra(shared=2.0), nearest, gap=DAY, repeats=4, n_bootstrap=40)
    assert again.record() == with_traits.record()


def test_progress_is_told_after_each_training():
    told = []
    contrast(
        spectra(shared=0.0), cue_only, gap=DAY, repeats=1, n_bootstrap=5,
        progress=lambda *said: told.append(said),
    )  # fmt: skip
    assert [done for done, _, _ in told] == list(range(1, 8))
    assert {total for _, total, _ in told} == {7}
    assert "by active region" in told[0][2]


@pytest.mark.parametrize("levels", [(), ("exposure",)])
def test_unknown_levels_are_refused(levels):
    with pytest.raises(TrainingError, match=r"levels .* were asked for"):
        cross_validate(spectra(shared=0.0), cue_only, gap=DAY, levels=levels)


def test_no_repeats_are_refused():
    with pytest.raises(TrainingError, match="0 repeats of a naive split"):
        contrast(spectra(shared=0.0), cue_only, gap=DAY, repeats=0)


def test_what_is_not_a_margin_a_row_is_refused():
    samples = spectra(shared=0.0)
    with pytest.raises(TrainingError, match=r"array of shape \(3,\) for 1600 samples"):
        cross_validate(samples, lambda given: np.zeros(3), gap=DAY)
    with pytest.raises(TrainingError, match="320 of them not finite"):
        cross_validate(samples, lambda given: np.full(1600, np.nan), gap=DAY)


def test_a_classifier_is_trained_on_every_split_also_on_those_that_leak():
    samples = spectra(shared=0.0, cue=4.0, regions=9, rows=12)
    wavelength = np.linspace(2794.14, 2805.72, 12)
    samples = samples.assign_coords(wavelength=("wavelength", wavelength))
    fit = classifier_fit(
        model="residual_cnn", model_options={"width": 4}, epochs=8, batch_size=16, seed=1
    )
    table = contrast(samples, fit, gap=DAY, k=3, repeats=1, n_bootstrap=5)
    assert {one.kind for one in table.splits} == set(KINDS)
    assert table.spread("region", "roc_auc").median > 0.8
    margins = fit(folds(samples, 3, gap=DAY)[0])
    side = folds(samples, 3, gap=DAY)[0]["split"].values
    np.testing.assert_array_equal(np.isnan(margins), side == "train")


def test_a_kind_that_was_not_scored_is_named():
    table = cross_validate(spectra(shared=0.0), cue_only, gap=DAY, n_bootstrap=5)
    with pytest.raises(TrainingError, match="no split 'spectrum' at the level 'spectrum'"):
        table.spread("spectrum")


def test_a_table_of_no_splits_has_no_rows():
    assert SkillTable(splits=(), settings={}).summary_markdown().count("\n") == 2


def test_margins_of_units_are_the_means_of_their_spectra():
    samples = spectra(shared=0.0, regions=4)
    margin = cue_only(samples)
    for level, columns in LEVELS.items():
        found = aggregate(samples, margin, level)
        if not columns:
            np.testing.assert_array_equal(found.margin, margin)
            continue
        frame = samples.reset_coords()[[*columns, "label", "region"]].to_dataframe()
        frame["margin"] = margin
        oracle = frame.groupby([*columns, "region", "label"])["margin"].mean().reset_index()
        np.testing.assert_allclose(found.margin, oracle["margin"], atol=1e-12)
        assert found.truth.tolist() == (oracle["label"] == "preflare").tolist()
        assert found.region.tolist() == oracle["region"].tolist()


def test_an_observation_that_turns_preflare_counts_as_two_units():
    samples = spectra(shared=0.0, regions=1, observations=1)
    labels = np.array(["active"] * 10 + ["preflare"] * 30, dtype=object)
    samples = samples.assign_coords(label=("sample", labels))
    found = aggregate(samples, np.arange(40.0), "observation")
    assert found.truth.tolist() == [False, True]
    assert found.margin.tolist() == [4.5, 24.5]


def test_aggregation_refuses_what_it_cannot_score():
    samples = spectra(shared=0.0, regions=1, observations=1)
    margin = cue_only(samples)
    with pytest.raises(TrainingError, match="no level 'exposure'"):
        aggregate(samples, margin, "exposure")
    with pytest.raises(TrainingError, match="no column 'slit'"):
        aggregate(samples.drop_vars("slit"), margin, "slit_position")
    labels = np.array(["ambiguous"] * 40, dtype=object)
    with pytest.raises(TrainingError, match="labelled ambiguous have no truth"):
        aggregate(samples.assign_coords(label=("sample", labels)), margin)
    with pytest.raises(TrainingError, match=r"margins of shape \(40,\), 40 of them not finite"):
        aggregate(samples, np.full(40, np.nan))
    with pytest.raises(TrainingError, match=r"margins of shape \(3,\)"):
        aggregate(samples, np.zeros(3))
