"""Pictures of samples, maps and reports of images.

Every function returns a `matplotlib.figure.Figure` and touches no global state; `to_png` gives its
bytes, the same for the same figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from astropy.visualization.wcsaxes import WCSAxes
from astropy.wcs import WCS
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from solarxai.classifier import Classifier
from solarxai.plotting._style import BLUE, GREY, RED, styled, symmetric
from solarxai.schema import PENUMBRA, PORE, UMBRA, sample_wcs_header
from solarxai.validation.causal.interventions import Patch, pictures
from solarxai.validation.localisation.measures import NULLS, SHARES
from solarxai.validation.report import Report

__all__ = [
    "calibration_figure",
    "counterfactual_figure",
    "localisation_figure",
    "per_structure_bars",
    "structure_figure",
]

Image = npt.NDArray[np.float32]

_RANGE = (0.1, 1.15)
"""Intensities, of the quiet Sun, shown black and white."""
_PANEL, _STEP, _LEFT, _HEIGHT = 2.05, 2.2, 0.75, 3.2
"""Side of a picture, distance to the next, left margin and height of a row of them, inches."""
_SEGMENT_COLOURS = {
    "share in penumbra": "#e08214",
    "share in umbra": "#40004b",
    "share in pore": "#7b3294",
    "share in quiet Sun": "#c7c7c7",
}
_NULL_MARKS = dict(zip(NULLS, ("s", "D", "^", "X"), strict=True))
_BREAK = ",\n"


def structure_figure(samples: xr.Dataset, row: int, methods: Sequence[str]) -> Figure:
    """Return one structure: its image and the map of each method, with contours, on the sky.

    Parameters
    ----------
    samples
        Samples with maps.
    row
        Which sample.
    methods
        Names of the map variables to draw.

    Notes
    -----
    Coordinates come from the sample's own world coordinate system: arcsec, or degrees where the
    observation is in heliographic coordinates. Solid contours enclose penumbra and umbra, dashed
    ones the umbra or pore. Maps are signed: white is zero, and the scale is symmetric and clipped
    at the 99.5th percentile of |a|.
    """
    one = samples.isel(sample=row)
    wcs = WCS(sample_wcs_header(samples, row))
    segmentation = one["segmentation"].values
    with styled():
        figure = Figure(figsize=(_LEFT + _STEP * (1 + len(methods)), _HEIGHT))
        first = _sky_panel(figure, 0, wcs)
        shown = first.imshow(one["image"].values, cmap="gray", norm=Normalize(*_RANGE))
        _outline(first, segmentation, ("#ffd60a", "#00d5ff"))
        _bar(figure, 0, shown, "I / quiet Sun")
        first.set_title("continuum")
        for i, method in enumerate(methods):
            panel = _sky_panel(figure, 1 + i, wcs)
            values = one[method].values
            shown = panel.imshow(values, cmap="RdBu_r", norm=symmetric(values))
            _outline(panel, segmentation, ("black", "black"))
            _bar(figure, 1 + i, shown, str(one[method].attrs.get("units", "logit")))
            panel.set_title(method.replace("_", " "))
    return figure


def counterfactual_figure(patch: Patch, label: str, classifier: Classifier) -> Figure:
    """Return one structure before and after every intervention, each with its score.

    Parameters
    ----------
    patch
        One of what `cut_patches` returns, with the seed and limits of the validation, so that the
        pictures are those it judged.
    label
        Its label.
    classifier
        Whose scores are written above the pictures.
    """
    shown = {"as observed": patch.image, **pictures(patch, label)}
    scores = classifier.margins(np.stack(list(shown.values())))
    with styled():
        figure = Figure(figsize=(1.8 * len(shown), 2.3))
        figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.8, wspace=0.06)
        for i, (name, image) in enumerate(shown.items()):
            panel = figure.add_subplot(1, len(shown), i + 1)
            panel.imshow(image, cmap="gray", norm=Normalize(*_RANGE), origin="lower")
            panel.set_axis_off()
            colour = RED if scores[i] > 0 else BLUE
            word = "sunspot" if scores[i] > 0 else "pore"
            title = f"{name.replace(', ', _BREAK)}\n{scores[i]:+.2f}: {word}"
            panel.set_title(title, color=colour, fontsize=8)
    return figure


def per_structure_bars(report: Report, *, origin: str, most: int = 40) -> Figure:
    """Return a bar a structure: score before and after, and where each method's map lies.

    Parameters
    ----------
    report
        Of a validation.
    origin
        "real" or "synthetic".
    most
        Most structures drawn, evenly spread over the list.
    """
    rows = [row for row in report.tables["structures"] if row["origin"] == origin]
    rows = sorted(rows, key=lambda row: (row["label"], row["time"], row["sample_id"]))
    rows = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, most).round().astype(int))]
    methods = list(report.settings["methods"])
    with styled():
        figure = Figure(
            figsize=(3.4 + 1.5 * len(methods), 1.6 + 0.17 * len(rows)), layout="constrained"
        )
        axes = figure.subplots(
            1, 1 + len(methods), sharey=True, squeeze=False, width_ratios=[2] + [1] * len(methods)
        )[0]
        _draw_scores(axes[0], rows)
        for axis, method in zip(axes[1:], methods, strict=True):
            _draw_shares(axis, rows, method)
        handles, words = axes[-1].get_legend_handles_labels() if methods else ([], [])
        figure.legend(handles, words, loc="outside lower right", ncols=4)
    return figure


def calibration_figure(report: Report) -> Figure:
    """Return the reliability diagram: how often a structure is a sunspot, by stated probability.

    The area of a point grows with the number of structures in its bin.
    """
    rows = report.tables["reliability"]
    with styled():
        figure = Figure(figsize=(3.6, 3.2), layout="constrained")
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--", label="calibrated")
        marks = {"real": ("o", RED), "synthetic": ("s", BLUE)}
        for origin in sorted({row["origin"] for row in rows}):
            mine = [row for row in rows if row["origin"] == origin]
            marker, colour = marks.get(origin, ("o", GREY))
            x, y = _columns(mine, "probability", "frequency")
            axis.plot(x, y, color=colour, linewidth=0.8)
            sizes = [12 + 60 * math.sqrt(row["samples"] / 100) for row in mine]
            axis.scatter(
                x,
                y,
                s=sizes,
                marker=marker,
                color=colour,
                label=f"{origin} ({sum(row['samples'] for row in mine)})",
            )
        axis.set(
            xlim=(-0.03, 1.03),
            ylim=(-0.03, 1.03),
            xlabel="stated probability of a sunspot",
            ylabel="fraction that are sunspots",
        )
        axis.legend(loc="upper left")
    return figure


def localisation_figure(report: Report, *, origin: str, quantity: str) -> Figure:
    """Return a quantity of localisation by method, with 95 % intervals and its nulls beside.

    Parameters
    ----------
    report
        Of a validation.
    origin
        "real" or "synthetic"; the group is that of the sunspots.
    quantity
        Such as "enrichment in penumbra" or "AUC".
    """
    group = f"{origin} · sunspot"
    rows = [
        row
        for row in report.tables["localisation"]
        if row["group"] == group and row["quantity"] == quantity
    ]
    with styled():
        figure = Figure(figsize=(4.6, 1.3 + 0.32 * len(rows)), layout="constrained")
        axis = figure.subplots()
        for place, row in enumerate(reversed(rows)):
            if not math.isnan(row["low"]):
                axis.plot([row["low"], row["high"]], [place, place], color=BLUE, linewidth=2)
            axis.plot(row["value"], place, "o", color=BLUE)
            for null, mark in _NULL_MARKS.items():
                axis.plot(row[null], place, mark, color=GREY, markersize=4, fillstyle="none")
        words = [row["method"].replace("_", " ") for row in reversed(rows)]
        axis.set_yticks(range(len(rows)), words)
        axis.set(xlabel=f"{quantity}, {group}", ylim=(-0.6, len(rows) - 0.4))
        handles = [
            axis.plot([], [], mark, color=GREY, markersize=4, fillstyle="none", label=null)[0]
            for null, mark in _NULL_MARKS.items()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=7)
    return figure


def _sky_panel(figure: Figure, place: int, wcs: WCS) -> WCSAxes:
    """Return axes on the sky, the `place`-th of a row; the first alone has latitudes written."""
    panel: WCSAxes = figure.add_axes(
        _inches(figure, _LEFT + place * _STEP, 0.92, _PANEL, _PANEL), projection=wcs
    )
    heliographic = wcs.wcs.ctype[0].startswith("CRLN")
    names = ("longitude", "latitude") if heliographic else ("Solar X", "Solar Y")
    unit = "deg" if heliographic else "arcsec"
    for name, coordinate in zip(names, panel.coords, strict=True):
        coordinate.set_format_unit(unit)
        coordinate.set_major_formatter("d.d" if heliographic else "s")
        coordinate.set_ticks(number=4)
        coordinate.set_axislabel(f"{name} [{unit}]", minpad=0.9)
        coordinate.set_ticklabel(exclude_overlapping=True, size=7)
    if place:
        panel.coords[1].set_ticklabel_visible(False)
        panel.coords[1].set_axislabel("")
    return panel


def _outline(panel: Axes, segmentation: npt.NDArray[np.uint8], colours: tuple[str, str]) -> None:
    """Draw the outer edge of penumbra (solid) and of umbra or pore (dashed)."""
    penumbra = np.isin(segmentation, (PENUMBRA, UMBRA)) & (segmentation == PENUMBRA).any()
    dark = np.isin(segmentation, (UMBRA, PORE))
    for mask, colour, line in zip((penumbra, dark), colours, ("-", "--"), strict=True):
        if mask.any() and not mask.all():
            panel.contour(
                mask.astype(float), levels=[0.5], colors=[colour], linestyles=line, linewidths=0.9
            )


def _inches(
    figure: Figure, left: float, bottom: float, width: float, height: float
) -> tuple[float, float, float, float]:
    x, y = figure.get_size_inches()
    return float(left / x), float(bottom / y), float(width / x), float(height / y)


def _bar(figure: Figure, place: int, shown: Any, unit: str) -> None:
    left = _LEFT + place * _STEP + 0.1 * _PANEL
    axis = figure.add_axes(_inches(figure, left, 0.42, 0.8 * _PANEL, 0.07))
    bar = figure.colorbar(shown, cax=axis, orientation="horizontal")
    bar.set_label(unit, size=7, labelpad=1)
    bar.ax.tick_params(labelsize=6.5, length=2)
    bar.ax.xaxis.set_major_locator(MaxNLocator(4, symmetric=shown.norm.vmin < 0))
    bar.ax.xaxis.set_major_formatter("{x:.3g}")


def _draw_scores(axis: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    places = np.arange(len(rows))[::-1]
    after = [_after(row) for row in rows]
    axis.axvline(0, color=GREY, linewidth=0.8)
    for place, row, score in zip(places, rows, after, strict=True):
        colour = {"sunspot": RED, "pore": BLUE}.get(row["label"], GREY)
        if not math.isnan(score):
            axis.plot([row["score"], score], [place, place], color=colour, linewidth=0.8)
            axis.plot(score, place, "o", color=colour, markersize=4, fillstyle="none")
        axis.plot(row["score"], place, "o", color=colour, markersize=4)
    words = [
        f"{row['region']} {row['time'][5:16].replace('T', ' ')} {row['label']}" for row in rows
    ]
    axis.set_yticks(places, words, fontsize=6)
    axis.set(ylim=(-0.6, len(rows) - 0.4), xlabel="score: pore ← 0 → sunspot [logit]")
    axis.set_title("● as observed   ○ penumbra removed or painted", fontsize=7)


def _after(row: Mapping[str, Any]) -> float:
    """Return the score after the structure's penumbra was removed, or after one was painted."""
    name = "penumbra painted" if row["label"] == "pore" else "penumbra removed"
    return float(row[f"score, {name}"])


def _draw_shares(axis: Axes, rows: Sequence[Mapping[str, Any]], method: str) -> None:
    places = np.arange(len(rows))[::-1]
    left = np.zeros(len(rows))
    for name in SHARES:
        width = np.nan_to_num([float(row[f"{name}, {method}"]) for row in rows])
        axis.barh(
            places,
            width,
            left=left,
            color=_SEGMENT_COLOURS[name],
            height=0.8,
            label=name.removeprefix("share in "),
        )
        left = left + width
    axis.set(xlim=(0, 1), xlabel="share of |a|")
    axis.set_title(method.replace("_", " "), fontsize=7)


def _columns(rows: Sequence[Mapping[str, Any]], *names: str) -> tuple[list[float], ...]:
    return tuple([float(row[name]) for row in rows] for name in names)
