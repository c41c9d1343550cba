"""Lines, velocities and windows of the Mg II spectrum."""

import astropy.units as u
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solarxai.errors import ContractError
from solarxai.spectra import (
    LINES,
    PHOTOSPHERIC,
    WINDOWS,
    line_velocity,
    line_windows,
    study_grid,
    velocity_wavelength,
)


def test_one_step_of_the_study_grid_is_5_19_km_s_at_k():
    grid = study_grid()
    step = line_velocity(LINES["k"] + (grid[1] - grid[0]), "k")
    assert step.unit == u.km / u.s
    assert step.value == pytest.approx(5.194, abs=5e-4)


def test_longer_wavelengths_are_red_and_the_rest_wavelength_stands_still():
    velocity = line_velocity([2803.0, 2803.530, 2804.0] * u.AA, "h")
    assert velocity[0] < 0 < velocity[2]
    assert velocity[1].value == pytest.approx(0, abs=1e-6)


@given(st.floats(-500, 500), st.sampled_from(sorted(LINES)))
def test_velocity_and_wavelength_are_inverse(speed, line):
    there = velocity_wavelength(speed * u.km / u.s, line)
    assert line_velocity(there, line).value == pytest.approx(speed, abs=1e-6)


def test_units_of_length_and_velocity_do_not_matter():
    assert line_velocity(279.7 * u.nm, "k").value == pytest.approx(
        line_velocity(2797.0 * u.AA, "k").value
    )
    assert velocity_wavelength(2e4 * u.m / u.s, "k").value == pytest.approx(
        velocity_wavelength(20 * u.km / u.s, "k").value
    )


def test_unknown_lines_and_missing_units_are_refused():
    with pytest.raises(ContractError, match=r"'k3' is no line .* Take one of k, h, triplet"):
        line_velocity(2796 * u.AA, "k3")
    with pytest.raises(ContractError, match="the wavelength has the unit s, which is no length"):
        line_velocity(2796 * u.s, "k")
    with pytest.raises(ContractError, match="the velocity has the unit None"):
        velocity_wavelength(20.0, "k")


def test_the_triplet_is_the_blend_and_photospheric_lines_increase():
    assert 2798.754 < LINES["triplet"].value < 2798.823
    places = [wavelength.to_value(u.AA) for _, wavelength in PHOTOSPHERIC]
    assert places == sorted(places)
    assert ("Mn", 2795.641) in [(element, place.value) for element, place in PHOTOSPHERIC]


def test_windows_hold_their_lines_and_share_no_point():
    grid = study_grid()
    window = line_windows(grid)
    assert window.dtype == np.int64
    nearest = {name: np.abs(grid - LINES[name]).argmin() for name in ("k", "h", "triplet")}
    assert {name: int(window[place]) for name, place in nearest.items()} == {
        "k": WINDOWS["k"], "h": WINDOWS["h"], "triplet": WINDOWS["triplet"],
    }  # fmt: skip
    width = 2 * 1.5 / 0.048452
    assert (window == WINDOWS["k"]).sum() == pytest.approx(width, abs=1)
    assert (window == WINDOWS["triplet"]).sum() == pytest.approx(width / 3, abs=1)
    assert window[np.abs(grid - 2800.0 * u.AA).argmin()] == WINDOWS["continuum"]
    assert window[0] == window[-1] == WINDOWS["wings"]
    assert set(window.tolist()) == set(WINDOWS.values())


def test_wide_windows_meet_between_their_lines():
    grid = study_grid()
    window = line_windows(grid, half_width=4 * u.AA)
    border = grid[np.flatnonzero(np.diff(window))].to_value(u.AA)
    # Between k (reach 4) and the triplet (reach 4/3) the border divides the gap 3 : 1.
    assert border[0] == pytest.approx(2796.352 + 0.75 * (2798.8 - 2796.352), abs=0.05)


def test_windows_of_no_width_or_on_no_axis_are_refused():
    with pytest.raises(ContractError, match="the half width of the windows is 0"):
        line_windows(study_grid(), half_width=0 * u.AA)
    with pytest.raises(ContractError, match="does not increase"):
        line_windows(study_grid()[::-1])
    with pytest.raises(ContractError, match=r"shape \(\)"):
        line_windows(2796 * u.AA)
