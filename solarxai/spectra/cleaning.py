"""Cleaning of spectra: named steps, each with its threshold, each counted."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt

from solarxai.errors import ContractError
from solarxai.spectra._axis import Floats, angstrom, axis_angstrom, pixels_of
from solarxai.spectra._profile import weighted_sum, window_flux
from solarxai.spectra._spikes import has_spike
from solarxai.spectra.features import line_features
from solarxai.spectra.grid import span, study_grid
from solarxai.spectra.lines import REST

__all__ = ["REASONS", "STEPS", "Cleaning", "tally"]

Flags = npt.NDArray[np.bool_]

STEPS = (
    "missing", "limb", "cosmic_ray", "negative", "saturated", "underexposed", "saa", "kh_ratio",
    "quiet_sun", "spike",
)  # fmt: skip
"""The steps in their order: those of Panos et al. 2023 (A&A 671 A73), then our own."""

REASONS: Mapping[int, str] = types.MappingProxyType(dict(enumerate(("kept", *STEPS))))
"""Name by quality code: 0 is *kept*, the others the first step that dropped the spectrum."""

BUMP = (2799.688, 2800.172)  # Angstrom: the pixels 115 to 124 of the study's grid
HALF_WIDTH = 1.5  # Angstrom, of the windows whose flux gives k/h


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """Which spectra to drop, and why; None, or False, switches a step off.

    Parameters
    ----------
    missing
        Drop what has a value that is not valid or NaN where the study's grid depends on it.
    limb
        Drop when the mean between 2799.69 and 2800.17 Angstrom is at least this part of the
        maximum: the pseudo-continuum is high at the limb.
    cosmic_ray
        Drop when the maximum lies further than this from both k and h: a length, also as text,
        such as "1.5 Angstrom".
    negative
        Drop when a value is at or below this, in DN.
    saturated
        Drop when at least this many points equal the maximum.
    saturation_level
        Drop, as saturated, when a value reaches this, in DN, or is +inf. Level 2 stores 16-bit
        integers with BSCALE 0.25 and BZERO 7992, which end at 16183.75 DN.
    underexposed
        Drop when the maximum is below this, in DN.
    saa
        Drop exposures taken in the South Atlantic Anomaly.
    kh_ratio
        Drop when the flux around k by that around h lies outside (least, greatest).
    quiet_sun
        (triplet, contrast): drop when the triplet feature is below the first and the maximum is
        less than the second times the pseudo-continuum. Off by default: the study compared
        spectra with a quiet-Sun autoencoder that is not public, and no real quiet Sun was at hand
        to calibrate this criterion on.
    spike
        Drop when one pixel stands out of both its neighbours by this many standard deviations of
        the noise, up or down, more sharply than the instrument can. Not in the study.

    Raises
    ------
    ContractError
        for a threshold that no spectrum, or every spectrum, would pass.

    References
    ----------
    Panos, Kleint & Zbinden 2023, A&A 671 A73 (arXiv 2301.01560).
    """

    missing: bool = True
    limb: float | None = 0.4
    cosmic_ray: u.Quantity | str | None = 1.5 * u.AA
    negative: float | None = -100.0
    saturated: int | None = 3
    saturation_level: float | None = 16183.0
    underexposed: float | None = 10.0
    saa: bool = True
    kh_ratio: tuple[float, float] | None = (0.8, 2.0)
    quiet_sun: tuple[float, float] | None = None
    spike: float | None = 8.0

    def __post_init__(self) -> None:
        if isinstance(self.cosmic_ray, str):
            object.__setattr__(self, "cosmic_ray", _length(self.cosmic_ray))
        faults = [
            f"{name} = {getattr(self, name)} ({valid})"
            for name, fails, valid in _RANGES
            if getattr(self, name) is not None and fails(getattr(self, name))
        ]
        if faults:
            raise ContractError(
                f"thresholds of the cleaning: {'; '.join(faults)}",
                remedy="Give thresholds in the ranges named, or None to switch a step off.",
            )

    def apply(
        self,
        counts: npt.NDArray[Any],
        wavelength: u.Quantity,
        *,
        saa: Flags,
        valid: Flags | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Return the quality (n,) of spectra: 0 kept, else the number in `REASONS`.

        Parameters
        ----------
        counts
            Spectra (n, w) in DN of the exposure, not in DN/s.
        wavelength
            Their axis (w,), increasing. What lies outside the study's range is not judged.
        saa
            Which spectra (n,) were taken in the South Atlantic Anomaly.
        valid
            Which values (n, w) to trust; by default those that are not NaN.

        Raises
        ------
        ContractError
            when the shapes do not fit, or a step needs wavelengths that the axis lacks.
        """
        axis = axis_angstrom(wavelength)
        pixels_of(counts, axis, "counts")
        _same_length(counts, saa, valid)
        used = span(axis, study_grid().to_value(u.AA))
        judged = counts[:, used]
        if valid is not None:
            judged = np.where(valid[:, used], judged, np.nan)
        batch = _Batch(counts=judged, axis=axis[used], saa=np.asarray(saa))
        quality, row = np.zeros(len(counts), dtype=np.uint8), np.arange(len(counts))
        for code, name in enumerate(STEPS, start=1):
            if (threshold := self._threshold(name)) is None:
                continue
            dropped = _DROPS[name](batch, threshold)
            if dropped.any():
                quality[row[dropped]] = code
                row, batch = row[~dropped], batch.only(~dropped)
        return quality

    def _threshold(self, name: str) -> Any:
        """Return the threshold of a step, None when it is off."""
        if name == "saturated":
            both = (self.saturated, self.saturation_level)
            return None if both == (None, None) else both
        value = getattr(self, name)
        return None if value is False else value


def tally(quality: npt.NDArray[np.uint8]) -> dict[str, int]:
    """Return how many spectra were kept and how many each step dropped; the sum is their number.

    Raises
    ------
    ContractError
        for a code that is not in `REASONS`.
    """
    codes, counts = np.unique(quality, return_counts=True)
    unknown = [int(code) for code in codes if int(code) not in REASONS]
    if unknown:
        raise ContractError(
            f"quality codes {unknown} are unknown",
            remedy=f"Give codes from 0 to {len(STEPS)}, as `Cleaning.apply` returns them.",
        )
    number = dict(zip(codes.tolist(), counts.tolist(), strict=True))
    return {name: number.get(code, 0) for code, name in REASONS.items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class _Batch:
    """Spectra (n, w) in DN, NaN where not valid; their axis in Angstrom; in the SAA (n,)."""

    counts: npt.NDArray[Any]
    axis: Floats
    saa: Flags

    def only(self, kept: Flags) -> _Batch:
        """Return the spectra that are kept."""
        return _Batch(counts=self.counts[kept], axis=self.axis, saa=self.saa[kept])

    @cached_property
    def peak(self) -> npt.NDArray[Any]:
        """Maximum (n,) of the valid values; −inf without any."""
        return np.asarray(self.trusted.max(axis=1))

    @cached_property
    def trusted(self) -> npt.NDArray[Any]:
        """The counts, −inf where not valid."""
        lost = np.isnan(self.counts)
        return np.where(lost, -np.inf, self.counts) if lost.any() else self.counts

    @property
    def finite(self) -> npt.NDArray[Any]:
        """The counts, NaN where they are infinite."""
        finite = np.isfinite(self.counts)
        return self.counts if finite.all() else np.where(finite, self.counts, np.nan)

    def pseudo_continuum(self) -> npt.NDArray[Any]:
        """Mean (n,) of the bump between the triplet and h."""
        inside = (self.axis >= BUMP[0]) & (self.axis <= BUMP[1])
        if not inside.any():
            raise _uncovered("limb or quiet_sun", f"{BUMP[0]} to {BUMP[1]}", self.axis)
        return np.asarray(
            weighted_sum(self.counts[:, inside], np.ones(inside.sum())) / inside.sum()
        )


def _length(text: str) -> u.Quantity:
    try:
        return u.Quantity(text)
    except (TypeError, ValueError):
        raise ContractError(
            f"cosmic_ray = {text!r} is no length",
            remedy='Write it with its unit, such as "1.5 Angstrom".',
        ) from None


def _uncovered(step: str, needed: str, axis: Floats) -> ContractError:
    return ContractError(
        f"cleaning step {step} needs points at {needed} Angstrom; the axis has {len(axis)} "
        f"points from {axis[0]:.2f} to {axis[-1]:.2f} Angstrom",
        remedy="Switch the step off by giving None as its threshold.",
    )


def _same_length(counts: npt.NDArray[Any], saa: Flags, valid: Flags | None) -> None:
    shapes = {"counts": np.shape(counts), "saa": np.shape(saa)}
    if valid is not None:
        shapes["valid"] = np.shape(valid)
    fit = counts.ndim == 2 and shapes["saa"] == counts.shape[:1]
    if not fit or shapes.get("valid", counts.shape) != counts.shape:
        raise ContractError(
            f"shapes that do not fit: {shapes}",
            remedy="Give counts and valid as (spectrum, wavelength), saa as (spectrum,).",
        )


def _missing(batch: _Batch, _on: bool) -> Flags:
    return np.asarray(np.isnan(batch.counts).any(axis=1))


def _limb(batch: _Batch, least: float) -> Flags:
    return np.asarray(batch.pseudo_continuum() >= least * batch.peak)


def _cosmic_ray(batch: _Batch, half_width: u.Quantity) -> Flags:
    place = batch.axis[batch.trusted.argmax(axis=1)]
    distance = np.minimum(np.abs(place - REST["k"]), np.abs(place - REST["h"]))
    return np.asarray(distance > angstrom(half_width, "cosmic_ray"))


def _negative(batch: _Batch, least: float) -> Flags:
    return np.asarray((batch.counts <= least).any(axis=1))


def _saturated(batch: _Batch, thresholds: tuple[int | None, float | None]) -> Flags:
    points, level = thresholds
    found = np.asarray(np.isposinf(batch.peak) if level is None else batch.peak >= level)
    if points is not None:
        found |= (batch.counts == batch.peak[:, None]).sum(axis=1) >= points
    return found


def _underexposed(batch: _Batch, least: float) -> Flags:
    return np.asarray(batch.peak < least)


def _saa(batch: _Batch, _on: bool) -> Flags:
    return batch.saa.astype(bool)


def _kh_ratio(batch: _Batch, limits: tuple[float, float]) -> Flags:
    windows = [(REST[line] - HALF_WIDTH, REST[line] + HALF_WIDTH) for line in ("k", "h")]
    low, high = windows[0][0], windows[1][1]
    if batch.axis[0] > low or batch.axis[-1] < high:
        raise _uncovered("kh_ratio", f"{low:.2f} to {high:.2f}", batch.axis)
    k, h = (window_flux(batch.finite, batch.axis, *window) for window in windows)
    return (k < limits[0] * h) | (k > limits[1] * h)


def _quiet_sun(batch: _Batch, thresholds: tuple[float, float]) -> Flags:
    triplet = line_features(batch.counts, batch.axis * u.AA)["triplet_emission"]
    dim = batch.peak < thresholds[1] * batch.pseudo_continuum()
    return np.asarray((triplet < thresholds[0]) & dim)


def _spike(batch: _Batch, sigmas: float) -> Flags:
    return has_spike(batch.counts, batch.axis, sigmas)


def _no_pair(value: tuple[float, float]) -> bool:
    return len(value) != 2 or not 0 < value[0] < value[1]


_DROPS: Mapping[str, Callable[[_Batch, Any], Flags]] = {
    "missing": _missing, "limb": _limb, "cosmic_ray": _cosmic_ray, "negative": _negative,
    "saturated": _saturated, "underexposed": _underexposed, "saa": _saa, "kh_ratio": _kh_ratio,
    "quiet_sun": _quiet_sun, "spike": _spike,
}  # fmt: skip

_RANGES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("limb", lambda value: not 0 < value <= 1, "above 0, at most 1"),
    ("cosmic_ray", lambda value: not angstrom(value, "cosmic_ray") > 0, "a length above 0"),
    ("saturated", lambda value: not value >= 2, "at least 2 points"),
    ("saturation_level", lambda value: not value > 0, "above 0 DN"),
    ("underexposed", lambda value: not value > 0, "above 0 DN"),
    ("kh_ratio", _no_pair, "two numbers above 0, increasing"),
    ("quiet_sun", lambda value: len(value) != 2, "two numbers"),
    ("spike", lambda value: not value > 0, "above 0 standard deviations"),
)
