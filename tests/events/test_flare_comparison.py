"""Two flare lists: what only one says, what they say differently, and both as one."""

import astropy.units as u
import numpy as np
import pandas as pd
import pytest

from solarxai.errors import IngestError
from solarxai.events import FlareList, disagreements, merge, read_swpc
from solarxai.events.flares import flare_table

T0 = pd.Timestamp("2014-03-29")
DAY = (np.datetime64("2014-03-29", "ns"), np.datetime64("2014-03-30", "ns"))


def flare(minute, goes_class="C1.0", region=12017, *, lasts=10, peak=5):
    end = T0 + pd.Timedelta(minutes=minute + lasts)
    top = None if peak is None else T0 + pd.Timedelta(minutes=minute + peak)
    start = T0 + pd.Timedelta(minutes=minute)
    row = {"start": start, "peak": top, "end": end}
    return row | {"goes_class": goes_class, "region": region, "event": 1}


def listed(name, *rows, coverage=DAY, **more):
    table = flare_table(rows)
    return FlareList(
        table=table, source=name, version=name * 8, file=name, coverage=coverage, **more
    )


def test_equal_lists_agree():
    first = listed("a", flare(60), flare(120, "M2.0"))
    assert disagreements(first, listed("b", flare(60), flare(120, "M2.0"))).empty


def test_flares_of_one_list_only_are_told():
    first, second = listed("a", flare(60), flare(120)), listed("b", flare(60), flare(300, "M1.0"))
    found = disagreements(first, second)
    assert found["kind"].tolist() == ["only first", "only second"]
    assert found["start"].dt.hour.tolist() == [2, 5]
    assert found[["first", "second"]].to_numpy().tolist() == [["C1.0", ""], ["", "M1.0"]]


def test_what_both_know_differently_is_told_column_by_column():
    first = listed("a", flare(60, "C9.9", 12017, peak=None))
    second = listed("b", flare(62, "M1.0", 0, lasts=8, peak=3))
    found = disagreements(first, second).set_index("kind")
    assert set(found.index) == {"start", "peak", "goes_class", "region"}
    assert found.loc["goes_class", ["first", "second"]].tolist() == ["C9.9", "M1.0"]
    assert found.loc["region", ["first", "second"]].tolist() == ["12017", ""]
    assert found.loc["peak", ["first", "second"]].tolist() == ["", "2014-03-29 01:05:00"]


def test_the_tolerance_decides_what_is_the_same_flare():
    first, second = listed("a", flare(60)), listed("b", flare(64))
    assert set(disagreements(first, second)["kind"]) == {"start", "peak", "end"}
    apart = disagreements(first, second, tolerance=3 * u.min)
    assert apart["kind"].tolist() == ["only first", "only second"]


def test_one_flare_is_matched_once():
    found = disagreements(listed("a", flare(60), flare(63)), listed("b", flare(62)))
    assert found["kind"].tolist().count("only first") == 1
    assert found[found["kind"] == "only first"]["start"].dt.minute.tolist() == [0]


def test_of_two_equally_near_flares_the_earlier_is_the_same():
    found = disagreements(listed("a", flare(60), flare(64)), listed("b", flare(62)))
    assert found[found["kind"] == "only first"]["start"].dt.minute.tolist() == [4]


def test_only_the_common_time_is_compared():
    late = (np.datetime64("2014-03-29T04:00", "ns"), np.datetime64("2014-03-31", "ns"))
    first, second = listed("a", flare(60)), listed("b", flare(2000), coverage=late)
    assert disagreements(first, second).empty


@pytest.mark.parametrize("act", [disagreements, merge])
def test_lists_of_different_times_are_refused(act):
    late = (np.datetime64("2015-03-29", "ns"), np.datetime64("2015-03-31", "ns"))
    with pytest.raises(IngestError, match=r"a \(2014.*\) and b \(2015.*\) have no time in common"):
        act(listed("a", flare(60)), listed("b", coverage=late))


def test_the_merged_list_has_every_flare_once_and_the_first_word_counts():
    first = listed("a", flare(60, "C9.9", 0, peak=None), flare(120))
    second = listed("b", flare(61, "M1.0", 12018), flare(400, "X1.0"), complete_from="M1.0")
    both = merge(first, second)
    assert both.table["goes_class"].tolist() == ["C9.9", "C1.0", "X1.0"]
    assert both.table["region"].tolist() == [12018, 12017, 12017]
    assert both.table["peak"].iloc[0] == T0 + pd.Timedelta("66min")
    assert (both.source, both.file, both.complete_from) == ("a + b", "a + b", "M1.0")
    assert both.version not in (first.version, second.version)
    assert both.quirks == {"in both": 1, "only first": 1, "only second": 1}
    again = merge(both, second)
    assert len(again.table) == 3


def test_merging_widens_the_coverage():
    late = (np.datetime64("2014-03-29T04:00", "ns"), np.datetime64("2014-03-31", "ns"))
    both = merge(listed("a", flare(60)), listed("b", flare(2000), coverage=late))
    assert both.coverage == (DAY[0], late[1])
    assert both.table["start"].is_monotonic_increasing


def test_merging_with_an_empty_list_changes_no_flare():
    first = listed("a", flare(60))
    pd.testing.assert_frame_equal(merge(first, listed("b")).table, first.table)


@pytest.mark.real_data
def test_the_two_real_lists_are_one_list_where_they_overlap(real_data):
    first = read_swpc(real_data / "events" / "swpc_flarelist_19960731_20181231.csv")
    second = read_swpc(real_data / "events" / "swpc_flarelist_20100101-20210810.csv")
    assert disagreements(first, second, tolerance=0 * u.min).empty
    both = merge(first, second)
    assert both.quirks["in both"] == 8606
    assert len(both.table) == 23285 + 8833 - 8606
