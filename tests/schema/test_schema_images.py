"""The vocabulary: what passes, and every breach named at once."""

import numpy as np
import pytest
import xarray as xr
from astropy.wcs import WCS

from solarxai import schema
from solarxai.errors import SchemaError


@pytest.fixture
def observation():
    attrs = dict.fromkeys(
        ("observation", "instrument", "region", "source", "sha256", "time_scale", "time_original"),
        "x",
    )
    header = WCS(naxis=2)
    header.wcs.ctype = ["HPLN-TAN", "HPLT-TAN"]
    header.wcs.cunit = ["arcsec", "arcsec"]
    header.wcs.cdelt = [0.5, 0.5]
    return xr.Dataset(
        {
            "intensity": (("y", "x"), np.ones((4, 5), np.float32), {"units": "DN / s"}),
            "valid": (("y", "x"), np.ones((4, 5), bool)),
        },
        coords={"time": np.datetime64("2011-02-14T00:00:00", "ns")},
        attrs={
            **attrs, "origin": "real", "header": "", "scale_mm": 0.36,
            "wcs": header.to_header().tostring(sep="\n"),
        },
    )  # fmt: skip


def test_a_sound_observation_comes_back_unchanged(observation):
    assert schema.check_observation(observation) is observation


def test_an_observation_without_variables_is_refused_by_name():
    with pytest.raises(SchemaError, match=r"'intensity' is missing.*'valid' is missing.*time is"):
        schema.check_observation(xr.Dataset())


def test_every_breach_of_an_observation_is_named_at_once(observation):
    observation["intensity"] = observation["intensity"].astype(float).assign_attrs(units="furlong!")
    observation["valid"] = observation["valid"].astype(int)
    observation.attrs.update(origin="dreamt", source="f.fits")
    del observation.attrs["region"]
    with pytest.raises(SchemaError) as caught:
        schema.check_observation(observation)
    for part in (
        "f.fits: ", "intensity is float64", "valid is int64", "'furlong!'", "attribute 'region'",
        "neither 'real' nor 'synthetic'",
    ):  # fmt: skip
        assert part in str(caught.value)


def test_an_intensity_without_units_is_refused(observation):
    del observation["intensity"].attrs["units"]
    with pytest.raises(SchemaError, match="intensity has no units"):
        schema.check_observation(observation)


def test_the_celestial_wcs_of_an_observation_is_read_back(observation):
    wcs = schema.observation_wcs(observation)
    assert list(wcs.wcs.ctype) == ["HPLN-TAN", "HPLT-TAN"]
    np.testing.assert_allclose(wcs.proj_plane_pixel_scales()[0].to_value("arcsec"), 0.5)


def test_mock_samples_pass_and_have_both_classes():
    samples = schema.check_samples(schema.mock_samples(8))
    assert samples["label"].values.tolist() == ["sunspot", "pore"] * 4
    spot, pore = samples["segmentation"].values[:2]
    assert (spot == schema.PENUMBRA).any()
    assert not (pore == schema.PENUMBRA).any()
    assert (pore == schema.PORE).any()


def test_the_same_seed_gives_the_same_mock_samples():
    assert schema.mock_samples(4, seed=1).identical(schema.mock_samples(4, seed=1))
    assert not schema.mock_samples(4, seed=1).identical(schema.mock_samples(4, seed=2))


def test_every_breach_of_samples_is_named_at_once():
    samples = schema.mock_samples(4).drop_vars(["region", "wcs_crpix1"])
    samples["image"] = samples["image"].astype(float)
    del samples["central"]
    with pytest.raises(SchemaError) as caught:
        schema.check_samples(samples)
    for part in (
        "image is float64", "'central' is missing", "column 'region'", "column 'wcs_crpix1'"
    ):  # fmt: skip
        assert part in str(caught.value)


def test_unknown_labels_and_repeated_identifiers_are_refused():
    samples = schema.mock_samples(4)
    samples["label"].values[0] = "faculae"
    samples["sample_id"].values[1] = samples["sample_id"].values[2]
    with pytest.raises(SchemaError, match=r"\['faculae'\] are not among.*sample_id is not unique"):
        schema.check_samples(samples)


def test_a_rows_wcs_header_is_exact_to_the_last_bit():
    samples = schema.mock_samples(3)
    header = schema.sample_wcs_header(samples, 2)
    assert header["CRVAL1"] == samples["wcs_crval1"].values[2]
    assert header["CTYPE1"] == "HPLN-TAN"
    assert header["DATE-OBS"].startswith("2014-01-01T00:24:00")
    world = WCS(header).pixel_to_world_values(header["CRPIX1"] - 1, header["CRPIX2"] - 1)
    np.testing.assert_allclose(np.array(world) * 3600, [header["CRVAL1"], header["CRVAL2"]])


def test_undefined_wcs_numbers_are_left_out_of_the_header():
    samples = schema.mock_samples(1)
    samples["wcs_dsun_obs"].values[0] = np.nan
    assert "DSUN_OBS" not in schema.sample_wcs_header(samples, 0)


def test_time_is_whole_nanoseconds():
    assert schema.time_encoding()["dtype"] == "int64"
