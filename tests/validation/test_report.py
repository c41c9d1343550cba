"""Checks, limits, and the report they make."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from solarxai.errors import ValidationError
from solarxai.metrics import Interval
from solarxai.validation.report import Check, Limits, Report, Verdict, judge


def interval(value, low, high, regions=10):
    return Interval(value=value, low=low, high=high, n_groups=regions)


def judged(found, **words):
    return judge(
        found, name="x", group="real · sunspot", limits=Limits(), **{"structures": 20, **words}
    )


def test_what_must_be_is_judged_by_the_lower_bound():
    words = {"limit": 0.5, "sense": "at least", "by": "low"}
    assert judged(interval(0.8, 0.6, 0.9), **words).verdict == "holds"
    assert judged(interval(0.8, 0.4, 0.9), **words).verdict == "fails"


def test_what_must_not_be_is_judged_by_the_value():
    words = {"limit": 0.1, "sense": "at most"}
    assert judged(interval(0.05, 0.0, 0.2), **words).verdict == "holds"
    assert judged(interval(0.15, 0.0, 0.2), **words).verdict == "fails"


def test_without_a_limit_a_number_informs():
    assert judged(interval(0.5, 0.4, 0.6)).verdict == "informs"


def test_few_structures_inform_and_say_so():
    check = judged(interval(1, 0.4, 1), structures=4, limit=0.5, sense="at least")
    assert check.verdict == "informs"
    assert "4 structures are fewer than 5" in check.reason


def test_two_regions_are_judged_but_not_trusted():
    check = judged(interval(1, 0.6, 1, regions=2), limit=0.5, sense="at least", by="low")
    assert check.verdict == "holds"
    assert check.reason == "2 regions: the interval is not to be trusted"


def test_one_region_gives_no_lower_bound_to_judge():
    found = interval(1, math.nan, math.nan, regions=1)
    assert judged(found, limit=0.5, sense="at least", by="low").verdict == "informs"


def test_an_undefined_number_informs():
    found = interval(math.nan, math.nan, math.nan)
    assert judged(found, limit=0.5, sense="at most").verdict == "informs"


def test_limits_have_defaults_that_a_workflow_can_replace():
    limits = Limits.parse({"penumbra_flip": 0.7, "min_structures": 3})
    assert (limits.penumbra_flip, limits.min_structures) == (0.7, 3)
    assert limits.nuisance_flip == 0.1


def test_an_unknown_limit_is_refused_with_the_near_name():
    with pytest.raises(
        ValidationError, match=r"unknown limits \['penumbra_flips'\].*penumbra_flip'"
    ):
        Limits.parse({"penumbra_flips": 0.7})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("penumbra_flip", 1.5),
        ("accuracy", -0.1),
        ("control_ratio", math.inf),
        ("min_structures", 2.5),
        ("min_regions", True),
        ("swap_flip", "0.1"),
    ],
)
def test_a_limit_out_of_range_is_refused(name, value):
    with pytest.raises(ValidationError, match=f"limits {name} = .* out of range"):
        Limits.parse({name: value})


def report(*verdicts):
    checks = tuple(
        Check(
            name=f"check {i}",
            group="real · pore",
            value=0.5,
            low=0.25,
            high=0.75,
            limit=0.1,
            sense="at most",
            verdict=verdict,
            structures=7,
        )
        for i, verdict in enumerate(verdicts)
    )
    said = Verdict(origin="real", outcome="undecided", sentence="real: undecided.")
    return Report(checks=checks, verdicts=(said,))


def test_one_failing_check_gives_exit_code_one():
    assert report("holds", "informs").exit_code == 0
    assert report("holds", "fails").exit_code == 1


def test_a_map_that_fails_convicts_no_model():
    of_map = Check(name="x", group="g", value=1.0, verdict="fails", method="gradient")
    made = Report(checks=(of_map,), verdicts=())
    assert (made.exit_code, made.count("fails")) == (0, 1)
    assert Report(checks=(of_map, *report("fails").checks), verdicts=()).exit_code == 1


def test_the_text_counts_checks_of_maps_apart():
    of_map = Check(name="x", group="g", value=1.0, verdict="fails", method="gradient")
    text = Report(checks=(of_map, *report("holds").checks), verdicts=()).text()
    assert text.endswith(
        "\n1 checks hold, 0 fail, 0 inform.\n0 checks of maps hold, 1 fail, 0 inform.\n"
    )


def test_a_gain_may_exceed_that_of_the_best_order_known():
    assert Limits(deletion_gain=1.5).deletion_gain == 1.5


def test_the_text_has_the_verdict_and_what_holds_or_fails():
    text = report("holds", "fails", "informs").text()
    assert text.startswith("real: undecided.\n")
    assert "fails  check 1  real · pore  0.5 [0.25, 0.75]  ≤ 0.1  7" in text
    assert "check 2" not in text
    assert text.endswith("1 checks hold, 1 fail, 1 inform.\n")


def test_json_is_sorted_and_has_null_for_undefined_numbers():
    made = report("informs")
    record = json.loads(made.to_json())
    assert list(record) == sorted(record)
    assert record["checks"][0]["value"] == 0.5
    undefined = Report(checks=(Check(name="x", group="y", value=math.nan),), verdicts=())
    assert json.loads(undefined.to_json())["checks"][0]["value"] is None


def test_json_takes_numpy_numbers():
    table = {"rows": [{"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True)}]}
    made = Report(checks=(), verdicts=(), tables=table)
    assert json.loads(made.to_json())["tables"]["rows"] == [{"a": 0.5, "b": 3, "c": True}]


def test_the_guide_states_every_limit_with_its_default():
    guide = (Path(__file__).parents[2] / "docs" / "validation.md").read_text()
    for field in fields(Limits):
        assert f"| `{field.name}` | {field.default} |" in guide
