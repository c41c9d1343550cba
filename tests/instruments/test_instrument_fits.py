"""A FITS file gives one image, or one clear error."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from solar_files import bright_image, hmi_cards, refer, write_image

from solarxai.errors import IngestError
from solarxai.instruments._fits import auxiliary_table, read_plane
from solarxai.instruments._options import Options


def read(path, **options):
    return read_plane(refer(path, **options), Options(**options))


def test_an_image_comes_out_as_native_float32(tmp_path):
    counts = np.array([[1, -2], [300, 32767]], dtype=">i2")
    plane = read(write_image(tmp_path / "a.fits", counts))
    assert plane.values.dtype == np.dtype("float32")
    assert plane.values.dtype.isnative
    assert plane.values.tolist() == [[1, -2], [300, 32767]]


def test_blank_integers_become_nan(tmp_path):
    unit = fits.PrimaryHDU(np.array([[1, -32768], [3, 4]], dtype=np.int16))
    unit.header["BLANK"] = -32768
    unit.header["BSCALE"] = 2.0
    unit.writeto(tmp_path / "a.fits")
    values = read(tmp_path / "a.fits").values
    assert np.isnan(values).tolist() == [[False, True], [False, False]]


def test_the_first_image_is_found_after_an_empty_primary_unit(tmp_path):
    primary = fits.PrimaryHDU()
    primary.header["MISSION"] = "SDO"
    image = fits.CompImageHDU(bright_image())
    image.header["T_OBS"] = "2011.02.15_01:59:54_TAI"
    fits.HDUList([primary, image]).writeto(tmp_path / "a.fits")
    plane = read(tmp_path / "a.fits")
    assert plane.values.shape == (12, 16)
    again = fits.Header.fromstring(plane.text, sep="\n")
    assert (again["T_OBS"], again["MISSION"]) == ("2011.02.15_01:59:54_TAI", "SDO")


def test_every_card_survives_in_the_text(tmp_path):
    cards = hmi_cards(HISTORY="first", OBSERVER="A long name that is longer than it need be " * 3)
    path = write_image(tmp_path / "a.fits", cards=cards)
    again = fits.Header.fromstring(read(path).text, sep="\n")
    written = fits.getheader(path)
    assert [(c.keyword, c.value, c.comment) for c in again.cards] == [
        (c.keyword, c.value, c.comment) for c in written.cards
    ]


def test_cards_against_the_standard_are_mended_and_noted(tmp_path):
    path = write_image(tmp_path / "a.fits", cards=hmi_cards(CRDER1="placeholder"))
    raw = path.read_bytes().replace(b"CRDER1  = 'placeholder'", b"CRDER1  = nan          ")
    path.write_bytes(raw)
    plane = read(path)
    assert plane.notes == ("cards mended to the FITS standard: CRDER1",)
    assert fits.Header.fromstring(plane.text, sep="\n")["CRDER1"].strip() == "nan"


def test_a_malformed_unit_behind_the_image_is_not_read(tmp_path):
    path = write_image(tmp_path / "a.fits")
    path.write_bytes(path.read_bytes() + b"XTENSION= 'TABLE   '".ljust(2880))
    assert read(path).values.shape == (12, 16)


def test_the_unit_can_be_chosen_by_number_or_name(tmp_path):
    units = [fits.PrimaryHDU(bright_image()), fits.ImageHDU(np.eye(3), name="SECOND")]
    fits.HDUList(units).writeto(tmp_path / "a.fits")
    assert read(tmp_path / "a.fits", hdu=1).values.shape == (3, 3)
    assert read(tmp_path / "a.fits", hdu="SECOND").values.shape == (3, 3)
    with pytest.raises(IngestError, match=r"there is no header-data unit 5. Correct option `hdu`"):
        read(tmp_path / "a.fits", hdu=5)


def test_a_unit_without_an_image_is_refused(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column(name="a", format="E", array=[1.0])])
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "a.fits")
    with pytest.raises(IngestError, match="no header-data unit holds an image"):
        read(tmp_path / "a.fits")
    with pytest.raises(IngestError, match="the unit read holds no image"):
        read(tmp_path / "a.fits", hdu=0)


def test_one_frame_of_a_cube_is_read(tmp_path):
    path = write_image(tmp_path / "a.fits", bright_image((3, 4, 5)))
    plane = read(path, frame=2)
    assert (plane.frame, plane.frames) == (2, 3)
    assert np.array_equal(plane.values, bright_image((3, 4, 5))[2])


def test_a_scaled_frame_is_scaled(tmp_path):
    unit = fits.PrimaryHDU(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    unit.header["BSCALE"] = 0.5
    unit.header["BZERO"] = 10
    unit.writeto(tmp_path / "a.fits")
    assert read(tmp_path / "a.fits", frame=1).values[0, 0] == 16.0


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((3, 4, 5), {}, "a cube of 3 frames, and none is chosen. Give option `frame` .0 to 2."),
        ((3, 4, 5), {"frame": 3}, "frame 3 is not among its frames 0 to 2"),
        ((3, 4, 5), {"frame": -1}, "frame -1 is not among"),
        ((4, 5), {"frame": 1}, "frame 1 of a file with one image"),
        ((2, 3, 4, 5), {"frame": 0}, "4 axes"),
    ],
)
def test_a_frame_must_be_one_of_the_cubes(tmp_path, shape, options, said):
    path = write_image(tmp_path / "a.fits", bright_image(shape))
    with pytest.raises(IngestError, match=said):
        read(path, **options)


def test_a_cube_of_one_frame_is_an_image(tmp_path):
    plane = read(write_image(tmp_path / "a.fits", bright_image((1, 4, 5))))
    assert (plane.values.shape, plane.frame) == ((4, 5), None)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.fits").touch()
    with pytest.raises(IngestError, match=r"a.fits: the file is empty. Fetch it again"):
        read(tmp_path / "a.fits")


@pytest.mark.parametrize("content", [b"<html>not found</html>" * 200, b"\x00" * 3000, b"short"])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "a.fits").write_bytes(content)
    with pytest.raises(IngestError, match=r"a.fits: this is not a FITS file"):
        read(tmp_path / "a.fits")


@pytest.mark.parametrize("keep", [2000, 2880, 3000, 3500])
def test_a_truncated_file_is_refused(tmp_path, keep):
    path = write_image(tmp_path / "a.fits")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(IngestError, match=r"a.fits: the file is truncated"):
        read(path)


def test_a_truncated_cube_is_refused(tmp_path):
    path = write_image(tmp_path / "a.fits", bright_image((4, 40, 50)))
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(IngestError, match="the file is truncated"):
        read(path, frame=3)


def test_axes_that_lie_are_found(tmp_path):
    path = write_image(tmp_path / "a.fits")
    lie = path.read_bytes().replace(
        b"NAXIS1  =                   16", b"NAXIS1  =                 9000"
    )
    path.write_bytes(lie)
    with pytest.raises(IngestError, match="truncated"):
        read(path)


def with_card(path, card):
    """Write an image whose card of the same keyword is replaced by these bytes."""
    raw = write_image(path).read_bytes()
    start = raw.index(card[:8])
    path.write_bytes(raw[:start] + card.ljust(80) + raw[start + 80 :])
    return path


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (b"BITPIX  =                   17", "astropy cannot read it: 17. Fetch it again"),
        (b"NAXIS   = 'two     '", "astropy cannot read it"),
        (b"NAXIS1  =                  -16", r"holds no image .its axes are .12, -16"),
        (b"SIMPLE  =                    F", "no header-data unit holds an image"),
    ],
)
def test_a_broken_header_is_refused(tmp_path, card, said):
    with pytest.raises(IngestError, match=f"a.fits: .*{said}"):
        read(with_card(tmp_path / "a.fits", card))


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (b"TELESCOP= '\xff\xfe'", "non-ASCII characters are present"),
        (b"INSTRUME HMI", "header keyword is invalid"),
    ],
)
def test_a_header_with_odd_cards_is_read_and_noted(tmp_path, card, said):
    assert said in "".join(read(with_card(tmp_path / "a.fits", card)).notes)


def test_other_warnings_pass_through(tmp_path, monkeypatch):
    def warned(values):
        warnings.warn("something else", RuntimeWarning, stacklevel=1)
        return values

    monkeypatch.setattr("solarxai.instruments._fits._native", warned)
    path = write_image(tmp_path / "a.fits")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        with pytest.warns(RuntimeWarning, match="something else"):
            read(path)


def test_a_table_of_frames_is_needed_to_read_one(tmp_path):
    path = write_image(tmp_path / "a.fits")
    with pytest.raises(IngestError, match="there is no header-data unit 1"):
        auxiliary_table(refer(path), 1)
    units = [fits.PrimaryHDU(bright_image()), fits.ImageHDU(np.arange(3.0))]
    fits.HDUList(units).writeto(tmp_path / "b.fits")
    with pytest.raises(IngestError, match="unit 1 does not tabulate the frames"):
        auxiliary_table(refer(tmp_path / "b.fits"), 1)
