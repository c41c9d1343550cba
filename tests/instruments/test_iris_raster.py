"""An IRIS raster becomes an Observation whose times, places and wavelengths can be trusted."""

import json
import tracemalloc

import astropy.units as u
import numpy as np
import pytest
import scipy.io
from astropy.modeling.models import BlackBody
from iris_files import DISPERSION, FILL, PITCH, profile, spectra, wavelengths, write_raster
from irispy.data import ROOTDIR
from irispy.io.spectrograph import read_spectrograph_lvl2
from irispy.utils import calculate_uncertainty
from irispy.utils.spectrograph import radiometric_calibration
from scipy.interpolate import CubicSpline
from scipy.ndimage import zoom
from solar_files import refer

from solarxai.catalog import Catalog
from solarxai.errors import IngestError
from solarxai.instruments import _iris_noise, _iris_radiance, open_imager, open_instrument
from solarxai.schema import check_raster, observation_wcs

RADIANCE = "W / (m2 sr Angstrom)"
LINES = (2796.352, 2803.530)


def read(path, **options):
    reference = refer(path, "iris_raster", region="NOAA 12017", **options)
    return check_raster(open_instrument("iris_raster").read(reference))


def placed(raster):
    """Return solar x and y of every step and slit pixel by the celestial wcs, arcsec."""
    steps, slits = (np.arange(raster.sizes[dim]) for dim in ("step", "slit"))
    x, y = observation_wcs(raster).wcs_pix2world(*np.meshgrid(steps, slits, indexing="ij"), 0)
    return ((x + 180) % 360 - 180) * 3600, y * 3600


def peak_near(raster, line):
    mean = raster["intensity"].mean(("step", "slit"))
    near = np.flatnonzero(abs(raster["wavelength"].values - line) < 1.5)
    return float(raster["wavelength"][near[np.argmax(mean.values[near])]])


def test_a_raster_is_counts_over_exposure_time(tmp_path):
    raster = read(write_raster(tmp_path / "a_r00000.fits"))
    assert dict(raster.sizes) == {"step": 4, "slit": 6, "wavelength": 633}
    assert raster["intensity"].attrs["units"] == "DN / s"
    np.testing.assert_allclose(raster["intensity"], spectra() / 8.0, rtol=1e-6)
    assert raster["valid"].all()
    assert raster.attrs["notes"] == "no observer's longitude and latitude: those of Earth are taken"


def test_a_raster_says_which_it_is(tmp_path):
    said = read(write_raster(tmp_path / "a_raster_t000_r00007.fits")).attrs
    assert (said["observation"], said["raster"]) == ("20140329_140938_3860258481", 7)
    assert (said["region"], said["instrument"]) == ("NOAA 12017", "iris_raster")
    assert (said["quantity"], said["window"]) == ("spectral radiance", "Mg II k 2796")
    assert (said["time_scale"], said["time_original"]) == ("utc", "2014-03-29T14:09:38.830")
    assert (said["flipped"], said["saturation"], said["calibrated"]) == (0, 0, 0)
    assert not any(str(tmp_path) in str(value) for value in said.values())
    json.dumps(said)


def test_a_file_without_number_in_its_name_has_that_of_its_header(tmp_path):
    path = write_raster(tmp_path / "a.fits", cards={"RASRPT": 13})
    assert read(path).attrs["raster"] == 12
    path = write_raster(tmp_path / "b.fits", cards={"RASRPT": None})
    assert read(path).attrs["raster"] == 0


def test_time_is_the_middle_of_each_exposure(tmp_path):
    raster = read(write_raster(tmp_path / "a.fits", columns={"EXPTIMEN": [8.0, 4.0, 8.0, 2.0]}))
    first = np.datetime64("2014-03-29T14:09:38.830", "ns") + np.timedelta64(170, "ms")
    expected = [first + np.timedelta64(int(1000 * s), "ms") for s in (4, 11.4, 22.8, 29.2)]
    assert (abs(raster["time"].values - np.array(expected)) < np.timedelta64(10, "ns")).all()
    np.testing.assert_array_equal(raster["exposure_time"], [8.0, 4.0, 8.0, 2.0])
    np.testing.assert_allclose(raster["intensity"][1], spectra()[1] / 4.0, rtol=1e-6)


def test_uncertainty_is_photon_noise_and_read_noise(tmp_path):
    values = spectra()
    values[0, 0, :3] = [-20.0, 0.0, 180.0]
    raster = read(write_raster(tmp_path / "a.fits", values))
    expected = np.sqrt(np.array([0.0, 0.0, 180.0]) / 18 + 1.2**2) / 8.0
    np.testing.assert_allclose(raster["uncertainty"][0, 0, :3], expected, rtol=1e-6)
    assert raster["uncertainty"].attrs["units"] == "DN / s"
    assert (raster["uncertainty"] > 0).all()


def test_fill_ringing_and_nan_are_not_valid(tmp_path):
    values = spectra()
    values[0, 0, :4] = [FILL, -240.7, -100.5, np.nan]
    values[0, 0, 4:6] = [-99.0, 0.0]
    raster = read(write_raster(tmp_path / "a.fits", values))
    assert raster["valid"].values[0, 0, :6].tolist() == [False] * 4 + [True] * 2
    for word in ("intensity", "uncertainty"):
        np.testing.assert_array_equal(np.isfinite(raster[word]), raster["valid"])


def test_raw_fill_of_a_scaled_file_is_not_valid(tmp_path):
    values = spectra()
    values[2, 3, 50] = FILL
    raster = read(write_raster(tmp_path / "a.fits", values, scaled=True))
    assert np.argwhere(~raster["valid"].values).tolist() == [[2, 3, 50]]
    np.testing.assert_allclose(raster["intensity"][1, 1], spectra()[1, 1] / 8.0, atol=0.13 / 8)


def test_saturated_pixels_are_counted_and_not_valid(tmp_path):
    values = spectra()
    values[0, 0, 230:233] = [16183.75, np.inf, 16179.0]
    raster = read(write_raster(tmp_path / "a.fits", values))
    assert raster["valid"].values[0, 0, 229:234].tolist() == [True, False, False, True, True]
    assert raster.attrs["saturation"] == 2
    assert "2 saturated pixels (from 16180 DN) are not valid" in raster.attrs["notes"]


@pytest.mark.parametrize("length", [0.0, -1.0, np.nan])
def test_a_step_without_exposure_time_is_not_valid(tmp_path, length):
    raster = read(write_raster(tmp_path / "a.fits", columns={"EXPTIMEN": [8, length, 8, 8]}))
    assert raster["valid"].all(("slit", "wavelength")).values.tolist() == [True, False, True, True]
    assert not raster["valid"][1].any()
    assert np.isnan(raster["intensity"][1]).all()
    assert np.isfinite(raster["intensity"][2]).all()
    assert "1 steps without exposure time are not valid" in raster.attrs["notes"]


def test_a_lost_exposure_takes_its_time_and_place_from_its_neighbours(tmp_path):
    lost = {word: [8.0, 0.0, 8.0, 8.0] for word in ("EXPTIMEN",)}
    lost |= {"TIME": [0.2, 0.0, 20.2, 30.2], "PC2_2IX": [1, 0, 1, 1], "PC3_2IX": 0.0}
    lost |= {"XCENIX": [488, 0, 492, 494], "YCENIX": [280, 0, 281, 280]}
    raster = read(write_raster(tmp_path / "a.fits", columns=lost))
    assert raster["solar_x"].values[1].tolist() == pytest.approx([490.0] * 6)
    assert float(raster["solar_y"][1].mean()) == pytest.approx(280.5)
    since = (raster["time"].values - raster["time"].values[0]) / np.timedelta64(1, "s")
    assert since == pytest.approx([0, 6, 20, 30])
    assert "pointing of 1 exposures interpolated" in raster.attrs["notes"]


@pytest.mark.parametrize(
    ("word", "inside", "noted"),
    [("           0", False, False), ("           1", True, False), (0, False, False),
     ("OUT", False, False), ("IN", True, False), (None, False, False), ("half", True, True)],
)  # fmt: skip
def test_the_anomaly_is_told_for_each_step(tmp_path, word, inside, noted):
    raster = read(write_raster(tmp_path / "a.fits", cards={"SAA": word}))
    assert raster["saa"].values.tolist() == [inside] * 4
    assert ("SAA 'HALF' is not understood" in raster.attrs["notes"]) == noted


@pytest.mark.parametrize("roll", [0.0, 0.01127, np.pi / 4, np.pi / 2, np.pi])
def test_each_pixel_of_the_slit_lies_along_the_rolled_slit(tmp_path, roll):
    raster = read(write_raster(tmp_path / "a.fits", roll=roll))
    along = (np.arange(6) - 2.5) * PITCH
    across = (np.arange(4) - 1.5)[:, None] * 2.0
    x = 490 + across * np.cos(roll) + along * np.sin(roll)
    y = 280 - across * np.sin(roll) + along * np.cos(roll)
    np.testing.assert_allclose(raster["solar_x"], x, atol=1e-9)
    np.testing.assert_allclose(raster["solar_y"], y, atol=1e-9)
    found = placed(raster)
    np.testing.assert_allclose(found[0], x, atol=1e-4)
    np.testing.assert_allclose(found[1], y, atol=1e-4)


def test_sit_and_stare_has_no_singular_coordinates(tmp_path):
    raster = read(write_raster(tmp_path / "a.fits", stepping=0.0))
    wcs = observation_wcs(raster)
    assert wcs.wcs.cdelt * 3600 == pytest.approx([0.33, PITCH])
    assert abs(np.linalg.det(wcs.pixel_scale_matrix * 3600)) == pytest.approx(0.33 * PITCH)
    np.testing.assert_allclose(raster["solar_x"].std("step"), 0, atol=1e-9)
    assert float(raster["solar_x"][0, -1] - raster["solar_x"][0, 0]) == pytest.approx(
        5 * PITCH * np.sin(0.01127)
    )
    assert "sit and stare: a step of wcs is 0.33 arcsec" in raster.attrs["notes"]


def test_a_slit_that_stepped_east_is_put_into_west_increasing_order(tmp_path):
    west = read(write_raster(tmp_path / "west.fits"))
    east = read(write_raster(tmp_path / "east.fits", spectra()[::-1], stepping=-2.0))
    for word in ("intensity", "uncertainty", "valid", "solar_x", "solar_y"):
        np.testing.assert_allclose(east[word], west[word], atol=1e-6)
    np.testing.assert_allclose(placed(east), placed(west), atol=1e-6)
    assert (np.diff(east["time"].values) < np.timedelta64(0)).all()
    assert (east.attrs["flipped"], west.attrs["flipped"]) == (1, 0)
    assert "steps put into west-increasing order" in east.attrs["notes"]


def test_flipping_carries_exposure_times_and_fill_along(tmp_path):
    values = spectra()
    values[0, 2, 5] = FILL
    path = write_raster(
        tmp_path / "a.fits", values, stepping=-2.0, columns={"EXPTIMEN": [2.0, 8, 8, 8]}
    )
    raster = read(path)
    assert np.argwhere(~raster["valid"].values).tolist() == [[3, 2, 5]]
    assert raster["exposure_time"].values.tolist() == [8, 8, 8, 2]
    np.testing.assert_allclose(raster["intensity"][3, 0], spectra()[0, 0] / 2.0, rtol=1e-6)


def test_a_sound_header_gives_the_wavelengths_of_its_cdelt(tmp_path):
    raster = read(write_raster(tmp_path / "a.fits", window={"CRPIX1": 1.5}))
    np.testing.assert_allclose(raster["wavelength"], wavelengths() - DISPERSION / 2, atol=1e-9)
    assert "resampled" not in raster.attrs["notes"]


def zoomed(tmp_path):
    """Write a raster zoomed tenfold along slit and wavelength as the real set is, CDELT left."""
    values = spectra(steps=3, slits=200)
    values[:, :20] = FILL
    values[:, :, :7] = FILL
    small = zoom(values, (1, 0.1, 0.1))
    cards = {"FOVY": 200 * PITCH, "TWMIN2": wavelengths()[0], "TWMAX2": wavelengths()[-1]}
    window = {"CRPIX1": 0.1, "CRPIX2": 10.05}
    return write_raster(tmp_path / "a.fits", small, cards=cards, window=window), small


def test_a_resampled_file_is_read_by_twmin_twmax_and_fovy(tmp_path):
    path, small = zoomed(tmp_path)
    raster = read(path)
    expected = np.linspace(wavelengths()[0], wavelengths()[-1], 63)
    np.testing.assert_allclose(raster["wavelength"], expected, atol=1e-9)
    for line in LINES:
        assert abs(peak_near(raster, line) - line) < expected[1] - expected[0]
    lean = np.cos(0.01127)
    np.testing.assert_allclose(np.diff(raster["solar_y"][0]), 199 / 19 * PITCH * lean, rtol=1e-9)
    notes = raster.attrs["notes"]
    assert "CDELT1 0.02546 puts the window at 2790.51 to 2792.09 Angstrom" in notes
    assert "TWMIN2 and TWMAX2 at 2790.49 to 2806.58: resampled, 0.2595 Angstrom a pixel" in notes
    assert "20 pixels of CDELT2 0.16635 arcsec do not fill FOVY 33.27 arcsec" in notes
    assert not raster["valid"].values[small < -100].any()


def test_no_blend_of_fill_with_counts_is_left_in_a_resampled_file(tmp_path):
    path, small = zoomed(tmp_path)
    raster = read(path)
    clean = zoom(spectra(steps=3, slits=200), (1, 0.1, 0.1))
    kept = raster["valid"].values
    assert ((small > -100) & (abs(small - clean) > 5)).any()
    assert kept.mean() > 0.7
    np.testing.assert_allclose(raster["intensity"].values[kept] * 8, clean[kept], atol=1.0)


def factor_by_hand(wavelength, time):
    """Return W / (m2 sr Angstrom) in one DN / s, from the response file and the equation alone."""
    saved = scipy.io.readsav(ROOTDIR / "iris_sra_c_20231106.geny", python_dict=True)["p0"]
    seconds = (np.datetime64(time) - np.datetime64("1979-01-01")) / np.timedelta64(1, "s")
    spans, coefficients = saved["C_N_TIME"][0], saved["COEFFS_NUV"][0]
    year = 365.25 * 86400
    areas = []
    for each in coefficients:
        row = int(np.flatnonzero((spans[:, 0] <= seconds) & (seconds < spans[:, 1]))[0])
        elapsed = (seconds - spans[row, 0]) / year
        areas.append(each[row, 0] + each[row, 1] * np.exp(each[row, 2] * elapsed))
    area = CubicSpline(saved["C_N_LAMBDA"][0] * 10, areas, bc_type="natural")(wavelength) * 1e-4
    radian = np.pi / 180 / 3600
    photon = 6.62607015e-34 * 299792458 / (wavelength * 1e-10)
    return 18 * photon / (area * 0.33 * radian * PITCH * radian * DISPERSION)


def test_calibration_agrees_with_the_equation_of_the_technical_note(tmp_path):
    path = write_raster(tmp_path / "a.fits")
    rate, radiance = read(path), read(path, calibrate=True)
    unit = u.Unit(radiance["intensity"].attrs["units"])
    assert unit == u.Unit(RADIANCE)
    assert radiance.attrs["calibrated"] == 1
    factor = factor_by_hand(rate["wavelength"].values, "2014-03-29T14:09:43")
    for word in ("intensity", "uncertainty"):
        np.testing.assert_allclose(radiance[word], rate[word] * factor, rtol=2e-3)
        assert radiance[word].attrs["units"] == radiance["intensity"].attrs["units"]
    np.testing.assert_array_equal(radiance["valid"], rate["valid"])


@pytest.mark.filterwarnings("ignore:target cannot be converted to ICRS")
@pytest.mark.filterwarnings("ignore:.*dubious year")
def test_calibration_is_half_of_irispys_which_takes_half_the_slits_width(tmp_path):
    path = write_raster(tmp_path / "a.fits", roll=0.0)
    ours = read(path, calibrate=True)
    (cube,) = read_spectrograph_lvl2([str(path)], spectral_windows=["Mg II k 2796"]).values()
    theirs = radiometric_calibration(cube[0])
    scale = theirs.unit.to(ours["intensity"].attrs["units"])
    np.testing.assert_allclose(ours["intensity"] * 2, theirs.data * scale, rtol=1e-3)


def test_a_missing_response_is_an_error_that_says_so(tmp_path, monkeypatch):
    def absent(_):
        raise FileNotFoundError("no iris_sra_c_20231106.geny")

    monkeypatch.setattr(_iris_radiance, "get_latest_response", absent)
    path = write_raster(tmp_path / "a.fits")
    with pytest.raises(IngestError, match=r"a.fits: irispy lacks its response file .*drop `calib"):
        read(path, calibrate=True)


def test_wavelengths_without_effective_area_are_refused():
    with pytest.raises(IngestError, match=r"a.fits: the effective area is not above zero"):
        _iris_radiance.radiance_factor(
            [2700.0, 2800.0] * u.AA,
            np.datetime64("2014-03-29T00:00:00", "ns"),
            dispersion=DISPERSION * u.AA,
            pitch=PITCH * u.arcsec,
            name="a.fits",
        )


@pytest.mark.parametrize(
    ("option", "said"),
    [({"frame": 1}, "'frame' is not an option of this reader: calibrate"),
     ({"calibrate": "yes"}, "option calibrate is 'yes', not bool"),
     ({"calibrate": 1}, "option calibrate is 1, not bool"),
     ({"calibrat": True}, "Did you mean 'calibrate'")],
)  # fmt: skip
def test_options_a_raster_does_not_take_are_refused(tmp_path, option, said):
    with pytest.raises(IngestError, match=said):
        read(write_raster(tmp_path / "a.fits"), **option)


@pytest.mark.parametrize("name", ["iris_raster", "iris_sji"])
def test_spots_cannot_be_cut_from_iris(name):
    with pytest.raises(IngestError, match=f"'{name}' does not image the photosphere"):
        open_imager(name)


def test_reading_holds_few_copies_of_the_window(tmp_path):
    values = np.broadcast_to(profile(wavelengths()), (8, 400, 633)).astype(np.float32)
    path = write_raster(tmp_path / "a.fits", values, scaled=True)
    read(path)
    tracemalloc.start()
    read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * values.nbytes


def test_uncertainty_is_computed_for_what_is_asked_for(tmp_path, monkeypatch):
    asked = []

    def counted(values, *told):
        asked.append(values.shape)
        return calculate_uncertainty(values, *told)

    monkeypatch.setattr(_iris_noise, "calculate_uncertainty", counted)
    raster = read(write_raster(tmp_path / "a.fits", scaled=True))
    some = raster["uncertainty"].isel(step=slice(1, 3), slit=2)
    assert asked == []
    few = some.values
    assert asked == [(2, 633)]
    np.testing.assert_array_equal(few, raster["uncertainty"].values[1:3, 2])


CATALOG = "iris_ar12017.yaml"


@pytest.fixture
def rasters(real_data, pytestconfig):
    catalog = Catalog.load(
        pytestconfig.rootpath / "data_catalogs" / CATALOG,
        variables={"SOLARXAI_REAL_DATA": str(real_data)},
    )
    return [r for r in catalog.references if r.instrument == "iris_raster"]


@pytest.mark.real_data
def test_none_of_the_thirteen_real_rasters_is_lost(rasters):
    found = [check_raster(open_instrument("iris_raster").read(each)) for each in rasters]
    assert [raster["intensity"].shape for raster in found] == [(8, 109, 63)] * 13
    assert [raster.attrs["raster"] for raster in found] == list(range(13))
    assert {raster.attrs["observation"] for raster in found} == {"20140329_140938_3860258481"}
    times = np.concatenate([raster["time"].values for raster in found])
    assert (np.diff(times) > np.timedelta64(8, "s")).all()
    assert abs(times[0] - np.datetime64("2014-03-29T14:09:43.0")) < np.timedelta64(10, "ms")
    assert times[-1] < np.datetime64("2014-03-29T14:26:00")
    levels = [float(raster["intensity"].median()) for raster in found]
    assert len(set(levels)) == 13


@pytest.mark.real_data
def test_k_and_h_of_the_real_rasters_lie_within_a_pixel_of_their_wavelengths(rasters):
    for each in rasters:
        raster = open_instrument("iris_raster").read(each)
        pixel = float(raster["wavelength"][1] - raster["wavelength"][0])
        assert pixel == pytest.approx(0.25953, abs=1e-5)
        for line in LINES:
            assert abs(peak_near(raster, line) - line) < pixel


@pytest.mark.real_data
def test_the_real_rasters_lie_where_their_headers_say(rasters):
    for each in rasters:
        raster = open_instrument("iris_raster").read(each)
        assert 489.9 < float(raster["solar_x"].mean()) < 494.0
        assert float(raster["solar_y"].mean()) == pytest.approx(280.1, abs=0.2)
        x, y = placed(raster)
        assert abs(x - raster["solar_x"].values).max() < 0.15
        assert abs(y - raster["solar_y"].values).max() < 0.15
        assert float(np.ptp(raster["solar_y"].values[0])) == pytest.approx(181.82, abs=0.02)


@pytest.mark.real_data
def test_the_real_rasters_say_what_was_wrong_with_them(rasters):
    raster = open_instrument("iris_raster").read(rasters[0])
    notes = raster.attrs["notes"]
    assert "CDELT1 0.02546 puts the window at 2790.51 to 2792.09 Angstrom" in notes
    assert "resampled from 1094 pixels, 1.6835 arcsec a pixel used" in notes
    assert float(raster["valid"].mean()) == pytest.approx(0.856, abs=1e-3)
    assert float(raster["intensity"].min()) > 0
    assert raster.attrs["saturation"] == 0
    quiet = float((raster["intensity"] * raster["exposure_time"]).median())
    # Median of the window before it was resampled, by its header's TDMEDN9.
    assert quiet == pytest.approx(57.4551, rel=0.05)


@pytest.mark.real_data
def test_the_real_wings_of_k_have_the_temperature_of_the_photospheres_top(rasters):
    reference = refer(rasters[0].path, "iris_raster", calibrate=True)
    found = open_instrument("iris_raster").read(reference)
    at = found["wavelength"].values * u.AA
    flux = [BlackBody(t * u.K)(at) * u.sr for t in (4400, 5200)]
    model = [each.to_value("W / (m2 Angstrom)", u.spectral_density(at)) for each in flux]
    wings = abs(at.value - 2799.5) < 1.5
    seen = found["intensity"].median(("step", "slit")).values
    assert np.median(model[0][wings]) < np.median(seen[wings]) < np.median(model[1][wings])
    cores = [abs(at.value - line).argmin() for line in LINES]
    assert (seen[cores] > 2 * np.median(seen[wings])).all()
