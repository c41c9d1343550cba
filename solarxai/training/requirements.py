"""What samples must be to train a classifier, and the input contract that they make."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.classifier import InputContract
from solarxai.errors import TrainingError
from solarxai.schema import PATCH, SPECTROGRAM, SPECTRUM, Kind, kind_of
from solarxai.splits import SIDES, check_split
from solarxai.training.evaluation import SHORTCUTS
from solarxai.training.moments import moments
from solarxai.training.shards import Images, in_order

__all__ = ["check_images", "check_samples", "contract_for"]

Array = npt.NDArray[Any]

_LEAST_A_CLASS = dict(zip(SIDES, (8, 1, 1), strict=True))
_UNITS = {SPECTROGRAM: ("observation", "raster"), SPECTRUM: ("observation", "raster", "slit")}
_UNEVEN = 1e-2
"""Largest departure of a step of the wavelength grid from the mean step, as a fraction of it."""


def check_samples(samples: xr.Dataset, *, scale_mm: float, naive: bool) -> Kind:
    """Return the kind of samples that can train, by everything but their images.

    Raises
    ------
    TrainingError
        naming what is wrong.
    """
    check_split(samples, naive=naive)
    kind = kind_of(samples)
    if "image" not in samples or samples["image"].dims != kind.dims:
        dims = samples["image"].dims if "image" in samples else "nothing"
        raise TrainingError(
            f"the image of the samples stands on {dims}",
            remedy="Give patches (sample, y, x), spectra (sample, wavelength) or spectrograms "
            "(sample, slit, wavelength).",
        )
    names = [n for n in ("split", "label", *SHORTCUTS) if n in samples.variables]
    used = samples[names].isel(sample=np.flatnonzero(np.isin(samples["split"], SIDES)))
    _check_scale(samples, kind, scale_mm)
    _check_labels(used["split"].values, used["label"].values, kind)
    if kind is PATCH:
        for name in SHORTCUTS:
            _check_finite(used[name].values, name)
    else:
        _check_spectral(samples, kind)
    return kind


def check_images(images: Images, kind: Kind) -> None:
    """Refuse images of one split or more with values that are not finite.

    A spectrogram may have rows of NaN, the slit positions that were dropped, but not all of them.
    """
    bad = broken = nothing = 0
    for some in in_order(images):
        finite = np.isfinite(some)
        if kind is not SPECTROGRAM:
            bad += int((~finite).sum())
            continue
        empty: npt.NDArray[np.bool_] = np.asarray(np.isnan(some).all(axis=2))
        broken += int((~finite.all(axis=2) & ~empty).sum())
        nothing += int(empty.all(axis=1).sum())
    _refuse_not_finite(bad, "image")
    if broken:
        raise TrainingError(
            f"{broken} spectra of the spectrograms are finite only in part",
            remedy="Make the whole spectrum NaN to drop it, or regrid it to the whole grid.",
        )
    if nothing:
        raise TrainingError(
            f"{nothing} spectrograms hold no spectrum: every position of the slit was dropped",
            remedy="Leave those samples out (split 'excluded').",
        )


def contract_for(
    samples: xr.Dataset, images: Images, *, scale_mm: float, normalise: str
) -> InputContract:
    """Return the input contract of a classifier that learns from `images` of the samples.

    Parameters
    ----------
    samples
        For their kind and wavelengths.
    images
        Those of the training split, (sample, *space).
    scale_mm
        Plate scale of images, Mm per pixel.
    normalise
        "global": offset and scale are mean and standard deviation of `images`; "none": 0 and 1.
    """
    kind = kind_of(samples)
    mean, spread = moments(images, kind)
    if not spread:
        raise TrainingError(
            "every pixel of the training images has the same value",
            remedy="Look at the images: ingest made nothing of the observations.",
        )
    if normalise not in ("global", "none"):
        raise TrainingError(f"normalise is {normalise!r}", remedy="Choose 'global' or 'none'.")
    offset, scale = (mean, spread) if normalise == "global" else (0.0, 1.0)
    shape = tuple(images.shape[1:])
    if kind is PATCH:
        return InputContract(shape=shape, scale_mm=scale_mm, offset=offset, scale=scale)
    ends = samples["wavelength"].values[[0, -1]].astype(float).tolist()
    return InputContract(
        shape=shape, scale_mm=None, offset=offset, scale=scale, classes=kind.classes,
        wavelength=(ends[0], ends[1]),
    )  # fmt: skip


def _check_scale(samples: xr.Dataset, kind: Kind, scale_mm: float) -> None:
    measured = samples.attrs.get("scale_mm", scale_mm)
    if kind is PATCH and not math.isclose(measured, scale_mm, rel_tol=1e-6):
        raise TrainingError(
            f"the samples have {measured} Mm per pixel, the classifier was to have {scale_mm}",
            remedy=f"Give scale_mm={measured}, or ingest again at the other scale.",
        )


def _check_spectral(samples: xr.Dataset, kind: Kind) -> None:
    lacking = [
        name
        for name in _UNITS[kind]
        if name not in samples.variables or samples[name].dims != ("sample",)
    ]
    if "wavelength" not in samples.coords:
        lacking.append("wavelength")
    if lacking:
        raise TrainingError(
            f"the {kind.name} samples have no column {', '.join(map(repr, lacking))}",
            remedy="See solarxai.schema.check_samples for what samples must hold.",
        )
    grid = samples["wavelength"].values
    steps = np.diff(grid)
    even = len(steps) and np.allclose(steps, steps.mean(), rtol=_UNEVEN, atol=0)
    if not (even and np.isfinite(grid).all() and steps.mean() > 0):
        raise TrainingError(
            f"the {len(grid)} wavelengths are not evenly spaced and increasing",
            remedy="Bring the spectra to one linear grid: solarxai.spectra regrids them.",
        )


def _check_finite(values: Array, name: str) -> None:
    _refuse_not_finite(int((~np.isfinite(values)).sum()), name)


def _refuse_not_finite(bad: int, name: str) -> None:
    if bad:
        raise TrainingError(
            f"{bad} values of {name!r} are not finite",
            remedy="Leave those samples out (split 'excluded') or ingest them again.",
        )


def _check_labels(splits: Array, labels: Array, kind: Kind) -> None:
    classes = kind.classes
    stray = sorted(set(labels.tolist()) - set(classes))
    if stray:
        raise TrainingError(
            f"samples labelled {', '.join(stray)} stand in a split to train or score on",
            remedy=f"Only {' and '.join(classes)} can; give the others the split 'excluded'.",
        )
    for split, least in _LEAST_A_CLASS.items():
        found = {name: int(((splits == split) & (labels == name)).sum()) for name in classes}
        if min(found.values()) < least:
            raise TrainingError(
                f"split {split!r} has {found}; at least {least} of each class are needed",
                remedy="Give more observations or regions, or other fractions to the split.",
            )
