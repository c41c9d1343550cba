"""The vocabulary: names, dimensions and units of an Observation and of Samples, and their checks.

An *Observation* is one image of the Sun: an `xarray.Dataset` on (y, x).
*Samples* are the blocks cut from observations: an `xarray.Dataset` on (sample, y, x), whose every
row carries its address (time, world coordinates, region, observation), so that a block never
leaves its coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
import xarray as xr
from astropy.io.fits import Header
from astropy.wcs import WCS

from solarxai.errors import SchemaError

__all__ = [
    "INVALID",
    "LABELS",
    "MEASUREMENTS",
    "PENUMBRA",
    "PORE",
    "QUIET",
    "SEGMENTS",
    "UMBRA",
    "WCS_NUMBERS",
    "WCS_WORDS",
    "check_observation",
    "check_samples",
    "mock_samples",
    "observation_wcs",
    "sample_wcs_header",
    "time_encoding",
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

WCS_NUMBERS = (
    "crpix1", "crpix2", "crval1", "crval2", "cdelt1", "cdelt2", "pc1_1", "pc1_2", "pc2_1", "pc2_2",
    "lonpole", "latpole", "dsun_obs", "hgln_obs", "hglt_obs", "rsun_ref",
)  # fmt: skip
"""Numeric world-coordinate keywords kept a sample, as float64 columns named `wcs_<keyword>`."""

WCS_WORDS = ("ctype1", "ctype2", "cunit1", "cunit2")
"""Textual world-coordinate keywords kept a sample, as columns named `wcs_<keyword>`."""

_SAMPLE_WORDS = (
    "sample_id", "label", "label_source", "region", "origin", "instrument", "observation",
    "time_scale", "time_original", "header",
)  # fmt: skip


def time_encoding() -> dict[str, Any]:
    """Return the one encoding of time in every file: int64 nanoseconds since 1970 (UTC)."""
    return {"units": "nanoseconds since 1970-01-01", "dtype": "int64", "calendar": "standard"}


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
    breaches = [
        f"variable {name!r} is missing or not on {dims}"
        for name, dims in (("intensity", ("y", "x")), ("valid", ("y", "x")))
        if name not in observation or observation[name].dims != dims
    ]
    if not breaches:
        if observation["intensity"].dtype != np.float32:
            breaches.append(f"intensity is {observation['intensity'].dtype}, not float32")
        if observation["valid"].dtype != np.bool_:
            breaches.append(f"valid is {observation['valid'].dtype}, not bool")
        breaches += _unit_breach(observation["intensity"].attrs)
    time = observation.coords.get("time")
    if time is None or time.ndim or time.dtype != np.dtype("datetime64[ns]"):
        breaches.append("time is not a scalar datetime64[ns] coordinate")
    wanted = (
        "observation", "instrument", "region", "origin", "source", "sha256",
        "time_scale", "time_original", "header", "wcs", "scale_mm",
    )  # fmt: skip
    breaches += [
        f"attribute {name!r} is missing" for name in wanted if name not in observation.attrs
    ]
    if observation.attrs.get("origin") not in ("real", "synthetic"):
        breaches.append("origin is neither 'real' nor 'synthetic'")
    return _or_raise(observation, breaches, str(source))


def check_samples(samples: xr.Dataset) -> xr.Dataset:
    """Return the samples unchanged if they keep the vocabulary.

    Samples have, on (sample, y, x): `image` float32 (intensity relative to the quiet Sun, limb
    darkening removed), `segmentation` uint8 (values of `SEGMENTS`, `INVALID` where unknown) and
    `central` bool (the pixels of the labelled structure); and on (sample): `time`, the words
    (`sample_id`, `label`, `label_source`, `region`, ...), `MEASUREMENTS`, `wcs_*` columns.

    Raises
    ------
    SchemaError
        naming every breach at once.
    """
    breaches = []
    for name, kind in (("image", "float32"), ("segmentation", "uint8"), ("central", "bool")):
        if name not in samples or samples[name].dims != ("sample", "y", "x"):
            breaches.append(f"variable {name!r} is missing or not on (sample, y, x)")
        elif samples[name].dtype != np.dtype(kind):
            breaches.append(f"{name} is {samples[name].dtype}, not {kind}")
    columns = (
        "time",
        *_SAMPLE_WORDS,
        *MEASUREMENTS,
        *(f"wcs_{word}" for word in (*WCS_NUMBERS, *WCS_WORDS)),
    )
    for name in columns:
        if name not in samples.variables or samples[name].dims != ("sample",):
            breaches.append(f"column {name!r} is missing or not on (sample,)")
    if not breaches:
        unknown = sorted(set(samples["label"].values.tolist()) - set(LABELS))
        if unknown:
            breaches.append(f"labels {unknown} are not among {LABELS}")
        ids = samples["sample_id"].values
        if len(set(ids.tolist())) != len(ids):
            breaches.append("sample_id is not unique")
    return _or_raise(samples, breaches, "samples")


def observation_wcs(observation: xr.Dataset) -> WCS:
    """Return the celestial world coordinate system of an observation."""
    return WCS(Header.fromstring(observation.attrs["wcs"], sep="\n")).celestial


def sample_wcs_header(samples: xr.Dataset, row: int) -> Header:
    """Return the FITS world-coordinate header of one row of Samples, exact to the last bit."""
    header = Header()
    header["WCSAXES"] = 2
    for word in (*WCS_WORDS, *WCS_NUMBERS):
        value = samples[f"wcs_{word}"].values[row]
        if isinstance(value, str):
            header[word.upper()] = value
        elif np.isfinite(value):
            header[word.upper()] = float(value)
    time = samples["time"].values[row]
    header["DATE-OBS"] = str(time.astype("datetime64[us]"))
    header["MJD-OBS"] = float((time - np.datetime64("1858-11-17")) / np.timedelta64(1, "D"))
    header["TIMESYS"] = "UTC"
    return header


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
    samples = xr.Dataset(
        {
            "image": (("sample", "y", "x"), image, {"units": "1"}),
            "segmentation": (("sample", "y", "x"), segmentation),
            "central": (("sample", "y", "x"), segmentation != QUIET),
        },
        coords={name: ("sample", values) for name, values in columns.items()},
    )
    return check_samples(samples)


def _unit_breach(attrs: Mapping[str, Any]) -> list[str]:
    try:
        u.Unit(attrs["units"])
    except KeyError:
        return ["intensity has no units attribute"]
    except (ValueError, TypeError):
        return [f"intensity has units {attrs['units']!r}, which astropy cannot read"]
    return []


def _or_raise(dataset: xr.Dataset, breaches: list[str], source: str) -> xr.Dataset:
    if breaches:
        raise SchemaError(
            f"{source}: {'; '.join(breaches)}",
            remedy="See the docstrings of solarxai.schema for what a dataset must hold.",
        )
    return dataset
