"""The test of the labels as part of a report: whether maps come from what was learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from solarxai.validation.maps import flat
from solarxai.validation.randomisation.labels import PERMUTED, LabelRandomisation, label_checks
from solarxai.validation.report import Limits, Report

__all__ = ["with_label_randomisation"]


def with_label_randomisation(report: Report, found: LabelRandomisation) -> Report:
    """Return the report with what two more trainings showed of the maps.

    Parameters
    ----------
    report
        Of a validation; its limits are asked.
    found
        Of `label_randomisation`.

    Returns
    -------
    Report
        With a check of each method and origin, whose reason tells how many of the permuted labels
        were learnt; the table "labels"; refusals in "left_out"; the accuracies of both trainings
        and the share of labels moved in the settings.
    """
    limits = Limits.parse(report.settings["limits"])
    checks = label_checks(found.rows, limits=limits)
    learnt = f"{100 * found.accuracies[PERMUTED]:.0f} % of the permuted labels were learnt"
    refusals = [_left_out(one) for one in found.left_out]
    return replace(
        report,
        checks=(
            *report.checks,
            *(replace(check, reason=f"{check.reason}; {learnt}") for check in checks),
        ),
        tables={
            **report.tables,
            "labels": flat(found.rows),
            "left_out": [*report.tables["left_out"], *refusals],
        },
        settings={
            **report.settings,
            "label_randomisation": {"accuracies": dict(found.accuracies), "moved": found.moved},
        },
    )


def _left_out(one: Mapping[str, str]) -> dict[str, Any]:
    what = f"labels permuted, {one['method']}"
    return {"intervention": what, "label": "all", "reason": one["reason"], "count": 1}
