"""Words of IRIS spectra: raster Observations, spectrograms, single spectra; and their checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.schema.address import (
    OBSERVATION_WORDS,
    WCS_NUMBERS,
    array_breaches,
    attribute_breaches,
    column_breaches,
    or_raise,
    unit_breaches,
)

__all__ = [
    "EXPOSURE_COLUMNS",
    "FLARE_LABELS",
    "SPECTRUM_COLUMNS",
    "check_movie",
    "check_raster",
    "mock_spectrograms",
    "spectrogram_breaches",
    "spectrum_breaches",
]

FLARE_LABELS = ("active", "preflare", "ambiguous")
"""What an exposure can be called; *ambiguous* ones are counted, never trained on."""

EXPOSURE_COLUMNS = (
    "raster", "step", "exposure_time", "solar_x", "solar_y", "flare_class", "flare_onset",
)  # fmt: skip
"""Columns of spectrogram Samples beside their address: which exposure it is, and its flare."""

SPECTRUM_COLUMNS = (*EXPOSURE_COLUMNS, "exposure", "slit", "peak")
"""Columns of spectrum Samples: those of its exposure, which position of the slit, its maximum."""

_RASTER = ("step", "slit", "wavelength")


def check_raster(observation: xr.Dataset) -> xr.Dataset:
    """Return the raster Observation unchanged if it keeps the vocabulary.

    It has on (step, slit, wavelength) `intensity` float32 with `units`, `uncertainty` float32
    (1 sigma, same unit) and `valid` bool; on (step) `time` (datetime64[ns], UTC, mid-exposure),
    `exposure_time` (s) and `saa` (bool); on (step, slit) `solar_x`, `solar_y` (arcsec); on
    (wavelength) the vacuum wavelength in Angstrom, increasing; and the attributes of
    `solarxai.schema.check_observation` but `scale_mm`, with `raster` (number of the file) and
    `flipped`. Its `wcs` is celestial: axis 1 along the steps, axis 2 along the slit.

    Raises
    ------
    SchemaError
        naming every breach at once.
    """
    arrays = {"intensity": "float32", "uncertainty": "float32", "valid": "bool"}
    breaches = array_breaches(observation, arrays, _RASTER)
    if "intensity" in observation:
        breaches += unit_breaches(observation["intensity"].attrs)
    wanted = (
        ("time", "datetime64[ns]", _RASTER[:1]), ("exposure_time", "float64", _RASTER[:1]),
        ("saa", "bool", _RASTER[:1]), ("solar_x", "float64", _RASTER[:2]),
        ("solar_y", "float64", _RASTER[:2]), ("wavelength", "float64", _RASTER[2:]),
    )  # fmt: skip
    for name, kind, dims in wanted:
        breaches += array_breaches(observation, {name: kind}, dims)
    if "wavelength" in observation.coords and not _increases(observation["wavelength"].values):
        breaches.append("wavelength does not increase")
    breaches += attribute_breaches(observation, (*OBSERVATION_WORDS, "raster", "flipped"))
    return or_raise(observation, breaches, str(observation.attrs.get("source", "raster")))


def check_movie(observation: xr.Dataset) -> xr.Dataset:
    """Return the movie, slit-jaw images, unchanged if it keeps the vocabulary.

    It has on (frame, y, x) `intensity` float32 with `units` and `valid` bool, on (frame) `time`
    (datetime64[ns], UTC, mid-exposure), and the attributes of `solarxai.schema.check_observation`
    but `scale_mm`. Its `wcs` is celestial.

    Raises
    ------
    SchemaError
        naming every breach at once.
    """
    arrays = {"intensity": "float32", "valid": "bool"}
    breaches = array_breaches(observation, arrays, ("frame", "y", "x"))
    if "intensity" in observation:
        breaches += unit_breaches(observation["intensity"].attrs)
    breaches += array_breaches(observation, {"time": "datetime64[ns]"}, ("frame",))
    breaches += attribute_breaches(observation, OBSERVATION_WORDS)
    return or_raise(observation, breaches, str(observation.attrs.get("source", "movie")))


def spectrogram_breaches(samples: xr.Dataset) -> list[str]:
    """Return what is wrong with spectrograms, beside their address."""
    breaches = array_breaches(samples, {"image": "float32"}, ("sample", "slit", "wavelength"))
    along = {"quality": "uint8", "peak": "float32"}
    breaches += array_breaches(samples, along, ("sample", "slit"))
    return breaches + _wavelength_breaches(samples) + column_breaches(samples, EXPOSURE_COLUMNS)


def spectrum_breaches(samples: xr.Dataset) -> list[str]:
    """Return what is wrong with single spectra, beside their address."""
    breaches = array_breaches(samples, {"image": "float32"}, ("sample", "wavelength"))
    return breaches + _wavelength_breaches(samples) + column_breaches(samples, SPECTRUM_COLUMNS)


def mock_spectrograms(n: int, *, slits: int = 12, length: int = 240, seed: int = 0) -> xr.Dataset:
    """Return `n` spectrograms that pass `check_samples`, for tests and examples.

    k and h are Gaussians; *preflare* exposures have emission in the triplet at 2798.8 Angstrom as
    well. The last position of the slit is dropped in every exposure. Eight exposures make a raster
    of one observation and region.
    """
    rng = np.random.default_rng(seed)
    wavelength = np.linspace(2794.14, 2805.72, length)
    label = np.where(np.arange(n) // 8 % 2 == 0, "preflare", "active").astype(object)
    spectra = 0.05 + 0.02 * rng.random((n, slits, length))
    for centre, height in ((2796.35, 1.0), (2803.53, 0.8)):
        spectra += height * np.exp(-0.5 * ((wavelength - centre) / 0.2) ** 2)
    bump = 0.4 * np.exp(-0.5 * ((wavelength - 2798.8) / 0.15) ** 2)
    spectra[label == "preflare"] += bump
    image = (spectra / spectra.max(axis=2, keepdims=True)).astype(np.float32)
    image[:, -1] = np.nan
    quality = np.zeros((n, slits), dtype=np.uint8)
    quality[:, -1] = 1
    peak = (50 + 100 * rng.random((n, slits))).astype(np.float32)
    peak[:, -1] = np.nan
    return xr.Dataset(
        {
            "image": (("sample", "slit", "wavelength"), image, {"units": "1"}),
            "quality": (("sample", "slit"), quality, {"flag_meanings": "kept missing"}),
            "peak": (("sample", "slit"), peak, {"units": "DN / s"}),
        },
        coords={
            "wavelength": ("wavelength", wavelength, {"units": "Angstrom"}),
            **{name: ("sample", values) for name, values in _mock_columns(n, label).items()},
        },
    )


def _mock_columns(n: int, label: npt.NDArray[np.object_]) -> dict[str, npt.NDArray[Any]]:
    row = np.arange(n)
    start = np.datetime64("2014-01-01T00:00:00", "ns")

    def words(pattern: str, *numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
        return np.array([pattern.format(*each) for each in zip(*numbers, strict=True)], object)

    columns: dict[str, npt.NDArray[Any]] = {
        "time": start + row // 8 * np.timedelta64(1, "D") + row % 8 * np.timedelta64(9, "s"),
        "sample_id": words("mock-r{:05d}-s{:02d}", row // 8, row % 8),
        "label": label,
        "region": words("MOCK {}", row // 8),
        "observation": words("mock-{:05d}", row // 8),
        "raster": np.zeros(n, np.int64),
        "step": row % 8,
        "exposure_time": np.full(n, 8.0),
        "solar_x": 2.0 * (row % 8),
        "solar_y": np.zeros(n),
        "flare_class": np.where(label == "preflare", "C3.3", "").astype(object),
        "flare_onset": np.where(label == "preflare", "2014-01-09T00:20:00", "").astype(object),
    }
    constant = {
        "label_source": "truth", "origin": "synthetic", "instrument": "mock", "time_scale": "utc",
        "time_original": "2014-01-01", "header": "SIMPLE  =                    T",
        "wcs_ctype1": "HPLN-TAN", "wcs_ctype2": "HPLT-TAN",
        "wcs_cunit1": "arcsec", "wcs_cunit2": "arcsec",
    }  # fmt: skip
    columns |= {name: np.full(n, text, dtype=object) for name, text in constant.items()}
    numbers = dict.fromkeys(WCS_NUMBERS, 0.0) | {
        "crpix1": 1.0, "crpix2": 6.5, "cdelt1": 0.33, "cdelt2": 0.33, "pc1_1": 1.0, "pc2_2": 1.0,
        "lonpole": 180.0, "dsun_obs": 1.496e11, "rsun_ref": 6.96e8,
    }  # fmt: skip
    columns |= {f"wcs_{word}": np.full(n, value) for word, value in numbers.items()}
    columns["wcs_crval1"] = columns["solar_x"].copy()
    return columns


def _wavelength_breaches(samples: xr.Dataset) -> list[str]:
    breaches = array_breaches(samples, {"wavelength": "float64"}, ("wavelength",))
    if not breaches and not _increases(samples["wavelength"].values):
        breaches.append("wavelength does not increase")
    return breaches


def _increases(values: npt.NDArray[Any]) -> bool:
    return bool((np.diff(values) > 0).all())
