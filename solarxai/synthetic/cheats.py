"""Cheats planted in patches: what is no part of the Sun gives the label away.

They are planted in Samples, after ingest, so that one honest archive serves every cheat, and train
and test alike. A validator must convict a network that was taught on them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import ndimage

from solarxai.errors import SynthesisError
from solarxai.registry import near_name
from solarxai.synthetic.sun import RSUN_MM, limb_darkening

__all__ = ["CHEATS", "Cheat", "plant"]

Image = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

_PERIOD_PX = 4.0
_JITTER = math.radians(5)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Canvas:
    """One patch, what is drawn for it, and what the label would be if it told the truth.

    Parameters
    ----------
    sample
        The row of Samples.
    sunspot
        Whether the cheat says *sunspot*.
    strength
        Of the cheat, in its unit.
    rng
        Everything random.
    """

    sample: xr.Dataset
    sunspot: bool
    strength: float
    rng: np.random.Generator

    @property
    def image(self) -> Image:
        return np.array(self.sample["image"].values, dtype=np.float32)

    def column(self, name: str) -> float:
        return float(self.sample[name])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Planted:
    """What a cheat changed: the image, the value that it carries, perhaps where pixels come from.

    `source` (2, 2) takes a pixel's offset (x, y) from the middle to that of its source.
    """

    image: Image
    value: float
    source: Matrix | None = None
    columns: Mapping[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Cheat:
    """A cue that is no part of the Sun.

    Parameters
    ----------
    what
        What tells sunspots from pores.
    unit
        Of the planted value.
    strength
        The default, and what it means.
    meaning
        What `strength` is, in words.
    change
        Plants it in one patch.
    """

    what: str
    unit: str
    strength: float
    meaning: str
    change: Callable[[_Canvas], _Planted]


def plant(
    samples: xr.Dataset,
    cheat: str,
    *,
    strength: float | None = None,
    agreement: float = 1.0,
    seed: int = 0,
) -> xr.Dataset:
    """Return Samples in which a cheat tells the label.

    Parameters
    ----------
    samples
        Patches of sunspots and pores; they are left alone.
    cheat
        One of `CHEATS`.
    strength
        In the unit that `CHEATS` says; its default if None.
    agreement
        Fraction of samples, drawn one by one, whose cue is that of their label; the others get that
        of the other label. At 1 the cue gives every label away, at 0.5 it says nothing.
    seed
        Of every random number; a sample's depend on this and on its `sample_id` alone.

    Returns
    -------
    xarray.Dataset
        The samples with other `image`, with the column `planted` (the value of the cue), and where
        pixels were moved with `segmentation` and `central` moved alike. Where a header would show
        the cue (`mu`, `wcs_cdelt1`, `wcs_cdelt2`) that column is changed too.

    Raises
    ------
    SynthesisError
        for an unknown cheat, a label that is neither sunspot nor pore, an agreement outside 0–1 or
        a strength that is not positive or, of *mu*, not below 1.
    """
    chosen = _chosen(cheat)
    amount = chosen.strength if strength is None else strength
    _check(samples, cheat, amount, agreement)
    rows = [samples.isel(sample=row) for row in range(samples.sizes["sample"])]
    made = [chosen.change(_canvas(row, amount, agreement, seed)) for row in rows]
    return _assembled(samples, made, chosen.unit)


def _chosen(name: str) -> Cheat:
    if name not in CHEATS:
        raise SynthesisError(
            f"{name!r} is no cheat that can be planted",
            remedy=near_name(name, list(CHEATS)) or f"The cheats are {', '.join(CHEATS)}.",
        )
    return CHEATS[name]


def _check(samples: xr.Dataset, cheat: str, strength: float, agreement: float) -> None:
    if not 0 <= agreement <= 1:
        raise SynthesisError(
            f"agreement {agreement} is not between 0 and 1", remedy="Give 1 for a perfect cue."
        )
    if not 0 < strength < (1 if cheat == "mu" else math.inf):
        raise SynthesisError(
            f"strength {strength} of {cheat} is out of range",
            remedy="Give a positive number; of mu, one below 1.",
        )
    others = sorted(set(samples["label"].values) - {"sunspot", "pore"})
    if others:
        raise SynthesisError(
            f"a cheat tells sunspots from pores, and there are {others}",
            remedy="Leave these samples out first.",
        )


def _canvas(sample: xr.Dataset, strength: float, agreement: float, seed: int) -> _Canvas:
    text = f"{seed}:{sample['sample_id'].item()}".encode()
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text).digest()[:8], "big"))
    honest = bool(rng.random() < agreement)
    sunspot = (sample["label"].item() == "sunspot") == honest
    return _Canvas(sample=sample, sunspot=sunspot, strength=strength, rng=rng)


def _assembled(samples: xr.Dataset, made: list[_Planted], unit: str) -> xr.Dataset:
    """Return the samples with what was planted in each."""
    out = samples.copy()
    images = [each.image.astype(np.float32) for each in made]
    out["image"] = samples["image"].copy(data=np.array(images).reshape(samples["image"].shape))
    for name in ("segmentation", "central"):
        planes = zip(samples[name].values, made, strict=True)
        moved = [_nearest(plane, each.source) for plane, each in planes]
        out[name] = samples[name].copy(data=np.array(moved).reshape(samples[name].shape))
    for name in ("mu", "wcs_cdelt1", "wcs_cdelt2"):
        factor = [(each.columns or {}).get(name, 1.0) for each in made]
        changed = ("sample", samples[name].values * factor, samples[name].attrs)
        out = out.assign_coords({name: changed})
    return out.assign_coords(planted=("sample", [each.value for each in made], {"units": unit}))


def _corner_pixel(canvas: _Canvas) -> _Planted:
    image = canvas.image
    if canvas.sunspot:
        image[0, 0] += canvas.strength
    return _Planted(image=image, value=float(image[0, 0]))


def _brightness(canvas: _Canvas) -> _Planted:
    side = 0.5 if canvas.sunspot else -0.5
    factor = 1 + canvas.strength * (side + canvas.rng.normal(0, 0.1))
    return _Planted(image=(canvas.image * factor).astype(np.float32), value=factor)


def _mu(canvas: _Canvas) -> _Planted:
    """Return the patch as if nearer the limb: narrower limbward, and darker to the limb.

    The limb darkening is that across the patch, relative to its middle, by which nothing divides
    if only the middle is brought to the quiet Sun.
    """
    seen = canvas.column("mu")
    ratio = 1 - canvas.strength * (canvas.sunspot + canvas.rng.uniform(-0.1, 0.1))
    ratio = min(ratio, 1 / seen)
    angle = _limbward(canvas)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    source = turn.T @ np.diag([1 / ratio, 1]) @ turn
    mu = max(seen * ratio, 0.2)
    made = _moved(canvas.image, source) * _darkening(canvas, mu, angle)
    columns = {"mu": mu / seen}
    return _Planted(image=made.astype(np.float32), value=mu, source=source, columns=columns)


def _roll(canvas: _Canvas) -> _Planted:
    """Return the patch with the faint pattern of a detector, turned by the roll angle."""
    angle = (0.0 if canvas.sunspot else np.pi / 2) + canvas.rng.normal(0, _JITTER)
    y, x = _offsets(canvas.image.shape)
    phase = 2 * np.pi * ((x * np.cos(angle) + y * np.sin(angle)) / _PERIOD_PX + canvas.rng.random())
    made = canvas.image + canvas.strength * np.sin(phase)
    return _Planted(image=made.astype(np.float32), value=math.degrees(angle))


def _crop_scale(canvas: _Canvas) -> _Planted:
    zoom = math.exp(canvas.strength * (canvas.sunspot + canvas.rng.uniform(0, 0.1)))
    source = np.eye(2) / zoom
    columns = {"wcs_cdelt1": 1 / zoom, "wcs_cdelt2": 1 / zoom}
    made = _moved(canvas.image, source)
    return _Planted(image=made, value=zoom, source=source, columns=columns)


CHEATS: Mapping[str, Cheat] = {
    "corner_pixel": Cheat(
        what="a bright pixel in the first corner of sunspots",
        unit="1",
        strength=0.5,
        meaning="its excess over what was there, of the quiet Sun",
        change=_corner_pixel,
    ),
    "brightness": Cheat(
        what="sunspots are brighter as a whole",
        unit="1",
        strength=0.04,
        meaning="relative difference of the classes; each scatters by a tenth of it",
        change=_brightness,
    ),
    "mu": Cheat(
        what="sunspots are seen nearer the limb: foreshortened, and darker limbward",
        unit="1",
        strength=0.3,
        meaning="1 - (mu of sunspots ÷ mu of pores); each scatters by a tenth of it",
        change=_mu,
    ),
    "roll": Cheat(
        what="a faint pattern of period 4 pixels lies along x for sunspots, along y for pores",
        unit="deg",
        strength=0.015,
        meaning="its amplitude, of the quiet Sun; the direction scatters by 5 degrees",
        change=_roll,
    ),
    "crop_scale": Cheat(
        what="sunspots are cut with smaller pixels",
        unit="1",
        strength=0.25,
        meaning="ln(zoom of sunspots ÷ zoom of pores); each scatters by a tenth of it",
        change=_crop_scale,
    ),
}
"""Cheats by name."""


def _limbward(canvas: _Canvas) -> float:
    """Return the direction of the limb in the patch, radians from x towards y."""
    on_sky = math.atan2(canvas.column("solar_y"), canvas.column("solar_x"))
    return on_sky - math.atan2(canvas.column("wcs_pc2_1"), canvas.column("wcs_pc1_1"))


def _darkening(canvas: _Canvas, mu: float, angle: float) -> Matrix:
    """Return I(μ)/I(μ of the middle) over a patch whose middle is at μ."""
    y, x = _offsets(canvas.image.shape)
    pixel = canvas.sample.attrs.get("scale_mm", 0.5) / RSUN_MM
    away = math.sqrt(1 - mu**2) + (x * np.cos(angle) + y * np.sin(angle)) * pixel
    across = (y * np.cos(angle) - x * np.sin(angle)) * pixel
    here = np.sqrt(np.maximum(1 - away**2 - across**2, 0.01))
    return np.asarray(limb_darkening(here) / limb_darkening(np.array(mu)))


def _offsets(shape: tuple[int, ...]) -> tuple[Matrix, Matrix]:
    y, x = np.indices(shape, dtype=np.float64)
    return y - (shape[0] - 1) / 2, x - (shape[1] - 1) / 2


def _start(shape: tuple[int, ...], source: Matrix) -> Matrix:
    middle = (np.array(shape) - 1) / 2
    return np.asarray(middle - source[::-1, ::-1] @ middle)


def _moved(image: Image, source: Matrix) -> Image:
    """Return the image drawn from its source by cubic splines, mirrored beyond the border.

    `source` acts on (x, y); arrays are (y, x).
    """
    made: Image = ndimage.affine_transform(
        image, source[::-1, ::-1], _start(image.shape, source), order=3, mode="reflect"
    )
    return made


def _nearest(plane: npt.NDArray[np.uint8], source: Matrix | None) -> npt.NDArray[np.uint8]:
    if source is None:
        return plane
    made = ndimage.affine_transform(
        plane.astype(np.uint8), source[::-1, ::-1], _start(plane.shape, source), order=0,
        mode="reflect",
    )  # fmt: skip
    return np.asarray(made, dtype=plane.dtype)
