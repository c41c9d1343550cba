"""What the page of a report on spectra says: lines, swaps, nuisances, windows, maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from solarxai import plotting
from solarxai.page._judged import (
    check_row,
    checks_of_maps,
    left_out,
    map_figures,
    map_groups,
    verdict_words,
)
from solarxai.page._parts import image
from solarxai.validation.report import Check, Report, Verdict

__all__ = ["lines_words"]

_CALLS, _MARGIN = ": right calls changed", ": change of margin ÷ spread"
_OTHER, _BOTH = " of the other class", " of both classes"


def lines_words(report: Report) -> dict[str, Any]:
    """Return the words and pictures of the template `lines.html`, but for the title."""
    of_model = [check for check in report.checks if not check.method]
    judged = [check for check in of_model if check.verdict != "informs"]
    return {
        "subtitle": _subtitle(report),
        "verdicts": verdict_words(report),
        "counts": f"{sum(c.verdict == 'holds' for c in judged)} checks of the model hold, "
        f"{sum(c.verdict == 'fails' for c in judged)} fail.",
        "origins": [_origin(report, of_model, verdict) for verdict in report.verdicts],
        "confusion": report.tables["confusion"],
        "maps": map_groups(report),
        "map_figures": map_figures(report),
        "map_checks": checks_of_maps(report),
        "left_out": left_out(report),
        "limits": report.settings["limits"],
        "settings": {"runs": [], **report.settings},
    }


def _subtitle(report: Report) -> str:
    methods = ", ".join(report.settings["methods"]) or "no method"
    return f"{report.settings['structures']} spectra. Maps by {methods}."


def _origin(report: Report, checks: Sequence[Check], verdict: Verdict) -> dict[str, Any]:
    mine = {c.name: c for c in checks if c.group.split(" · ")[0] == verdict.origin}
    windows = any(row["origin"] == verdict.origin for row in report.tables["windows"])
    shown = plotting.window_figure(report, origin=verdict.origin) if windows else None
    return {
        "origin": verdict.origin,
        "skill": [check_row(mine[name]) for name in ("ROC-AUC", "TSS") if name in mine],
        "lines": [_line(mine, name, verdict) for name in _named(mine, _OTHER + _MARGIN)],
        "swaps": [_swap(mine, name) for name in _named(mine, _MARGIN) if name.startswith("swap ")],
        "nuisances": [
            {**check_row(c), "name": name.removeprefix("nuisance ").split(":")[0]}
            for name, c in mine.items()
            if name.startswith("nuisance ")
        ],
        "windows": image(
            shown,
            f"Change of margin towards the other class when a window of {verdict.origin} spectra "
            "is replaced by the other class's mean, by wavelength; dotted: k, h and the triplet.",
        )
        if shown
        else None,
    }


def _named(checks: Mapping[str, Check], ending: str) -> list[str]:
    """Return what the checks with this ending are about."""
    return [name.removesuffix(ending) for name in checks if name.endswith(ending)]


def _line(checks: Mapping[str, Check], line: str, verdict: Verdict) -> dict[str, Any]:
    return {
        "name": line,
        "needed": line in verdict.needs,
        "other": check_row(checks[line + _OTHER + _MARGIN])["value"],
        "both": check_row(checks[line + _BOTH + _MARGIN])["value"],
        "calls": check_row(checks[line + _OTHER + _CALLS])["value"],
    }


def _swap(checks: Mapping[str, Check], name: str) -> dict[str, Any]:
    calls = check_row(checks[name + _CALLS])
    return {
        **check_row(checks[name + _MARGIN]),
        "name": name.removeprefix("swap "),
        "calls": calls["value"],
    }
