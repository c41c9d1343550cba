"""The photosphere of one image: flattened, cut into classes, its structures described.

An Observation goes in; intensity relative to the local quiet Sun, a class for every pixel and a
list of labelled, measured structures come out. Where the Observation is a synthetic Sun with a
truth, the truth labels it and the rule's verdict is kept beside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.errors import IngestError
from solarxai.instruments import Thresholds, open_imager
from solarxai.photosphere.flattening import flattened
from solarxai.photosphere.heliographic import Geometry, cosine_of_heliocentric_angle
from solarxai.photosphere.regions import Region, Resolution, find_regions, is_defect
from solarxai.photosphere.smoothing import smooth, smoothing
from solarxai.photosphere.strips import strips
from solarxai.photosphere.structures import (
    Structure,
    classify_pixels,
    doubt_attached,
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
    "mu",
]

LEAST_MU = 0.5
"""Structures farther from disk centre (heliocentric angle above 60°) are counted, not described:
there foreshortening halves a penumbra's far side below the resolution."""

_FWHM = 2 * np.sqrt(2 * np.log(2))

Image = npt.NDArray[np.float32]


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


def mu(observation: xr.Dataset) -> Image:
    """Return the cosine of the heliocentric angle of every pixel: float32 (y, x), NaN off disk."""
    return cosine_of_heliocentric_angle(observation)


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
    segmentation[image.unknown] = INVALID
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

    `telescope_mm` is the standard deviation of the telescope's own point-spread function;
    `unknown` tells where the intensity is NaN.
    """

    geometry: Geometry
    thresholds: Thresholds
    telescope_mm: float
    resolution: Resolution
    mu: Image
    intensity: Image
    smoothed: Image
    unknown: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, observation: xr.Dataset, thresholds: Thresholds) -> _Image:
        geometry = Geometry.of(observation)
        angle = geometry.mu()
        intensity = flattened(observation, angle, thresholds)
        scale = geometry.scale_mm
        width = smoothing(thresholds, scale)
        blur = thresholds.psf_fwhm_arcsec * geometry.observer.megametres_per_arcsec / _FWHM
        return cls(
            geometry=geometry,
            thresholds=thresholds,
            telescope_mm=blur,
            resolution=Resolution(scale_mm=scale, blur_mm=float(np.hypot(blur, width * scale))),
            mu=angle,
            intensity=intensity,
            smoothed=smooth(intensity, width),
            unknown=np.isnan(intensity),
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
            area=self.geometry.area(region.of(self.mu)),
            umbra=self.thresholds.umbra,
            outline=self.thresholds.penumbra,
            resolution=self.resolution,
        )
        x, y = region.centre
        solar_x, solar_y = self.geometry.position(x, y)
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
            at_border=region.touches(self.unknown),
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
    words = np.array([QUIET, *classes.values()], dtype=np.uint8)
    planes = [observation[name].values for name in classes]
    segmentation = np.empty(planes[0].shape, dtype=np.uint8)
    for rows in strips(segmentation.shape):
        fractions = np.stack([plane[rows] for plane in planes])
        covered = np.concatenate([1 - fractions.sum(axis=0, keepdims=True), fractions])
        segmentation[rows] = words[covered.argmax(axis=0)]
    return segmentation
