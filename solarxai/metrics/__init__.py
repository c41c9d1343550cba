"""Scores of a two-class forecast, and their intervals when samples come in regions.

Everywhere `truth` is boolean, True for the second class of the classifier (*sunspot*, *preflare*),
and `score` grows with the belief in that class.
"""

from solarxai.metrics.intervals import Interval, block_bootstrap, proportion_interval
from solarxai.metrics.logistic import Logistic, fit_logistic
from solarxai.metrics.multiplicity import benjamini_hochberg, holm
from solarxai.metrics.scores import (
    BOUNDS,
    Contingency,
    ReliabilityBin,
    RocCurve,
    accuracy,
    average_precision,
    best_threshold,
    brier,
    brier_skill,
    contingency,
    expected_calibration_error,
    hss,
    pseudo_tss,
    reliability,
    roc_auc,
    roc_curve,
    tss,
)

__all__ = [
    "BOUNDS",
    "Contingency",
    "Interval",
    "Logistic",
    "ReliabilityBin",
    "RocCurve",
    "accuracy",
    "average_precision",
    "benjamini_hochberg",
    "best_threshold",
    "block_bootstrap",
    "brier",
    "brier_skill",
    "contingency",
    "expected_calibration_error",
    "fit_logistic",
    "holm",
    "hss",
    "proportion_interval",
    "pseudo_tss",
    "reliability",
    "roc_auc",
    "roc_curve",
    "tss",
]
