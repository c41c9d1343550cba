"""Each IRIS file that cannot be trusted is refused by one error with its name and a remedy."""

import numpy as np
import pytest
from astropy.io import fits
from iris_files import FILL, spectra, write_raster, write_sji
from solar_files import refer

from solarxai.errors import IngestError
from solarxai.ingest import open_observation
from solarxai.instruments import open_instrument

WRITERS = {"iris_raster": write_raster, "iris_sji": write_sji}


def read(path, instrument="iris_raster"):
    return open_instrument(instrument).read(refer(path, instrument))


def refused(path, said, instrument="iris_raster"):
    """Check that reading raises one error that names the file, says this and has a remedy."""
    with pytest.raises(IngestError, match=said) as caught:
        read(path, instrument)
    assert caught.value.what.startswith(f"{path.name}: ")
    assert str(path.parent) not in str(caught.value)
    assert caught.value.remedy.endswith((".", "?"))
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("instrument", WRITERS)
def test_an_empty_file_is_refused(tmp_path, instrument):
    (tmp_path / "a.fits").touch()
    refused(tmp_path / "a.fits", "the file is empty", instrument)


@pytest.mark.parametrize("instrument", WRITERS)
def test_what_is_not_fits_is_refused(tmp_path, instrument):
    (tmp_path / "a.fits").write_text("<html>no such file</html>" * 300)
    refused(tmp_path / "a.fits", "this is not a FITS file", instrument)


@pytest.mark.parametrize("instrument", WRITERS)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, instrument, share):
    path = WRITERS[instrument](tmp_path / "a.fits")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path, "truncated|cut short", instrument)


@pytest.mark.parametrize("instrument", WRITERS)
def test_a_file_cut_between_its_units_is_refused(tmp_path, instrument):
    path = WRITERS[instrument](tmp_path / "a.fits")
    whole = path.read_bytes()
    with fits.open(path) as units:
        starts = [units.fileinfo(number)["hdrLoc"] for number in range(1, len(units))]
    for start in starts:
        path.write_bytes(whole[:start])
        refused(path, "cut short|no table of numbers", instrument)


def test_a_changed_file_is_refused_by_its_checksum(tmp_path):
    path = write_raster(tmp_path / "a.fits")
    reference = refer(path, "iris_raster")
    path.write_bytes(path.read_bytes().replace(b"3860258481", b"3860258482"))
    with pytest.raises(IngestError, match=r"a.fits: its checksum is .* the catalog says .* Fetch"):
        open_observation(reference)


def test_a_raster_read_as_slit_jaw_is_told_its_reader(tmp_path):
    path = write_raster(tmp_path / "a.fits")
    refused(path, "INSTRUME is 'SPEC', .* Read it with the instrument iris_raster", "iris_sji")
    path = write_sji(tmp_path / "b.fits")
    refused(path, "INSTRUME is 'SJI', .* Read it with the instrument iris_sji")


def test_a_file_of_another_instrument_is_refused(tmp_path):
    path = write_raster(tmp_path / "a.fits", cards={"INSTRUME": "HMI"})
    refused(path, "INSTRUME is 'HMI', .* Give an IRIS level 2 file")


def test_a_file_without_the_window_is_refused_with_those_it_has(tmp_path):
    path = write_raster(tmp_path / "a.fits", cards={"TDESC2": "Si IV 1403"})
    refused(path, "no window's TDESC contains 'Mg II k 2796'; it has '1331', 'Si IV 1403'")


def test_a_file_without_windows_is_refused(tmp_path):
    path = write_raster(tmp_path / "a.fits", cards={"NWIN": 0})
    refused(path, "no window's TDESC contains 'Mg II k 2796'; it has none")


def test_a_window_named_twice_is_refused(tmp_path):
    path = write_raster(tmp_path / "a.fits", cards={"TDESC1": "Mg II k 2796"})
    refused(path, "windows 1, 2 all contain 'Mg II k 2796'")


def test_zero_steps_are_refused(tmp_path):
    path = write_raster(tmp_path / "a.fits")
    with fits.open(path) as units:
        made = fits.HDUList([unit.copy() for unit in units])
    made[2] = fits.ImageHDU(header=made[2].header)
    made.writeto(path, overwrite=True)
    refused(path, r"unit 2 holds no data: its axes are \(\)")


@pytest.mark.parametrize("value", [FILL, np.nan, 16183.5])
@pytest.mark.parametrize("instrument", WRITERS)
def test_a_file_of_nothing_but_fill_is_refused(tmp_path, instrument, value):
    values = np.full((3, 6, 633), value, np.float32)
    path = WRITERS[instrument](tmp_path / "a.fits", values)
    refused(path, "every pixel is fill, NaN or saturated", instrument)


def test_a_raster_without_any_exposure_is_refused(tmp_path):
    path = write_raster(tmp_path / "a.fits", columns={"EXPTIMEN": 0.0})
    refused(path, "every exposure is lost")


def test_a_table_with_other_rows_is_refused(tmp_path):
    refused(write_raster(tmp_path / "a.fits", rows=3), "4 steps, but its auxiliary table has 3 row")


def test_a_table_without_a_column_is_refused(tmp_path):
    path = write_raster(tmp_path / "a.fits")
    with fits.open(path, mode="update") as units:
        del units[-2].header["EXPTIMEN"]
    refused(path, "the auxiliary table has no column EXPTIMEN .its header says None, it has 47")


def test_a_time_that_is_missing_is_refused(tmp_path):
    path = write_raster(tmp_path / "a.fits", columns={"TIME": [0.2, np.nan, 18.0, 27.0]})
    refused(path, "exposure 1 has the time nan")


def test_times_that_do_not_increase_are_refused(tmp_path):
    path = write_raster(tmp_path / "a.fits", columns={"TIME": [0.2, 9.0, 8.0, 27.0]})
    refused(path, "exposures 1 and 2 start 9 s and 8 s after STARTOBS: times do not increase")


def test_a_table_without_pointing_is_refused(tmp_path):
    path = write_raster(tmp_path / "a.fits", columns={"PC2_2IX": 0.0, "PC3_2IX": 0.0})
    refused(path, "no row of the auxiliary table says where IRIS pointed")


@pytest.mark.parametrize(
    ("where", "keyword", "value", "said"),
    [
        ("cards", "STEPS_AV", None, "keyword STEPS_AV is missing"),
        ("cards", "FOVY", "wide", "keyword FOVY is 'wide', not a number"),
        ("cards", "FOVY", 0.0, "FOVY is 0, not above zero"),
        ("cards", "TWMIN2", None, "keyword TWMIN2 is missing"),
        ("cards", "TWMAX2", 280.6, "the window does not hold the k line at 2796.352 Angstrom"),
        ("cards", "OBSID", None, "keyword OBSID is missing"),
        ("cards", "STARTOBS", None, "STARTOBS '' is not a time"),
        ("cards", "NWIN", None, "keyword NWIN is missing"),
        ("cards", "DSUN_OBS", 1.0, "DSUN_OBS is 1, not a distance"),
        ("window", "CDELT1", -0.02546, "CDELT1 is -0.02546, not above zero"),
        ("window", "CDELT2", 0.0, "CDELT2 is 0, not above zero"),
        ("window", "CRPIX1", "x", "keyword CRPIX1 is 'x', not a number"),
    ],
)
def test_a_keyword_that_is_missing_or_wrong_is_named(tmp_path, where, keyword, value, said):
    refused(write_raster(tmp_path / "a.fits", **{where: {keyword: value}}), said)


def test_one_pixel_of_wavelength_is_refused(tmp_path):
    cards = {"TWMIN2": 2790.49, "TWMAX2": 2806.58}
    path = write_raster(tmp_path / "a.fits", spectra()[:, :, :1], cards=cards)
    refused(path, "one pixel of wavelength")


@pytest.mark.real_data
@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.7, 0.8, 0.99])
@pytest.mark.parametrize(
    ("folder", "instrument"), [("*_raster/*r00000", "iris_raster"), ("*SJI_2832*", "iris_sji")]
)
def test_a_cut_copy_of_a_real_file_is_refused(real_data, tmp_path, folder, instrument, share):
    source = next((real_data / "iris/20140329_140938_3860258481").glob(f"{folder}.fits"))
    whole = source.read_bytes()
    path = tmp_path / "cut.fits"
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path, "truncated|cut short", instrument)
