"""Everything the attributions of rasters say together, method by method, as one record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
import xarray as xr

from solarxai.attention.brightening import SlitAgreement, slit_agreement
from solarxai.attention.features import feature_correlations
from solarxai.attention.slit import Quantity
from solarxai.attention.spread import spread_by_wavelength
from solarxai.attention.wavelengths import (
    attention_by_line,
    attention_by_velocity,
    attention_by_wavelength,
)

__all__ = ["AttentionReport", "MethodAttention", "describe_attention"]

LINES = ("k", "h", "triplet")
"""The lines around which attention is told in km/s."""


@dataclass(frozen=True, kw_only=True)
class MethodAttention:
    """What the maps of one method say.

    Parameters
    ----------
    by_wavelength
        Of `attention_by_wavelength`.
    by_line
        Of `attention_by_line`.
    by_velocity
        Of `attention_by_velocity`, a line.
    slit
        Of `slit_agreement`.
    spread
        Of `spread_by_wavelength`; None for a single network.
    """

    by_wavelength: xr.Dataset
    by_line: xr.Dataset
    by_velocity: Mapping[str, xr.Dataset]
    slit: SlitAgreement
    spread: xr.Dataset | None

    def record(self) -> dict[str, Any]:
        """Return everything as JSON."""
        made = {
            "by_wavelength": _plain(self.by_wavelength),
            "by_line": _plain(self.by_line),
            "by_velocity": {line: _plain(found) for line, found in self.by_velocity.items()},
            "slit": _finite(self.slit.record()),
        }
        return made if self.spread is None else {**made, "spread": _plain(self.spread)}


@dataclass(frozen=True, kw_only=True)
class AttentionReport:
    """What the maps of a run say together.

    Parameters
    ----------
    methods
        By name of the maps.
    features
        Of `feature_correlations`; None where the network was shown whole spectrograms.
    observations
        One row an observation: its region, label, exposures, and the score in logit.
    """

    methods: Mapping[str, MethodAttention]
    features: xr.Dataset | None
    observations: Sequence[Mapping[str, Any]]

    def record(self) -> dict[str, Any]:
        """Return everything as JSON; what is not a number is null."""
        return {
            "methods": {name: found.record() for name, found in self.methods.items()},
            "features": None if self.features is None else _plain(self.features),
            "observations": [_finite(dict(row)) for row in self.observations],
        }


def describe_attention(
    samples: xr.Dataset,
    methods: Sequence[str],
    movies: Mapping[str, xr.Dataset],
    *,
    quantity: Quantity = "absolute",
    within: u.Quantity = 10 * u.arcsec,
    lasting: u.Quantity = 30 * u.min,
    n_bootstrap: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> AttentionReport:
    """Return what the maps of spectrograms say together.

    Parameters
    ----------
    samples
        Spectrogram Samples with maps and scores, in memory.
    methods
        Names of the maps.
    movies
        Slit-jaw images by observation, as far as there are some.
    quantity, within, lasting
        As of `slit_agreement`.
    n_bootstrap, seed
        Of the block bootstrap over regions and of the shuffled null.
    progress
        Called with (done, total, what).
    """
    options: dict[str, Any] = {"n_bootstrap": n_bootstrap, "seed": seed}
    made = {}
    for done, method in enumerate(methods):
        if progress:
            progress(done, len(methods), method)
        made[method] = MethodAttention(
            by_wavelength=attention_by_wavelength(samples, method, **options),
            by_line=attention_by_line(samples, method, **options),
            by_velocity={
                line: attention_by_velocity(samples, method, line, **options) for line in LINES
            },
            slit=slit_agreement(
                samples,
                movies,
                method,
                quantity=quantity,
                within=within,
                lasting=lasting,
                seed=seed,
            ),
            spread=spread_by_wavelength(samples, method) if f"{method}_spread" in samples else None,
        )
    if progress:
        progress(len(methods), len(methods), "features")
    features = feature_correlations(samples, **options) if "spectrum_score" in samples else None
    return AttentionReport(methods=made, features=features, observations=_observations(samples))


def _observations(samples: xr.Dataset) -> list[dict[str, Any]]:
    names = samples["observation"].values.astype(str)
    rows = []
    for name in sorted(set(names.tolist())):
        mine = samples.isel(sample=np.flatnonzero(names == name))
        score = mine["score"].values
        rows.append(
            {
                "observation": name,
                "region": _joined(mine["region"]),
                "origin": _joined(mine["origin"]),
                "label": _joined(mine["label"]),
                "flare": " ".join(t for t in (_joined(mine["flare_class"]),
                                              _joined(mine["flare_onset"])) if t),
                "begins": str(mine["time"].values.min())[:19],
                "ends": str(mine["time"].values.max())[:19],
                "exposures": int(mine.sizes["sample"]),
                "score": float(score.mean()),
                "lowest": float(score.min()),
                "highest": float(score.max()),
                "called_preflare": float((score > 0).mean()),
            }
        )  # fmt: skip
    return rows


def _joined(column: xr.DataArray) -> str:
    return ", ".join(sorted(set(column.values.astype(str).tolist()) - {""}))


def _plain(found: xr.Dataset) -> dict[str, Any]:
    """Return coordinates and variables as lists, by name."""
    made = {str(name): values.values.tolist() for name, values in found.variables.items()}
    return {name: _finite(values) for name, values in made.items()}


def _finite(value: Any) -> Any:
    """Return JSON for anything: NaN and infinite numbers become None."""
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
