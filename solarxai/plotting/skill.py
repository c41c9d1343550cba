"""Pictures of how well flares are predicted: calibration, ROC curves, what each split claims."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from solarxai import metrics
from solarxai.plotting._style import BLUE, GREY, RED, styled
from solarxai.training.skill import KINDS, SCORES, SkillTable, SplitSkill

__all__ = ["roc_figure", "skill_reliability_figure", "split_kinds_figure"]

_COLOURS = {"region": BLUE, "observation": "#e08214", "spectrum": RED}
_POINTS = 400
"""Most points drawn of a ROC curve."""
_SPREAD = 0.3
"""Width over which the dots of one kind of split are spread."""


def skill_reliability_figure(
    table: SkillTable, *, kind: str = "region", level: str = "spectrum", bins: int = 10
) -> Figure:
    """Return how often flares followed, by stated probability, above the number of forecasts.

    Parameters
    ----------
    table
        Of `solarxai.training.skill`.
    kind, level
        Which splits; their test forecasts are taken together.
    bins
        Of equal width in probability.
    """
    occupied = table.reliability(kind, level=level, bins=bins)
    truth = np.concatenate([s.forecasts.truth for s in table.of(kind, level=level)])
    stated = [b.probability for b in occupied]
    with styled():
        figure = Figure(figsize=(3.6, 4.2), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        above.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--", label="calibrated")
        above.axhline(truth.mean(), color=GREY, linewidth=0.8, linestyle=":", label="base rate")
        above.plot(
            stated, [b.frequency for b in occupied], "o-", color=_COLOURS[kind], markersize=4,
            label=KINDS[kind],
        )  # fmt: skip
        above.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), ylabel="fraction that are pre-flare")
        above.legend(loc="upper left")
        _draw_counts(below, occupied, _COLOURS[kind])
        below.set(xlabel="stated probability of pre-flare", ylabel=_units(level))
    return figure


def roc_figure(table: SkillTable, *, kind: str = "region", level: str = "spectrum") -> Figure:
    """Return the ROC curve of every split of that kind, with the threshold chosen on validation.

    Parameters
    ----------
    table
        Of `solarxai.training.skill`.
    kind, level
        Which splits.

    Notes
    -----
    The height of a mark above the diagonal is the TSS of that split. A threshold chosen where the
    curve is not at its highest is what choosing on validation costs.
    """
    splits = table.of(kind, level=level)
    with styled():
        figure = Figure(figsize=(3.6, 3.6), layout="constrained")
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--")
        for one in splits:
            _draw_roc(axis, one)
        axis.plot([], [], "-", color=_COLOURS[kind], label=KINDS[kind])
        axis.plot([], [], "o", color=RED, markersize=4, label="threshold from validation")
        axis.set(
            xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal",
            xlabel="false alarm rate", ylabel=f"hit rate, by {_unit(level)}",
            title=f"medians of {len(splits)}: "
            f"ROC AUC {table.spread(kind, 'roc_auc', level=level).median:.2f}, "
            f"TSS {table.spread(kind, level=level).median:.2f}",
        )  # fmt: skip
        axis.legend(loc="lower right")
    return figure


def split_kinds_figure(table: SkillTable, *, score: str = "tss", level: str = "spectrum") -> Figure:
    """Return a score by kind of split: a dot a split, a bar at the median, a ring round the best.

    Parameters
    ----------
    table
        Of `solarxai.training.skill.contrast`.
    score
        One of `SCORES`.
    level
        Which units were scored.

    Notes
    -----
    The ring marks the split that would be quoted had the split been chosen on test. Splits on
    which the score is undefined have no dot; the label says how many there are.
    """
    kinds = [
        kind for kind in KINDS if any((s.kind, s.level) == (kind, level) for s in table.splits)
    ]
    with styled():
        figure = Figure(figsize=(1.2 + 1.5 * len(kinds), 3.2), layout="constrained")
        axis = figure.subplots()
        axis.axhline(0, color=GREY, linewidth=0.8)
        words = [
            _draw_kind(axis, place, table, kind, score, level) for place, kind in enumerate(kinds)
        ]
        axis.set_xticks(range(len(kinds)), words)
        axis.set(
            xlim=(-0.6, len(kinds) - 0.4), ylabel=f"{SCORES[score]} on test, by {_unit(level)}"
        )
        axis.plot([], [], "o", color=GREY, markersize=4, label="one split")
        axis.plot([], [], "-", color="black", linewidth=2, label="median")
        axis.plot(
            [], [], "o", color="black", fillstyle="none", markersize=8, label="best, chosen on test"
        )
        figure.legend(loc="outside upper center", ncols=3)
    return figure


def _draw_counts(axis: Axes, occupied: tuple[metrics.ReliabilityBin, ...], colour: str) -> None:
    left = [b.low for b in occupied]
    width = [b.high - b.low for b in occupied]
    counts = [b.samples for b in occupied]
    axis.bar(left, counts, width, align="edge", color=colour, alpha=0.5)
    axis.set_yscale("log")
    axis.set_ylim(0.5, 8 * max(counts))
    for b in occupied:
        centre = (b.low + b.high) / 2
        axis.annotate(
            f"{b.samples}", (centre, b.samples), (0, 2), textcoords="offset points", ha="center",
            fontsize=6,
        )  # fmt: skip


def _draw_roc(axis: Axes, one: SplitSkill) -> None:
    truth, margin = one.forecasts.truth, one.forecasts.margin
    curve = metrics.roc_curve(truth, margin)
    cuts = np.unique(np.linspace(0, len(curve.hit_rate) - 1, _POINTS).round().astype(int))
    axis.plot(
        curve.false_alarm_rate[cuts], curve.hit_rate[cuts], color=_COLOURS[one.kind],
        linewidth=0.8, alpha=0.7,
    )  # fmt: skip
    said = margin > one.threshold
    axis.plot(said[~truth].mean(), said[truth].mean(), "o", color=RED, markersize=4, zorder=3)


def _draw_kind(axis: Axes, place: int, table: SkillTable, kind: str, score: str, level: str) -> str:
    """Draw the splits of one kind and return its label."""
    spread = table.spread(kind, score, level=level)
    values = [s.scores[score].value for s in table.of(kind, level=level)]
    where = place + _SPREAD * (
        np.linspace(-0.5, 0.5, len(values)) if len(values) > 1 else np.zeros(1)
    )
    axis.plot(where, values, "o", color=_COLOURS[kind], markersize=4)
    axis.plot([place - _SPREAD, place + _SPREAD], [spread.median] * 2, color="black", linewidth=2)
    best = table.best_chosen_on_test(kind, by=score, level=level)
    at = where[values.index(best.scores[score].value)] if spread.undefined < len(values) else place
    axis.plot(at, spread.highest, "o", color="black", fillstyle="none", markersize=8)
    said = KINDS[kind].replace(", ", ",\n").replace(" (", "\n(").replace(" by ", "\nby ")
    return (
        said
        + f"\nn = {spread.splits}"
        + (f", {spread.undefined} undefined" if spread.undefined else "")
    )


def _unit(level: str) -> str:
    return level.replace("_", " ")


def _units(level: str) -> str:
    return {"spectrum": "spectra"}.get(level, f"{_unit(level)}s")
