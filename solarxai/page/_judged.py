"""What every report has: verdicts, checks of the model, and what the tests say of its maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from solarxai import plotting
from solarxai.page._parts import image, number, with_interval
from solarxai.validation.report import BEYOND, Check, Report

__all__ = ["check_row", "checks_of_maps", "left_out", "map_figures", "map_groups", "verdict_words"]

Row = Mapping[str, Any]

_SIGNS = {"at least": "≥", "at most": "≤", "": ""}
_KINDS = {"honest so far": "honest", "convicted": "convicted", "undecided": "undecided"}
_FORGOT = "random weights, all"


def verdict_words(report: Report) -> list[dict[str, Any]]:
    """Return each verdict with what the model is convicted of, needs and is swayed by."""
    return [
        {
            "kind": _KINDS[verdict.outcome],
            "sentence": verdict.sentence,
            "facts": [
                (name, ", ".join(found))
                for name, found in (
                    ("Convicted of", verdict.convicted_of),
                    ("Needs", verdict.needs),
                    ("Swayed by, not proven", verdict.swayed_by),
                )
                if found
            ],
        }
        for verdict in report.verdicts
    ]


def check_row(check: Check) -> dict[str, Any]:
    """Return a check as a table shows it."""
    return {
        "verdict": "beyond" if BEYOND in check.reason else check.verdict,
        "name": check.name,
        "group": check.group,
        "method": check.method.replace("_", " "),
        "value": with_interval(check.value, check.low, check.high),
        "limit": "" if math.isnan(check.limit) else f"{_SIGNS[check.sense]} {check.limit:.3g}",
        "structures": check.structures,
        "regions": check.regions,
        "reason": check.reason,
    }


def checks_of_maps(report: Report) -> list[dict[str, Any]]:
    """Return the checks of maps that have a limit, or informed for want of evidence."""
    return [check_row(c) for c in report.checks if c.method and c.sense]


def left_out(report: Report) -> Sequence[Row]:
    """Return what could not be done, and why."""
    return report.tables["left_out"]


def map_groups(report: Report) -> list[dict[str, Any]]:
    """Return, by origin of data, one row a method: what each test of its maps found."""
    methods = list(report.settings["methods"])
    origins = [verdict.origin for verdict in report.verdicts]
    return [
        {"origin": origin, "rows": [_map_row(report, origin, method) for method in methods]}
        for origin in origins
        if methods
    ]


def map_figures(report: Report) -> list[dict[str, Any]]:
    """Return curves of deletion and insertion by group, and the likeness to random networks."""
    made = [
        image(
            plotting.faithfulness_figure(report, group=group, fill=fill),
            f"{group}: mean score of the call as the map's greatest features are hidden by {fill} "
            "(deletion), and as they alone are shown (insertion). A good map falls, and rises, "
            "fastest; a random order and an edge detector stand beside.",
        )
        for group, fill in _curves(report)
    ]
    forgot = (c.group for c in report.checks if c.name.startswith(_FORGOT))
    return made + [
        image(
            plotting.randomisation_figure(report, group=group),
            f"{group}: rank likeness of each method's maps to those of networks whose layers, all "
            "or the upper half, were drawn anew. Bars beyond their limit: the map hardly depends "
            "on what was learnt.",
        )
        for group in dict.fromkeys(forgot)
    ]


def _curves(report: Report) -> list[tuple[str, str]]:
    rows = report.tables.get("faithfulness", ())
    return list(dict.fromkeys((r["group"], r["fill"]) for r in rows if r["judged"]))


def _map_row(report: Report, origin: str, method: str) -> dict[str, Any]:
    forgot = _sensitivity(report, origin, method)
    deletion = [
        c for c in report.checks
        if c.method == method and c.name.startswith("deletion") and c.sense and _of(c.group, origin)
    ]  # fmt: skip
    kind, words = _belief(forgot["verdict"], deletion)
    return {
        "method": method.replace("_", " "),
        "place": _place(report, origin, method),
        "forgot": forgot,
        "deletion": _gains(report, origin, method, "deletion"),
        "insertion": _gains(report, origin, method, "insertion"),
        "significance": _significance(report, origin, method),
        "kind": kind,
        "belief": words,
    }


def _belief(sensitivity: str, deletion: Sequence[Check]) -> tuple[str, str]:
    """Return what the checks say of a method's maps, and no more."""
    against, open_ = [], []
    if sensitivity == "insensitive":
        against.append("a network that forgot what it learnt gives much the same map")
    elif sensitivity != "sensitive":
        open_.append("whether it depends on what was learnt")
    failing = [check.group.split(" · ")[1] for check in deletion if check.verdict == "fails"]
    if failing:
        against.append(
            f"on {' and '.join(failing)}, hiding what it marks first is not shown to take away "
            "more of the score than a random order"
        )
    elif not deletion or any(check.verdict != "holds" for check in deletion):
        open_.append("whether the score rests on what it marks")
    if against:
        return "doubt", f"not to be believed: {'; '.join(against)}"
    if open_:
        return "open", f"open: {'; '.join(open_)}"
    return (
        "holds",
        "believable so far: it depends on what was learnt, and the score on what it marks",
    )


def _sensitivity(report: Report, origin: str, method: str) -> dict[str, str]:
    said = [
        row["verdict"]
        for row in report.tables.get("sensitivity", ())
        if row["method"] == method and _of(row["group"], origin)
    ]
    checks = (
        c for c in report.checks
        if c.method == method and c.name.startswith(_FORGOT) and _of(c.group, origin)
    )  # fmt: skip
    check = next(checks, None)
    if not said or check is None:
        return {"verdict": "not tested", "value": "–", "limit": ""}
    row = check_row(check)
    return {"verdict": said[0], "value": row["value"], "limit": row["limit"]}


def _place(report: Report, origin: str, method: str) -> dict[str, str]:
    """Return the area under the ROC curve of the map as a detector of penumbra."""
    for row in report.tables.get("localisation", ()):
        if (row["quantity"], row["method"], row["label"]) == ("AUC", method, "sunspot") and _of(
            row["group"], origin
        ):
            value = with_interval(row["value"], row["low"], row["high"])
            return {
                "value": value,
                "edge": number(row["edge detector"]),
                "random": number(row["random weights"]),
            }
    return {}


def _gains(report: Report, origin: str, method: str, quantity: str) -> list[dict[str, str]]:
    shown = set(_curves(report))
    return [
        {
            "label": str(row["label"]),
            "value": with_interval(row["value"], row["low"], row["high"]),
            "unit": "" if row["unit"] == "oracle" else "of the whole change of score",
        }
        for row in report.tables.get("faithfulness", ())
        if row["method"] == method
        and row["quantity"] == quantity
        and _of(row["group"], origin)
        and (row["group"], row["fill"]) in shown
    ]


def _significance(report: Report, origin: str, method: str) -> list[dict[str, str]]:
    """Return the corrected p-values of the area under the curve, by null."""
    return [
        {
            "null": str(row["null"]),
            "p": number(row["p corrected"], 2),
            "side": "above" if row["value"] > row["null value"] else "below",
        }
        for row in report.tables.get("significance", ())
        if row["method"] == method and row["quantity"] == "AUC" and _of(row["group"], origin)
    ]


def _of(group: str, origin: str) -> bool:
    return group.split(" · ")[0] == origin
