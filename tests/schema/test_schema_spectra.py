"""The vocabulary of spectra: what passes, and every breach named at once."""

import numpy as np
import pytest

from solarxai import schema
from solarxai.errors import SchemaError


def test_mock_spectrograms_pass_and_are_told_apart_from_patches():
    samples = schema.check_samples(schema.mock_spectrograms(16))
    assert schema.kind_of(samples) is schema.SPECTROGRAM
    assert schema.kind_of(schema.mock_samples(2)) is schema.PATCH
    assert set(samples["label"].values) == set(schema.SPECTROGRAM.classes)
    assert np.isnan(samples["image"].values).any(axis=2)[:, -1].all()
    np.testing.assert_array_equal(samples["quality"] != 0, np.isnan(samples["peak"]))


def test_every_breach_of_spectrograms_is_named_at_once():
    samples = schema.mock_spectrograms(8).drop_vars(["peak", "raster", "wcs_crpix1"])
    samples["quality"] = samples["quality"].astype(int)
    samples = samples.assign_coords(wavelength=samples["wavelength"].values[::-1])
    with pytest.raises(SchemaError) as caught:
        schema.check_samples(samples)
    for part in (
        "quality is int64", "'peak' is missing", "wavelength does not increase",
        "column 'raster'", "column 'wcs_crpix1'",
    ):  # fmt: skip
        assert part in str(caught.value)


def test_labels_of_another_kind_are_refused():
    samples = schema.mock_spectrograms(8)
    samples["label"].values[0] = "sunspot"
    with pytest.raises(SchemaError, match=r"\['sunspot'\] are not among \('active', 'preflare'"):
        schema.check_samples(samples)
