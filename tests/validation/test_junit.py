"""A report as continuous integration reads it."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from solarxai.validation.junit import to_junit
from solarxai.validation.report import Check, Report, Verdict


def check(verdict, *, group="real · all", name='nuisance <zoom> & "swap"', method=""):
    return Check(
        name=name, group=group, value=0.25, low=0.125, high=0.5, limit=0.1, sense="at most",
        verdict=verdict, reason="why & how", method=method, structures=9, regions=4,
    )  # fmt: skip


CHECKS = (
    check("holds"),
    check("fails"),
    check("informs"),
    check("fails", group="synthetic · pore", method="gradient"),
    Check(name="no limit", group="real · all", value=1.0),
)
VERDICTS = (
    Verdict(origin="real", outcome="convicted", sentence="real: convicted; of <everything>."),
    Verdict(origin="synthetic", outcome="undecided", sentence="synthetic: undecided."),
    Verdict(origin="lunar", outcome="honest so far", sentence="lunar: honest so far."),
)


@pytest.fixture(scope="module")
def root():
    return ElementTree.fromstring(to_junit(Report(checks=CHECKS, verdicts=VERDICTS), name="mine"))


def test_each_group_is_a_suite_after_that_of_the_verdicts(root):
    assert (root.tag, root.get("name")) == ("testsuites", "mine")
    assert [suite.get("name") for suite in root] == ["verdicts", "real · all", "synthetic · pore"]


def test_counts_are_those_of_the_cases(root):
    counted = [[suite.get(w) for w in ("tests", "failures", "skipped")] for suite in root]
    assert counted == [["3", "1", "1"], ["3", "1", "1"], ["1", "0", "1"]]
    for suite in root:
        assert len(suite.findall("testcase")) == int(suite.get("tests"))
        assert len(suite.findall("testcase/failure")) == int(suite.get("failures"))
        assert len(suite.findall("testcase/skipped")) == int(suite.get("skipped"))


def test_a_conviction_is_a_failure_and_an_open_verdict_is_skipped(root):
    cases = {case.get("name"): case for case in root[0]}
    assert cases["real"].find("failure").get("message") == "real: convicted; of <everything>."
    assert cases["synthetic"].find("skipped").get("message") == "synthetic: undecided."
    assert len(cases["lunar"]) == 0


def test_words_with_marks_of_xml_come_back_as_they_were(root):
    assert root[1][1].get("name") == 'nuisance <zoom> & "swap"'
    message = root[1][1].find("failure").get("message")
    assert message == "0.25 [0.125, 0.5], limit ≤ 0.1; why & how"


def test_a_map_that_fails_is_skipped_with_its_method(root):
    (case,) = root[2]
    assert case.get("classname") == "synthetic · pore · gradient"
    assert case.find("failure") is None
    assert case.find("skipped").get("message").startswith("0.25")


def test_a_number_without_a_limit_is_no_case(root):
    assert "no limit" not in {case.get("name") for case in root.iter("testcase")}


def test_failures_are_as_many_as_the_exit_code_counts():
    for verdict, method in (("fails", ""), ("fails", "gradient"), ("informs", "")):
        made = Report(checks=(check(verdict, method=method),), verdicts=())
        failures = ElementTree.fromstring(to_junit(made)).findall(".//failure")
        assert len(failures) == made.exit_code


def test_an_undefined_interval_is_not_written():
    one = Check(
        name="x", group="g", value=math.nan, limit=0.5, sense="at least", reason=""
    )  # fmt: skip
    (case,) = ElementTree.fromstring(to_junit(Report(checks=(one,), verdicts=()))).iter("testcase")
    assert case.find("skipped").get("message") == "nan, limit ≥ 0.5"
