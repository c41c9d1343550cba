"""A report as JUnit XML, for continuous integration of a user's own model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree import ElementTree

from solarxai.validation.report import Check, Report, Verdict

__all__ = ["to_junit"]


def to_junit(report: Report, *, name: str = "solarxai validate") -> str:
    """Return the verdicts and the checks with a limit as JUnit XML: a test case each.

    Parameters
    ----------
    report
        Of a validation.
    name
        Of the outermost suite.

    Notes
    -----
    A model convicted, or a check of it that fails, is a failure. What is undecided, or fails of a
    map alone, is skipped, with the reason.
    """
    root = ElementTree.Element("testsuites", name=name)
    _add(root, "verdicts", [_verdict_case(verdict) for verdict in report.verdicts])
    groups: dict[str, list[ElementTree.Element]] = {}
    for check in report.checks:
        if check.sense:
            groups.setdefault(check.group, []).append(_check_case(check))
    for group, cases in groups.items():
        _add(root, group, cases)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add(root: ElementTree.Element, name: str, cases: Sequence[ElementTree.Element]) -> None:
    counts: dict[str, str] = {
        word: str(sum(case.find(tag) is not None for case in cases))
        for word, tag in (("failures", "failure"), ("skipped", "skipped"))
    }
    words = {"name": name, "tests": str(len(cases)), **counts}
    suite = ElementTree.SubElement(root, "testsuite", words)
    suite.extend(cases)


def _verdict_case(verdict: Verdict) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname="verdict", name=verdict.origin)
    tag = {"convicted": "failure", "undecided": "skipped"}.get(verdict.outcome)
    return _with(case, tag, verdict.sentence)


def _check_case(check: Check) -> ElementTree.Element:
    of = f"{check.group} · {check.method}" if check.method else check.group
    case = ElementTree.Element("testcase", classname=of, name=check.name)
    sign = {"at least": "≥", "at most": "≤", "": ""}[check.sense]
    interval = "" if math.isnan(check.low) else f" [{check.low:.3g}, {check.high:.3g}]"
    said = f"{check.value:.3g}{interval}, limit {sign} {check.limit:.3g}"
    told = f"{said}; {check.reason}" if check.reason else said
    tag = {"holds": None, "informs": "skipped"}.get(
        check.verdict, "skipped" if check.method else "failure"
    )
    return _with(case, tag, told)


def _with(case: ElementTree.Element, tag: str | None, message: str) -> ElementTree.Element:
    """Return the case with its failure, or the reason why it is skipped."""
    if tag:
        ElementTree.SubElement(case, tag, message=message)
    return case
