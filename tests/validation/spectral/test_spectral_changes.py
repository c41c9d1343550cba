"""Each change of spectra does what it says, and nothing else."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest

from solarxai.spectra import LINES, study_grid
from solarxai.validation.spectral import changes as change

AXIS = study_grid().to_value(u.AA)
K, H = (float(LINES[name].to_value(u.AA)) for name in ("k", "h"))
C = 299792.458


def gaussian(centre: float, width: float = 0.25) -> np.ndarray:
    return np.exp(-0.5 * ((AXIS - centre) / width) ** 2)


def doublet(velocity: float = 0.0, width: float = 25.0, ratio: float = 1.25) -> np.ndarray:
    """Return k and h of one profile on hardly any continuum."""
    lines = [
        np.exp(-0.5 * (((AXIS / line - 1) * C - velocity) / width) ** 2) / share
        for line, share in ((K, 1.0), (H, ratio))
    ]
    return 1e-4 + sum(lines)


def centroid(spectrum: np.ndarray) -> float:
    light = spectrum - spectrum.min()
    return float((light * AXIS).sum() / light.sum())


def test_a_shift_of_ten_km_s_moves_a_line_by_its_doppler_shift() -> None:
    moved = change.shifted(gaussian(2799.0)[None], AXIS, 10.0)[0]
    assert centroid(moved) - 2799.0 == pytest.approx(10 / C * 2799.0, rel=0.01)


def test_no_shift_leaves_a_spectrum_as_it_is() -> None:
    spectrum = gaussian(AXIS[100])[None].astype(np.float32)
    np.testing.assert_allclose(change.shifted(spectrum, AXIS, 0.0), spectrum, rtol=1e-6)


def test_a_window_is_replaced_inside_kept_outside_and_joined_without_a_step() -> None:
    inside = np.abs(AXIS - 2800) < 1
    weight = change.window_weight(inside)
    made = change.window_replaced(np.full((1, 240), 0.5), weight, np.full(240, 1.0))[0]
    assert made[np.abs(AXIS - 2800) < 0.8] == pytest.approx(1.0)
    assert made[np.abs(AXIS - 2800) > 1.3] == pytest.approx(0.5)
    assert np.abs(np.diff(made)).max() < 0.2


def test_what_is_returned_has_a_maximum_of_one() -> None:
    spectra = np.stack([gaussian(2797.0), gaussian(2803.0)])
    for made in (
        change.shifted(spectra, AXIS, 7.0),
        change.tilted(spectra + 0.1, AXIS, 0.05, np.ones(240, bool)),
        change.noisier(spectra, np.array([100.0, np.nan]), np.random.default_rng(0)),
        change.spiked(spectra, np.random.default_rng(0), np.ones(240, bool)),
    ):
        np.testing.assert_allclose(made.max(axis=1), 1.0, rtol=1e-6)


def test_a_slope_of_two_percent_tilts_the_continuum_by_so_much_and_leaves_the_peak() -> None:
    spectrum = 0.2 + 0.8 * gaussian(AXIS.mean())
    outside = np.abs(AXIS - AXIS.mean()) > 2
    made = change.tilted(spectrum[None], AXIS, 0.02, outside)[0]
    rise = (made[-1] - made[0]) / (AXIS[-1] - AXIS[0])
    assert rise / 0.2 == pytest.approx(0.02, rel=0.01)


def test_k_from_h_is_k_where_the_lines_are_twins() -> None:
    mean, one = doublet(), doublet(velocity=8.0, width=30.0)
    made = change.from_twin(one[None], AXIS, "k", "h", mean, mean)[0]
    near = np.abs(AXIS - K) < 0.5
    np.testing.assert_allclose(made[near], one[near], rtol=0.02)


def test_light_that_only_k_has_is_gone_when_k_is_taken_from_h() -> None:
    plain = doublet()
    boxed = plain + 0.3 * (np.abs(AXIS - K) < 0.25)
    made = change.from_twin(boxed[None], AXIS, "k", "h", plain, plain)[0]
    near = np.abs(AXIS - K) < 0.5
    np.testing.assert_allclose(made[near], plain[near], rtol=0.02)


def test_the_level_of_a_window_is_the_line_through_both_sides() -> None:
    straight = (0.1 + 0.01 * (AXIS - AXIS[0]))[None]
    bumped = straight + 0.3 * (np.abs(AXIS - 2800) < 0.2)
    level = change.edge_level(bumped, AXIS, np.abs(AXIS - 2800) < 0.3)
    np.testing.assert_allclose(level, straight, rtol=1e-6)


def test_the_level_at_the_end_of_the_axis_is_flat() -> None:
    level = change.edge_level(gaussian(2796.0)[None], AXIS, AXIS < 2794.5)
    assert np.ptp(level) == 0


def test_half_the_exposure_adds_the_noise_that_photons_and_reading_would() -> None:
    flat = np.full((4000, 240), 1.0, dtype=np.float32)
    flat[:, 0] = 5.0  # the maximum, far from what is measured
    made = change.noisier(flat / 5, np.full(4000, 500.0), np.random.default_rng(0))
    sigma = float((made[:, 100:] * 500).std())
    own, of_maximum = (level / 18 * (2 - 1) + 1.2**2 * (4 - 1) for level in (100, 500))
    assert sigma == pytest.approx(np.sqrt(own + (100 / 500) ** 2 * of_maximum), rel=0.02)


def test_a_spike_is_one_point_of_half_the_maximum_outside_the_lines() -> None:
    spectra, outside = 0.4 * np.ones((50, 240)), AXIS > 2805
    spectra[:, 10] = 1.0
    made = change.spiked(spectra, np.random.default_rng(0), outside)
    struck = np.argwhere(np.abs(made - spectra) > 1e-6)
    assert len(struck) == 50
    assert outside[struck[:, 1]].all()
    assert made[tuple(struck.T)] == pytest.approx(0.9)


def test_dropped_rows_stay_dropped_and_no_other_is_touched() -> None:
    spectra = np.tile(doublet(), (2, 3, 1)).astype(np.float32)
    spectra[0, 1] = np.nan
    ones = np.ones(240, bool)
    rng = np.random.default_rng(0)
    for made in (
        change.shifted(spectra, AXIS, 3.0),
        change.tilted(spectra, AXIS, 0.01, ones),
        change.noisier(spectra, np.full((2, 3), np.nan), rng),
        change.spiked(spectra, rng, ones),
    ):
        empty = np.isnan(made).all(axis=2)
        assert empty.sum() == 1
        assert empty[0, 1]
        assert np.isfinite(made[~empty]).all()


def test_a_point_of_the_study_grid_is_5_19_km_s_wide() -> None:
    assert change.point_velocity(AXIS) == pytest.approx(5.19, abs=0.01)


def test_shuffled_rows_are_the_same_rows_in_another_order() -> None:
    rows = np.arange(40.0).reshape(2, 20, 1)
    made = change.rows_shuffled(rows, np.random.default_rng(0))
    assert (np.sort(made, axis=1) == rows).all()
    assert (made != rows).any()


def test_the_slit_is_turned_over_rolled_and_copied_from_beside() -> None:
    rows = np.arange(6.0).reshape(1, 6, 1)
    assert change.rows_mirrored(rows)[0, :, 0].tolist() == [5, 4, 3, 2, 1, 0]
    assert change.rows_rolled(rows)[0, :, 0].tolist() == [3, 4, 5, 0, 1, 2]
    assert change.rows_copied(rows, 2, 4)[0, :, 0].tolist() == [0, 1, 0, 1, 4, 5]
    assert change.rows_copied(rows, 0, 2)[0, :, 0].tolist() == [2, 3, 2, 3, 4, 5]
