"""Pictures of what a validation tested show the numbers of its tables."""

from __future__ import annotations

import numpy as np
import pytest

from solarxai import plotting
from solarxai.validation.report import Check, Limits, Report

LIKENESS = ": rank likeness to the trained network's map"


def curve(method, quantity, values, *, fill="granulation"):
    return {
        "method": method, "group": "real · pore", "fill": fill, "quantity": quantity,
        "curve": values, "judged": quantity == "deletion",
    }  # fmt: skip


def forgot(method, stage, value, *, limit=0.3):
    return Check(
        name=f"random weights, {stage}{LIKENESS}", group="real · all", value=value,
        low=value - 0.1, high=value + 0.1, limit=limit, sense="at most", method=method,
    )  # fmt: skip


@pytest.fixture(scope="module")
def report():
    rows = [
        curve("grad_cam", "deletion", (4.0, 1.0, 0.0)),
        curve("grad_cam", "insertion", (0.0, 3.0, 4.0)),
        curve("random order", "deletion", (4.0, 2.0, 0.0)),
        curve("random order", "insertion", (0.0, 2.0, 4.0)),
        curve("grad_cam", "deletion", (9.0, 9.0, 9.0), fill="blur"),
        curve("grad_cam", "infidelity", ()),
    ]
    windows = [
        {"origin": "real", "centre": c, "outside the lines": c > 2799, "change of margin": m}
        for c, m in ((2800.0, 0.5), (2796.4, 0.1), (2798.0, -0.2))
    ]
    checks = (
        forgot("grad_cam", "all", 0.5), forgot("grad_cam", "upper half", 0.4),
        forgot("gradient", "all", 0.1, limit=0.2),
    )  # fmt: skip
    return Report(
        checks=checks,
        verdicts=(),
        tables={"faithfulness": rows, "windows": windows},
        settings={"limits": {"margin_share": Limits().margin_share}},
    )


def test_curves_of_one_fill_run_from_no_share_to_all(report):
    figure = plotting.faithfulness_figure(report, group="real · pore", fill="granulation")
    deletion, insertion = figure.axes
    lines = {line.get_label(): line for line in deletion.lines}
    np.testing.assert_allclose(lines["grad cam"].get_xdata(), [0, 0.5, 1])
    np.testing.assert_allclose(lines["grad cam"].get_ydata(), [4, 1, 0])
    assert lines["random order"].get_linestyle() == "--"
    assert "edge detector (Sobel)" not in lines
    drawn = {line.get_label(): line.get_ydata() for line in insertion.lines}
    np.testing.assert_allclose(drawn["grad cam"], [0, 3, 4])


def test_a_bar_a_method_stands_beside_its_own_limit(report):
    (axis,) = plotting.randomisation_figure(report, group="real · all").axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["gradient", "grad cam"]
    assert sorted(bar.get_width() for bar in axis.patches) == pytest.approx([0.1, 0.4, 0.5])
    limits = {
        round(float(line.get_xdata()[0]), 3) for line in axis.lines
        if line.get_linewidth() == 1.6
    }  # fmt: skip
    assert limits == {0.2, 0.3}


def test_windows_are_in_the_order_of_wavelength_with_the_lines_and_the_limit(report):
    axis = plotting.window_figure(report, origin="real").axes[0]
    curve_ = next(line for line in axis.lines if len(line.get_xdata()) == 3)
    np.testing.assert_allclose(curve_.get_xdata(), [2796.4, 2798.0, 2800.0])
    np.testing.assert_allclose(curve_.get_ydata(), [0.1, -0.2, 0.5])
    points = {line.get_label(): list(line.get_xdata()) for line in axis.lines}
    assert points["outside the lines"] == [2800.0]
    assert points["on a line"] == [2796.4, 2798.0]
    levels = {float(line.get_ydata()[0]) for line in axis.lines if line.get_linestyle() == "--"}
    assert levels == {Limits().margin_share}
    dotted = [line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == ":"]
    assert min(abs(np.array(dotted) - 2796.35)) < 0.05


def test_equal_reports_give_equal_pictures(report):
    for make in (
        lambda: plotting.faithfulness_figure(report, group="real · pore", fill="granulation"),
        lambda: plotting.randomisation_figure(report, group="real · all"),
        lambda: plotting.window_figure(report, origin="real"),
    ):
        assert plotting.to_png(make()) == plotting.to_png(make())
