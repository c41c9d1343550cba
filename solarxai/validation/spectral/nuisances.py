"""What the spectra of the two classes differ in that is no part of the chromosphere, measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import astropy.constants
import astropy.units as u
import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import ndimage

from solarxai.errors import ValidationError
from solarxai.spectra import WINDOWS, line_windows
from solarxai.validation.selection import CLASSES

__all__ = ["Means", "measure_means", "nuisance_rows"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_C = float(astropy.constants.c.to_value(u.km / u.s))
_SMOOTH = 7.0
"""Points (sigma) below which structure counts as photospheric lines, not as continuum."""

_SHALLOWEST = 0.03
"""Least scatter of the logarithm by photospheric lines that shows where the scale stands."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Means:
    """What the spectra of each class have in common.

    Parameters
    ----------
    axis
        (w,) wavelengths, Å.
    spectrum
        (class, w) mean spectrum of each of `CLASSES`.
    zero_point, slope
        (class,) mean error of the wavelength scale, km/s, and slope of the continuum, per Å,
        relative to the mean of both classes. The zero point is NaN where no photospheric lines are
        seen.
    """

    axis: Floats
    spectrum: Floats
    zero_point: Floats
    slope: Floats

    @property
    def overall(self) -> Floats:
        """Return the mean of the two mean spectra, (w,)."""
        return np.asarray(self.spectrum.mean(axis=0))

    def window(self, name: str) -> Mask:
        """Return the points (w,) of a window of `solarxai.spectra.WINDOWS`."""
        return np.asarray(line_windows(self.axis * u.AA) == WINDOWS[name])

    @property
    def outside(self) -> Mask:
        """Return the points (w,) outside the lines of the chromosphere."""
        return self.window("wings") | self.window("continuum")


def measure_means(samples: xr.Dataset) -> tuple[Means, list[dict[str, Any]]]:
    """Return the means of each class, and the rows (one an observation) they were made from.

    Parameters
    ----------
    samples
        Spectrum or spectrogram Samples with both classes.

    Raises
    ------
    ValidationError
        when a class has no spectrum: there is then nothing to swap.
    """
    axis = samples["wavelength"].values.astype(float)
    label = samples["label"].values
    spectra = [_profile(samples["image"].values[label == name]) for name in CLASSES]
    missing = [name for name, mean in zip(CLASSES, spectra, strict=True) if mean is None]
    if missing:
        raise ValidationError(
            f"there is no spectrum of the class {' and '.join(missing)} among "
            f"{samples.sizes['sample']} samples",
            remedy="Validate on held-out samples of both classes.",
        )
    spectrum = np.stack([mean for mean in spectra if mean is not None])
    rows = nuisance_rows(samples, spectrum.mean(axis=0))
    found = {
        name: np.array([_class_mean(rows, name, each) for each in CLASSES])
        for name in ("zero_point", "slope")
    }
    return Means(axis=axis, spectrum=spectrum, **found), rows


def nuisance_rows(samples: xr.Dataset, template: Floats) -> list[dict[str, Any]]:
    """Return zero point (km/s) and continuum slope (per Å) of each observation, by class.

    Parameters
    ----------
    samples
        Spectrum or spectrogram Samples.
    template
        (w,) the spectrum they are relative to.

    Notes
    -----
    The logarithm of the mean spectrum of an observation over the template, outside the windows of
    k, h and the triplet, is fitted by a parabola, the template's fine structure (photospheric lines
    that are deeper or shallower) and its derivative (photospheric lines that are moved). Flows of
    the chromosphere move k and h and leave these alone. The slope is that of the parabola in the
    middle of the axis. Where the template's fine structure scatters by less than 3 %, the pixels
    are too coarse or the lines too shallow: the zero point is NaN.
    """
    axis = samples["wavelength"].values.astype(float)
    columns = {
        n: samples[n].values for n in ("observation", "label", "region") if n in samples.variables
    }
    keys = sorted(set(zip(*(c.tolist() for c in columns.values()), strict=True)))
    made = []
    for key in keys:
        here = np.all([c == v for c, v in zip(columns.values(), key, strict=True)], axis=0)
        mean = _profile(samples["image"].values[here])
        if mean is not None:
            zero, slope = _fit(mean, template, axis)
            words = dict(zip(columns, key, strict=True))
            made.append({**words, "zero_point": zero, "slope": slope})
    return made


def _profile(spectra: Array) -> Floats | None:
    """Return the mean (w,) of spectra (..., w) that are there, None if there are none."""
    flat = spectra.reshape(-1, spectra.shape[-1])
    kept = np.isfinite(flat).all(axis=1)
    return np.asarray(flat[kept].mean(axis=0, dtype=float)) if kept.any() else None


def _fit(mean: Floats, template: Floats, axis: Floats) -> tuple[float, float]:
    numbers = line_windows(axis * u.AA)
    free = np.isin(numbers, (WINDOWS["wings"], WINDOWS["continuum"]))
    floor = 1e-3 * template.max()
    logs = [np.log(np.maximum(each, floor)) for each in (mean, template)]
    fine = logs[1] - _smooth(logs[1], free)
    free = ndimage.binary_erosion(free, border_value=True)
    if fine[free].std() < _SHALLOWEST:
        return math.nan, float(np.polyfit(axis[free], (logs[0] - logs[1])[free], 1)[0])
    away = axis - axis.mean()
    terms = np.stack([np.ones_like(away), away, away**2, fine, np.gradient(fine, axis)], axis=1)
    found = np.linalg.lstsq(terms[free], (logs[0] - logs[1])[free], rcond=None)[0]
    return float(-found[4] / axis.mean() * _C), float(found[1])


def _smooth(values: Floats, known: Mask) -> Floats:
    """Return values (w,) smoothed over the points that are known, and continued over the others."""
    weight = ndimage.gaussian_filter1d(known.astype(float), _SMOOTH, mode="constant")
    sums = ndimage.gaussian_filter1d(np.where(known, values, 0.0), _SMOOTH, mode="constant")
    return np.asarray(sums / np.maximum(weight, 1e-9))


def _class_mean(rows: list[dict[str, Any]], name: str, label: str) -> float:
    """Return the mean over regions of the means over their observations."""
    regions: dict[str, list[float]] = {}
    for row in rows:
        if row["label"] == label:
            regions.setdefault(row["region"], []).append(row[name])
    return float(np.mean([np.mean(values) for values in regions.values()]))
