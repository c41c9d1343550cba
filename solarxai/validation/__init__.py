"""Does the map mean what it says, and the classifier look where we think: checks and a verdict."""

from solarxai.validation.report import Check, Limits, Report, Verdict
from solarxai.validation.stored import load_classifier, stored_samples, validate
from solarxai.validation.verdict import validate_samples

__all__ = [
    "Check",
    "Limits",
    "Report",
    "Verdict",
    "load_classifier",
    "stored_samples",
    "validate",
    "validate_samples",
]
