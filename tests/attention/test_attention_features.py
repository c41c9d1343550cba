"""Features against the score: Spearman's correlation and its interval, by weights not copies."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from solarxai.attention import feature_correlations
from solarxai.errors import QueryError
from solarxai.metrics import block_bootstrap


@pytest.fixture
def scored(exposures):
    rng = np.random.default_rng(2)
    dims = ("sample", "slit")
    width = rng.normal(0, 1, (32, 12)).round(1)
    score = width + rng.normal(0, 1, (32, 12)) + (np.arange(32) // 8)[:, None]
    score[:, 11] = np.nan
    width[0, :3] = np.nan
    return exposures.assign(
        feature_width=(dims, width.astype(np.float32)),
        feature_flat=(dims, np.ones((32, 12), np.float32)),
        feature_copy=(dims, -score),
        spectrum_score=(dims, score),
    )


def test_correlations_are_spearmans_with_ties_strongest_first(scored):
    found = feature_correlations(scored, n_bootstrap=50)
    assert found["feature"].values.tolist() == ["copy", "width", "peak", "flat"]
    assert float(found["correlation"].sel(feature="copy")) == pytest.approx(-1)
    x, y = scored["feature_width"].values.ravel(), scored["spectrum_score"].values.ravel()
    known = np.isfinite(x) & np.isfinite(y)
    wanted = spearmanr(x[known], y[known]).statistic
    assert float(found["correlation"].sel(feature="width")) == pytest.approx(wanted, abs=1e-12)
    assert int(found["spectra"].sel(feature="width")) == 32 * 11 - 3
    assert np.isnan(found["correlation"].sel(feature="flat"))
    assert list(found.to_dataframe().columns)[:2] == ["correlation", "correlation_low"]


def test_the_interval_is_that_of_resampled_rows(scored):
    found = feature_correlations(scored, n_bootstrap=80, seed=5).sel(feature="width")
    x, y = scored["feature_width"].values.ravel(), scored["spectrum_score"].values.ravel()
    groups = np.repeat(scored["region"].values, 12)
    known = np.isfinite(x) & np.isfinite(y)
    wanted = block_bootstrap(
        lambda a, b: spearmanr(a, b).statistic, x[known], y[known],
        groups=groups[known], n=80, seed=5,
    )  # fmt: skip
    told = [float(found[name]) for name in ("correlation_low", "correlation_high")]
    np.testing.assert_allclose(told, [wanted.low, wanted.high], rtol=1e-9)
    assert int(found["groups"]) == 4


def test_one_region_and_no_common_spectrum_have_no_interval(scored):
    one = feature_correlations(scored.isel(sample=slice(8)))
    assert np.isnan(one["correlation_low"]).all()
    none = scored.assign(spectrum_score=scored["spectrum_score"] * np.nan)
    found = feature_correlations(none, n_bootstrap=5)
    assert np.isnan(found["correlation"]).all()
    assert (found["spectra"] == 0).all()


def test_scores_are_needed(exposures):
    with pytest.raises(QueryError, match="no spectrum_score, or no feature"):
        feature_correlations(exposures)
