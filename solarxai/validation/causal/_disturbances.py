"""The nuisances themselves: changes of physical size, and what one patch takes from another."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from solarxai.photosphere import limb_darkening
from solarxai.validation.causal._sights import Sight, redraw, rotation
from solarxai.validation.causal.interventions import NotApplicable

__all__ = ["DISTURBANCES", "SWAPS", "Disturbance"]

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_RSUN_MM = 695.7


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """A change that should not matter.

    Parameters
    ----------
    what, why
        What is done, with its amplitude as a field of `Amplitudes`; why another telescope, pointing
        or day could do it.
    change
        Gives one or more changed images, or raises `NotApplicable`.
    """

    what: str
    why: str
    change: Callable[[Sight], Sequence[Image]]


def _shifted(sight: Sight) -> list[Image]:
    n = sight.amplitudes.shift_px
    moves = [(n, 0), (-n, 0), (0, n), (0, -n)]
    return [redraw(sight.patch.image, np.eye(2), move=move) for move in moves]


def _scaled(sight: Sight) -> list[Image]:
    change = np.float32(sight.amplitudes.brightness)
    return [sight.patch.image * (1 + change), sight.patch.image * (1 - change)]


def _rotated(sight: Sight) -> list[Image]:
    rng = np.random.default_rng(sight.patch.draw("angles"))
    angles = 2 * np.pi * rng.random(sight.amplitudes.rotations)
    return [redraw(sight.patch.image, rotation(angle)) for angle in angles]


def _turned(sight: Sight) -> list[Image]:
    image = sight.patch.image
    square = image.shape[0] == image.shape[1]
    return [np.rot90(image, k) for k in ((1, 3) if square else (2,))]


def _mirrored(sight: Sight) -> list[Image]:
    return [sight.patch.image[:, ::-1], sight.patch.image[::-1]]


def _noisy(sight: Sight) -> list[Image]:
    rng = np.random.default_rng(sight.patch.draw("noise"))
    noise = rng.standard_normal(sight.patch.image.shape, dtype=np.float32)
    return [sight.patch.image + np.float32(sight.amplitudes.noise) * noise]


def _foreshortened(sight: Sight) -> list[Image]:
    ratio = sight.amplitudes.foreshortening
    return [sight.narrowed(ratio), sight.narrowed(1 / ratio)]


def _darkened(sight: Sight) -> list[Image]:
    """Return the patch with the limb darkening across it, and with as much taken away."""
    mu = sight.amplitudes.limb_mu
    pixel = sight.patch.scale_mm / _RSUN_MM
    away = math.sqrt(1 - mu**2) + sight.along * pixel
    here = np.sqrt(np.maximum(1 - away**2 - (sight.across * pixel) ** 2, 0.01))
    profile = limb_darkening(here) / float(limb_darkening(mu))
    return [(sight.patch.image * one).astype(np.float32) for one in (profile, 1 / profile)]


def _zoomed(sight: Sight) -> list[Image]:
    zoom = sight.amplitudes.zoom
    return [redraw(sight.patch.image, np.eye(2) / one) for one in (zoom, 1 / zoom)]


def _background_replaced(sight: Sight) -> list[Image]:
    return [sight.patch.fill(sight.patch.image, sight.patch.quiet, "background")]


def _border_masked(sight: Sight) -> list[Image]:
    return [sight.patch.fill(sight.patch.image, _free(sight, sight.frame()), "border")]


def _corners_masked(sight: Sight) -> list[Image]:
    frame = sight.frame()
    y, x = frame.all(axis=1), frame.all(axis=0)
    return [sight.patch.fill(sight.patch.image, _free(sight, np.outer(y, x)), "corners")]


DISTURBANCES: Mapping[str, Disturbance] = {
    "shift": Disturbance(
        what="moved by {shift_px} pixels along each axis, mirrored beyond the border",
        why="where the middle of a ragged structure lies is uncertain by a part of its radius",
        change=_shifted,
    ),
    "brightness": Disturbance(
        what="multiplied by 1 ± {brightness}",
        why="the level of the quiet Sun is fitted; neighbours and faculae shift it by per cents",
        change=_scaled,
    ),
    "rotation": Disturbance(
        what="turned by {rotations} angles, drawn evenly, mirrored beyond the border",
        why="the roll of a telescope and the tilt of an active region take any angle",
        change=_rotated,
    ),
    "quarter turn": Disturbance(
        what="turned by 90 and 270 degrees, without interpolation",
        why="as rotation; what changes here is no blur",
        change=_turned,
    ),
    "mirror": Disturbance(
        what="mirrored along each axis",
        why="hemispheres mirror active regions, and headers mirror images",
        change=_mirrored,
    ),
    "noise": Disturbance(
        what="white noise of {noise} of the quiet Sun added",
        why="photon noise of a single exposure is of this order",
        change=_noisy,
    ),
    "foreshortening": Disturbance(
        what="distances limbward times {foreshortening}, and its inverse",
        why="a spot that moves from the middle of the disk to 37 degrees is narrowed so",
        change=_foreshortened,
    ),
    "limb darkening": Disturbance(
        what="the limb darkening of mu = {limb_mu} across the patch put on, and taken off",
        why="left over where a patch is normalised by the quiet Sun at its middle alone",
        change=_darkened,
    ),
    "zoom": Disturbance(
        what="magnified {zoom} times, and by its inverse",
        why="structures of either label differ in size by far more",
        change=_zoomed,
    ),
    "border": Disturbance(
        what="the outer {border_px} pixels become granulation, but for the structure",
        why="the label belongs to the structure at the centre",
        change=_border_masked,
    ),
    "corners": Disturbance(
        what="corners of {border_px} pixels become granulation, but for the structure",
        why="as border",
        change=_corners_masked,
    ),
    "background": Disturbance(
        what="all quiet Sun becomes other granulation",
        why="granules live for minutes",
        change=_background_replaced,
    ),
}
"""Nuisances of physical size."""


def _swap_brightness(sight: Sight, other: Sight) -> Image:
    return sight.patch.image * np.float32(other.quiet_level / sight.quiet_level)


def _swap_background(sight: Sight, other: Sight, *, frame: bool = False) -> Image:
    """Return the patch with the quiet Sun of another, where both are quiet.

    Deviations from the means of the two are mixed so that the contrast does not drop in the seam.
    """
    place = sight.surroundings & other.surroundings
    place = place & sight.frame() if frame else place
    if place.sum() < 64:
        raise NotApplicable("too little quiet Sun in common with a partner")
    weight = np.clip(2 * ndimage.gaussian_filter(place.astype(np.float64), 1.0) - 1, 0, 1)
    old, new = sight.patch.image.astype(np.float64), other.patch.image.astype(np.float64)
    before, after = old[place].mean(), new[place].mean()
    level = weight * after + (1 - weight) * before
    texture = np.sqrt(weight) * (new - after) + np.sqrt(1 - weight) * (old - before)
    return np.where(weight > 0, level + texture, old).astype(np.float32)


def _swap_mu(sight: Sight, other: Sight) -> Image:
    ratio = float(np.clip(other.mu / sight.mu, 0.5, 2.0))
    slope = 1 + (other.trend - sight.trend) * sight.along
    return (sight.narrowed(ratio) * slope).astype(np.float32)


def _swap_scale(sight: Sight, other: Sight) -> Image:
    zoom = float(np.clip(sight.pixel / other.pixel, 0.5, 2.0))
    return redraw(sight.patch.image, np.eye(2) / zoom)


def _swap_roll(sight: Sight, other: Sight) -> Image:
    return redraw(sight.patch.image, rotation(other.roll - sight.roll))


SWAPS: Mapping[str, Callable[[Sight, Sight], Image]] = {
    "swap brightness": _swap_brightness,
    "swap border": partial(_swap_background, frame=True),
    "swap background": _swap_background,
    "swap mu": _swap_mu,
    "swap plate scale": _swap_scale,
    "swap roll": _swap_roll,
}
"""What a patch is given of another: its brightness; its quiet Sun; what its header says."""


def _free(sight: Sight, mask: Mask) -> Mask:
    """Return the mask without the structure at the centre and what lies near it."""
    return np.asarray(mask & ~ndimage.binary_dilation(sight.patch.central, iterations=3))
