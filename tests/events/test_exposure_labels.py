"""Every label has its reason, and changes only where an onset, an end or the list says so."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solarxai.errors import IngestError
from solarxai.events import (
    REASONS,
    FlareList,
    LabelRule,
    RegionTable,
    label_exposures,
    read_srs,
    read_swpc,
)
from solarxai.events.flares import flare_table

T0 = np.datetime64("2014-03-29T00:00", "ns")
MINUTE = np.timedelta64(60 * 10**9, "ns")
RULE = LabelRule(quiet_hours=4)
LONG = (T0 - 3000 * MINUTE, T0 + 3000 * MINUTE)


def flare(onset, goes_class="C2.0", region=12017, *, lasts=10):
    """Return a flare; times in minutes after T0."""
    start = pd.Timestamp(T0 + onset * MINUTE)
    end = None if lasts is None else start + pd.Timedelta(minutes=lasts)
    times = {"start": start, "peak": start, "end": end}
    return times | {"goes_class": goes_class, "region": region, "event": 1}


def listed(*rows, coverage=LONG):
    return FlareList(
        table=flare_table(rows), source="SWPC", version="0123456789abcdef", file="f",
        coverage=coverage,
    )  # fmt: skip


def labelled(minutes, *rows, rule=RULE, coverage=LONG, **more):
    times = T0 + np.asarray(minutes) * MINUTE
    return label_exposures(times, "NOAA 12017", listed(*rows, coverage=coverage), rule, **more)


def reasons(minutes, *rows, **more):
    return labelled(minutes, *rows, **more).reason.tolist()


def somewhere(region, *, x=0.0, y=0.0):
    """Return a table with one region near the disk centre at T0 (1 degree is 16.8 arcsec)."""
    row = {"region": region, "time": pd.Timestamp(T0), "latitude": y / 16.8 - 6.7}
    table = pd.DataFrame([row | {"longitude": x / 16.8}]).astype({"time": "datetime64[ns]"})
    return RegionTable(table=table, source="NOAA", version="f" * 16, file="srs")


CENTRE = {"solar_x": 0 * u.arcsec, "solar_y": 0 * u.arcsec}


def test_a_day_around_one_flare_is_divided_at_its_boundaries():
    at = [-241, -240, -26, -25, -1, 0, 10, 11, 40, 41, 250, 251]
    assert reasons(at, flare(0)) == [
        "no flare within the quiet hours",
        *["own flare after the window, within the quiet hours"] * 2,
        *["own flare within the window"] * 2,
        *["own flare in progress"] * 2,
        *["decay of an own flare"] * 2,
        *["own flare before, within the quiet hours"] * 2,
        "no flare within the quiet hours",
    ]


def test_a_label_names_the_flare_that_decided_it():
    found = labelled([-10, 5, 600], flare(0, "M1.5"))
    assert found.label.tolist() == ["preflare", "ambiguous", "active"]
    assert found.flare_class.tolist() == ["M1.5", "M1.5", ""]
    assert found.flare_onset.tolist() == ["2014-03-29T00:00:00"] * 2 + [""]


def test_of_two_flares_ahead_the_next_one_is_named():
    found = labelled([-10], flare(10, "X1.0"), flare(0, "C1.0"))
    assert (found.flare_class[0], found.flare_onset[0]) == ("C1.0", "2014-03-29T00:00:00")


def test_before_a_flare_during_another_is_not_preflare():
    assert reasons([5, 30], flare(0), flare(20)) == ["own flare in progress"] * 2
    assert reasons([15], flare(0), flare(20)) == ["decay of an own flare"]


def test_a_flare_inside_a_longer_one_does_not_end_it():
    found = reasons([50], flare(0, lasts=100), flare(5, lasts=2))
    assert found == ["own flare in progress"]


def test_flares_below_the_threshold_count_only_while_they_last():
    rule = replace(RULE, threshold="M1.0")
    for region, words in ((12017, "own flare"), (0, "flare of unknown origin")):
        found = labelled([-10, 5, 40, 41], flare(0, "C9.9", region), rule=rule)
        assert found.label.tolist() == ["active", "ambiguous", "ambiguous", "active"]
        assert words in found.reason[1]
    assert reasons([5], flare(0, "C9.9"), flare(20, "M1.0"), rule=rule) == ["own flare in progress"]
    assert labelled([-10], flare(0, "M1.0"), rule=rule).label.tolist() == ["preflare"]


def test_flares_of_other_regions_do_not_count_where_none_is_seen():
    found = labelled([-10, 5], flare(0, region=12018))
    assert found.label.tolist() == ["active", "active"]
    assert found.label_source.endswith("neighbours unseen")


def test_a_flare_of_unknown_region_may_be_our_own():
    found = labelled([-26, -25, 0, 40, 41], flare(0, region=0))
    assert found.reason.tolist() == [
        "no flare within the quiet hours",
        "flare of unknown origin within the window",
        *["flare of unknown origin in progress or decay"] * 2,
        "no flare within the quiet hours",
    ]
    assert found.flare_class[1] == "C2.0"


def test_flares_of_unknown_region_can_be_asked_to_keep_away_longer():
    rule = replace(RULE, unknown_hours=2)
    found = labelled([-121, -120, 130, 131], flare(0, region=0), rule=rule)
    assert found.label.tolist() == ["active", "ambiguous", "ambiguous", "active"]
    assert found.reason[1] == "flare of unknown origin within its hours"
    assert "unknown 2 h" in found.label_source


def test_hours_of_unknown_flares_may_reach_beyond_the_quiet_hours():
    rule = replace(RULE, unknown_hours=8)
    found = labelled([-481, -480, 490, 491], flare(0, region=0), rule=rule)
    assert found.label.tolist() == ["active", "ambiguous", "ambiguous", "active"]


def test_times_may_be_finer_than_a_microsecond():
    found = label_exposures(np.array([T0 + 1]), 12017, listed(), RULE)
    assert found.label.tolist() == ["active"]


def test_an_own_onset_counts_before_one_of_unknown_region():
    found = reasons([-10], flare(0), flare(-5, region=0))
    assert found == ["own flare within the window"]


def test_an_own_flare_without_a_figure_is_of_unknown_origin():
    assert reasons([-10], flare(0, "C")) == ["flare of unknown origin within the window"]


def test_a_flare_without_end_lasts_through_the_quiet_hours():
    assert reasons([239, 241, 271], flare(0, lasts=None)) == [
        "own flare in progress",
        "decay of an own flare",
        "own flare before, within the quiet hours",
    ]


@pytest.mark.parametrize(("x", "near"), [(150, True), (250, False)])
def test_a_neighbour_counts_within_its_radius(x, near):
    more = CENTRE | {"regions": somewhere(12018, x=x)}
    found = labelled([-26, -25, 40, 41], flare(0, region=12018), **more)
    assert (found.label == "ambiguous").tolist() == [False, near, near, False]
    assert found.label_source.endswith("neighbours within 200 arcsec (NOAA ffffffffffff)")
    if near:
        assert found.reason[1:3].tolist() == [
            "flare of a neighbour within the window",
            "flare of a neighbour in progress or decay",
        ]


def test_each_exposure_has_its_own_pointing():
    more = {"solar_x": [0, 900] * u.arcsec, "solar_y": [0, 0] * u.arcsec}
    found = labelled([-10, -10], flare(0, region=12018), regions=somewhere(12018), **more)
    assert found.label.tolist() == ["ambiguous", "active"]


def test_a_neighbour_at_an_unknown_place_is_of_unknown_origin():
    more = CENTRE | {"regions": somewhere(12020)}
    found = reasons([-10], flare(0, region=12018), **more)
    assert found == ["flare of unknown origin within the window"]


def test_a_neighbour_behind_the_limb_is_not_in_the_field():
    more = {"solar_x": 945 * u.arcsec, "solar_y": 0 * u.arcsec}
    behind = somewhere(12018, x=100 * 16.8)
    assert labelled([-10], flare(0, region=12018), regions=behind, **more).label[0] == "active"
    limb = somewhere(12018, x=80 * 16.8)
    assert labelled([-10], flare(0, region=12018), regions=limb, **more).label[0] == "ambiguous"


def test_nothing_is_active_where_the_list_is_silent():
    coverage = (T0, T0 + 600 * MINUTE)
    at = [-1, 0, 239, 240, 360, 361, 600, 601]
    found = labelled(at, coverage=coverage)
    assert found.reason.tolist() == [
        "outside the time the list covers",
        *["the list does not cover the quiet hours"] * 2,
        *["no flare within the quiet hours"] * 2,
        *["the list does not cover the quiet hours"] * 2,
        "outside the time the list covers",
    ]
    assert set(found.label[[0, 1, 2, 5, 6, 7]]) == {"ambiguous"}


def test_an_onset_within_the_window_is_known_though_the_list_ends_soon_after():
    coverage = (T0 - 600 * MINUTE, T0 + 11 * MINUTE)
    assert labelled([-10], flare(0), coverage=coverage).label.tolist() == ["preflare"]


def test_times_may_come_in_any_order():
    forward = labelled([-300, -10, 5, 60], flare(0))
    backward = labelled([60, 5, -10, -300], flare(0))
    assert forward.reason.tolist() == backward.reason.tolist()[::-1]


def test_no_exposure_gives_an_empty_table():
    found = labelled([], flare(0))
    assert found.label.shape == (0,)
    assert found.tally() == {}


def test_the_tally_counts_reasons_in_their_order():
    found = labelled([600, 5, -10, -11], flare(0))
    assert list(found.tally().items()) == [
        ("own flare in progress", 1),
        ("own flare within the window", 2),
        ("no flare within the quiet hours", 1),
    ]


def test_the_source_tells_list_version_and_rule():
    found = labelled([0], rule=LabelRule())
    assert found.label_source == (
        "SWPC flare list 0123456789ab, window 25 min, >= C1.0, quiet 12 h, decay 30 min, "
        "neighbours unseen"
    )


def test_a_rule_takes_quantities():
    rule = LabelRule(window=0.5 * u.hour, quiet_hours=1 * u.day, neighbour_radius=0.1 * u.deg)
    assert (rule.window, rule.quiet_hours, rule.neighbour_radius) == (30.0, 24.0, 360.0)
    assert rule == LabelRule(window=30, quiet_hours=24, neighbour_radius=360)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"window": "25"}, "window is '25', not a number of min or a Quantity like it"),
        ({"window": True}, "window is True, not a number of min"),
        ({"decay": 3 * u.arcsec}, "decay is .*arcsec.*, not a number of min"),
        ({"decay": -1}, "decay is -1, not finite and not negative"),
        ({"quiet_hours": float("nan")}, "quiet_hours is nan, not finite"),
        ({"window": 0}, "window is 0.0, not above 0 and within quiet_hours"),
        ({"window": 90, "quiet_hours": 1}, "window is 90.0, not above 0 and within quiet_hours"),
        ({"threshold": "C"}, "threshold is 'C', not a class with its figure, such as \"C1.0\""),
        ({"threshold": "3"}, "'3' is not a GOES class"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(options, said):
    with pytest.raises(IngestError, match=said):
        LabelRule(**options)


def test_flares_the_list_leaves_out_cannot_be_asked_for():
    with pytest.raises(IngestError, match=r"threshold B5.0 is below C1.0, where f begins"):
        labelled([0], flare(0), rule=LabelRule(threshold="B5.0"))


def test_unknown_times_and_other_regions_are_refused():
    with pytest.raises(IngestError, match=r"times of shape \(1,\), 1 of them unknown"):
        label_exposures(np.array(["NaT"], "datetime64[ns]"), 12017, listed(), RULE)
    with pytest.raises(IngestError, match=r"times of shape \(\), 0 of them unknown"):
        label_exposures(T0, 12017, listed(), RULE)
    with pytest.raises(IngestError, match="'HARP 377' is not a NOAA active region"):
        label_exposures(np.array([T0]), "HARP 377", listed(), RULE)


def test_half_a_pointing_is_refused():
    with pytest.raises(IngestError, match="only 2 of the three are given"):
        labelled([0], flare(0), **CENTRE)


repeatable = settings(max_examples=60, deadline=None, database=None, derandomize=True)
onsets = st.lists(
    st.tuples(
        st.integers(-900, 900),
        st.integers(0, 90),
        st.sampled_from(["C1.0", "C5.0", "M1.0"]),
        st.sampled_from([12017, 0, 12018]),
    ),
    max_size=6,
)


def plainly(minute, rows, rule, first, last):
    """Return the label of one exposure by the words of the rule, in minutes."""
    strong = [row for row in rows if row[2] >= rule.threshold]
    own = [row for row in strong if row[3] == 12017]
    unknown = [row for row in strong if row[3] == 0]
    perhaps_own = [row for row in rows if row[3] in (0, 12017)]
    quiet = 60 * rule.quiet_hours
    if not first <= minute <= last:
        return "ambiguous"
    if any(s <= minute <= s + lasts + rule.decay for s, lasts, *_ in perhaps_own):
        return "ambiguous"
    if any(minute < s <= minute + rule.window for s, *_ in own):
        return "preflare"
    if any(minute < s <= minute + rule.window for s, *_ in unknown):
        return "ambiguous"
    if minute - quiet < first or minute + quiet > last:
        return "ambiguous"
    near = any(s - quiet <= minute <= s + lasts + quiet for s, lasts, *_ in own)
    return "ambiguous" if near else "active"


@repeatable
@given(onsets, st.sampled_from([25, 35]), st.sampled_from(["C1.0", "M1.0"]))
def test_labels_are_those_of_the_rule_in_words(rows, window, threshold):
    rule = LabelRule(window=window, threshold=threshold, quiet_hours=5)
    at = np.arange(-1300, 1300, 7)
    coverage = (T0 - 1200 * MINUTE, T0 + 1200 * MINUTE)
    flares = [flare(s, c, r, lasts=lasts) for s, lasts, c, r in rows]
    found = labelled(at, *flares, rule=rule, coverage=coverage)
    assert found.label.tolist() == [plainly(m, rows, rule, -1200, 1200) for m in at]
    assert all(REASONS[why] == what for why, what in zip(found.reason, found.label, strict=True))


@repeatable
@given(onsets)
def test_labels_change_only_at_known_boundaries(rows):
    at = np.arange(-1300.5, 1300.5, 1.0)
    flares = [flare(s, c, r, lasts=lasts) for s, lasts, c, r in rows]
    coverage = (T0 - 1200 * MINUTE, T0 + 1200 * MINUTE)
    seconds = (at * 60).astype(int)
    times = T0 + seconds * np.timedelta64(10**9, "ns")
    found = label_exposures(times, 12017, listed(*flares, coverage=coverage), RULE)
    known = {-1200, 1200, -1200 + 240, 1200 - 240}
    for start, lasts, *_ in rows:
        end = start + lasts
        known |= {start - 240, start - 25, start, end, end + 30, end + 240}
    changes = np.flatnonzero(found.label[1:] != found.label[:-1])
    assert {round(at[i] + 0.5) for i in changes} <= known


@repeatable
@given(onsets, st.integers(-5000, 5000))
def test_labels_do_not_depend_on_the_date(rows, shift):
    at = np.arange(-1000, 1000, 50)
    one = [flare(s, c, r, lasts=lasts) for s, lasts, c, r in rows]
    two = [flare(s + shift, c, r, lasts=lasts) for s, lasts, c, r in rows]
    moved = tuple(moment + shift * MINUTE for moment in LONG)
    first = labelled(at, *one).reason
    assert first.tolist() == reasons(at + shift, *two, coverage=moved)


@pytest.fixture(scope="module")
def events(real_data_folder):
    flares = read_swpc(real_data_folder / "swpc_flarelist_19960731_20181231.csv")
    return flares, read_srs(real_data_folder / "SRS_data_new_19960101_20181231.csv")


@pytest.fixture(scope="module")
def real_data_folder(real_data):
    return real_data / "events"


RASTERS = np.arange(
    np.datetime64("2014-03-29T14:09:38", "ns"),
    np.datetime64("2014-03-29T14:25:44", "ns"),
    np.timedelta64(5 * 10**9, "ns"),
)


@pytest.mark.real_data
def test_the_rasters_of_29_march_2014_are_preflare(events):
    flares, regions = events
    pointing = {"solar_x": 490 * u.arcsec, "solar_y": 280 * u.arcsec, "regions": regions}
    found = label_exposures(RASTERS, "NOAA 12017", flares, LabelRule(), **pointing)
    assert set(found.label) == {"preflare"}
    assert set(found.flare_class) == {"C3.3"}
    assert set(found.flare_onset) == {"2014-03-29T14:26:00"}
    assert found.label_source.startswith(
        "SWPC flare list 4a7c1addda22, window 25 min, >= C1.0, quiet 12 h, decay 30 min, "
    )


@pytest.mark.real_data
def test_for_great_flares_the_same_rasters_are_ambiguous(events):
    flares, _ = events
    found = label_exposures(RASTERS, "NOAA 12017", flares, LabelRule(threshold="M1.0"))
    assert found.tally() == {"own flare after the window, within the quiet hours": len(RASTERS)}
    assert set(found.flare_class) == {"X1.0"}
    assert set(found.flare_onset) == {"2014-03-29T17:35:00"}


@pytest.mark.real_data
def test_with_a_window_of_10_minutes_the_first_rasters_are_not_preflare(events):
    flares, _ = events
    found = label_exposures(RASTERS, "NOAA 12017", flares, LabelRule(window=10 * u.min))
    late = np.datetime64("2014-03-29T14:16") <= RASTERS
    assert ((found.label == "preflare") == late).all()
    assert set(found.label[~late]) == {"ambiguous"}
