"""Queries give the rows that a brute-force scan gives, or say why there are none."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_runs import (
    EARLIER_SECONDS,
    FIRST_SECONDS,
    add,
    brute_force,
    identities,
    instant,
    rows,
    seconds_of,
)

from solarxai.errors import QueryError, StoreError
from solarxai.query import SaliencyStore, open_store

ANY_TIME = st.one_of(
    st.sampled_from(sorted({*FIRST_SECONDS, *EARLIER_SECONDS})),
    st.floats(-500, 200).map(lambda seconds: round(seconds, 9)),
)


@pytest.mark.parametrize("which", ["one", "two"])
def test_a_range_gives_what_a_scan_gives(which: str, request: pytest.FixtureRequest) -> None:
    store: SaliencyStore = request.getfixturevalue(which)
    every = brute_force(store)

    @settings(max_examples=40, deadline=None, database=None, derandomize=True)
    @given(st.tuples(ANY_TIME, ANY_TIME).map(sorted))
    def check(ends: list[float]) -> None:
        expected = [row for row in every if ends[0] <= row[0] <= ends[1]]
        if expected:
            found = store.query(time=(instant(ends[0]), instant(ends[1])), methods=["gradient"])
            assert identities(found) == expected
        else:
            with pytest.raises(QueryError, match="no row has a time from"):
                store.query(time=(instant(ends[0]), instant(ends[1])))

    check()


@pytest.mark.parametrize("which", ["one", "two"])
def test_nearest_gives_what_a_scan_gives(which: str, request: pytest.FixtureRequest) -> None:
    store: SaliencyStore = request.getfixturevalue(which)
    every = brute_force(store)

    @settings(max_examples=40, deadline=None, database=None, derandomize=True)
    @given(ANY_TIME)
    def check(goal: float) -> None:
        gaps = [abs(np.int64(instant(row[0]) - instant(goal))) for row in every]
        expected = [row for row, gap in zip(every, gaps, strict=True) if gap == min(gaps)]
        assert identities(store.query(nearest=instant(goal))) == expected

    check()


def test_of_two_times_equally_near_both_come(one: SaliencyStore) -> None:
    assert seconds_of(one.query(nearest=instant(15))) == [10, 20, 20]


def test_nearest_looks_only_among_the_rows_that_match(two: SaliencyStore) -> None:
    found = two.query(nearest=instant(1), methods=["grad_cam"])
    assert identities(found) == [(5.0, "aaa2", "mock-00003")]
    assert seconds_of(two.query(nearest=instant(5), label="pore", run="bbb")) == [0, 10]


def test_every_filter_gives_what_a_scan_gives(two: SaliencyStore) -> None:
    every = two.query().load()
    for asked in (
        {"label": "pore"},
        {"region": "NOAA 1", "origin": "synthetic"},
        {"split": "train", "label": "sunspot"},
        {"run": "aaa"},
    ):
        keep = np.ones(every.sizes["sample"], dtype=bool)
        for column, text in asked.items():
            keep &= [value.startswith(text) for value in every[column].values]
        xr.testing.assert_equal(
            two.query(methods=["gradient"], **asked).load(), every.isel(sample=keep)
        )
    low, high = sorted(every["score"].values)[3:9:5]
    inside = (every["score"] >= low) & (every["score"] <= high)
    assert identities(two.query(score=(low, high))) == identities(every.isel(sample=inside.values))
    assert inside.sum() >= 6


def test_values_are_those_that_were_given(two: SaliencyStore) -> None:
    found = two.query(methods=["gradient"])
    assert (np.diff(found["time"].values) >= np.timedelta64(0)).all()
    for run, given_rows, factor in (
        ("bbb1", rows(FIRST_SECONDS), 2),
        ("aaa2", rows(EARLIER_SECONDS, seed=1), 1),
    ):
        own = found.isel(sample=found["run"].values == run).load()
        assert set(given_rows.variables) < set(own.variables)
        for name in given_rows.variables:
            np.testing.assert_array_equal(own[name].values, given_rows[name].values, str(name))
        np.testing.assert_allclose(own["gradient"], given_rows["image"] * factor, rtol=2**-11)


def test_any_cut_of_the_lazy_rows_equals_the_cut_of_the_loaded_ones(two: SaliencyStore) -> None:
    loaded = two.query().load()
    for cut in (
        {"sample": 3},
        {"sample": slice(2, 14, 3), "y": 5},
        {"sample": [9, 0, 4], "x": slice(None, None, -2)},
        {"sample": slice(0, 0), "y": [1, 2], "x": 3},
        {"sample": np.array([-1, 1])},
    ):
        xr.testing.assert_identical(two.query().isel(cut).load(), loaded.isel(cut))


def test_methods_are_those_that_all_matching_runs_hold(two: SaliencyStore) -> None:
    assert two.methods == ("expected_gradients", "grad_cam", "gradient")
    both = two.query()
    assert both.attrs["methods"] == ["gradient"]
    assert both.attrs["runs"] == ["aaa2", "bbb1"]
    assert not {"expected_gradients", "grad_cam", "grad_cam_stderr"} & set(both)
    later = two.query(time=(instant(70), None))
    assert later.attrs["methods"] == ["expected_gradients", "gradient"]
    assert "expected_gradients_stderr" in later
    chosen = two.query(methods=["grad_cam"])
    assert set(chosen["run"].values) == {"aaa2"}
    assert "gradient" not in chosen
    assert not {"gradient", "grad_cam"} & set(two.query(methods=[]))


def test_columns_that_one_run_lacks_are_named(copy: SaliencyStore) -> None:
    samples = rows([7]).assign(rule_label=("sample", np.array(["pore"], dtype=object)))
    add(copy.path, "ccc3", samples, ["gradient"])
    assert copy.query().attrs["not_in_every_run"] == ["rule_label"]


def test_runs_without_a_common_method_ask_for_a_choice(copy: SaliencyStore) -> None:
    add(copy.path, "ccc3", rows([7]), ["hires_cam"])
    with pytest.raises(QueryError, match="no method in common: aaa2 has gradient, grad_cam"):
        copy.query()


def test_patches_of_two_sizes_are_not_stacked(copy: SaliencyStore) -> None:
    add(copy.path, "ccc3", rows([7], size=8), ["gradient"])
    with pytest.raises(QueryError, match="different sizes in these runs"):
        copy.query()
    assert copy.query(run="ccc3").sizes["y"] == 8


def test_times_are_taken_in_every_form(one: SaliencyStore) -> None:
    zone = timezone(timedelta(hours=2))
    for goal in (
        "2014-03-29T14:00:10",
        "2014-03-29 14:00:10.000",
        "2014-03-29T14:00:10Z",
        "2014-03-29T16:00:10+02:00",
        np.datetime64("2014-03-29T14:00:10"),
        datetime(2014, 3, 29, 14, 0, 10),
        datetime(2014, 3, 29, 16, 0, 10, tzinfo=zone),
        Time("2014-03-29T14:00:45", scale="tai"),
        Time("2014-03-29T14:00:10"),
    ):
        assert seconds_of(one.query(time=(goal, goal))) == [10], goal


def test_both_ends_belong_to_the_range(one: SaliencyStore) -> None:
    assert seconds_of(one.query(time=(instant(10), instant(45)))) == [10, 20, 20, 45]
    assert seconds_of(one.query(time=(None, instant(0)))) == [0, 0, 0]
    assert seconds_of(one.query(time=(instant(61), None))) == [61, 90]


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"time": ("2014-03-29T15", "2014-03-29T14")}, "ends .* before it begins .*earlier"),
        ({"time": ("now", None)}, "'now' is not a time .* Write it as 2014"),
        ({"time": ("2014-13-01", None)}, "'2014-13-01' is not a time"),
        ({"time": (5, None)}, "5 is not a time .a int is not a time"),
        ({"time": ("NaT", None)}, "'NaT' is not a time"),
        ({"time": ("9999-01-01", None)}, "'9999-01-01' is not a time"),
        ({"nearest": np.datetime64("NaT")}, "is not a time"),
        ({"time": ("2014", None), "nearest": "2014"}, "both time and nearest"),
        ({"time": ("2015", "2016")}, "from 2015-01-01T00:00:00 to 2016.*holds 16 rows from 2014"),
        ({"label": "sunspt"}, "no row has the label 'sunspt'.*Did you mean 'sunspot'"),
        ({"region": "NOAA 7"}, "no row has the region 'NOAA 7'; there are NOAA 0, NOAA 1"),
        ({"methods": ["gradeint"]}, "no map of method 'gradeint'.*Did you mean 'gradient'"),
        ({"methods": ["grad_cam", "expected_gradients"]}, "no run holds all of grad_cam, exp"),
        ({"run": "zzz"}, "no run begins with 'zzz'. There are aaa2, bbb1"),
        ({"score": (5.0, 1.0)}, r"score range \(5.0, 1.0\) is not"),
        ({"score": (9e9, 9e10), "label": "pore"}, "label 'pore' and a score from 9e.09 to 9e.10"),
        ({"run": "bbb", "label": "pore", "split": "train", "region": "NOAA 0"}, "no row has label"),
    ],
)
def test_a_question_without_an_answer_says_why(
    two: SaliencyStore, asked: dict[str, Any], match: str
) -> None:
    with pytest.raises(QueryError, match=match):
        two.query(**asked)


def test_what_is_not_a_store_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a store"):
        open_store(tmp_path)
