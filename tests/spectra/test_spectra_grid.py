"""Spectra on another grid keep their flux and their place."""

import astropy.units as u
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mg_profiles import AXES, K, angstrom, gaussian, noisy, spectrum

from solarxai.errors import ContractError
from solarxai.spectra import STUDY_RANGE, named_grid, native_grid, regrid, study_grid

GRID = AXES["study"]
FINE = np.arange(2796, 2797, 0.01)


def centroid(values, axis):
    near = np.abs(axis - K) < 1.4
    return values[..., near] @ axis[near] / values[..., near].sum(axis=-1)


def test_the_study_grid_is_that_of_the_paper():
    grid = study_grid()
    assert (len(grid), grid.unit) == (240, u.AA)
    assert grid[[0, -1]].value.tolist() == [2794.14, 2805.72]
    assert np.diff(grid.value) == pytest.approx(0.048452, abs=1e-6)


def test_the_native_grid_is_the_axis_inside_the_range():
    grid = native_grid(angstrom("native"))
    low, high = STUDY_RANGE
    assert grid[0] - 0.02546 * u.AA < low <= grid[0]
    assert grid[-1] <= high < grid[-1] + 0.02546 * u.AA
    assert set(grid.value) <= set(AXES["native"])


def test_grids_have_names():
    assert len(named_grid("study", angstrom("raster"))) == 240
    assert len(named_grid("native", angstrom("raster"))) == 44
    with pytest.raises(ContractError, match=r"'coarse' is no grid\. Take one of study, native"):
        named_grid("coarse", angstrom("raster"))
    with pytest.raises(ContractError, match=r"0 points of the axis 1330.00 to 1340.00 Angstrom"):
        named_grid("native", np.linspace(1330, 1340, 50) * u.AA)


@pytest.mark.parametrize(("name", "limit"), [("native", 5e-4), ("study", 5e-3)])
@pytest.mark.parametrize("offset", [-0.4, -0.1, 0.25, 0.5])
def test_an_axis_shifted_by_part_of_a_pixel_gives_the_same_spectrum(name, limit, offset):
    axis = AXES[name] + offset * (AXES[name][1] - AXES[name][0])
    found = regrid(spectrum(axis), axis * u.AA, study_grid())[0]
    truth = spectrum(GRID)[0]
    inside = np.isfinite(found)
    assert inside.sum() >= 239
    assert np.abs(found - truth)[inside].max() < limit


@pytest.mark.parametrize(
    ("name", "offset", "limit"), [("native", 0, 2e-4), ("study", 0.3, 2e-3), ("raster", 0, 0.03)]
)
def test_lines_stay_in_their_place(name, offset, limit):
    """The limits are in pixels of the axis: 0.0005, 0.01 and 0.8 km/s."""
    shifts = np.linspace(-0.2, 0.2, 41)
    pixel = AXES[name][1] - AXES[name][0]
    axis = AXES[name] + offset * pixel
    found = regrid(gaussian(axis, K + shifts, 0.15), axis * u.AA, study_grid())
    error = centroid(found.astype(float), GRID) - K - shifts
    assert np.abs(error).max() < limit * pixel


@pytest.mark.parametrize("name", ["study", "native", "raster"])
def test_flux_is_kept_on_finer_and_coarser_grids(name):
    axis = AXES[name]
    values = spectrum(axis)
    for other in AXES.values():
        target = other[(other > 2791.5) & (other < 2805.5)]
        found = regrid(values, axis * u.AA, target * u.AA)[0].astype(float)
        line = np.abs(target - K) < 1.4
        width = target[1] - target[0]
        truth = spectrum(target)[0]
        assert found[line].sum() * width == pytest.approx(truth[line].sum() * width, rel=2e-3)


def test_a_coarser_grid_averages_and_does_not_alias():
    axis = AXES["native"]
    comb = np.tile([0.0, 2.0], len(axis))[None, : len(axis)]
    found = regrid(comb, axis * u.AA, angstrom("raster")[5:-5])
    assert found == pytest.approx(1.0, abs=0.1)


def test_a_coarser_grid_gives_the_means_of_its_pixels():
    axis = AXES["native"]
    found = regrid(spectrum(axis), axis * u.AA, angstrom("raster")[2:])
    assert np.abs(found - spectrum(AXES["raster"])[:, 2:]).max() < 1e-5


def test_the_native_grid_returns_the_values():
    values = np.random.default_rng(0).normal(size=(3, len(AXES["native"])))
    grid = native_grid(angstrom("native"))
    start = np.searchsorted(AXES["native"], grid[0].value)
    found = regrid(values, angstrom("native"), grid)
    assert found.dtype == np.float32
    assert np.abs(found - values[:, start : start + len(grid)]).max() < 1e-6


def test_units_of_the_axes_do_not_matter():
    values = spectrum(AXES["native"])
    one = regrid(values, angstrom("native"), study_grid())
    other = regrid(values, angstrom("native").to(u.nm), study_grid().to(u.nm))
    assert np.abs(one - other).max() < 1e-5


def test_an_isolated_spike_stays_in_its_pixel():
    axis = np.arange(2796, 2797, 0.05)
    values = np.zeros((1, len(axis)))
    values[0, 10] = 1.0
    found = regrid(values, axis * u.AA, FINE * u.AA)[0]
    away = np.abs(FINE - axis[10]) > 0.03
    assert np.nanmax(np.abs(found[away])) < 1e-6
    assert np.nanmax(found) <= 1.5


def test_a_step_does_not_ring():
    axis = np.arange(2796, 2797, 0.05)
    values = np.where(axis < 2796.52, 0.2, 1.0)[None]
    found = regrid(values, axis * u.AA, FINE * u.AA)[0]
    assert np.nanmin(found) >= 0.2 - 1e-6
    assert np.nanmax(found) <= 1 + 1e-6


@given(arrays(np.float64, 20, elements=st.floats(0, 1e4)))
def test_positive_flux_stays_positive_and_is_kept(values):
    axis = np.arange(20) * 0.05 + 2796
    fine = np.arange(100) * 0.01 + 2795.98
    found = regrid(values, axis * u.AA, fine * u.AA).astype(float)
    top = max(values.max(), 1e-30)
    assert found.min() >= -1e-6 * top
    assert found.reshape(20, 5).mean(axis=1) == pytest.approx(values, abs=1e-5 * top)


@given(st.sampled_from([2.0**power for power in (-9, -1, 3, 12)]))
def test_the_scale_of_the_flux_comes_through(scale):
    values = spectrum(AXES["native"])
    one = regrid(values, angstrom("native"), study_grid())
    assert np.array_equal(regrid(scale * values, angstrom("native"), study_grid()), scale * one)


def test_values_that_are_not_valid_spoil_only_the_pixels_they_lie_in():
    axis, values = AXES["native"], spectrum(AXES["native"])
    valid = np.ones(values.shape, dtype=bool)
    place = np.searchsorted(axis, 2800.0)
    valid[0, place] = False
    values[0, place] = -200.0
    found = regrid(values, axis * u.AA, study_grid(), valid=valid)[0]
    spoilt = np.flatnonzero(np.isnan(found))
    assert 1 <= len(spoilt) <= 2
    assert np.abs(GRID[spoilt] - 2800.0).max() < 0.06
    truth = regrid(spectrum(axis), axis * u.AA, study_grid())[0]
    kept = np.isfinite(found)
    assert np.abs(found - truth)[kept].max() < 1e-3


def test_what_is_not_finite_is_never_trusted():
    values = spectrum(AXES["native"])
    values[0, 300] = np.nan
    values[0, 400] = np.inf
    found = regrid(values, angstrom("native"), study_grid())
    assert 2 <= np.isnan(found).sum() <= 4
    everything = regrid(np.full_like(values, np.nan), angstrom("native"), study_grid())
    assert np.isnan(everything).all()


def test_beyond_the_axis_there_is_nan():
    axis = AXES["native"][(AXES["native"] > 2793.85) & (AXES["native"] < 2799.33)]
    found = regrid(spectrum(axis), axis * u.AA, study_grid())[0]
    covered = GRID < 2799.3
    assert np.isfinite(found[covered]).all()
    assert np.isnan(found[GRID > 2799.35]).all()


def test_any_number_of_leading_dimensions_is_kept():
    values = np.broadcast_to(spectrum(AXES["raster"]), (2, 3, 63))
    assert regrid(values, angstrom("raster"), study_grid()).shape == (2, 3, 240)
    assert regrid(values[0, 0], angstrom("raster"), study_grid()).shape == (240,)
    assert regrid(values[:0], angstrom("raster"), study_grid()).shape == (0, 3, 240)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ContractError, match=r"values of shape \(2, 5\) and 63 wavelengths"):
        regrid(np.zeros((2, 5)), angstrom("raster"), study_grid())
    with pytest.raises(ContractError, match=r"valid of shape \(1, 5\) and values of shape"):
        regrid(np.zeros((1, 63)), angstrom("raster"), study_grid(), valid=np.ones((1, 5), bool))
    with pytest.raises(ContractError, match="the grid does not increase"):
        regrid(np.zeros((1, 63)), angstrom("raster"), study_grid()[::-1])


@pytest.mark.parametrize("name", ["native", "raster"])
def test_single_precision_costs_two_millionths_of_the_maximum_at_most(name):
    values = noisy(np.repeat(spectrum(AXES[name], peak=400.0), 50, axis=0), seed=3)
    one = regrid(values.astype(np.float32), angstrom(name), study_grid())
    other = regrid(values, angstrom(name), study_grid())
    assert np.abs(one - other).max() <= 2e-6 * other.max()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_spectrum_depends_on_itself_alone_to_the_last_bit(kind):
    values = noisy(np.repeat(spectrum(AXES["native"], peak=400.0), 37, axis=0), seed=4).astype(kind)
    values[5, ::7] = np.nan
    values[:, 0] = np.nan  # beyond what the grid depends on
    together = regrid(values, angstrom("native"), study_grid())
    alone = [regrid(values[k : k + 1], angstrom("native"), study_grid()) for k in range(37)]
    assert np.array_equal(together, np.concatenate(alone), equal_nan=True)
    assert np.isfinite(together).all(axis=1).sum() == 36
