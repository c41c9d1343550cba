"""Pictures: the only home of matplotlib, one kind of data a module."""

from solarxai.plotting._style import to_png
from solarxai.plotting.images import (
    calibration_figure,
    counterfactual_figure,
    localisation_figure,
    per_structure_bars,
    structure_figure,
)
from solarxai.plotting.spectra import (
    attention_figure,
    feature_figure,
    slit_figure,
    spectrogram_figure,
    spectrum_figure,
)
from solarxai.plotting.validation import (
    faithfulness_figure,
    randomisation_figure,
    window_figure,
)

__all__ = [
    "attention_figure",
    "calibration_figure",
    "counterfactual_figure",
    "faithfulness_figure",
    "feature_figure",
    "localisation_figure",
    "per_structure_bars",
    "randomisation_figure",
    "slit_figure",
    "spectrogram_figure",
    "spectrum_figure",
    "structure_figure",
    "to_png",
    "window_figure",
]
