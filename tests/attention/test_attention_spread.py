"""How models of an ensemble differ, wavelength by wavelength."""

import numpy as np
import pytest
from scipy.stats import norm

from solarxai.attention import spread_by_wavelength
from solarxai.errors import QueryError


def test_relative_spread_and_agreement_are_those_of_normal_models(exposures, with_maps):
    samples = with_maps(with_maps(exposures, -2.0), np.linspace(0, 4, 240), "gradient_spread")
    found = spread_by_wavelength(samples, "gradient")
    spread = np.linspace(0, 4, 240)
    np.testing.assert_allclose(found["relative_spread"], spread / 2, rtol=1e-6)
    np.testing.assert_allclose(found["sign_agreement"][1:], norm.cdf(2 / spread[1:]), rtol=1e-6)
    assert float(found["sign_agreement"][0]) == 1
    assert (found["spectra"] == 32 * 11).all()


def test_models_that_cancel_agree_as_coins_do(exposures, with_maps):
    samples = with_maps(with_maps(exposures, 0.0), 1.0, "gradient_spread")
    found = spread_by_wavelength(samples, "gradient")
    np.testing.assert_allclose(found["sign_agreement"], 0.5)
    assert np.isinf(found["relative_spread"]).all()


def test_one_model_has_no_spread(exposures, with_maps):
    with pytest.raises(QueryError, match="no gradient_spread: one model alone"):
        spread_by_wavelength(with_maps(exposures, 1.0), "gradient")
