"""Features of profiles whose shift, width and peaks are known, and of real flare profiles."""

import astropy.units as u
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from mg_profiles import AXES, C, H, K, angstrom, gaussian, noisy, spectrum

from solarxai.errors import ContractError
from solarxai.spectra import FEATURES, line_features, regrid, study_grid

SHIFTS = np.random.default_rng(0).uniform(-0.4, 0.4, 200)
QUARTILE = 0.674489750196  # of a standard normal distribution
REVERSAL = ("k3_height", "k2_ratio", "k2_separation")


def speed(length):
    return length / K * C


def double(axis, separation, *, ratio=1.0, sigma=0.09, places=100):
    """Return k with two peaks (n, w), `separation` km/s apart, at places within a pixel."""
    half = separation / C * K / 2
    centre = K + np.random.default_rng(1).uniform(-0.1, 0.1, places)
    return ratio * gaussian(axis, centre - half, sigma) + gaussian(axis, centre + half, sigma)


def test_every_feature_has_a_unit_and_a_description():
    found = line_features(spectrum(AXES["study"]), study_grid())
    assert list(found) == list(FEATURES)
    for name, values in found.items():
        u.Unit(FEATURES[name].unit)
        assert FEATURES[name].description
        assert (values.shape, values.dtype) == ((1,), np.float32)


@pytest.mark.parametrize(("name", "limit"), [("native", 1e-3), ("study", 1e-3), ("raster", 0.9)])
def test_doppler_is_the_shift_of_a_symmetric_line(name, limit):
    """The limits, in km/s, are 0.0004, 0.0002 and 0.03 of a pixel."""
    found = line_features(gaussian(AXES[name], K + SHIFTS, 0.15), angstrom(name))
    assert np.abs(found["k_doppler"] - speed(SHIFTS)).max() < limit


@pytest.mark.parametrize(
    ("name", "sigma", "limit", "skew"),
    [
        ("native", 0.15, 2e-5, 1e-4),
        ("study", 0.15, 2e-4, 5e-3),
        ("raster", 0.15, 0.2, 1.5),
        ("raster", 0.3, 6e-3, 0.3),
    ],
)
def test_width_is_that_between_the_quartiles(name, sigma, limit, skew):
    """The limits are relative for the width, in km/s for the asymmetry."""
    found = line_features(gaussian(AXES[name], K + SHIFTS, sigma), angstrom(name))
    ratio = found["k_width"] / speed(2 * QUARTILE * sigma)
    assert np.abs(ratio - 1).max() < limit
    assert np.abs(found["k_asymmetry"]).max() < skew


@pytest.mark.parametrize("name", AXES)
def test_a_red_tail_makes_the_asymmetry_positive_and_a_blue_one_negative(name):
    axis = AXES[name]
    for side in (1, -1):
        tail = gaussian(axis, K, 0.15) + 0.4 * gaussian(axis, K + side * 0.4, 0.3)
        assert side * line_features(tail, axis * u.AA)["k_asymmetry"][0] > 5


def test_asymmetry_and_doppler_of_a_wedge_are_those_of_its_integral():
    """Flux rising from zero at the blue end: quantile q lies at √q of the window's 3 Angstrom."""
    axis = AXES["study"]
    wedge = (axis - (K - 1.5))[None]
    found = line_features(wedge, study_grid())
    quarter, half, three = (speed(3 * np.sqrt(q)) for q in (0.25, 0.5, 0.75))
    assert found["k_doppler"][0] == pytest.approx(half - speed(1.5), abs=0.02)
    assert found["k_width"][0] == pytest.approx(three - quarter, abs=0.02)
    assert found["k_asymmetry"][0] == pytest.approx(three + quarter - 2 * half, abs=0.02)


@pytest.mark.parametrize("continuum", [0.0, 0.1, 0.3])
def test_a_continuum_widens_the_line_and_draws_its_median_to_rest(continuum):
    spectra = continuum + gaussian(AXES["study"], K + 0.1, 0.16)
    found = line_features(spectra, study_grid())

    def integral(x):
        area = 0.16 * np.sqrt(2 * np.pi)
        return continuum * (x + 1.5) + area * scipy.stats.norm.cdf(x, 0.1, 0.16)

    low, middle, high = (
        scipy.optimize.brentq(lambda x, q=q: integral(x) - q * integral(1.5), -1.5, 1.5)
        for q in (0.25, 0.5, 0.75)
    )
    assert found["k_doppler"][0] == pytest.approx(speed(middle), abs=2e-3)
    assert found["k_width"][0] == pytest.approx(speed(high - low), abs=2e-3)
    drawn = {0.0: 1.0, 0.1: 0.91, 0.3: 0.77}[continuum]
    assert middle / 0.1 == pytest.approx(drawn, abs=0.01)


@pytest.mark.parametrize("name", AXES)
@pytest.mark.parametrize("ratio", [0.7, 1.2, 1.9])
def test_k_by_h_is_the_ratio_of_their_fluxes(name, ratio):
    axis = AXES[name]
    spectra = ratio * gaussian(axis, K, 0.15) + gaussian(axis, H, 0.15)
    assert line_features(spectra, axis * u.AA)["kh_ratio"][0] == pytest.approx(ratio, rel=1e-4)


@pytest.mark.parametrize(("name", "limit"), [("native", 2.5e-3), ("study", 0.01)])
@pytest.mark.parametrize("height", [-0.5, 1.0, 4.0])
def test_triplet_is_the_logarithm_of_the_ratio(name, limit, height):
    """A pixel of width p flattens a line of width s and height a by a p²/24s² of 1 + a."""
    axis = AXES[name]
    spectra = 1 + gaussian(axis, 2798.79, 0.12, height)
    truth = np.log(1 + height * np.exp(-0.5 * (0.02 / 0.12) ** 2))
    found = line_features(spectra, axis * u.AA)["triplet_emission"][0]
    assert found == pytest.approx(truth, abs=limit)


def test_binned_pixels_dilute_the_triplet():
    axis = AXES["raster"]
    spectra = 1 + gaussian(axis, 2798.79, 0.12, 1.0)
    found = line_features(spectra, angstrom("raster"))["triplet_emission"][0]
    assert 0.5 * np.log(2) < found < 0.9 * np.log(2)


@pytest.mark.parametrize(
    ("name", "speed_limit", "limit"), [("native", 0.1, 0.006), ("study", 0.4, 0.03)]
)
@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.4])
@pytest.mark.parametrize("separation", [34.0, 50.0])
def test_two_peaks_give_their_separation_ratio_and_dip(name, speed_limit, limit, separation, ratio):
    fine = np.arange(K - 1, K + 1, 0.001)
    truth = double(fine, separation, ratio=ratio, places=1)[0]
    left, right = (truth[:1000].argmax(), 1000 + truth[1000:].argmax())
    found = line_features(double(AXES[name], separation, ratio=ratio), angstrom(name))
    assert np.abs(found["k2_separation"] - speed(fine[right] - fine[left])).max() < speed_limit
    assert np.abs(found["k2_ratio"] / (truth[left] / truth[right]) - 1).max() < limit
    dip = truth[left:right].min() / (truth[left] + truth[right]) * 2
    assert np.abs(found["k3_height"] - dip).max() < limit


def test_one_peak_has_no_reversal():
    found = line_features(spectrum(AXES["native"]), angstrom("native"))
    for name in REVERSAL:
        assert np.isnan(found[name]).all()
    assert np.isfinite(found["k_width"]).all()


def test_a_dip_of_less_than_five_per_cent_is_no_reversal():
    for separation, double_peaked in ((22.0, False), (26.0, True)):
        found = line_features(double(AXES["native"], separation), angstrom("native"))
        assert (np.isfinite(found["k3_height"]) == double_peaked).all()


def test_the_shoulder_behind_the_manganese_line_is_no_peak():
    axis = AXES["study"]
    dark = 0.3 - gaussian(axis, 2795.641, 0.05, 0.2)
    found = line_features(dark + gaussian(axis, K, 0.15), study_grid())
    assert np.isnan(found["k2_separation"]).all()


@pytest.mark.parametrize(("peak", "most"), [(60.0, 0.10), (120.0, 0.01), (400.0, 0.0)])
def test_photon_noise_seldom_makes_two_peaks_of_one_on_the_study_grid(peak, most):
    counts = noisy(np.repeat(spectrum(AXES["native"], peak=peak), 1000, axis=0), seed=0)
    on_grid = regrid(counts, angstrom("native"), study_grid())
    assert np.isfinite(line_features(on_grid, study_grid())["k2_ratio"]).mean() <= most


def test_binned_pixels_show_no_reversal_even_on_a_finer_grid():
    axis = AXES["raster"]
    spectra = double(axis, 70.0, sigma=0.12)
    on_axis = line_features(spectra, axis * u.AA)
    on_grid = regrid(spectra, axis * u.AA, study_grid())
    told = line_features(on_grid, study_grid(), pixel_width=0.26 * u.AA)
    untold = line_features(on_grid, study_grid())
    for name in REVERSAL:
        assert np.isnan(on_axis[name]).all()
        assert np.isnan(told[name]).all()
    assert np.isfinite(untold["k2_separation"]).any()


def test_what_the_axis_does_not_cover_is_nan():
    axis = AXES["native"][(AXES["native"] > 2793.85) & (AXES["native"] < 2799.0)]
    found = line_features(spectrum(axis), axis * u.AA)
    assert np.isnan(found["kh_ratio"]).all()
    assert np.isnan(found["triplet_emission"]).all()
    assert np.isfinite(found["k_doppler"]).all()
    other = np.linspace(1330, 1340, 100)
    nothing = line_features(np.ones((2, 100)), other * u.AA)
    assert all(np.isnan(values).all() for values in nothing.values())


def test_a_gap_spoils_only_what_needs_it():
    spectra = double(AXES["study"], 40.0, places=2) + spectrum(AXES["study"], continuum=0.1)
    spectra[1, np.abs(AXES["study"] - H).argmin()] = np.nan
    spectra[0, np.abs(AXES["study"] - K).argmin()] = np.nan
    found = line_features(spectra, study_grid())
    assert np.isnan([found[name][0] for name in ("k_width", "kh_ratio", "k_doppler")]).all()
    assert np.isnan([found[name][0] for name in REVERSAL]).all()
    assert np.isfinite(found["triplet_emission"]).all()
    assert np.isfinite(found["k_width"][1])
    assert np.isnan(found["kh_ratio"][1])


def test_spectra_without_light_have_no_features():
    for values in (np.zeros((2, 240)), np.full((2, 240), np.nan), np.full((2, 240), -1.0)):
        found = line_features(values, study_grid())
        assert all(np.isnan(each).all() for each in found.values())
    assert line_features(np.zeros((0, 240)), study_grid())["k_width"].shape == (0,)


@given(st.floats(1e-3, 1e5), st.integers(0, 1000))
def test_features_do_not_depend_on_the_scale(scale, seed):
    rng = np.random.default_rng(seed)
    spectra = double(AXES["study"], rng.uniform(20, 60), places=3) + spectrum(
        AXES["study"], shift=rng.uniform(-0.2, 0.2), triplet=rng.uniform(0, 1)
    )
    one, other = (line_features(factor * spectra, study_grid()) for factor in (1, scale))
    for name in FEATURES:
        assert other[name] == pytest.approx(one[name], rel=1e-4, abs=1e-3, nan_ok=True)


def test_spectra_are_measured_one_by_one():
    spectra = double(AXES["study"], 40.0, places=5000) + spectrum(AXES["study"])
    together = line_features(spectra, study_grid())
    alone = line_features(spectra[4500:4501], study_grid())
    for name in FEATURES:
        assert together[name][4500] == alone[name][0]


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ContractError, match=r"spectra of shape \(2, 5\) and 240 wavelengths"):
        line_features(np.ones((2, 5)), study_grid())
    with pytest.raises(ContractError, match=r"spectra of shape \(2, 2, 240\)"):
        line_features(np.ones((2, 2, 240)), study_grid())
    with pytest.raises(ContractError, match="pixel_width has the unit None"):
        line_features(np.ones((2, 240)), study_grid(), pixel_width=0.26)


@pytest.mark.real_data
def test_real_flare_profiles_give_plausible_features(real_data):
    with np.load(real_data / "iris" / "mg2k_centroids.npz") as file:
        profiles = file["centroids"].T.astype(np.float64)
    found = line_features(profiles, np.linspace(2793.8501, 2799.3240, 216) * u.AA)
    median = {name: float(np.nanmedian(found[name])) for name in FEATURES if name != "kh_ratio"}
    assert np.isnan(found["kh_ratio"]).all()
    assert all(np.isfinite(found[name]).sum() == 53 for name in ("k_width", "k_doppler"))
    assert 30 <= np.isfinite(found["k2_separation"]).sum() <= 34
    assert np.abs(found["k_doppler"]).max() < 60
    assert 40 < median["k_width"] < 90
    assert abs(median["k_doppler"]) < 5
    assert abs(median["k_asymmetry"]) < 5
    assert 20 < median["k2_separation"] < 60
    assert 0.8 < median["k2_ratio"] < 1.25
    assert 0.4 < median["k3_height"] < 0.9
    assert -1.0 < median["triplet_emission"] < 1.0
