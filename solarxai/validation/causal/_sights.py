"""How a patch was seen: what its columns say, and what can be measured of its quiet Sun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import ndimage

from solarxai.errors import ValidationError
from solarxai.registry import near_name
from solarxai.schema import QUIET
from solarxai.validation.causal.interventions import NotApplicable, Patch

__all__ = ["Amplitudes", "Sight", "redraw", "rotation", "sights"]

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Amplitudes:
    """How large nuisances are; why, says each entry of `nuisances.DISTURBANCES`.

    Parameters
    ----------
    shift_px
        Shift along each axis, pixels.
    brightness
        Fractional change of the whole patch.
    rotations
        How many angles are drawn.
    noise
        Standard deviation of white noise, of the quiet Sun.
    foreshortening
        Ratio of axes, less than 1.
    limb_mu
        μ at whose limb darkening the patch is seen, less than 1.
    zoom
        Magnification, and its inverse; more than 1.
    border_px
        Width of the border, and side of the corners, pixels.
    partners
        Samples of each class from which a swap takes its values.
    move_px, moves
        How far a structure is moved within its patch along each axis, pixels, and in how many
        directions at most.
    """

    shift_px: int = 8
    brightness: float = 0.03
    rotations: int = 3
    noise: float = 0.01
    foreshortening: float = 0.8
    limb_mu: float = 0.6
    zoom: float = 1.2
    border_px: int = 6
    partners: int = 2
    move_px: int = 8
    moves: int = 4

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Amplitudes:
        """Return the defaults with `given` in place of some.

        Raises
        ------
        ValidationError
            naming every unknown amplitude, and every value out of range.
        """
        known = [f.name for f in fields(cls)]
        unknown = [name for name in given if name not in known]
        if unknown:
            hints = " ".join(filter(None, (near_name(name, known) for name in unknown)))
            raise ValidationError(
                f"unknown amplitudes {unknown}",
                remedy=hints or f"The amplitudes are {', '.join(known)}.",
            )
        return cls(**given)

    def __post_init__(self) -> None:
        below_one = self.foreshortening, self.limb_mu, self.brightness
        counts = (
            self.shift_px, self.rotations, self.border_px, self.partners, self.move_px, self.moves,
        )  # fmt: skip
        sound = all(0 < value < 1 for value in below_one) and min(counts) >= 1
        if not (sound and self.noise > 0 and self.zoom > 1):
            raise ValidationError(
                f"{self} is out of range: brightness, foreshortening and limb_mu in (0, 1), zoom "
                "above 1, noise above 0, the others 1 or more",
                remedy="Correct the amplitudes.",
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Sight:
    """A patch, and how it was seen: what its columns say.

    Parameters
    ----------
    patch
        The sample.
    mu
        Cosine of its heliocentric angle.
    limbward
        Unit vector (x, y) in the patch that points to the limb.
    roll
        Angle of the pixel grid on the sky, radians.
    pixel
        Side of a pixel, arcsec.
    amplitudes
        Of the nuisances.
    """

    patch: Patch
    mu: float
    limbward: tuple[float, float]
    roll: float
    pixel: float
    amplitudes: Amplitudes = field(default_factory=Amplitudes)

    @cached_property
    def quiet_level(self) -> float:
        """Return the median of its quiet Sun."""
        return float(np.median(self.patch.image[self._enough_quiet()]))

    @cached_property
    def trend(self) -> float:
        """Return the relative slope of its quiet Sun towards the limb, a pixel."""
        quiet = self._enough_quiet()
        along, across = self.along[quiet], self.across[quiet]
        design = np.stack([np.ones_like(along), along, across], axis=1)
        level, slope, _ = np.linalg.lstsq(design, self.patch.image[quiet], rcond=None)[0]
        return float(slope / level)

    @cached_property
    def along(self) -> Matrix:
        """Return the distance of each pixel from the middle towards the limb, pixels."""
        y, x = _offsets(self.patch.image.shape)
        return np.asarray(x * self.limbward[0] + y * self.limbward[1])

    @cached_property
    def across(self) -> Matrix:
        """Return the distance of each pixel from the line to the limb, pixels."""
        y, x = _offsets(self.patch.image.shape)
        return np.asarray(y * self.limbward[0] - x * self.limbward[1])

    @cached_property
    def surroundings(self) -> Mask:
        """Return the quiet Sun that no structure's stray light darkens."""
        patch = self.patch
        return np.asarray(patch.quiet & ~patch.with_wings(patch.segmentation != QUIET))

    def frame(self) -> Mask:
        """Return the border of the patch."""
        inner = np.zeros(self.patch.image.shape, dtype=bool)
        width = self.amplitudes.border_px
        inner[width:-width, width:-width] = True
        return ~inner

    def narrowed(self, ratio: float) -> Image:
        """Return the patch with distances towards the limb times `ratio`."""
        c, s = self.limbward
        turn = np.array([[c, s], [-s, c]])
        return redraw(self.patch.image, turn.T @ np.diag([1 / ratio, 1]) @ turn)

    def _enough_quiet(self) -> Mask:
        if self.patch.quiet.sum() < 64:
            raise NotApplicable("too little quiet Sun to measure its level")
        return self.patch.quiet


def sights(samples: xr.Dataset, patches: list[Patch], amplitudes: Amplitudes) -> list[Sight]:
    """Return the patches with what their columns say of how they were seen."""
    column = {
        name: samples[name].values.astype(np.float64)
        for name in ("mu", "solar_x", "solar_y", "wcs_cdelt1", "wcs_cdelt2", "wcs_pc1_1",
                     "wcs_pc1_2", "wcs_pc2_1", "wcs_pc2_2")
    }  # fmt: skip
    turn = np.array([[column[f"wcs_pc{i}_{j}"] for j in (1, 2)] for i in (1, 2)])
    scale = np.array([column["wcs_cdelt1"], column["wcs_cdelt2"]])
    to_sky = np.moveaxis(scale[:, None] * turn, -1, 0)
    sky = np.stack([column["solar_x"], column["solar_y"]], axis=1)
    limbward = np.linalg.solve(to_sky, sky[:, :, None])[:, :, 0]
    length = np.hypot(*limbward.T)
    unit = np.where(length[:, None] > 0, limbward / np.maximum(length, 1e-12)[:, None], [1.0, 0.0])
    return [
        Sight(
            patch=patch,
            amplitudes=amplitudes,
            mu=float(column["mu"][row]),
            limbward=(float(unit[row, 0]), float(unit[row, 1])),
            roll=float(np.arctan2(turn[1, 0, row], turn[0, 0, row])),
            pixel=float(np.sqrt(abs(np.linalg.det(to_sky[row])))),
        )
        for row, patch in enumerate(patches)
    ]


def rotation(angle: float) -> Matrix:
    """Return the matrix (2, 2) that turns (x, y) by an angle in radians."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _offsets(shape: tuple[int, ...]) -> tuple[Matrix, Matrix]:
    y, x = np.indices(shape, dtype=np.float64)
    return y - (shape[0] - 1) / 2, x - (shape[1] - 1) / 2


def redraw(image: Image, source: Matrix, *, move: tuple[int, int] = (0, 0)) -> Image:
    """Return the image whose pixel at offset (x, y) comes from `source @ (x, y)`, minus `move`.

    Cubic splines, mirrored beyond the border.
    """
    matrix = source[::-1, ::-1]
    middle = (np.array(image.shape) - 1) / 2
    start = middle - matrix @ middle - np.array(move)
    made: Image = ndimage.affine_transform(image, matrix, start, order=3, mode="reflect")
    return made
