"""Flares of the HEK, through sunpy's own client; the answer was recorded, nothing is fetched."""

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from sunpy.net.hek import HEKClient

from solarxai.errors import IngestError
from solarxai.events import disagreements, from_hek, read_swpc, search_hek

RECORDED = Path(__file__).parent.parent / "data" / "hek_flares_12017.ecsv"
DAY = (np.datetime64("2014-03-29", "ns"), np.datetime64("2014-03-30", "ns"))


def answer():
    """Return the recorded answer as the client receives it: lists of texts, numbers and None."""
    table = Table.read(RECORDED)
    rows = [{name: plain(row[name]) for name in table.colnames} for row in table]
    return Table(rows)


def plain(value):
    return None if np.ma.is_masked(value) else getattr(value, "item", lambda: value)()


@pytest.fixture
def archive(monkeypatch):
    """Let the client receive a recorded answer; return what it was asked."""
    asked = []
    given = [answer()]

    def download(self, data):
        asked.append(data)
        return given[0].copy()

    monkeypatch.setattr(HEKClient, "_download", download)
    return asked, given


def test_a_search_asks_for_the_flares_of_one_method(archive):
    asked, _ = archive
    search_hek("2014-03-29", "2014-03-30")
    (question,) = asked
    assert question["event_type"] == "fl"
    assert (question["param0"], question["value0"]) == ("FRM_Name", "SWPC")
    assert question["event_starttime"].startswith("2014-03-29T00:00")


def test_the_answer_becomes_a_flare_list(archive):
    flares = search_hek("2014-03-29", "2014-03-30")
    assert len(flares.table) == 8
    last = flares.table.iloc[-1]
    assert (last["goes_class"], last["region"]) == ("X1.0", 12017)
    assert str(last["start"]) == "2014-03-29 17:35:00"
    assert str(last["peak"]) == "2014-03-29 17:48:00"
    assert flares.coverage == DAY
    assert flares.name.startswith("HEK SWPC flare list ")
    assert "2014-03-29" in flares.file


def test_the_version_is_that_of_the_content(archive):
    _, given = archive
    first = search_hek("2014-03-29", "2014-03-30").version
    given[0].reverse()
    assert search_hek("2014-03-29", "2014-03-30").version == first
    given[0]["fl_goescls"][0] = "C9.9"
    assert search_hek("2014-03-29", "2014-03-30").version != first


def test_unknown_peaks_and_regions_stay_unknown(archive):
    _, given = archive
    rows = [dict(zip(row.colnames, row.values(), strict=True)) for row in given[0]]
    rows[0] |= {"event_peaktime": None, "ar_noaanum": None}
    rows[1] |= {"ar_noaanum": 2017}
    given[0] = Table(rows)
    table = search_hek("2014-03-29", "2014-03-30").table
    assert table["peak"].isna().tolist() == [True] + [False] * 7
    assert table["region"].tolist() == [0] + [12017] * 7


def test_what_the_archive_gives_twice_is_kept_once_and_told(archive):
    _, given = archive
    given[0].add_row(given[0][0])
    flares = search_hek("2014-03-29", "2014-03-30")
    assert len(flares.table) == 8
    assert flares.quirks == {"given twice": 1}


def test_no_flare_is_an_answer(archive):
    _, given = archive
    given[0] = Table()
    flares = search_hek("2014-03-29", "2014-03-30")
    assert len(flares.table) == 0
    assert flares.coverage == DAY


def test_lists_of_several_methods_are_not_mixed(archive):
    _, given = archive
    given[0]["frm_name"][0] = "SSW "
    with pytest.raises(IngestError, match=r"mixes the flare lists of SSW ?, SWPC"):
        search_hek("2014-03-29", "2014-03-30")


def test_an_event_without_class_is_refused(archive):
    _, given = archive
    given[0]["fl_goescls"] = ""
    with pytest.raises(IngestError, match=r"HEK flare at 2014-03-29 07:50.*: '' is not a GOES"):
        search_hek("2014-03-29", "2014-03-30")


def test_a_table_of_other_events_is_refused():
    with pytest.raises(IngestError, match=r"the HEK table has no column event_peaktime, .*ar_noa"):
        from_hek(Table({"event_starttime": ["2014-03-29"]}), coverage=DAY)


def test_an_event_without_onset_is_refused():
    row = {"event_starttime": [None], "event_peaktime": [None], "event_endtime": [None]}
    row |= {"fl_goescls": ["C1.0"], "ar_noaanum": [12017], "frm_name": ["SWPC"]}
    with pytest.raises(IngestError, match="HEK flare at None: onset unknown"):
        from_hek(Table(row), coverage=DAY)


@pytest.mark.real_data
def test_the_recorded_answer_agrees_with_the_list_it_was_written_from(archive, real_data):
    flares = search_hek("2014-03-29", "2014-03-30")
    listed = read_swpc(real_data / "events" / "swpc_flarelist_20100101-20210810.csv")
    found = disagreements(listed, flares)
    assert set(found["kind"]) == {"only first"}
    regions = listed.table.set_index("start")["region"]
    assert 12017 not in regions[found["start"]].tolist()
