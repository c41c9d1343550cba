"""Observations painted with discs of known size and place, blurred like HMI, for several tests."""

import json

import numpy as np
import xarray as xr
from astropy.io.fits import Header
from scipy import ndimage

from solarxai.instruments import Thresholds
from solarxai.schema import check_observation

SCALE_MM = 0.366
PSF_PX = 1.05 / 0.504 / 2.3548
HMI = Thresholds(source="tests", psf_fwhm_arcsec=1.05)


def quiet(shape=(160, 160), *, contrast=0.03, seed=0):
    """Granulation: noise of 1.35 Mm scale and a given rms around one."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = ndimage.gaussian_filter(noise, 1.0) - ndimage.gaussian_filter(noise, 2.0)
    return 1 + contrast * smooth / max(smooth.std(), 1e-12)


def paint(image, x, y, radius_mm, level, *, stretch=1.0):
    """Paint a disc (or an ellipse, `stretch` times as wide in x) with 5 by 5 sub-pixels."""
    rows, columns = np.indices(image.shape)
    steps = (np.arange(5) - 2) / 5
    inside = [
        np.hypot((columns + dx - x) / stretch, rows + dy - y) < radius_mm / SCALE_MM
        for dx in steps
        for dy in steps
    ]
    cover = np.mean(inside, axis=0)
    return image * (1 - cover) + level * cover


def blurred(image, psf_px=PSF_PX):
    return ndimage.gaussian_filter(image, psf_px)


def spot(image, x, y, *, radius=8.0, umbra=3.5, core=0.15, penumbra=0.75, stretch=1.0):
    with_penumbra = paint(image, x, y, radius, penumbra, stretch=stretch)
    return paint(with_penumbra, x, y, umbra, core, stretch=stretch)


def wcs_header(**words):
    """A helioprojective grid with its reference pixel at disk centre, unless told otherwise."""
    header = Header()
    defaults = {
        "WCSAXES": 2, "CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN",
        "CUNIT1": "arcsec", "CUNIT2": "arcsec", "CRPIX1": 80.5, "CRPIX2": 80.5,
        "CRVAL1": 0.0, "CRVAL2": 0.0, "CDELT1": 0.504, "CDELT2": 0.504,
        "PC1_1": 1.0, "PC1_2": 0.0, "PC2_1": 0.0, "PC2_2": 1.0,
        "DSUN_OBS": 1.496e11, "RSUN_REF": 6.96e8,
    }  # fmt: skip
    for word, value in (defaults | words).items():
        if value is not None:
            header[word] = value
    return header


def observation(image, *, header=None, truth=None, structures=(), **attrs):
    """An Observation of an image given relative to the quiet Sun, in counts of 60,000."""
    dataset = xr.Dataset(
        {
            "intensity": (("y", "x"), (6e4 * image).astype(np.float32), {"units": "DN / s"}),
            "valid": (("y", "x"), np.isfinite(image)),
        },
        coords={"time": np.datetime64("2014-01-01T12:00:00", "ns")},
        attrs={
            "observation": "painted", "instrument": "hmi", "region": "NOAA 12345",
            "origin": "synthetic", "source": "painted.fits", "sha256": "0" * 64,
            "time_scale": "tai", "time_original": "2014.01.01_12:00:35_TAI",
            "header": "SIMPLE  =                    T",
            "wcs": (header or wcs_header()).tostring(sep="\n"),
            "scale_mm": SCALE_MM, "limb_darkened": 0, **attrs,
        },
    )  # fmt: skip
    if truth is not None:
        for name, fraction in truth.items():
            dataset[f"truth_{name}"] = (("y", "x"), fraction.astype(np.float32))
        dataset.attrs["structures"] = json.dumps(list(structures))
    return check_observation(dataset)


def true_planes(shape, **discs):
    """Area fractions of umbra, penumbra and pore: name=(x, y, inner radius, outer radius) in Mm."""
    planes = {name: np.zeros(shape) for name in ("umbra", "penumbra", "pore")}
    for name, (x, y, inner, outer) in discs.items():
        hole = paint(np.ones(shape), x, y, inner, 0.0) if inner else np.ones(shape)
        planes[name] += (1 - paint(np.ones(shape), x, y, outer, 0.0)) * hole
    return planes
