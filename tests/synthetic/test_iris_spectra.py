import numpy as np
import pytest

from solarxai.synthetic.spectra import (
    ACTIVE,
    FULL_WELL,
    NATIVE_SAMPLING,
    PREFLARE,
    QUIET,
    TRAITS,
    TRIPLET,
    H,
    K,
    count,
    expected_counts,
    traits_at,
)

GRID = np.arange(2790.5, 2806.6, NATIVE_SAMPLING)


def traits(state=QUIET, **changed):
    still = {name: np.zeros(1) for name in TRAITS}
    return traits_at(np.array([float(state)]), still) | {
        name: np.array([float(value)]) for name, value in changed.items()
    }


def spectrum(state=QUIET, **changed):
    return expected_counts(GRID, traits(state, **changed))[0]


def at(values, line, within=0.5):
    return values[np.abs(GRID - line) < within]


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(5)
    deviates = {name: rng.normal(size=300) for name in TRAITS}
    return {
        state: count(expected_counts(GRID, traits_at(np.full(300, float(state)), deviates)), 1, rng)
        for state in (QUIET, ACTIVE, PREFLARE)
    }


def test_the_lines_stand_at_their_vacuum_wavelengths():
    plain = {"reversal": 0, "separation": 0, "asymmetry": 0, "velocity": 0, "slope": 0}
    values = spectrum(PREFLARE, **plain)
    for line in (K, H):
        near = np.abs(GRID - line) < 0.5
        middle = np.average(GRID[near], weights=values[near] ** 4)
        assert middle == pytest.approx(line, abs=0.005)


def test_a_velocity_moves_the_lines_by_doppler_and_not_the_photosphere():
    plain = {"reversal": 0, "separation": 0, "slope": 0}
    still, moved = (spectrum(ACTIVE, velocity=v, **plain) for v in (0, 30))
    shift = (np.argmax(at(moved, K)) - np.argmax(at(still, K))) * NATIVE_SAMPLING
    assert shift == pytest.approx(K * 30 / 299792.458, abs=NATIVE_SAMPLING)
    assert np.argmin(at(moved, 2801.907, 0.2)) == np.argmin(at(still, 2801.907, 0.2))


def test_the_peak_of_k_and_the_ratio_of_h_are_what_the_traits_say():
    plain = {"amplitude": np.log(400), "ratio": 1.2, "broad": 0, "reversal": 0, "level": -20}
    values = spectrum(ACTIVE, **plain)
    # 53 mÅ of instrument widen 17 km/s peaks by 1 %
    assert at(values, K).max() == pytest.approx(400, rel=0.02)
    assert at(values, K).max() / at(values, H).max() == pytest.approx(1.2, rel=0.01)


def test_the_instrument_broadens_a_line_to_its_width_in_quadrature():
    plain = {"broad": 0, "reversal": 0, "separation": 0, "width": 8, "level": -20}
    values = at(spectrum(ACTIVE, **plain), K)
    wavelength = at(GRID, K)
    variance = np.average((wavelength - K) ** 2, weights=values)
    sun, telescope = K * 8 / 299792.458, 0.053 / 2.3548
    # a pixel adds a twelfth of its square
    expected = sun**2 + telescope**2 + NATIVE_SAMPLING**2 / 12
    assert variance == pytest.approx(expected, rel=0.02)


def test_a_reversal_makes_two_peaks_and_the_asymmetry_tells_which_is_higher():
    values = at(spectrum(QUIET, asymmetry=0.3, broad=0, level=-20), K)
    middle = values.size // 2
    assert values[:middle].max() > 1.2 * values[middle:].max()
    assert values[middle - 1 : middle + 2].min() < 0.5 * values[middle:].max()


def test_the_triplet_is_absorbed_in_the_quiet_sun_and_emitted_before_a_flare():
    for line in TRIPLET:
        base, quiet, flaring = (
            at(spectrum(state, triplet=value), line, 0.04).mean()
            for state, value in ((QUIET, 0), (QUIET, -0.35), (QUIET, 0.9))
        )
        assert quiet < base < flaring


def test_counts_scale_with_the_exposure_and_their_noise_is_that_of_photons_and_reading():
    rng = np.random.default_rng(0)
    expected = np.full(200_000, 60.0)
    counts = count(expected, 0.5, rng)
    assert counts.mean() == pytest.approx(30, rel=0.001)
    assert counts.var() == pytest.approx(30 / 18 + 1.2**2, rel=0.02)


def test_the_detector_holds_no_more_than_fourteen_bits():
    assert count(np.full(3, 1e6), 1.0, np.random.default_rng(0)).max() == FULL_WELL


def test_traits_stay_within_physical_limits():
    far = {name: np.array([-9.0, 9.0]) for name in TRAITS}
    found = traits_at(np.array([1.0, 1.0]), far)
    assert found["separation"].min() >= 0
    assert found["reversal"].max() <= 0.9
    assert found["triplet"].min() >= -0.8
    assert np.all(expected_counts(GRID, found) >= 0)


@pytest.mark.real_data
@pytest.mark.parametrize(("state", "limit"), [(ACTIVE, 0.051), (PREFLARE, 0.068)])
def test_profiles_are_as_near_to_real_ones_as_these_are_to_each_other(
    real_data, drawn, state, limit
):
    file = np.load(real_data / "iris" / "mg2k_centroids.npz")
    real = file["centroids"].T.astype(float)
    real /= real.max(axis=1, keepdims=True)
    overlap = np.linspace(2793.8501, 2799.3240, real.shape[1])
    ours = np.array([np.interp(overlap, GRID, values) for values in drawn[state]])
    ours /= ours.max(axis=1, keepdims=True)
    away = np.sqrt(((ours[:, None] - real) ** 2).mean(axis=-1))
    assert np.median(away.min(axis=1)) <= limit
