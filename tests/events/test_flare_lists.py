"""SWPC lists: every quirk of the two real files is read, and nothing is lost in silence."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from solarxai.errors import IngestError
from solarxai.events import FlareList, read_swpc
from solarxai.events._names import full_number, peak_flux, region_number
from solarxai.events.flares import flare_table
from solarxai.provenance import file_hash

CLOCK = "date,event_no,start_time,max_time,end_time,goes_sat,goes_class,noaa_ar"
FIRST = "0,20100102,4300,0709,0724,0740,G14,C1.0,11039"


def written(folder, *rows, header=CLOCK):
    path = folder / "list.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def moment(text):
    return pd.Timestamp(text)


def only(folder, row):
    """Return the one flare of a row and what was odd about it."""
    flares = read_swpc(written(folder, row))
    assert len(flares.table) == 1
    return flares.table.iloc[0], dict(flares.quirks)


def test_times_of_day_belong_to_the_date(tmp_path):
    flare, quirks = only(tmp_path, FIRST)
    assert flare["start"] == moment("2010-01-02 07:09")
    assert flare["peak"] == moment("2010-01-02 07:24")
    assert flare["end"] == moment("2010-01-02 07:40")
    assert (flare["goes_class"], flare["region"], flare["event"]) == ("C1.0", 11039, 4300)
    assert flare["peak_flux"] == pytest.approx(1e-6)
    assert quirks == {}


def test_columns_have_the_promised_types(tmp_path):
    table = read_swpc(written(tmp_path, FIRST)).table
    assert [str(table[name].dtype) for name in table] == [
        *["datetime64[ns]"] * 3,
        "object",
        "float64",
        "int64",
        "int64",
    ]


def test_peak_and_end_after_midnight_are_of_the_next_day(tmp_path):
    flare, quirks = only(tmp_path, "0,20210808,9660,2346,0004,0017,G16,C1.3,12853")
    assert flare["peak"] == moment("2021-08-09 00:04")
    assert flare["end"] == moment("2021-08-09 00:17")
    assert quirks == {"peak after midnight": 1, "end after midnight": 1}


def test_a_full_timestamp_that_kept_the_date_of_the_onset_is_put_right(tmp_path):
    row = "0,20140626,6420,2014-06-26 21:45:00,0114,2014-06-26 03:22:00,G15,C1.6,0"
    flare, quirks = only(tmp_path, row)
    assert flare["end"] == moment("2014-06-27 03:22")
    assert flare["peak"] == moment("2014-06-27 01:14")
    assert quirks["end after midnight"] == 1


def test_an_unknown_peak_is_not_a_time(tmp_path):
    flare, quirks = only(tmp_path, "0,20110411,7360,2340,////,0003,G15,C2.5,11190")
    assert flare["peak"] is pd.NaT
    assert quirks == {"peak unknown": 1, "end after midnight": 1}


def test_an_end_that_would_make_the_flare_last_half_a_day_is_not_believed(tmp_path):
    flare, quirks = only(tmp_path, "0,20110411,7360,1000,1005,0930,G15,C2.5,11190")
    assert flare["end"] is pd.NaT
    assert quirks == {"end not within 12 h of the onset": 1}


def test_a_flare_of_no_duration_ends_when_it_begins(tmp_path):
    flare, quirks = only(tmp_path, "0,20110411,7360,1000,1000,1000,G15,C2.5,11190")
    assert flare["end"] == flare["peak"] == flare["start"]
    assert quirks == {}


def test_a_peak_after_the_end_is_kept_and_told(tmp_path):
    flare, quirks = only(tmp_path, "0,20000916,9160,1022,1034,1031,GO8,C5.9,9165")
    assert flare["peak"] > flare["end"]
    assert quirks == {"peak after the end": 1}


@pytest.mark.parametrize("region", ["", "     ", "0"])
def test_an_empty_region_is_unknown(tmp_path, region):
    flare, quirks = only(tmp_path, FIRST.replace("11039", region))
    assert flare["region"] == 0
    assert quirks == {"region unknown": 1}


@pytest.mark.parametrize(
    ("number", "day", "full"),
    [
        (7986, "19960825", 7986),
        (9999, "20020620", 9999),
        (5, "20020620", 10005),
        (2017, "20140329", 12017),
        (9900, "20030801", 19900),
        (12017, "20140329", 12017),
    ],
)
def test_regions_are_counted_beyond_9999(tmp_path, number, day, full):
    flare, quirks = only(tmp_path, f"0,{day},1,0709,0724,0740,G14,C1.0,{number}")
    assert flare["region"] == full
    assert quirks.get("region modulo 10000", 0) == (number != full)


@pytest.mark.parametrize(
    ("text", "spelled", "flux", "quirk"),
    [
        ("X1.0", "X1.0", 1e-4, {}),
        ("M2.6", "M2.6", 2.6e-5, {}),
        ("B9.1", "B9.1", 9.1e-7, {}),
        ("A2.0", "A2.0", 2e-8, {}),
        ('"C6,2"', "C6.2", 6.2e-6, {"class with a comma": 1}),
        ("X17.", "X17.0", 1.7e-3, {"class without a decimal": 1}),
        ("X20 ", "X20.0", 2e-3, {"class without a decimal": 1}),
        ("C   ", "C", np.nan, {"class without a figure": 1}),
    ],
)
def test_classes_are_spelled_one_way_and_give_the_flux(tmp_path, text, spelled, flux, quirk):
    flare, quirks = only(tmp_path, FIRST.replace("C1.0", text))
    assert flare["goes_class"] == spelled
    assert flare["peak_flux"] == pytest.approx(flux, nan_ok=True)
    assert quirks == quirk


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("1,2010010,1,0709,0724,0740,G14,C1.0,11039", "line 3: .*2010010"),
        ("1,20100102,1,2561,0724,0740,G14,C1.0,11039", "line 3: .*2561"),
        ("1,20100102,1,////,0724,0740,G14,C1.0,11039", "onset '////' is not on its date"),
        ("1,20100102,1,2010-01-03 07:09:00,0724,0740,G14,C1.0,1", "is not on its date"),
        ("1,20100102,1,0709,0724,0740,G14,D1.0,11039", "'D1.0' is not a GOES class"),
        ("1,20100102,1,0709,0724,0740,G14,C10.0,11039", "C goes from 1.0 to 9.9"),
        ("1,20100102,1,0709,0724,0740,G14,C1.0,new", "line 3: .*new"),
        ("1,20100102,1,0709,0724", "5 fields, not 8"),
    ],
)
def test_a_malformed_row_is_told_with_its_line(tmp_path, row, said):
    flares = read_swpc(written(tmp_path, FIRST, row))
    assert len(flares.table) == 1
    (sentence,) = flares.malformed
    assert pd.Series([sentence]).str.contains(said, regex=True).all()
    assert sentence.startswith("list.csv, line 3: ")
    assert sentence.endswith(f"in {row!r}")


def test_a_list_without_a_sound_row_is_refused(tmp_path):
    with pytest.raises(IngestError, match=r"list.csv: none of its 1 rows can be read: .*D1.0"):
        read_swpc(written(tmp_path, FIRST.replace("C1.0", "D1.0")))


def test_a_table_of_something_else_is_refused(tmp_path):
    with pytest.raises(IngestError, match=r"list.csv: has no column event_no, .* only date, x"):
        read_swpc(written(tmp_path, "1,2", header="date,x"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(IngestError, match=r"none.csv: cannot be read as a table"):
        read_swpc(tmp_path / "none.csv")


def test_flares_are_sorted_and_twice_used_event_numbers_told(tmp_path):
    later = FIRST.replace("0709,0724,0740", "1408,1416,1424")
    flares = read_swpc(written(tmp_path, later, FIRST))
    assert flares.table["start"].is_monotonic_increasing
    assert flares.quirks == {"event number used twice on one day": 1}


def test_a_list_tells_its_version_and_coverage(tmp_path):
    path = written(tmp_path, FIRST, "1,20210808,9660,2346,0004,0017,G16,C1.3,12853")
    flares = read_swpc(path)
    assert (flares.source, flares.file, flares.version) == ("SWPC", "list.csv", file_hash(path))
    assert flares.name == f"SWPC flare list {file_hash(path)[:12]}"
    assert [str(moment)[:16] for moment in flares.coverage] == [
        "2010-01-02T07:09",
        "2021-08-09T00:17",
    ]
    known = np.datetime64("2010-01-01", "ns"), np.datetime64("2022-01-01", "ns")
    assert read_swpc(path, coverage=known).coverage == known


def test_a_list_needs_its_columns_known_onsets_and_a_coverage(tmp_path):
    flares = read_swpc(written(tmp_path, FIRST))
    with pytest.raises(IngestError, match=r"list.csv: is no flare list: region"):
        dataclasses.replace(flares, table=flares.table.drop(columns="region"))
    unknown = flares.table.assign(start=np.datetime64("NaT", "ns"))
    with pytest.raises(IngestError, match="start has unknown times"):
        dataclasses.replace(flares, table=unknown)
    with pytest.raises(IngestError, match=r"coverage from .* runs backwards"):
        dataclasses.replace(flares, coverage=flares.coverage[::-1])
    with pytest.raises(IngestError, match=r"'1.0C' is not a GOES class"):
        dataclasses.replace(flares, complete_from="1.0C")


def test_an_empty_list_is_a_list():
    day = np.datetime64("2010-01-01", "ns"), np.datetime64("2010-01-02", "ns")
    flares = FlareList(table=flare_table([]), source="s", version="v", file="f", coverage=day)
    assert len(flares.of_region(11039)) == 0


@pytest.mark.parametrize("name", ["NOAA 12017", "AR 12017", "NOAA AR12017", "2017", "12017", 12017])
def test_regions_are_known_by_several_names(name):
    assert region_number(name, moment("2014-03-29")) == 12017


@pytest.mark.parametrize("name", ["HARP 377", "IRIS 20230315", "", 0])
def test_a_name_that_is_no_noaa_region_is_refused(name):
    with pytest.raises(IngestError, match=r'is not a NOAA active region.*"NOAA 12017"'):
        region_number(name, moment("2014-03-29"))


def test_a_threshold_that_is_no_class_is_refused():
    with pytest.raises(IngestError, match=r"'Z3' is not a GOES class\. Write it as"):
        peak_flux("Z3")


def test_the_unknown_region_stays_unknown():
    assert full_number(0, moment("2014-03-29")) == 0


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "rows", "quirks"),
    [
        (
            "swpc_flarelist_19960731_20181231.csv",
            23285,
            {
                "region unknown": 6722,
                "end after midnight": 323,
                "peak after midnight": 163,
                "peak after the end": 4,
                "peak unknown": 14,
                "class without a decimal": 20,
                "class with a comma": 2,
                "class without a figure": 3,
                "event number used twice on one day": 2,
            },
        ),
        (
            "swpc_flarelist_20100101-20210810.csv",
            8833,
            {
                "region unknown": 955,
                "end after midnight": 147,
                "peak after midnight": 72,
                "peak unknown": 7,
                "event number used twice on one day": 1,
            },
        ),
    ],
)
def test_every_row_of_the_real_lists_is_read(real_data, name, rows, quirks):
    flares = read_swpc(real_data / "events" / name)
    assert len(flares.table) == rows
    assert flares.malformed == ()
    assert flares.quirks == quirks
    lasts = flares.table["end"] - flares.table["start"]
    assert lasts.min() >= pd.Timedelta(0)
    assert lasts.max() < pd.Timedelta("8h")
    known = flares.table["region"][flares.table["region"] > 0]
    assert known.between(7900, 12900).all()


@pytest.mark.real_data
def test_the_two_flares_of_29_march_2014_stand_in_the_real_list(real_data):
    flares = read_swpc(real_data / "events" / "swpc_flarelist_19960731_20181231.csv")
    onsets = flares.of_region(12017).set_index("start")["goes_class"]
    assert onsets[moment("2014-03-29 14:26")] == "C3.3"
    assert onsets[moment("2014-03-29 17:35")] == "X1.0"
