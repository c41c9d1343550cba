"""A catalog entry's options are checked like keywords."""

from pathlib import Path

import pytest
from solar_files import refer

from solarxai.errors import IngestError
from solarxai.instruments import Thresholds, open_imager, open_instrument
from solarxai.instruments._options import Options
from solarxai.registry import names


def options(**given):
    return Options.of(refer(Path("a.fits"), **given))


def test_options_are_what_the_entry_says():
    assert options(frame=2, hdu="SCI") == Options(frame=2, hdu="SCI")


def test_an_unknown_option_gets_the_nearest_name():
    with pytest.raises(IngestError, match=r"'platescale' is not an option .* mean 'plate_scale'"):
        options(platescale="0.5 arcsec")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"frame": "2"}, "option frame is '2', not int"),
        ({"frame": True}, "option frame is True, not int"),
        ({"hdu": 1.5}, "option hdu is 1.5, not int or str"),
        ({"time": 2013}, "option time is 2013, not str"),
        ({"calibrate": True}, "'calibrate' is not an option of this reader: hdu, frame"),
    ],
)
def test_an_option_of_the_wrong_type_is_refused(given, said):
    with pytest.raises(IngestError, match=said):
        options(**given)


def test_a_plate_scale_is_an_angle():
    assert options(plate_scale="0.5 arcsec").plate_scale_arcsec("a.fits") == 0.5
    assert options(plate_scale="0.01 arcmin").plate_scale_arcsec("a.fits") == pytest.approx(0.6)
    assert options().plate_scale_arcsec("a.fits") is None


@pytest.mark.parametrize("text", ["0.5", "0.5 Mm", "half", "0 arcsec", "-1 arcsec", "1 deg"])
def test_a_plate_scale_without_angle_is_refused(text):
    with pytest.raises(IngestError, match="is not an angle between 0 and 60 arcsec"):
        options(plate_scale=text).plate_scale_arcsec("a.fits")


SPECTROGRAPHS = ("iris_raster", "iris_sji")


@pytest.mark.parametrize("name", names("solarxai.instruments"))
def test_every_instrument_bears_its_files_name(name):
    assert open_instrument(name).name == name


IMAGERS = [
    name for name in names("solarxai.instruments") if name not in ("iris_raster", "iris_sji")
]


@pytest.mark.parametrize("name", IMAGERS)
def test_every_imager_of_the_photosphere_cites_its_thresholds(name):
    instrument = open_imager(name)
    assert isinstance(instrument.segmentation, Thresholds)
    assert 0 < instrument.segmentation.umbra < instrument.segmentation.penumbra < 1
    assert len(instrument.segmentation.source) > 40
    assert isinstance(instrument.limb_darkened, bool)


def test_an_unknown_instrument_gets_the_nearest_name():
    with pytest.raises(IngestError, match=r"'hmi_shrap' is not one of instruments: .*'hmi_sharp'"):
        open_instrument("hmi_shrap")
