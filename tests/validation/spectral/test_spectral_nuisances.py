"""Zero point and slope are measured from what is not the chromosphere."""

from __future__ import annotations

import doublet_sun
import numpy as np
import pytest

from solarxai.errors import ValidationError
from solarxai.schema import mock_spectrograms
from solarxai.spectrograms import flatten
from solarxai.validation.selection import CLASSES
from solarxai.validation.spectral.nuisances import measure_means, nuisance_rows


def test_a_shift_of_one_class_is_measured_to_a_third_of_a_point() -> None:
    means, _ = measure_means(doublet_sun.spectrograms(zero_point=4.0))
    assert means.zero_point[1] - means.zero_point[0] == pytest.approx(4.0, abs=1.7)


def test_a_slope_of_one_class_is_measured() -> None:
    plain, _ = measure_means(doublet_sun.spectrograms())
    tilted, _ = measure_means(doublet_sun.spectrograms(slope=0.04))
    added = np.diff(tilted.slope)[0] - np.diff(plain.slope)[0]
    assert added == pytest.approx(0.04, abs=0.006)


def test_without_a_trace_the_classes_stand_at_the_same_wavelengths() -> None:
    means, _ = measure_means(doublet_sun.spectrograms())
    assert abs(np.diff(means.zero_point)[0]) < 1.0


def test_an_observation_has_one_row_with_its_class_and_region() -> None:
    _, rows = measure_means(doublet_sun.spectrograms(regions=6))
    assert [row["observation"] for row in rows] == [f"mock-{n:05d}" for n in range(6)]
    assert {row["label"] for row in rows} == set(CLASSES)
    assert {row["region"] for row in rows} == {f"MOCK {n}" for n in range(6)}


def test_spectra_taken_apart_give_the_same_as_spectrograms() -> None:
    whole = doublet_sun.spectrograms(regions=4)
    one, _ = measure_means(whole)
    two, _ = measure_means(flatten(whole))
    np.testing.assert_allclose(one.zero_point, two.zero_point, atol=1e-4)
    np.testing.assert_allclose(one.spectrum, two.spectrum, rtol=1e-6)


def test_a_zero_point_without_photospheric_lines_is_unknown() -> None:
    samples = mock_spectrograms(32)
    means, _ = measure_means(samples)
    assert np.isnan(means.zero_point).all()
    assert np.isfinite(means.slope).all()


def test_an_observation_without_a_spectrum_has_no_row() -> None:
    samples = doublet_sun.spectrograms(regions=4)
    image = samples["image"].values.copy()
    image[:8] = np.nan
    kept = samples.assign(image=samples["image"].copy(data=image))
    template = np.nanmean(image, axis=(0, 1))
    rows = nuisance_rows(kept, template.astype(float))
    assert [row["observation"] for row in rows] == [f"mock-{n:05d}" for n in (1, 2, 3)]


def test_one_class_alone_is_refused() -> None:
    samples = doublet_sun.spectrograms(regions=4)
    alone = samples.isel(sample=samples["label"].values == "active")
    with pytest.raises(ValidationError, match="no spectrum of the class preflare among 16"):
        measure_means(alone)
