"""Patches cut around structures, with exact addresses.

A patch is an affine crop and zoom of its image, so its world coordinates stay exact: only the
reference pixel and the pixel size change. Pixel centres have whole coordinates, counted from zero
(the FITS header counts from one): the centre of a patch of n pixels lies at (n − 1)/2, which is
where its structure's position goes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from astropy.io.fits import Header
from scipy import ndimage

from solarxai.errors import IngestError
from solarxai.photosphere import Photosphere, Structure
from solarxai.photosphere.regions import Region
from solarxai.schema import (
    INVALID,
    MEASUREMENTS,
    QUIET,
    WCS_NUMBERS,
    WCS_WORDS,
    check_samples,
)
from solarxai.splits import check_split, split

__all__ = [
    "MOST_MISSING",
    "check_split",
    "cut",
    "split",
]

MOST_MISSING = 0.25
"""A patch may lack at most this share of its pixels; they are filled with mirrored quiet Sun."""

_QUIET_LEVEL = 1.0
_SPLINE_REACH = 8

Image = npt.NDArray[np.float32]


def cut(
    observation: xr.Dataset,
    photosphere: Photosphere,
    *,
    shape: tuple[int, int] = (64, 64),
    scale_mm: float = 0.5,
) -> xr.Dataset:
    """Return Samples: one patch around each structure, resampled to one plate scale.

    Parameters
    ----------
    observation
        The image the photosphere describes.
    photosphere
        What `solarxai.photosphere.describe` made of it.
    shape
        Pixels of a patch, (y, x).
    scale_mm
        Mm per pixel of a patch, at the sub-observer point.

    Returns
    -------
    xarray.Dataset
        Samples that pass `solarxai.schema.check_samples`, with the extra column `rule_label`,
        the attribute `scale_mm`, and what was left out in `counts`. A structure cut by the border
        of the image and a patch that lacks more than `MOST_MISSING` of its pixels are left out.

    Raises
    ------
    IngestError
        if the world coordinates are not a reference pixel, a pixel size and a rotation.

    Notes
    -----
    When the zoom z = patch pixel / image pixel exceeds one, the image is first blurred by a
    Gaussian of σ = √(z² − 1)/2 image pixels, which makes up for the coarser pixel; then sampled
    by a cubic spline. Segmentation and central mask take the nearest pixel.
    """
    zoom = scale_mm / float(observation.attrs["scale_mm"])
    shared = _shared_columns(observation)
    rows: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    for structure in photosphere.structures:
        grid = _Grid(shape=shape, zoom=zoom, x=structure.x, y=structure.y)
        if structure.at_border:
            left_out["structure cut by the border"] += 1
        elif grid.missing(photosphere.segmentation.shape) > MOST_MISSING:
            left_out["patch mostly beyond the border"] += 1
        else:
            rows.append(_row(shared, photosphere, structure, grid))
    tally = {
        "observations": 1,
        **photosphere.discarded,
        **left_out,
        **Counter(f"{row['label']} samples" for row in rows),
    }
    return check_samples(_assemble(rows, shape, scale_mm=scale_mm, tally=tally))


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """Where the pixels of a patch lie in an image: pixel i of an axis at start + i zoom."""

    shape: tuple[int, int]
    zoom: float
    x: float
    y: float

    @property
    def start(self) -> tuple[float, float]:
        """The place (y, x) of the patch's first pixel, in image pixels counted from zero."""
        height, width = self.shape
        return self.y - (height - 1) / 2 * self.zoom, self.x - (width - 1) / 2 * self.zoom

    def nearest(self) -> list[npt.NDArray[np.intp]]:
        """Return the image pixels nearest to the patch's rows and columns, some maybe outside."""
        pairs = zip(self.start, self.shape, strict=True)
        return [
            np.floor(start + np.arange(n) * self.zoom + 0.5).astype(np.intp) for start, n in pairs
        ]

    def inside(self, extent: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """Return which pixels of the patch lie on an image of this extent."""
        rows, columns = (
            (index >= 0) & (index < length)
            for index, length in zip(self.nearest(), extent, strict=True)
        )
        return np.logical_and.outer(rows, columns)

    def missing(self, extent: tuple[int, ...]) -> float:
        """Return the share of the patch that lies beyond an image of this extent."""
        return float(1 - self.inside(extent).mean())

    def classes(self, image: npt.NDArray[Any], outside: int) -> npt.NDArray[Any]:
        """Return the nearest pixels of an image, `outside` where there are none."""
        rows, columns = (
            np.clip(index, 0, length - 1)
            for index, length in zip(self.nearest(), image.shape, strict=True)
        )
        return np.where(self.inside(image.shape), image[np.ix_(rows, columns)], outside)

    def mask(self, region: Region) -> npt.NDArray[np.bool_]:
        """Return which pixels of the patch are nearest to a pixel of a region."""
        top, left = region.rows.start, region.columns.start
        box = _Grid(shape=self.shape, zoom=self.zoom, x=self.x - left, y=self.y - top)
        return box.classes(region.mask, 0).astype(np.bool_)

    def resample(self, photosphere: Photosphere) -> Image:
        """Return the anti-aliased intensity, its unknown pixels filled with quiet Sun."""
        blur = np.sqrt(max(self.zoom**2 - 1, 0.0)) / 2
        reach = int(np.ceil(3 * blur)) + _SPLINE_REACH
        windows = []
        for start, n in zip(self.start, self.shape, strict=True):
            first, last = np.floor(start) - reach, np.ceil(start + (n - 1) * self.zoom) + reach
            windows.append(np.arange(int(first), int(last) + 1))
        window = _filled(photosphere, *windows)
        if blur:
            window = ndimage.gaussian_filter(window, blur, truncate=3.0)
        offset = [start - index[0] for start, index in zip(self.start, windows, strict=True)]
        patch: Image = ndimage.affine_transform(
            window, [self.zoom] * 2, offset, output_shape=self.shape, order=3, mode="mirror"
        )
        return patch.astype(np.float32)


def _filled(
    photosphere: Photosphere, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Return a window of the intensity; beyond the border mirrored, where the mirror is quiet."""
    height, width = photosphere.intensity.shape
    source = np.ix_(_mirrored(rows, height), _mirrored(columns, width))
    window = np.nan_to_num(photosphere.intensity[source], nan=_QUIET_LEVEL).astype(np.float64)
    beyond = np.logical_or.outer((rows < 0) | (rows >= height), (columns < 0) | (columns >= width))
    window[beyond & (photosphere.segmentation[source] != QUIET)] = _QUIET_LEVEL
    return window


def _mirrored(index: npt.NDArray[np.intp], length: int) -> npt.NDArray[np.intp]:
    """Return indices folded back into [0, length) at the outer pixels' centres."""
    period = max(2 * (length - 1), 1)
    folded = np.abs(index) % period
    return np.minimum(folded, period - folded) if length > 1 else np.zeros_like(index)


def _row(
    shared: Mapping[str, Any], photosphere: Photosphere, structure: Structure, grid: _Grid
) -> dict[str, Any]:
    """Return one sample: its arrays and every column, from those its whole image shares."""
    return {
        **shared,
        **_moved_reference(shared, grid),
        "image": grid.resample(photosphere),
        "segmentation": grid.classes(photosphere.segmentation, INVALID).astype(np.uint8),
        "central": grid.mask(structure.region),
        "sample_id": f"{shared['observation']}-x{structure.x:07.1f}-y{structure.y:07.1f}",
        "label": structure.label,
        "label_source": structure.label_source,
        "rule_label": structure.rule_label,
        **{name: float(structure.measurements[name]) for name in MEASUREMENTS},
    }


def _shared_columns(observation: xr.Dataset) -> dict[str, Any]:
    """Return the columns of an image that hold for each of its patches, `wcs_*` as the image's."""
    header = Header.fromstring(observation.attrs["wcs"], sep="\n")
    _refuse_other_forms(header, str(observation.attrs["source"]))
    absent = {"PC1_1": 1.0, "PC2_2": 1.0, "PC1_2": 0.0, "PC2_1": 0.0}
    numbers = {
        f"wcs_{name}": float(header.get(name.upper(), absent.get(name.upper(), np.nan)))
        for name in WCS_NUMBERS
    }
    words = ("region", "origin", "instrument", "observation", "time_scale", "time_original")
    return {
        "time": observation["time"].values,
        **{word: str(observation.attrs[word]) for word in words},
        "header": observation.attrs["header"],
        **numbers,
        **{f"wcs_{name}": str(header.get(name.upper(), "")) for name in WCS_WORDS},
    }


def _moved_reference(shared: Mapping[str, Any], grid: _Grid) -> dict[str, float]:
    """Return the reference pixel and pixel size of a patch, from those of its image."""
    moved = {}
    for axis, start in (("1", grid.start[1]), ("2", grid.start[0])):
        moved[f"wcs_crpix{axis}"] = (shared[f"wcs_crpix{axis}"] - 1 - start) / grid.zoom + 1
        moved[f"wcs_cdelt{axis}"] = shared[f"wcs_cdelt{axis}"] * grid.zoom
    return moved


def _refuse_other_forms(header: Header, source: str) -> None:
    needed = [f"{word}{axis}" for word in ("CTYPE", "CRPIX", "CRVAL", "CDELT") for axis in "12"]
    missing = [word for word in needed if word not in header]
    other = [word for word in ("CD1_1", "CD1_2", "CROTA2", "A_ORDER") if header.get(word)]
    if missing or other:
        raise IngestError(
            f"{source}: the world coordinates lack {missing} or use {other}",
            remedy="Write them with CRPIX, CRVAL, CDELT and PC keywords.",
        )


def _assemble(
    rows: Sequence[Mapping[str, Any]],
    shape: tuple[int, int],
    *,
    scale_mm: float,
    tally: Mapping[str, int],
) -> xr.Dataset:
    """Return rows as Samples; valid Samples without rows if there are none."""

    def column(name: str, dtype: Any, inner: tuple[int, ...] = ()) -> npt.NDArray[Any]:
        values = np.empty((len(rows), *inner), dtype=dtype)
        for index, row in enumerate(rows):
            values[index] = row[name]
        return values

    words = [
        "sample_id", "label", "label_source", "rule_label", "region", "origin", "instrument",
        "observation", "time_scale", "time_original", "header",
        *(f"wcs_{word}" for word in WCS_WORDS),
    ]  # fmt: skip
    numbers = [*MEASUREMENTS, *(f"wcs_{name}" for name in WCS_NUMBERS)]
    images = ("sample", "y", "x")
    return xr.Dataset(
        {
            "image": (images, column("image", np.float32, shape), {"units": "1"}),
            "segmentation": (images, column("segmentation", np.uint8, shape)),
            "central": (images, column("central", np.bool_, shape)),
        },
        coords={
            "time": ("sample", column("time", "datetime64[ns]")),
            **{name: ("sample", column(name, object)) for name in words},
            **{
                name: ("sample", column(name, np.float64), {"units": MEASUREMENTS.get(name, "")})
                for name in numbers
            },
        },
        attrs={"scale_mm": scale_mm, "counts": json.dumps(dict(tally), sort_keys=True)},
    )
