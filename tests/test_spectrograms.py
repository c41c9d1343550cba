"""Rasters cut into spectrograms: accounted for, labelled, placed; and spectra taken from them."""

import json

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from astropy.wcs import WCS

from solarxai import spectra, spectrograms
from solarxai.blocks import counts
from solarxai.errors import SchemaError
from solarxai.events import LabelRule, read_swpc
from solarxai.schema import check_raster, check_samples, mock_samples, sample_wcs_header

STEPS, SLITS = 4, 10


def profile(wavelength, shift=0.0):
    """Return a spectrum in DN/s with k a little above h and a low pseudo-continuum."""
    made = np.full(len(wavelength), 4.0)
    for centre, height in ((2796.352, 100.0), (2803.530, 85.0)):
        made += height * np.exp(-0.5 * ((wavelength - centre - shift) / 0.25) ** 2)
    return made


@pytest.fixture
def raster():
    wavelength = np.arange(2790.5, 2806.6, 0.0509)
    intensity = np.tile(profile(wavelength), (STEPS, SLITS, 1)).astype(np.float32)
    valid = np.ones(intensity.shape, dtype=bool)
    valid[0, 0, 150] = False  # missing
    intensity[1, 2] *= 0.001  # underexposed
    header = WCS(naxis=2)
    header.wcs.ctype = ["HPLN-TAN", "HPLT-TAN"]
    header.wcs.cunit = ["arcsec", "arcsec"]
    header.wcs.crpix = [1.0, 5.5]
    header.wcs.cdelt = [2.0, 0.33]
    header.wcs.crval = [480.0, 280.0]
    place = np.arange(STEPS)[:, None] * 2.0 + 480 + np.zeros(SLITS)
    start = np.datetime64("2014-03-29T14:10:00", "ns")
    attrs = dict.fromkeys(("source", "sha256", "time_scale", "time_original", "header"), "x")
    return check_raster(
        xr.Dataset(
            {
                "intensity": (("step", "slit", "wavelength"), intensity, {"units": "DN / s"}),
                "uncertainty": (("step", "slit", "wavelength"), np.ones_like(intensity)),
                "valid": (("step", "slit", "wavelength"), valid),
            },
            coords={
                "time": ("step", start + np.arange(STEPS) * np.timedelta64(9, "m")),
                "exposure_time": ("step", np.full(STEPS, 8.0)),
                "saa": ("step", np.arange(STEPS) == 3),
                "solar_x": (("step", "slit"), place),
                "solar_y": (("step", "slit"), np.full((STEPS, SLITS), 280.0)),
                "wavelength": ("wavelength", wavelength, {"units": "Angstrom"}),
            },
            attrs=attrs
            | {
                "observation": "20140329_141000_1", "instrument": "iris_raster",
                "region": "NOAA 12017", "origin": "real", "raster": 7, "flipped": 0,
                "wcs": header.to_header().tostring(sep="\n"),
            },
        )
    )  # fmt: skip


@pytest.fixture
def flares(tmp_path):
    columns = (
        "date,event_no,start_time,max_time,end_time,goes_sat,goes_channel,goes_class_ind,"
        "goes_class,integrated_flux,noaa_ar,ts"
    )
    rows = [
        "0,20140320,1,1000,1010,1020,G15,1-8A,C,C1.0,1.0E-03,12000,201403201000",
        "1,20140329,2,1444,1450,1500,G15,1-8A,C,C3.3,1.0E-03,12017,201403291444",
        "2,20140410,3,1000,1010,1020,G15,1-8A,C,C1.0,1.0E-03,12000,201404101000",
    ]
    path = tmp_path / "flares.csv"
    path.write_text("\n".join([columns, *rows]) + "\n")
    return read_swpc(path)


def test_every_spectrum_is_kept_or_dropped_for_a_named_reason(raster):
    samples = spectrograms.cut(raster)
    tally = counts(samples)
    dropped = {k: n for k, n in tally.items() if k.startswith("dropped")}
    assert dropped == {"dropped, missing": 1, "dropped, underexposed": 1, "dropped, saa": SLITS}
    assert tally["spectra"] == STEPS * SLITS == tally["kept spectra"] + sum(dropped.values())
    assert tally["exposures without a spectrum"] == 1
    assert samples.sizes == {"sample": STEPS - 1, "slit": SLITS, "wavelength": 240}


def test_kept_spectra_have_the_maximum_one_and_dropped_ones_no_value(raster):
    samples = check_samples(spectrograms.cut(raster))
    kept = samples["quality"].values == 0
    image = samples["image"].values
    np.testing.assert_array_equal(image[kept].max(axis=1), 1.0)
    assert np.isnan(image[~kept]).all()
    np.testing.assert_allclose(samples["peak"].values[kept], 104.0, rtol=0.01)
    assert np.isnan(samples["peak"].values[~kept]).all()


def test_lines_stay_where_they_are(raster):
    samples = spectrograms.cut(raster)
    mean = np.nanmean(samples["image"].values, axis=(0, 1))
    wavelength = samples["wavelength"].values
    for rest in (2796.352, 2803.530):
        near = np.abs(wavelength - rest) < 1
        weight = mean[near] - mean[near].min()
        assert abs((weight * wavelength[near]).sum() / weight.sum() - rest) < 0.01


def test_the_native_grid_is_the_instruments_own(raster):
    samples = spectrograms.cut(raster, grid="native")
    own = raster["wavelength"].values
    assert np.isin(samples["wavelength"].values, own).all()
    assert samples.attrs["grid"] == "native"


def test_steps_of_the_cleaning_can_be_switched_off(raster):
    samples = spectrograms.cut(raster, cleaning=spectra.Cleaning(saa=False, underexposed=None))
    tally = counts(samples)
    assert tally["kept spectra"] == STEPS * SLITS - 1
    assert tally["exposures without a spectrum"] == 0


def test_exposures_are_labelled_by_the_flares_that_follow(raster, flares):
    samples = spectrograms.cut(
        raster, cleaning=spectra.Cleaning(saa=False), flares=flares, rule=LabelRule(window=25.0)
    )
    assert samples["label"].values.tolist() == ["ambiguous", "preflare", "preflare", "preflare"]
    assert set(samples["flare_class"].values[1:]) == {"C3.3"}
    assert pd.Timestamp(samples["flare_onset"].values[1]) == pd.Timestamp("2014-03-29T14:44")
    assert "SWPC" in samples["label_source"].values[0]
    assert counts(samples)["preflare exposures"] == 3


def test_without_a_flare_list_every_exposure_is_ambiguous(raster):
    samples = spectrograms.cut(raster)
    assert set(samples["label"].values) == {"ambiguous"}
    assert set(samples["label_source"].values) == {"no flare list"}


def test_an_exposure_keeps_its_place_on_the_sun(raster):
    samples = spectrograms.cut(raster)
    world = WCS(sample_wcs_header(samples, 2)).pixel_to_world(0, 4.5)
    x, y = samples["solar_x"].values[2], samples["solar_y"].values[2]
    np.testing.assert_allclose([world.Tx.to_value(u.arcsec), world.Ty.to_value(u.arcsec)], [x, y],
                               atol=0.01)  # fmt: skip
    assert samples["sample_id"].values[2] == "20140329_141000_1-r00007-s0002"


def test_spectra_carry_the_columns_of_their_exposure(raster, flares):
    samples = spectrograms.cut(raster, flares=flares)
    flat = check_samples(spectrograms.flatten(samples))
    assert flat.sizes["sample"] == counts(samples)["kept spectra"]
    row = 12
    exposure = int(np.flatnonzero(samples["sample_id"].values == flat["exposure"].values[row])[0])
    slit = int(flat["slit"].values[row])
    np.testing.assert_array_equal(flat["image"][row], samples["image"][exposure, slit])
    assert flat["label"].values[row] == samples["label"].values[exposure]
    assert flat["peak"].values[row] == samples["peak"].values[exposure, slit]
    assert flat["sample_id"].values[row] == f"{flat['exposure'].values[row]}-y{slit:04d}"
    assert json.loads(flat.attrs["counts"]) == counts(samples)


def test_maps_are_flattened_with_their_spectra(raster):
    samples = spectrograms.cut(raster)
    maps = samples.assign(gradient=samples["image"] * 3)
    flat = spectrograms.flatten(maps)
    np.testing.assert_array_equal(flat["gradient"], flat["image"] * 3)


def test_patches_are_no_spectrograms():
    with pytest.raises(SchemaError, match="taken from spectrograms"):
        spectrograms.flatten(mock_samples(2))
