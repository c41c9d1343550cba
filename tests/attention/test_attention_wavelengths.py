"""Attention per wavelength, per line and per velocity, with intervals by region."""

import astropy.units as u
import numpy as np
import pytest
import xarray as xr

from solarxai.attention import (
    attention_by_line,
    attention_by_velocity,
    attention_by_wavelength,
)
from solarxai.errors import QueryError, ValidationError
from solarxai.metrics import block_bootstrap
from solarxai.spectrograms import flatten

K, C = 2796.352, 299792.458


@pytest.fixture
def noisy(exposures, with_maps):
    rng = np.random.default_rng(1)
    region = np.arange(32) // 8
    offset = rng.normal(0, 1, 4)[region][:, None, None]
    return with_maps(exposures, offset + rng.normal(0, 1, exposures["image"].shape))


def test_the_mean_keeps_its_sign_and_the_absolute_mean_does_not(exposures, with_maps):
    wave = np.sin(np.arange(240))
    found = attention_by_wavelength(with_maps(exposures, wave), "gradient", n_bootstrap=20)
    np.testing.assert_allclose(found["mean"], wave, atol=1e-6)
    np.testing.assert_allclose(found["absolute"], np.abs(wave), atol=1e-6)
    np.testing.assert_allclose(found["share"].sum(), 1)
    np.testing.assert_allclose(found["mean_low"], found["mean_high"])
    assert (found["spectra"] == 32 * 11).all()
    assert found["mean"].attrs["units"] == "logit"
    assert found.attrs["groups"] == 4


@pytest.mark.parametrize("by", ["region", "observation"])
def test_intervals_are_those_of_the_block_bootstrap(noisy, by):
    found = attention_by_wavelength(noisy, "gradient", by=by, n_bootstrap=60, seed=3)
    values = noisy["gradient"].values[:, :11]
    groups = noisy[by].values
    for place in (0, 100, 239):
        column = values[:, :, place].astype(float)
        wanted = block_bootstrap(np.mean, column, groups=groups, n=60, seed=3)
        told = [float(found[name][place]) for name in ("mean", "mean_low", "mean_high")]
        np.testing.assert_allclose(told, [wanted.value, wanted.low, wanted.high], rtol=1e-9)
        wanted = block_bootstrap(np.mean, np.abs(column), groups=groups, n=60, seed=3)
        told = [float(found[name][place]) for name in ("absolute_low", "absolute_high")]
        np.testing.assert_allclose(told, [wanted.low, wanted.high], rtol=1e-9)


def test_shares_are_resampled_with_their_sum(noisy):
    found = attention_by_wavelength(noisy, "gradient", n_bootstrap=60, seed=3)
    size = np.abs(noisy["gradient"].values[:, :11]).astype(float)

    def share(rows):
        return rows[:, :, 50].sum() / rows.sum()

    wanted = block_bootstrap(share, size, groups=noisy["region"].values, n=60, seed=3)
    told = [float(found[name][50]) for name in ("share", "share_low", "share_high")]
    np.testing.assert_allclose(told, [wanted.value, wanted.low, wanted.high], rtol=1e-9)


def test_one_region_has_no_interval(noisy):
    one = noisy.isel(sample=slice(0, 8))
    found = attention_by_wavelength(one, "gradient")
    assert np.isnan(found["mean_low"]).all()
    assert np.isfinite(found["mean"]).all()


def test_single_spectra_give_what_their_spectrograms_give(noisy):
    whole = attention_by_wavelength(noisy, "gradient", n_bootstrap=20)
    single = attention_by_wavelength(flatten(noisy), "gradient", n_bootstrap=20)
    xr.testing.assert_allclose(whole, single)


def test_attention_at_a_line_core_is_at_velocity_zero(exposures, with_maps):
    wavelength = exposures["wavelength"].values
    shift = 40.0
    bump = np.exp(-0.5 * ((wavelength - K * (1 + shift / C)) / 0.05) ** 2)
    found = attention_by_velocity(with_maps(exposures, bump), "gradient", "k", n_bootstrap=20)
    centroid = float((found["velocity"] * found["absolute"]).sum() / found["absolute"].sum())
    assert centroid == pytest.approx(shift, abs=0.1)
    assert found["velocity"].attrs["units"] == "km / s"
    assert float(np.abs(found["velocity"]).max()) <= 150
    assert np.diff(found["velocity"]).mean() == pytest.approx(5.19, abs=0.01)
    with pytest.raises(QueryError, match=r"is within 1\.0 km / s of triplet_blue"):
        attention_by_velocity(
            with_maps(exposures, bump), "gradient", "triplet_blue", limit=1 * u.km / u.s
        )


def test_shares_by_line_add_up_and_even_attention_enriches_nothing(exposures, with_maps):
    even = attention_by_line(with_maps(exposures, np.ones(240)), "gradient", n_bootstrap=20)
    assert even["line"].values.tolist() == ["k", "h", "triplet", "elsewhere"]
    np.testing.assert_allclose(even["enrichment"], 1)
    np.testing.assert_allclose([even["share"].sum(), even["pixels"].sum()], 1)
    step = (2805.72 - 2794.14) / 239
    assert float(even["pixels"].sel(line="h")) == pytest.approx(3.0 / step / 240, abs=1 / 240)


def test_attention_in_one_window_is_told_with_its_enrichment(exposures, with_maps):
    inside = np.abs(exposures["wavelength"].values - K) < 0.5
    found = attention_by_line(
        with_maps(exposures, -2.0 * inside), "gradient", half_width=0.5 * u.AA, n_bootstrap=20
    ).sel(line="k")
    assert float(found["share"]) == 1
    assert float(found["enrichment"]) == pytest.approx(240 / inside.sum())


def test_what_is_not_there_is_said(exposures):
    with pytest.raises(QueryError, match="no maps 'gradient' along the wavelength"):
        attention_by_wavelength(exposures, "gradient")
    with pytest.raises(ValidationError, match="no column 'sunspot' to resample by"):
        attention_by_wavelength(exposures, "image", by="sunspot")
    with pytest.raises(ValidationError, match="no samples to average"):
        attention_by_wavelength(exposures.isel(sample=[]), "image")
    with pytest.raises(ValidationError, match=r"level 95 is not between 0 and 1"):
        attention_by_wavelength(exposures, "image", level=95)
