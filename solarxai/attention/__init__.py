"""What the attributions of rasters say together: per wavelength, along the slit, by feature."""

from solarxai.attention.brightening import Meeting, SlitAgreement, brightening, slit_agreement
from solarxai.attention.features import feature_correlations
from solarxai.attention.report import AttentionReport, MethodAttention, describe_attention
from solarxai.attention.slit import light_curves, slit_maximum, slit_profile, slit_world
from solarxai.attention.spread import spread_by_wavelength
from solarxai.attention.steps import clip, normalise, shift_up, smooth
from solarxai.attention.wavelengths import (
    attention_by_line,
    attention_by_velocity,
    attention_by_wavelength,
)
from solarxai.rasters import NO_EXPOSURE, rasters_by_observation, to_rasters

__all__ = [
    "NO_EXPOSURE",
    "AttentionReport",
    "Meeting",
    "MethodAttention",
    "SlitAgreement",
    "attention_by_line",
    "attention_by_velocity",
    "attention_by_wavelength",
    "brightening",
    "clip",
    "describe_attention",
    "feature_correlations",
    "light_curves",
    "normalise",
    "rasters_by_observation",
    "shift_up",
    "slit_agreement",
    "slit_maximum",
    "slit_profile",
    "slit_world",
    "smooth",
    "spread_by_wavelength",
    "to_rasters",
]
