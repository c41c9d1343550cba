"""Times become UTC at mid-exposure."""

import numpy as np
import pytest
from astropy.io.fits import Header

from solarxai.errors import IngestError
from solarxai.instruments._time import exposure_middle, mid_exposure_keyword, parse_instant


def parse(text, **options):
    return parse_instant(text, keyword="T_OBS", name="a.fits", **options)


def test_tai_is_37_seconds_ahead_of_utc_in_2017():
    found = parse("2017.09.05_03:40:22.661_TAI")
    assert found.utc == np.datetime64("2017-09-05T03:39:45.661", "ns")
    assert found.utc.dtype == np.dtype("datetime64[ns]")
    assert (found.original, found.scale) == ("2017.09.05_03:40:22.661_TAI", "tai")


def test_tai_is_34_seconds_ahead_of_utc_in_2011():
    assert parse("2011.02.15_01:59:54_TAI").utc == np.datetime64("2011-02-15T01:59:20", "ns")


@pytest.mark.parametrize(
    "text",
    [
        "2011-02-15T01:59:20",
        "2011-02-15T01:59:20.000Z",
        "2011-02-15 01:59:20 UTC",
        "2011.02.15_01:59:20_UTC",
        "2011.02.15_01:59:20_Z",
        "2011-02-15T01:59:54 TAI",
        "2011-02-15T02:00:26.184 TT",
    ],
)
def test_all_spellings_mean_the_same_moment(text):
    assert parse(text).utc == np.datetime64("2011-02-15T01:59:20", "ns")


def test_minutes_are_enough():
    assert parse("2011-02-15T01:59").utc == np.datetime64("2011-02-15T01:59:00", "ns")


def test_the_scale_of_a_text_that_names_none_is_given():
    assert parse("2011-02-15T01:59:54", scale="tai").utc == np.datetime64(
        "2011-02-15T01:59:20", "ns"
    )


def test_a_year_without_known_leap_seconds_is_no_warning():
    assert parse("2090-01-01T00:00:00").utc == np.datetime64("2090-01-01T00:00:00", "ns")


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2011-02-15", "2011-13-01T00:00:00", "2011-02-30T00:00:00",
     "0000-00-00T00:00:00", "1850-01-01T00:00:00", "2011.02.15_01:59:54_MOON", None, 20110215.0],
)  # fmt: skip
def test_what_is_no_time_is_refused(text):
    with pytest.raises(IngestError, match=r"a.fits: T_OBS .* is not a time between 1960 and 2100"):
        parse(text)


def test_a_missing_mid_exposure_keyword_is_named():
    with pytest.raises(IngestError, match=r"keyword T_OBS .* is missing. Give `time`"):
        mid_exposure_keyword(Header(), "T_OBS", name="a.fits")


def middle(**cards):
    return exposure_middle(
        Header({k.replace("__", "-"): v for k, v in cards.items()}), name="a.fits"
    )


def test_the_middle_lies_halfway_from_start_to_end():
    found = middle(DATE_OBS="2011-02-14T03:04:43.785", DATE_END="2011-02-14T03:05:07.936")
    assert found.utc == np.datetime64("2011-02-14T03:04:55.860500", "ns")
    assert found.original == "2011-02-14T03:04:43.785"


def test_the_middle_lies_half_an_exposure_after_the_start():
    found = middle(DATE__OBS="2011-02-14T03:04:43", EXPTIME=0.2)
    assert found.utc == np.datetime64("2011-02-14T03:04:43.100", "ns")


def test_an_average_date_comes_first():
    found = middle(DATE__AVG="2020-01-01T00:00:10", DATE__BEG="2020-01-01T00:00:00", TIMESYS="TAI")
    assert found.utc == np.datetime64("2019-12-31T23:59:33", "ns")
    assert found.scale == "tai"


def test_an_unknown_exposure_is_noted():
    found = middle(DATE__OBS="2011-02-14T03:04:43", EXPTIME="unknown")
    assert found.utc == np.datetime64("2011-02-14T03:04:43", "ns")
    assert found.note == "length of the exposure unknown: time is its start"


def test_a_header_without_time_is_refused():
    with pytest.raises(IngestError, match="keyword DATE-OBS is missing"):
        middle(DATE="2011-02-14T03:04:43")


def test_an_end_before_the_start_is_refused():
    with pytest.raises(IngestError, match="DATE-END 2011-02-14T03:00:00 comes before the start"):
        middle(DATE__OBS="2011-02-14T03:04:43", DATE__END="2011-02-14T03:00:00")
