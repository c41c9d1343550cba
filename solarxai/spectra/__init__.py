"""Mg II spectra: lines, wavelength grids, cleaning, features; arrays and units only."""

from solarxai.spectra.cleaning import REASONS, STEPS, Cleaning, tally
from solarxai.spectra.features import FEATURES, Feature, line_features
from solarxai.spectra.grid import GRIDS, STUDY_RANGE, named_grid, native_grid, regrid, study_grid
from solarxai.spectra.lines import (
    LINES,
    PHOTOSPHERIC,
    WINDOWS,
    line_velocity,
    line_windows,
    velocity_wavelength,
)
from solarxai.spectra.measuring import Measured, measure
from solarxai.spectra.normalise import by_maximum

__all__ = [
    "FEATURES", "GRIDS", "LINES", "PHOTOSPHERIC", "REASONS", "STEPS", "STUDY_RANGE", "WINDOWS",
    "Cleaning", "Feature", "Measured", "by_maximum", "line_features", "line_velocity",
    "line_windows", "measure", "named_grid", "native_grid", "regrid", "study_grid", "tally",
    "velocity_wavelength",
]  # fmt: skip
