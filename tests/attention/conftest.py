"""Spectrograms with planted maps, and slit-jaw images that brighten where they are told to."""

import numpy as np
import pytest
import xarray as xr
from astropy.wcs import WCS

from solarxai.schema import mock_spectrograms


@pytest.fixture
def exposures():
    """Return 32 exposures of four regions, slits of 12; the last position was dropped."""
    return mock_spectrograms(32, slits=12, length=240)


@pytest.fixture
def with_maps():
    """Return a function that puts maps (wavelength,) or (sample, slit, wavelength) on samples."""

    def put(samples, values, name="gradient"):
        whole = np.broadcast_to(values, samples["image"].shape)
        maps = np.where(np.isnan(samples["image"].values), np.nan, whole).astype(np.float32)
        return samples.assign({name: (samples["image"].dims, maps, {"units": "logit"})})

    return put


@pytest.fixture
def slit_jaw():
    """Return a function that makes a movie whose brightest place of all is given in arcsec."""

    def make(start, minutes, *, bright, size=61, scale=0.33, centre=(7.0, 0.0)):
        frames = 2 * minutes + 1
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.cunit = ("HPLN-TAN", "HPLT-TAN"), ("arcsec", "arcsec")
        wcs.wcs.cdelt, wcs.wcs.crval, wcs.wcs.crpix = (scale, scale), centre, [(size + 1) / 2] * 2
        y, x = (np.mgrid[:size, :size] - (size - 1) / 2) * scale
        spot = np.exp(-0.5 * ((x - bright[0] + centre[0]) ** 2 + (y - bright[1] + centre[1]) ** 2))
        flash = 1 + 20 * np.exp(-0.5 * ((np.arange(frames) - frames // 2) / 3) ** 2)
        time = np.datetime64(start, "ns") + np.arange(frames) * np.timedelta64(30, "s")
        return xr.Dataset(
            {
                "intensity": (
                    ("frame", "y", "x"),
                    (10 + flash[:, None, None] * spot).astype(np.float32),
                    {"units": "DN / s"},
                )
            },
            coords={"time": ("frame", time)},
            attrs={"wcs": wcs.to_header().tostring(sep="\n"), "source": "movie.fits"},
        )

    return make
