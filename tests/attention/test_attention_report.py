"""Everything the maps of a run say, as one record that is JSON."""

import json
import math

import astropy.units as u
import numpy as np
import pytest

from solarxai.attention import (
    attention_by_line,
    describe_attention,
    feature_correlations,
    slit_agreement,
)


def refuse(word):
    raise AssertionError(f"{word} in JSON")


def read(report):
    """Return the record as a strict reader of JSON has it: NaN is none of its numbers."""
    return json.loads(json.dumps(report.record()), parse_constant=refuse)


@pytest.fixture
def described(exposures, with_maps):
    """Return exposures with two maps, a spread, scores and a feature; and their report."""
    rng = np.random.default_rng(1)
    samples = with_maps(exposures, rng.standard_normal(exposures["image"].shape))
    samples = with_maps(samples, rng.standard_normal(exposures["image"].shape), "hires_cam")
    samples = with_maps(samples, np.ones(240), "hires_cam_spread")
    kept = samples["quality"].values == 0
    width = np.where(kept, rng.standard_normal(kept.shape), np.nan)
    attrs = {"units": "km / s", "long_name": "width of k"}
    samples["feature_k_width"] = (("sample", "slit"), width, attrs)
    samples["spectrum_score"] = (("sample", "slit"), 2 * width, {"units": "logit"})
    samples["score"] = ("sample", np.nanmean(2 * width, axis=1))
    return samples, describe_attention(samples, ["gradient", "hires_cam"], {}, n_bootstrap=20)


def test_each_method_is_told_as_its_own_function_tells_it(described):
    samples, report = described
    assert sorted(report.methods) == ["gradient", "hires_cam"]
    for name, found in report.methods.items():
        alone = attention_by_line(samples, name, n_bootstrap=20)
        assert found.by_line.identical(alone)
        assert sorted(found.by_velocity) == ["h", "k", "triplet"]
        assert float(found.by_line["share"].sum()) == pytest.approx(1)
    assert report.methods["gradient"].spread is None
    assert report.methods["hires_cam"].spread is not None
    assert report.features.identical(feature_correlations(samples, n_bootstrap=20))


def test_the_record_is_json_without_a_number_that_is_none(described):
    made = read(described[1])
    assert set(made) == {"methods", "features", "observations"}
    assert len(made["methods"]["gradient"]["by_wavelength"]["wavelength"]) == 240
    assert "spread" in made["methods"]["hires_cam"]
    assert "spread" not in made["methods"]["gradient"]


def test_what_is_unknown_is_null(described):
    """Without slit-jaw images no observation is answered: what was NaN is null, not 0."""
    slit = read(described[1])["methods"]["gradient"]["slit"]
    assert slit["fraction"] is None
    assert slit["p_chance"] is None
    assert {one["distance"] for one in slit["meetings"]} == {None}
    assert math.isnan(described[1].methods["gradient"].slit.p_chance)


def test_an_observation_is_a_row_with_its_mean_and_extreme_scores(described):
    samples, report = described
    names = samples["observation"].values.astype(str)
    assert [row["observation"] for row in report.observations] == sorted(set(names))
    for row in report.observations:
        score = samples["score"].values[names == row["observation"]]
        assert row["exposures"] == len(score) == 8
        assert row["score"] == pytest.approx(score.mean())
        assert (row["lowest"], row["highest"]) == (score.min(), score.max())
        assert row["called_preflare"] == (score > 0).mean()
        assert row["begins"] < row["ends"]


def test_an_observation_of_two_labels_says_both(described):
    samples = described[0]
    labels = samples["label"].values.copy()
    labels[:3], labels[3:8] = "active", "ambiguous"
    mixed = samples.assign_coords(label=("sample", labels))
    row = describe_attention(mixed, ["gradient"], {}, n_bootstrap=20).observations[0]
    assert row["label"] == "active, ambiguous"


def test_options_reach_the_agreement_along_the_slit(exposures, with_maps, slit_jaw):
    flaring = exposures["flare_onset"].values != ""
    one = exposures["observation"].values == exposures["observation"].values[flaring][0]
    samples = with_maps(exposures.isel(sample=np.flatnonzero(one)), np.ones(240))
    samples["score"] = ("sample", np.zeros(samples.sizes["sample"]))
    onset = str(samples["flare_onset"].values[0])
    movies = {str(samples["observation"].values[0]): slit_jaw(onset, 12, bright=(7.0, 0.0))}
    options = {"within": 3 * u.arcsec, "lasting": 20 * u.min, "quantity": "positive"}
    report = describe_attention(samples, ["gradient"], movies, n_bootstrap=20, **options)
    alone = slit_agreement(samples, movies, "gradient", **options)
    assert report.methods["gradient"].slit.meetings == alone.meetings
    assert alone.within == 3
    assert not alone.unanswered
    assert read(report)["methods"]["gradient"]["slit"]["shuffled"] is None


def test_whole_spectrograms_have_no_features(described):
    samples = described[0].drop_vars("spectrum_score")
    report = describe_attention(samples, ["gradient"], {}, n_bootstrap=20)
    assert report.features is None
    assert read(report)["features"] is None


def test_progress_counts_the_methods(described):
    told = []
    describe_attention(
        described[0], ["gradient"], {}, n_bootstrap=20, progress=lambda *args: told.append(args)
    )
    assert told == [(0, 1, "gradient"), (1, 1, "features")]
