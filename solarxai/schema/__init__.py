"""The vocabulary: names, dimensions and units of an Observation and of Samples, and their checks.

An *Observation* is one image of the Sun, an `xarray.Dataset` on (y, x), or one raster of spectra,
on (step, slit, wavelength). *Samples* are the blocks cut from observations: an `xarray.Dataset`
whose every row carries its address (time, world coordinates, region, observation), so that a block
never leaves its coordinates.
"""

from solarxai.schema.address import (
    WCS_NUMBERS,
    WCS_WORDS,
    observation_wcs,
    sample_wcs_header,
    time_encoding,
)
from solarxai.schema.images import (
    INVALID,
    LABELS,
    MEASUREMENTS,
    PENUMBRA,
    PORE,
    QUIET,
    SEGMENTS,
    UMBRA,
    check_observation,
    mock_samples,
)
from solarxai.schema.samples import PATCH, SPECTROGRAM, SPECTRUM, Kind, check_samples, kind_of
from solarxai.schema.spectra import (
    EXPOSURE_COLUMNS,
    FLARE_LABELS,
    SPECTRUM_COLUMNS,
    check_movie,
    check_raster,
    mock_spectrograms,
)

__all__ = [
    "EXPOSURE_COLUMNS",
    "FLARE_LABELS",
    "INVALID",
    "LABELS",
    "MEASUREMENTS",
    "PATCH",
    "PENUMBRA",
    "PORE",
    "QUIET",
    "SEGMENTS",
    "SPECTROGRAM",
    "SPECTRUM",
    "SPECTRUM_COLUMNS",
    "UMBRA",
    "WCS_NUMBERS",
    "WCS_WORDS",
    "Kind",
    "check_movie",
    "check_observation",
    "check_raster",
    "check_samples",
    "kind_of",
    "mock_samples",
    "mock_spectrograms",
    "observation_wcs",
    "sample_wcs_header",
    "time_encoding",
]
