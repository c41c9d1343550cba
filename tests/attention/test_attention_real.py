"""Real rasters and slit-jaw images of AR 12017: the slit lies on the images, the flare is seen."""

import astropy.units as u
import numpy as np
import pytest

from solarxai import attention
from solarxai.catalog import Reference
from solarxai.instruments import open_instrument
from solarxai.provenance import file_hash
from solarxai.spectrograms import cut

RUN = "20140329_140938_3860258481"


def opened(path, instrument):
    reference = Reference(
        path=path, name=path.name, sha256=file_hash(path), instrument=instrument,
        region="NOAA 12017", origin="real",
    )  # fmt: skip
    return open_instrument(instrument).read(reference)


@pytest.fixture(scope="module")
def raster(real_data):
    name = f"iris_l2_{RUN}_raster"
    return cut(opened(real_data / "iris" / RUN / name / f"{name}_t000_r00004.fits", "iris_raster"))


@pytest.fixture(scope="module")
def movie(real_data):
    return opened(real_data / "iris" / RUN / f"iris_l2_{RUN}_SJI_1400_t000.fits", "iris_sji")


@pytest.mark.real_data
def test_every_slit_of_a_real_raster_is_on_the_slit_jaw_images(raster, movie):
    for row in range(raster.sizes["sample"]):
        world = attention.slit_world(raster, row)
        centre = raster["solar_x"].values[row], raster["solar_y"].values[row]
        assert np.hypot(*(world - np.array(centre)[:, None])).min() < 0.5
        curves = attention.light_curves(movie, world, at=raster["time"].values[row])
        lost = np.isnan(curves.values).all(axis=1)
        assert np.isfinite(curves.values[~lost][:, 10:100]).mean() > 0.98


@pytest.mark.real_data
def test_the_x_class_flare_is_the_brightest_moment_beside_the_slit(raster, movie):
    world = attention.slit_world(raster, 4)
    curves = attention.light_curves(movie, world, at=raster["time"].values[4])
    brightest = movie["time"].values[np.nan_to_num(curves.values).max(axis=1).argmax()]
    first, last = np.datetime64("2014-03-29T17:35"), np.datetime64("2014-03-29T17:54:20")
    assert first <= brightest <= last


@pytest.mark.real_data
def test_the_statement_can_be_computed_for_the_real_flare(raster, movie):
    onset = np.full(raster.sizes["sample"], "2014-03-29T17:35:00", dtype=object)
    samples = raster.assign_coords(flare_onset=("sample", onset))
    bright = attention.slit_agreement(samples, {RUN: movie}, "image", lasting=20 * u.min)
    (one,) = bright.meetings
    assert (one.reason, one.exposures) == ("", 8)
    assert one.frames >= 3
    assert 0 < one.missing < 0.2
    assert 50 < one.brightening < 120
    assert np.isnan(bright.fraction.low)
