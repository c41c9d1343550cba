"""Words of images of the photosphere: segments, labels, measurements; and their checks."""

from __future__ import annotations

from collections.abc import Mapping
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
    "INVALID",
    "LABELS",
    "MEASUREMENTS",
    "PENUMBRA",
    "PORE",
    "QUIET",
    "SEGMENTS",
    "UMBRA",
    "check_observation",
    "mock_samples",
    "patch_breaches",
]

QUIET, UMBRA, PENUMBRA, PORE, INVALID = 0, 1, 2, 3, 255
SEGMENTS = {"quiet": QUIET, "umbra": UMBRA, "penumbra": PENUMBRA, "pore": PORE}
"""Values of the `segmentation` variable; `INVALID` marks pixels off the disk or without data."""

LABELS = ("pore", "sunspot", "ambiguous")
"""What a structure can be called; *ambiguous* ones are counted, never trained on."""

MEASUREMENTS: Mapping[str, str] = {
    "mu": "1",
    "area_mm2": "Mm2",
    "area_msh": "",
    "umbra_area_mm2": "Mm2",
    "penumbra_area_mm2": "Mm2",
    "minimum_intensity": "1",
    "integrated_deficit_mm2": "Mm2",
    "penumbra_plateau": "1",
    "penumbra_width_mm": "Mm",
    "solar_x": "arcsec",
    "solar_y": "arcsec",
}
"""Measured columns of Samples and their units (`area_msh` is in millionths of the hemisphere)."""


def check_observation(observation: xr.Dataset) -> xr.Dataset:
    """Return the observation unchanged if it keeps the vocabulary.

    An Observation has `intensity` float32 (y, x) with `units`, `valid` bool (y, x), a scalar
    `time` (datetime64[ns], UTC, mid-exposure), and the attributes `observation`, `instrument`,
    `region`, `origin` ("real" or "synthetic"), `source` (file name), `sha256`, `time_scale`,
    `time_original`, `header` (every card of the original header), `wcs` (a FITS header that
    `astropy.wcs.WCS` reads) and `scale_mm` (Mm per pixel at the sub-observer point).

    Raises
    ------
    SchemaError
        naming every breach at once.
    """
    source = observation.attrs.get("source", "observation")
    breaches = array_breaches(observation, {"intensity": "float32", "valid": "bool"}, ("y", "x"))
    if "intensity" in observation:
        breaches += unit_breaches(observation["intensity"].attrs)
    time = observation.coords.get("time")
    if time is None or time.ndim or time.dtype != np.dtype("datetime64[ns]"):
        breaches.append("time is not a scalar datetime64[ns] coordinate")
    breaches += attribute_breaches(observation, (*OBSERVATION_WORDS, "scale_mm"))
    return or_raise(observation, breaches, str(source))


def patch_breaches(samples: xr.Dataset) -> list[str]:
    """Return what is wrong with image patches on (sample, y, x), beside their address."""
    arrays = {"image": "float32", "segmentation": "uint8", "central": "bool"}
    breaches = array_breaches(samples, arrays, ("sample", "y", "x"))
    return breaches + column_breaches(samples, MEASUREMENTS)


def mock_samples(n: int, *, size: int = 32, seed: int = 0) -> xr.Dataset:
    """Return `n` Samples of (size, size) pixels that pass `check_samples`, for tests and examples.

    Half are discs with a rim at 0.75 of the quiet Sun (*sunspot*), half without (*pore*).
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    radius = np.hypot(y, x)
    image = (1 + 0.03 * rng.standard_normal((n, size, size))).astype(np.float32)
    segmentation = np.full((n, size, size), QUIET, dtype=np.uint8)
    label = np.where(np.arange(n) % 2 == 0, "sunspot", "pore").astype(object)
    inner, outer = size / 8, size / 4
    for row in range(n):
        spot = label[row] == "sunspot"
        core = radius < inner
        image[row][core] = 0.2
        segmentation[row][core] = UMBRA if spot else PORE
        if spot:
            rim = (radius >= inner) & (radius < outer)
            image[row][rim] = 0.75
            segmentation[row][rim] = PENUMBRA
    start = np.datetime64("2014-01-01T00:00:00", "ns")
    columns: dict[str, npt.NDArray[Any]] = {
        "time": start + np.arange(n) * np.timedelta64(12, "m"),
        "sample_id": np.array([f"mock-{row:05d}" for row in range(n)], dtype=object),
        "label": label,
        "label_source": np.array(["truth"] * n, dtype=object),
        "region": np.array([f"MOCK {row // 4}" for row in range(n)], dtype=object),
        "origin": np.array(["synthetic"] * n, dtype=object),
        "instrument": np.array(["mock"] * n, dtype=object),
        "observation": np.array([f"mock-{row:05d}" for row in range(n)], dtype=object),
        "time_scale": np.array(["utc"] * n, dtype=object),
        "time_original": np.array(["2014-01-01"] * n, dtype=object),
        "header": np.array(["SIMPLE  =                    T"] * n, dtype=object),
    }
    columns |= {name: rng.uniform(0.5, 1.0, n) for name in MEASUREMENTS}
    constants = dict.fromkeys(WCS_NUMBERS, 0.0) | {
        "crpix1": (size + 1) / 2, "crpix2": (size + 1) / 2, "cdelt1": 0.69, "cdelt2": 0.69,
        "pc1_1": 1.0, "pc2_2": 1.0, "lonpole": 180.0, "latpole": 0.0,
        "dsun_obs": 1.496e11, "rsun_ref": 6.96e8,
    }  # fmt: skip
    columns |= {f"wcs_{word}": np.full(n, value) for word, value in constants.items()}
    columns["wcs_crval1"] = rng.uniform(-400, 400, n)
    columns["wcs_crval2"] = rng.uniform(-400, 400, n)
    words = {"ctype1": "HPLN-TAN", "ctype2": "HPLT-TAN", "cunit1": "arcsec", "cunit2": "arcsec"}
    columns |= {f"wcs_{k}": np.array([v] * n, dtype=object) for k, v in words.items()}
    return xr.Dataset(
        {
            "image": (("sample", "y", "x"), image, {"units": "1"}),
            "segmentation": (("sample", "y", "x"), segmentation),
            "central": (("sample", "y", "x"), segmentation != QUIET),
        },
        coords={name: ("sample", values) for name, values in columns.items()},
    )
