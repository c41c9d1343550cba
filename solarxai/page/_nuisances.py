"""The nuisances of patches as tables: what was done, how much, and what became of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solarxai.page._judged import check_row
from solarxai.validation.causal.nuisances import DISTURBANCES, SWAPS, Amplitudes, nuisance_rows
from solarxai.validation.report import Check, Report

__all__ = ["SWAPPED", "is_nuisance", "nuisance_groups"]

SWAPPED: Mapping[str, str] = {
    "swap brightness": "the level of the quiet Sun",
    "swap border": "the quiet Sun of the border, {border_px} pixels wide",
    "swap background": "all quiet Sun that both have",
    "swap mu": "the foreshortening of its place on the disk, and the trend of its quiet Sun",
    "swap plate scale": "the size of a pixel on the sky",
    "swap roll": "the angle of the pixel grid on the sky",
}
"""What a patch is given of another."""

_SEVERITY = ("fails", "beyond", "informs", "holds")


def nuisance_groups(report: Report) -> list[dict[str, Any]]:
    """Return, by origin, the rows of nuisances of physical size and those of swaps."""
    amplitudes = Amplitudes.parse(report.settings["amplitudes"])
    checks = {(c.group.split(" · ")[0], c.name): c for c in report.checks if not c.method}
    made = []
    for origin in dict.fromkeys(verdict.origin for verdict in report.verdicts):
        mine = {name: check for (where, name), check in checks.items() if where == origin}
        made.append(
            {
                "origin": origin,
                "nuisances": [
                    {**row, **_found(mine, row["nuisance"], "change of score ÷ penumbra loss")}
                    for row in nuisance_rows(amplitudes)
                ],
                "swaps": [
                    {
                        "nuisance": name.removeprefix("swap "),
                        "what": SWAPPED[name].format(border_px=amplitudes.border_px),
                        **_found(mine, name, "pull to the other label ÷ penumbra loss"),
                    }
                    for name in SWAPS
                ],
                "partners": amplitudes.partners,
            }
        )
    return made


def is_nuisance(check: Check) -> bool:
    """Return whether a check stands in these tables."""
    names = (*DISTURBANCES, *SWAPS)
    return check.name.startswith(tuple(f"nuisance {name}:" for name in names))


def _found(checks: Mapping[str, Check], name: str, size: str) -> dict[str, Any]:
    """Return the two numbers of a nuisance with their limits, and the graver result."""
    calls, change = (check_row(checks[f"nuisance {name}: {it}"]) for it in ("calls changed", size))
    said = {calls["verdict"], change["verdict"]}
    remarks = dict.fromkeys(row["reason"] for row in (calls, change) if row["verdict"] != "holds")
    return {
        "verdict": next(word for word in _SEVERITY if word in said),
        "calls": calls,
        "change": change,
        "remark": "; ".join(remark for remark in remarks if remark),
    }
