"""Samples explained: the one place that knows both xarray and the explainers."""

from solarxai.attribution.bridge import attribute, draw_baselines, layout, run_key
from solarxai.attribution.entries import parse_explainers

__all__ = ["attribute", "draw_baselines", "layout", "parse_explainers", "run_key"]
