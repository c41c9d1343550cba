"""Each instrument turns its own files into Observations."""

import json

import numpy as np
import pytest
import sunpy.map
from astropy.io import fits
from solar_files import bright_image, hmi_cards, refer, write_image

from solarxai.errors import IngestError
from solarxai.instruments import open_instrument
from solarxai.schema import check_observation, observation_wcs


def read(reference):
    return check_observation(open_instrument(reference.instrument).read(reference))


def sharp_cards(**changes):
    cards = {f"CTYPE{k}": f"CRL{a}-CEA" for k, a in ((1, "N"), (2, "T"))}
    cards |= {f"CUNIT{k}": "degree" for k in (1, 2)} | {f"CDELT{k}": 0.03 for k in (1, 2)}
    cards |= {"CRVAL1": 34.9, "CRVAL2": -21.1}
    return hmi_cards(**(cards | changes))


def test_hmi_gives_an_observation_with_utc_time_and_its_whole_header(tmp_path):
    found = read(refer(write_image(tmp_path / "a.fits")))
    assert found["intensity"].shape == (12, 16)
    assert found["intensity"].attrs["units"] == "DN / s"
    assert found["time"].values == np.datetime64("2017-09-05T03:39:45.661", "ns")
    said = found.attrs
    assert (said["time_original"], said["time_scale"]) == ("2017.09.05_03:40:22.661_TAI", "tai")
    assert (said["observation"], said["instrument"], said["quantity"]) == ("a", "hmi", "intensity")
    assert (said["wcs_assumed"], said["limb_darkened"]) == (0, 1)
    assert fits.Header.fromstring(said["header"], sep="\n")["RSUN_OBS"] == 957.06
    assert not any(str(tmp_path) in str(value) for value in said.values())


def test_attributes_can_be_stored_as_json_and_netcdf(tmp_path):
    found = read(refer(write_image(tmp_path / "a.fits")))
    json.dumps(found.attrs)
    found.to_netcdf(tmp_path / "a.nc", engine="netcdf4")


def test_pixels_without_data_are_not_valid(tmp_path):
    values = bright_image()
    values[0, :3] = np.nan, np.inf, -np.inf
    found = read(refer(write_image(tmp_path / "a.fits", values)))
    assert found["valid"].values.sum() == 12 * 16 - 3


def test_hmi_without_t_obs_is_refused_unless_the_entry_gives_the_time(tmp_path):
    path = write_image(tmp_path / "a.fits", cards=hmi_cards(T_OBS=None))
    with pytest.raises(IngestError, match=r"a.fits: keyword T_OBS .* Give `time`"):
        read(refer(path))
    found = read(refer(path, time="2017-09-05T03:40:00"))
    assert found["time"].values == np.datetime64("2017-09-05T03:40:00", "ns")


def test_a_time_option_that_is_no_time_is_refused(tmp_path):
    path = write_image(tmp_path / "a.fits")
    with pytest.raises(IngestError, match="option time 'noon' is not a time"):
        read(refer(path, time="noon"))


@pytest.mark.parametrize("instrument", ["hmi", "generic"])
def test_an_image_without_header_needs_plate_scale_time_and_unit(tmp_path, instrument):
    path = write_image(tmp_path / "a.fits", bright_image((3, 12, 16)), cards={})
    known = {"frame": 2, "time": "2013-05-30T00:24:00", "plate_scale": "0.5 arcsec", "unit": "DN"}
    found = read(refer(path, instrument, **known))
    assert (found.attrs["wcs_assumed"], found.attrs["observation"]) == (1, "a.002")
    assert observation_wcs(found).wcs_pix2world(7.5, 5.5, 0) == [pytest.approx(0)] * 2
    for word, said in (
        ("plate_scale", "CTYPE1 is missing, so its world coordinates are unknown. Give `plate_sc"),
        ("time", "Give `time`"),
        ("unit", "BUNIT is missing"),
        ("frame", "a cube of 3 frames, and none is chosen"),
    ):
        rest = {key: value for key, value in known.items() if key != word}
        with pytest.raises(IngestError, match=said):
            read(refer(path, instrument, **rest))


def test_a_cubes_header_does_not_date_its_frames(tmp_path):
    path = write_image(tmp_path / "a.fits", bright_image((3, 12, 16)))
    with pytest.raises(IngestError, match="does not tell the time of frame 1"):
        read(refer(path, "generic", frame=1))


def test_a_plate_scale_beside_world_coordinates_is_refused(tmp_path):
    path = write_image(tmp_path / "a.fits")
    with pytest.raises(IngestError, match="has world coordinates, and the entry a plate_scale"):
        read(refer(path, plate_scale="0.5 arcsec"))


def test_generic_takes_what_the_header_says(tmp_path):
    path = write_image(tmp_path / "a.fits", cards=hmi_cards(EXPTIME=10.0))
    found = read(refer(path, "generic"))
    assert found["time"].values == np.datetime64("2017-09-05T03:39:50.661", "ns")


def test_sharp_maps_keep_their_grid(tmp_path):
    primary = fits.PrimaryHDU()
    image = fits.CompImageHDU(bright_image())
    image.header.update(sharp_cards())
    fits.HDUList([primary, image]).writeto(tmp_path / "a.fits")
    found = read(refer(tmp_path / "a.fits", "hmi_sharp"))
    assert list(observation_wcs(found).wcs.ctype) == ["CRLN-CEA", "CRLT-CEA"]
    assert found.attrs["scale_mm"] == pytest.approx(0.36442, abs=1e-5)


def test_an_image_as_seen_is_no_sharp_map(tmp_path):
    path = write_image(tmp_path / "a.fits")
    with pytest.raises(IngestError, match="CTYPE1 is 'HPLN-TAN', not on the equal-area grid"):
        read(refer(path, "hmi_sharp"))


def test_mdi_counts_in_arbitrary_units(tmp_path):
    cards = hmi_cards(BUNIT="Arbitrary intensity units", INSTRUME="MDI")
    found = read(refer(write_image(tmp_path / "a.fits", cards=cards), "mdi"))
    assert found["intensity"].attrs["units"] == "1"


SOT = {
    "CTYPE1": "Solar-X", "CTYPE2": "Solar-Y", "CDELT1": 0.16, "CDELT2": 0.16, "CROTA2": 0.412,
    "BUNIT": None, "T_OBS": None, "DATE__OBS": None, "DSUN_OBS": None, "RSUN_OBS": None,
    "DATE_OBS": "2011-02-14T03:04:43.785", "DATE_END": "2011-02-14T03:05:07.936",
}  # fmt: skip


@pytest.mark.parametrize(
    ("observed", "quantity"),
    [("FG blue cont", "intensity"), ("FG MG4 V/I", "magnetic field"), ("FG DG", "velocity")],
)
def test_sot_says_what_it_shows_by_its_observation_type(tmp_path, observed, quantity):
    cards = hmi_cards(**SOT, OBS_TYPE=observed)
    path = write_image(tmp_path / "a.fits", bright_image().astype(">i2"), cards)
    found = read(refer(path, "sot"))
    assert found.attrs["quantity"] == quantity
    assert found["intensity"].attrs["units"] == "DN"
    assert found["time"].values == np.datetime64("2011-02-14T03:04:55.860500", "ns")


def iris_cube(path, *, frames=3, **changes):
    cards = hmi_cards(T_OBS=None, STARTOBS="2023-03-15T04:48:03.600", **changes)
    primary = fits.PrimaryHDU(bright_image((3, 12, 16)), header=fits.Header(cards))
    table = fits.ImageHDU(np.array([[60.0 * k, 10.0 * k, 20.0 * k] for k in range(frames)]))
    table.header.update({"TIME": 0, "XCENIX": 1, "YCENIX": 2})
    fits.HDUList([primary, table]).writeto(path)
    return path


def test_each_frame_of_an_iris_pointing_has_its_own_time_and_place(tmp_path):
    path = iris_cube(tmp_path / "a.fits")
    found = read(refer(path, "hmi_iris", frame=2))
    assert found["time"].values == np.datetime64("2023-03-15T04:50:03.600", "ns")
    assert observation_wcs(found).wcs.crval * 3600 == pytest.approx([20.0, 40.0])
    header = fits.Header.fromstring(found.attrs["header"], sep="\n")
    assert header["CRVAL1"] == 100.0


def test_a_cube_and_its_table_must_agree(tmp_path):
    path = iris_cube(tmp_path / "a.fits", frames=2)
    with pytest.raises(IngestError, match="3 frames, but unit 1 tabulates 2"):
        read(refer(path, "hmi_iris", frame=0))


def test_a_frame_without_time_is_refused(tmp_path):
    path = iris_cube(tmp_path / "a.fits")
    with fits.open(path, mode="update") as units:
        units[1].data[1, 0] = np.nan
    with pytest.raises(IngestError, match="frame 1 has the time nan"):
        read(refer(path, "hmi_iris", frame=1))


def test_a_table_without_legend_is_refused(tmp_path):
    path = iris_cube(tmp_path / "a.fits")
    with fits.open(path, mode="update") as units:
        units[1].header["XCENIX"] = 30
    with pytest.raises(IngestError, match=r"XCENIX of unit 1 does not give a column .it is 30."):
        read(refer(path, "hmi_iris", frame=1))


DATA = {
    "sharp": ("hmi/sharp_ar11158_20110215/hmi.sharp_cea_720s.377.20110215_020000_TAI."
              "continuum.fits", "hmi_sharp", {}),
    "pores": ("hmi/aia_l2_20230315_044803_3660259102_cont.fits", "hmi_iris", {"frame": 2}),
    "mdi": ("mdi/mdi.fd_ic.20101015_230100_TAI.data.fits", "mdi", {}),
    "sot": ("hinode_sot/FGMG4_20110214_030443.7_full.fits", "sot", {}),
    "dkist": ("ground/dkist_photosphere.fits", "generic", {}),
}  # fmt: skip


@pytest.fixture
def real(real_data):
    def opened(word):
        path, instrument, options = DATA[word]
        return read(refer(real_data / path, instrument, **options))

    return opened


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("word", "shape", "time", "unit", "median"),
    [
        ("sharp", (377, 744), "2011-02-15T01:59:20", "DN / s", 61775),
        ("pores", (331, 320), "2023-03-15T08:10:12.800", "DN", 46314),
        ("mdi", (1024, 1024), "2010-10-15T23:00:26", "1", 11607),
        ("sot", (704, 1408), "2011-02-14T03:04:55.860500", "DN", -1),
        ("dkist", (300, 300), "2022-02-25T19:58:59", "ct", 5013.6),
    ],
)
def test_real_files_open_with_their_values(real, word, shape, time, unit, median):
    found = real(word)
    assert found["intensity"].shape == shape
    assert found["time"].values == np.datetime64(time, "ns")
    assert found["intensity"].attrs["units"] == unit
    assert float(np.nanmedian(found["intensity"])) == pytest.approx(median, rel=1e-3)


@pytest.mark.real_data
def test_the_real_mdi_disk_has_no_data_off_the_limb(real):
    assert int((~real("mdi")["valid"]).sum()) == 250556


@pytest.mark.real_data
def test_the_real_sharp_lies_where_sunpy_puts_it(real, real_data):
    found = real("sharp")
    with fits.open(real_data / DATA["sharp"][0]) as units:
        units[1].verify("silentfix")
        original = sunpy.map.Map(units[1].data, units[1].header)
    ours = sunpy.map.Map(
        found["intensity"].values, fits.Header.fromstring(found.attrs["wcs"], sep="\n")
    )
    for name in ("lon", "lat"):
        expected = getattr(original.center, name).deg
        assert getattr(ours.center, name).deg == pytest.approx(expected, abs=1e-12)
    seen, wanted = ours.observer_coordinate, original.observer_coordinate
    assert seen.separation_3d(wanted).to_value("km") < 1.0


@pytest.mark.real_data
def test_the_real_sot_image_turns_as_in_sunpy(real, real_data):
    found = real("sot")
    with fits.open(real_data / DATA["sot"][0]) as units:
        header = fits.Header.fromstring(found.attrs["wcs"], sep="\n")
        observer = {key: header[key] for key in ("HGLN_OBS", "HGLT_OBS", "DSUN_OBS")}
        original = sunpy.map.Map(units[0].data, {**units[0].header} | observer)
    x, y = observation_wcs(found).wcs_pix2world([0.0, 1400.0], [0.0, 700.0], 0)
    expected = original.wcs.wcs_pix2world([0.0, 1400.0], [0.0, 700.0], 0)
    assert x * 3600 == pytest.approx(expected[0] * 3600, abs=1e-9)
    assert y * 3600 == pytest.approx(expected[1] * 3600, abs=1e-9)
