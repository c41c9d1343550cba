"""Pictures of what a validation tested: curves of deletion, random networks, sliding windows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from solarxai.plotting._spectral import WAVELENGTH, mark_lines
from solarxai.plotting._style import BLUE, GREY, RED, styled
from solarxai.validation.faithfulness.table import RANDOM
from solarxai.validation.localisation.measures import EDGE
from solarxai.validation.report import Check, Report

__all__ = ["faithfulness_figure", "randomisation_figure", "window_figure"]

Row = Mapping[str, Any]

_CONTROLS = {RANDOM: "--", EDGE: ":"}
_MARKS = "osD^vP*X"
_HALF, _ALL = "random weights, upper half", "random weights, all"


def faithfulness_figure(report: Report, *, group: str, fill: str) -> Figure:
    """Return the mean score as features are deleted, and inserted, in the order of each map.

    Parameters
    ----------
    report
        Of a validation with the test "faithfulness".
    group
        Such as "synthetic · sunspot".
    fill
        What hides a feature, such as "granulation".
    """
    rows = [
        row
        for row in report.tables["faithfulness"]
        if row["group"] == group and row["fill"] == fill and len(row["curve"])
    ]
    methods = [m for m in dict.fromkeys(row["method"] for row in rows) if m not in _CONTROLS]
    with styled():
        figure = Figure(figsize=(6.6, 2.9 + 0.16 * math.ceil(len(methods) / 3)))
        figure.set_layout_engine("constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for axis, quantity in zip(axes, ("deletion", "insertion"), strict=True):
            curves = {row["method"]: row["curve"] for row in rows if row["quantity"] == quantity}
            _draw_curves(axis, curves, methods)
            verb = "hidden" if quantity == "deletion" else "shown"
            axis.set(xlabel=f"share {verb}, greatest first", xlim=(-0.02, 1.02), title=quantity)
        axes[0].set_ylabel("score of the call [logit]")
        handles, words = axes[0].get_legend_handles_labels()
        figure.legend(handles, words, loc="outside lower center", ncols=3)
    return figure


def randomisation_figure(report: Report, *, group: str) -> Figure:
    """Return how alike each method's maps are to those of networks that forgot, with the limit.

    Parameters
    ----------
    report
        Of a validation with the test "randomisation".
    group
        Such as "synthetic · all".
    """
    checks = [c for c in report.checks if c.group == group and c.name.startswith(_ALL)]
    halves = {
        c.method: c for c in report.checks if c.group == group and c.name.startswith(_HALF)
    }  # fmt: skip
    with styled():
        figure = Figure(figsize=(5.6, 1.3 + 0.42 * len(checks)), layout="constrained")
        axis = figure.subplots()
        for place, check in enumerate(reversed(checks)):
            _draw_bar(axis, place + 0.19, check, BLUE, "all layers forgotten")
            if check.method in halves:
                _draw_bar(axis, place - 0.19, halves[check.method], "#92c5de", "upper half")
        words = [check.method.replace("_", " ") for check in reversed(checks)]
        axis.set_yticks(range(len(checks)), words)
        axis.axvline(0, color=GREY, linewidth=0.8)
        axis.set(xlabel="rank likeness to the trained network's map ÷ that to itself")
        axis.plot([], [], "|", color=RED, markersize=10, label="limit")
        handles = dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
        figure.legend(
            handles.values(), handles.keys(), loc="outside lower center", ncols=3, fontsize=7
        )
    return figure


def window_figure(report: Report, *, origin: str) -> Figure:
    """Return what a window of light of the other class does to the margin, by wavelength.

    Parameters
    ----------
    report
        Of a validation of spectra.
    origin
        "real" or "synthetic".
    """
    rows = [row for row in report.tables["windows"] if row["origin"] == origin]
    rows = sorted(rows, key=lambda row: float(row["centre"]))
    x, y = (np.array([row[name] for row in rows]) for name in ("centre", "change of margin"))
    outside = np.array([row["outside the lines"] for row in rows], dtype=bool)
    with styled():
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        axis = figure.subplots()
        axis.axhline(0, color=GREY, linewidth=0.8)
        axis.axhline(
            report.settings["limits"]["margin_share"], color=RED, linewidth=0.9, linestyle="--",
            label="limit outside the lines",
        )  # fmt: skip
        axis.plot(x, y, color=BLUE, linewidth=0.9)
        for there, colour, word in ((False, BLUE, "on a line"), (True, RED, "outside the lines")):
            kept = outside == there
            axis.plot(x[kept], y[kept], "o", color=colour, markersize=3, label=word)
        axis.set(
            xlim=(x[0] - 0.5, x[-1] + 0.5), xlabel=WAVELENGTH, ylabel="change of margin ÷ spread"
        )
        mark_lines(axis, above=True)
        axis.legend(loc="best", fontsize=7)
    return figure


def _draw_curves(axis: Axes, curves: Mapping[str, Sequence[float]], methods: list[str]) -> None:
    colours = colormaps["tab10"].colors  # type: ignore[attr-defined]
    for number, method in enumerate(methods):
        if method in curves:
            share = np.linspace(0, 1, len(curves[method]))
            axis.plot(
                share, curves[method], color=colours[number % 10], linewidth=1.2, markersize=3,
                marker=_MARKS[number % len(_MARKS)], label=method.replace("_", " "),
            )  # fmt: skip
    for control, line in _CONTROLS.items():
        if control in curves:
            share = np.linspace(0, 1, len(curves[control]))
            axis.plot(share, curves[control], color="#444444", linestyle=line, label=control)
    axis.axhline(0, color=GREY, linewidth=0.6)


def _draw_bar(axis: Axes, place: float, check: Check, colour: str, label: str) -> None:
    axis.barh(place, check.value, height=0.34, color=colour, label=label)
    if not math.isnan(check.low):
        axis.plot([check.low, check.high], [place, place], color="black", linewidth=1)
    axis.plot([check.limit] * 2, [place - 0.19, place + 0.19], color=RED, linewidth=1.6)
