"""Pictures: the only home of matplotlib, one kind of data a module."""

from solarxai.plotting.images import (
    calibration_figure,
    counterfactual_figure,
    localisation_figure,
    per_structure_bars,
    structure_figure,
    to_png,
)

__all__ = [
    "calibration_figure",
    "counterfactual_figure",
    "localisation_figure",
    "per_structure_bars",
    "structure_figure",
    "to_png",
]
