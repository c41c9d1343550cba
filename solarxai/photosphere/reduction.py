"""The photosphere of one image: flattened, cut into classes, its structures described.

An Observation goes in; intensity relative to the local quiet Sun, a class for every pixel and a
list of labelled, measured structures come out. Where the Observation is a synthetic Sun with a
truth, the truth labels it and the rule's verdict is kept beside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import ndimage

from solarxai.errors import IngestError
from solarxai.instruments import Thresholds, open_imager
from solarxai.photosphere.heliographic import (
    cosine_of_heliocentric_angle,
    observer,
    pixel_area,
    solar_position,
)
from solarxai.photosphere.structures import (
    Region,
    Resolution,
    Structure,
    classify_pixels,
    doubt_attached,
    find_regions,
    is_defect,
    judge,
    measure,
    without_rim,
)
from solarxai.photosphere.truth import Truth, match_truth, relabelled
from solarxai.schema import INVALID, PENUMBRA, PORE, QUIET, UMBRA

__all__ = [
    "LEAST_MU",
    "Photosphere",
    "Structure",
    "describe",
    "flatten",
    "limb_darkening",
    "mu",
]

LEAST_MU = 0.5
"""Structures farther from disk centre (heliocentric angle above 60°) are counted, not described:
there foreshortening halves a penumbra's far side below the resolution."""

_JSOC = (1.0, 0.459224, 0.132395, 0.019601, 0.000802, -4.31934e-5)
_DARKEST_LIMB = 0.1
_LANE_MM = 0.3
_BLOCK_MM = 1.5
_LOCAL_MM = 25.0
_MOST_BLOCKS = 256
_FWHM = 2 * np.sqrt(2 * np.log(2))

Image = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Photosphere:
    """What one image shows.

    Parameters
    ----------
    intensity
        Relative to the local quiet Sun, limb darkening removed: float32 (y, x), NaN where
        invalid.
    segmentation
        Values of `solarxai.schema.SEGMENTS`: uint8 (y, x).
    mu
        Cosine of the heliocentric angle: float32 (y, x).
    structures
        Labelled and measured, from the bottom of the image to its top.
    discarded
        How many dark patches or structures of the truth were left out, by reason.
    """

    intensity: Image
    segmentation: npt.NDArray[np.uint8]
    mu: Image
    structures: tuple[Structure, ...]
    discarded: Mapping[str, int]


def limb_darkening(mu: npt.ArrayLike) -> Floats:
    """Return the continuum intensity at 617.3 nm relative to disk centre, as a function of μ.

    Parameters
    ----------
    mu
        Cosine of the heliocentric angle, any shape; NaN is returned where it is not positive.

    Notes
    -----
    I(μ)/I(1) = 1 + .459224 ξ + .132395 ξ² + .019601 ξ³ + .000802 ξ⁴ − 4.31934·10⁻⁵ ξ⁵ with
    ξ = ln μ: the form and coefficients of JSOC's `limb_darkening` for hmi.Ic_noLimbDark.
    It agrees with Neckel & Labs within 0.12 % for μ ≥ 0.2.

    References
    ----------
    Neckel & Labs 1994, Sol. Phys. 153, 91, doi:10.1007/BF00712494
    """
    mu = np.asarray(mu, dtype=np.float64)
    logarithm = np.log(mu, where=mu > 0, out=np.full(mu.shape, np.nan))
    darkening: Floats = np.polynomial.polynomial.polyval(logarithm, _JSOC)
    return darkening


def mu(observation: xr.Dataset) -> Image:
    """Return the cosine of the heliocentric angle of every pixel: float32 (y, x), NaN off disk."""
    return cosine_of_heliocentric_angle(observation)


def flatten(observation: xr.Dataset, thresholds: Thresholds) -> Image:
    """Return the intensity relative to the local quiet Sun: float32 (y, x), NaN where invalid.

    Parameters
    ----------
    observation
        An Observation; its attribute `limb_darkened` (true if absent) says whether limb
        darkening is still in it.
    thresholds
        What counts as a dark structure and is kept out of the quiet level.

    Raises
    ------
    IngestError
        if no pixel is valid and on the disk.

    Notes
    -----
    After division by the limb darkening, the level is fitted to the means of quiet blocks of
    1.5 Mm (a granule; larger where an image would have more than 256 to a side) by a polynomial
    of degree 0, 1 or 2 for fields below 30, below 60 and above 60 Mm, with two terms in μ where
    the field spans enough of it, then followed locally by an average of the residual over 25 Mm.
    Blocks that are dark or bright are dropped and the fit is repeated; then the dark structures
    themselves are masked and all is done once more.
    """
    return _flatten(observation, mu(observation), thresholds)


def describe(observation: xr.Dataset, *, thresholds: Thresholds | None = None) -> Photosphere:
    """Return the photosphere of an Observation: flattened, segmented, its structures labelled.

    Parameters
    ----------
    observation
        An Observation. If it has `truth_umbra`, `truth_penumbra` and `truth_pore` (area
        fractions) and the attribute `structures`, these give classes and labels.
    thresholds
        Where to cut; those of its instrument unless given.

    Raises
    ------
    IngestError
        if it shows something else than intensity, no pixel is valid and on the disk, or its grid
        is not understood.
    """
    _refuse_other_quantities(observation)
    image = _Image.of(
        observation, thresholds or open_imager(observation.attrs["instrument"]).segmentation
    )
    regions, lesser, counts = find_regions(
        image.smoothed, outline=image.thresholds.penumbra, resolution=image.resolution
    )
    near, far, defects = image.sorted_out(regions)
    discarded = {**counts, f"mu below {LEAST_MU}": len(far), "sharper than the PSF": len(defects)}
    truths = _truths(observation)
    if truths is None:
        structures = doubt_attached([image.structure(region) for region in near])
        segmentation = classify_pixels(
            structures, [*lesser, *far, *defects], image.smoothed, umbra=image.thresholds.umbra
        )
    else:
        structures, unmatched = _by_truth(image, near, truths)
        segmentation = _true_classes(observation)
        discarded |= unmatched
    segmentation[np.isnan(image.intensity)] = INVALID
    return Photosphere(
        intensity=image.intensity,
        segmentation=segmentation,
        mu=image.mu,
        structures=tuple(sorted(map(without_rim, structures), key=lambda s: (s.y, s.x))),
        discarded=discarded,
    )


@dataclass(frozen=True, kw_only=True)
class _Image:
    """An observation made ready to be searched: fields as in `Photosphere` and `measure`.

    `telescope_mm` is the standard deviation of the telescope's own point-spread function.
    """

    observation: xr.Dataset
    thresholds: Thresholds
    telescope_mm: float
    resolution: Resolution
    mu: Image
    intensity: Image
    smoothed: Image
    area: Image

    @classmethod
    def of(cls, observation: xr.Dataset, thresholds: Thresholds) -> _Image:
        angle = mu(observation)
        intensity = _flatten(observation, angle, thresholds)
        scale = float(observation.attrs["scale_mm"])
        smoothing = _smoothing(thresholds, scale)
        blur = thresholds.psf_fwhm_arcsec * observer(observation).megametres_per_arcsec / _FWHM
        return cls(
            observation=observation,
            thresholds=thresholds,
            telescope_mm=blur,
            resolution=Resolution(scale_mm=scale, blur_mm=float(np.hypot(blur, smoothing * scale))),
            mu=angle,
            intensity=intensity,
            smoothed=_smooth(intensity, smoothing),
            area=pixel_area(observation, angle),
        )

    def sorted_out(
        self, regions: Sequence[Region]
    ) -> tuple[list[Region], list[Region], list[Region]]:
        """Return the regions to describe, those too near the limb, and defects of the detector."""
        telescope_px = self.telescope_mm / self.resolution.scale_mm
        kinds: tuple[list[Region], list[Region], list[Region]] = ([], [], [])
        for region in regions:
            if is_defect(region, self.intensity, psf_px=telescope_px, resolution=self.resolution):
                kinds[2].append(region)
            else:
                kinds[0 if _mean_mu(region, self.mu) >= LEAST_MU else 1].append(region)
        return kinds

    def structure(self, region: Region) -> Structure:
        """Return a region measured and judged by the rule."""
        photometry = measure(
            region,
            intensity=self.intensity,
            smoothed=self.smoothed,
            area=self.area,
            umbra=self.thresholds.umbra,
            outline=self.thresholds.penumbra,
            resolution=self.resolution,
        )
        x, y = region.centre
        solar_x, solar_y = solar_position(self.observation, x, y)
        verdict = judge(photometry)
        return Structure(
            region=region,
            x=x,
            y=y,
            label=verdict,
            label_source="rule",
            rule_label=verdict,
            measurements={
                **photometry,
                "mu": _mean_mu(region, self.mu),
                "solar_x": solar_x,
                "solar_y": solar_y,
            },
            at_border=region.touches(np.isnan(self.intensity)),
        )


def _refuse_other_quantities(observation: xr.Dataset) -> None:
    quantity = observation.attrs.get("quantity", "intensity")
    if quantity != "intensity":
        raise IngestError(
            f"{observation.attrs['source']}: shows {quantity}, not intensity",
            remedy="Give a continuum image: umbrae and penumbrae are seen in intensity.",
        )


def _by_truth(
    image: _Image, regions: Sequence[Region], truths: Sequence[Truth]
) -> tuple[list[Structure], dict[str, int]]:
    """Return the structures as the truth labels them, and how many found no partner.

    A structure of the truth that lies beyond the image is not missed.
    """
    reach = _FWHM * image.resolution.blur_mm / image.resolution.scale_mm
    match = match_truth(regions, truths, reach=reach)
    structures = doubt_attached([image.structure(region) for region, _ in match.pairs])
    known = [truth for _, truth in match.pairs]
    height, width = image.intensity.shape
    missed = [t for t in match.missed if -0.5 < t.x < width - 0.5 and -0.5 < t.y < height - 0.5]
    return list(map(relabelled, structures, known)), {
        "in the truth but not detected": len(missed),
        "detected but not in the truth": known.count(None),
    }


def _mean_mu(region: Region, angle: Image) -> float:
    return float(np.nan_to_num(region.of(angle)).mean())


def _smoothing(thresholds: Thresholds, scale_mm: float) -> float:
    """Return the standard deviation, in pixels, of the Gaussian laid over an image.

    The instrument's own, but never finer than 0.3 Mm: resolved intergranular lanes would be cut.
    """
    return max(thresholds.smoothing_px, _LANE_MM / scale_mm)


def _smooth(intensity: Image, sigma: float) -> Image:
    filled = np.nan_to_num(intensity, nan=1.0).astype(np.float32)
    smoothed: Image = ndimage.gaussian_filter(filled, sigma, truncate=3.0)
    return smoothed


def _flatten(observation: xr.Dataset, angle: Image, thresholds: Thresholds) -> Image:
    scale = float(observation.attrs["scale_mm"])
    intensity: Image = observation["intensity"].values.astype(np.float32)
    if observation.attrs.get("limb_darkened", True):
        intensity = np.divide(intensity, limb_darkening(angle), dtype=np.float32)
    usable = observation["valid"].values & np.isfinite(intensity) & (angle > _DARKEST_LIMB)
    if not usable.any():
        raise IngestError(
            f"{observation.attrs['source']}: no pixel is valid and on the disk",
            remedy="Check the world coordinates and the validity mask of the file.",
        )
    flat = np.where(usable, intensity, np.nan).astype(np.float32)
    flat /= _quiet_level(flat, angle, scale)
    smoothed = _smooth(flat, _smoothing(thresholds, scale))
    flat /= _quiet_level(np.where(smoothed < thresholds.penumbra, np.nan, flat), angle, scale)
    return flat


def _quiet_level(flat: Image, angle: Image, scale_mm: float) -> Image:
    """Return the intensity of the quiet Sun, (y, x), from the quiet blocks of an image."""
    size = max(1, min(round(_BLOCK_MM / scale_mm), min(flat.shape) // 8))
    size = max(size, -(-max(flat.shape) // _MOST_BLOCKS))
    means, angles = _block_means(flat, size), _block_means(angle, size)
    terms = _terms(means.shape, angles, width_mm=min(flat.shape) * scale_mm)
    known = np.isfinite(means)
    level = np.full(means.shape, np.percentile(means[known], 75))
    quiet = known
    for tolerance in (0.08, 0.05, 0.05, 0.05):
        ratio = np.where(known, means / level, 1.0)
        dark = ndimage.binary_dilation(ratio < 1 - tolerance, iterations=2)
        quiet = known & ~dark & (ratio < 1 + tolerance)
        if quiet.sum() < 4 * terms.shape[-1]:
            return np.full(flat.shape, np.median(means[known]), dtype=np.float32)
        level = terms @ np.linalg.lstsq(terms[quiet], means[quiet], rcond=None)[0]
    level = level * _local_residual(means / level, quiet, sigma=_LOCAL_MM / (size * scale_mm))
    return _interpolated(level, flat.shape, size)


def _block_means(image: Image, size: int) -> Floats:
    """Return the means of square blocks; NaN where fewer than half of the pixels are known."""
    spare = [(0, -length % size) for length in image.shape]

    def total(values: npt.NDArray[Any]) -> Floats:
        padded = np.pad(values, spare) if any(map(any, spare)) else values
        rows, columns = (length // size for length in padded.shape)
        blocks = padded.reshape(rows, size, columns, size)
        return np.asarray(blocks.sum(axis=1, dtype=np.float64).sum(axis=-1))

    known = np.isfinite(image)
    count = total(known)
    extent = total(np.ones(image.shape, dtype=np.bool_))
    return np.where(
        count >= extent / 2, total(np.where(known, image, 0)) / np.maximum(count, 1), np.nan
    )


def _terms(shape: tuple[int, ...], angles: Floats, *, width_mm: float) -> Floats:
    """Return the functions a quiet level is made of: float64 (block row, block column, term)."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    terms = [np.ones(shape)]
    if width_mm >= 30:
        terms += [x, y]
    if width_mm >= 60:
        terms += [x * x, x * y, y * y]
    known = angles[np.isfinite(angles)]
    if np.ptp(known) > 0.3:
        limb = 1 - np.nan_to_num(angles)
        terms += [limb, limb**2]
    return np.stack(terms, axis=-1)


def _local_residual(ratio: Floats, quiet: npt.NDArray[np.bool_], *, sigma: float) -> Floats:
    """Return the quiet blocks' average over a Gaussian neighbourhood; 1 where there are none."""
    weight = ndimage.gaussian_filter(quiet.astype(np.float64), sigma, mode="constant")
    excess = np.where(quiet, ratio - 1, 0.0)
    local = ndimage.gaussian_filter(excess, sigma, mode="constant")
    return np.asarray(1 + local / np.maximum(weight, 0.05))


def _interpolated(level: Floats, shape: tuple[int, ...], size: int) -> Image:
    """Return a field given at the centres of blocks, linearly interpolated to every pixel."""
    grid: Image = level.astype(np.float32)
    for axis, length in enumerate(shape):
        place = (np.arange(length) + 0.5) / size - 0.5
        last = max(grid.shape[axis] - 2, 0)
        below = np.clip(np.floor(place).astype(int), 0, last)
        above = np.minimum(below + 1, grid.shape[axis] - 1)
        weight = np.expand_dims((place - below).astype(np.float32), 1 - axis)
        grid = np.take(grid, below, axis) * (1 - weight) + np.take(grid, above, axis) * weight
    return grid


def _truths(observation: xr.Dataset) -> list[Truth] | None:
    """Return what a synthetic Sun says of its structures; None for an image without truth."""
    if "truth_umbra" not in observation:
        return None
    return [
        Truth(
            x=float(entry["x"]),
            y=float(entry["y"]),
            label=str(entry["label"]),
            radius=float(entry.get("radius_mm", 1.0)),
        )
        for entry in json.loads(observation.attrs["structures"])
    ]


def _true_classes(observation: xr.Dataset) -> npt.NDArray[np.uint8]:
    """Return the class that covers most of each pixel, from the area fractions of the truth."""
    classes = {"truth_umbra": UMBRA, "truth_penumbra": PENUMBRA, "truth_pore": PORE}
    fractions = np.stack([observation[name].values for name in classes])
    covered = np.concatenate([1 - fractions.sum(axis=0, keepdims=True), fractions])
    words = np.array([QUIET, *classes.values()], dtype=np.uint8)
    segmentation: npt.NDArray[np.uint8] = words[covered.argmax(axis=0)]
    return segmentation
