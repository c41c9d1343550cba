"""Pictures of skill: what is drawn is what the table says."""

import math

import numpy as np
import pytest

from solarxai.errors import TrainingError
from solarxai.metrics import Interval, tss
from solarxai.plotting import skill as pictures
from solarxai.plotting._style import to_png
from solarxai.training.levels import Forecasts
from solarxai.training.skill import KINDS, SCORES, SkillTable, SplitSkill


def one_split(kind, number, *, shift, rows=120, threshold=0.2):
    rng = np.random.default_rng([number, len(kind)])
    truth = np.arange(rows) % 2 == 0
    margin = rng.normal(size=rows) + shift * (truth - 0.5)
    said = Forecasts(truth, margin, np.array([f"NOAA {n}" for n in np.arange(rows) // 20]))
    value = tss(truth, margin > threshold)
    scores = {
        name: Interval(value=value, low=value - 0.1, high=value + 0.1, n_groups=6)
        for name in SCORES
    }
    return SplitSkill(
        kind=kind, number=number, level="spectrum", threshold=threshold, counts={},
        excluded_by_gap=0, scores=scores, forecasts=said,
    )  # fmt: skip


@pytest.fixture(scope="module")
def table():
    shifts = {"region": 0.8, "observation": 1.6, "spectrum": 4.0}
    counts = {"region": 5, "observation": 10, "spectrum": 10}
    splits = [
        one_split(kind, number, shift=shifts[kind])
        for kind in KINDS
        for number in range(counts[kind])
    ]
    return SkillTable(splits=tuple(splits), settings={})


def test_every_split_is_a_dot_and_every_kind_has_its_median_and_its_best(table):
    axis = pictures.split_kinds_figure(table).axes[0]
    lines = axis.get_lines()[1:-3]
    assert len(lines) == 9
    for place, kind in enumerate(KINDS):
        dots, bar, ring = lines[3 * place : 3 * place + 3]
        values = [one.scores["tss"].value for one in table.of(kind)]
        assert dots.get_ydata().tolist() == values
        assert list(bar.get_ydata()) == [np.median(values)] * 2
        assert ring.get_ydata()[0] == max(values)
        assert ring.get_xdata()[0] == dots.get_xdata()[int(np.argmax(values))]
    words = [label.get_text() for label in axis.get_xticklabels()]
    assert [word.split("\n")[-1] for word in words] == ["n = 5", "n = 10", "n = 10"]


def test_undefined_scores_are_told_below_the_axis():
    nothing = Interval(value=math.nan, low=math.nan, high=math.nan, n_groups=6)
    one = one_split("region", 0, shift=1)
    blank = SplitSkill(
        kind="region", number=1, level="spectrum", threshold=math.inf, counts={},
        excluded_by_gap=0, scores=dict.fromkeys(SCORES, nothing), forecasts=one.forecasts,
    )  # fmt: skip
    for splits, said in (((one, blank), "n = 2, 1 undefined"), ((blank,), "n = 1, 1 undefined")):
        figure = pictures.split_kinds_figure(SkillTable(splits=splits, settings={}))
        assert figure.axes[0].get_xticklabels()[0].get_text().endswith(said)
        assert to_png(figure)[:4] == b"\x89PNG"


def test_the_mark_on_a_roc_curve_stands_at_the_rates_of_the_chosen_threshold(table):
    lines = pictures.roc_figure(table).axes[0].get_lines()[1:-2]
    splits = table.of("region")
    assert len(lines) == 2 * len(splits)
    for one, curve, mark in zip(splits, lines[::2], lines[1::2], strict=True):
        (x,), (y,) = mark.get_xdata(), mark.get_ydata()
        assert y - x == pytest.approx(one.scores["tss"].value)
        on_curve = np.isclose(curve.get_xdata(), x) & np.isclose(curve.get_ydata(), y)
        assert on_curve.any()


def test_a_long_roc_curve_is_thinned_but_keeps_its_ends():
    long = SkillTable(splits=(one_split("region", 0, shift=1, rows=5000),), settings={})
    curve = pictures.roc_figure(long).axes[0].get_lines()[1]
    assert len(curve.get_xdata()) == 400
    assert (curve.get_xdata()[0], curve.get_ydata()[-1]) == (0, 1)


def test_a_constant_forecast_is_marked_in_a_corner():
    constant = SkillTable(
        splits=(one_split("region", 0, shift=1, threshold=math.inf),), settings={}
    )
    mark = pictures.roc_figure(constant).axes[0].get_lines()[2]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (0, 0)


def test_the_reliability_diagram_counts_every_test_forecast_of_all_splits(table):
    above, below = pictures.skill_reliability_figure(table).axes
    bars = [bar.get_height() for bar in below.patches]
    assert sum(bars) == 5 * 120
    assert [text.get_text() for text in below.texts] == [f"{int(bar)}" for bar in bars]
    drawn = above.get_lines()[2]
    expected = table.reliability("region")
    assert drawn.get_xdata().tolist() == [b.probability for b in expected]
    assert drawn.get_ydata().tolist() == [b.frequency for b in expected]
    assert above.get_lines()[1].get_ydata()[0] == 0.5


def test_equal_tables_give_equal_bytes(table):
    for draw in (
        pictures.skill_reliability_figure, pictures.roc_figure, pictures.split_kinds_figure
    ):  # fmt: skip
        assert to_png(draw(table)) == to_png(draw(table))


def test_a_kind_without_splits_is_named():
    region = SkillTable(splits=(one_split("region", 0, shift=1),), settings={})
    with pytest.raises(TrainingError, match="no split 'spectrum'"):
        pictures.roc_figure(region, kind="spectrum")
    assert len(pictures.split_kinds_figure(region).axes[0].get_xticklabels()) == 1
