"""Wavelength grids, and how spectra get onto them: flux is kept, nothing rings or shifts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from solarxai.errors import ContractError
from solarxai.spectra._axis import Floats, axis_angstrom, pixel_edges, pixels_of

__all__ = ["GRIDS", "STUDY_RANGE", "named_grid", "native_grid", "regrid", "study_grid"]

STUDY_RANGE = (2794.14, 2805.72) * u.AA
"""First and last wavelength of the study's grid: Panos et al. 2023, A&A 671 A73."""

GRIDS = ("study", "native")
"""Names of grids: that of the study, and the instrument's own within the study's range."""

Places = npt.NDArray[np.int64]

POINTS = 240
BLOCK = 4096  # spectra interpolated at a time, to bound the memory
SAME = 1e-6  # of a pixel: edges nearer than this are one edge


def study_grid() -> u.Quantity:
    """Return the 240 linear points, 2794.14 to 2805.72 Angstrom, of the study (48.45 mA apart)."""
    first, last = (float(end) for end in STUDY_RANGE.to_value(u.AA))
    return np.linspace(first, last, POINTS) * u.AA


def native_grid(wavelength: u.Quantity) -> u.Quantity:
    """Return the points of an instrument's own axis (w,) that lie inside the study's range.

    Raises
    ------
    ContractError
        when the axis does not increase, or fewer than two points lie inside.
    """
    axis = axis_angstrom(wavelength)
    low, high = STUDY_RANGE.to_value(u.AA)
    inside = axis[(axis >= low) & (axis <= high)]
    if len(inside) < 2:
        raise ContractError(
            f"{len(inside)} points of the axis {axis[0]:.2f} to {axis[-1]:.2f} Angstrom lie "
            f"between {low} and {high} Angstrom",
            remedy="Give spectra of the Mg II h and k window.",
        )
    return inside * u.AA


def named_grid(name: str, wavelength: u.Quantity) -> u.Quantity:
    """Return the grid called `name` (one of `GRIDS`) for spectra on the axis `wavelength`.

    Raises
    ------
    ContractError
        for an unknown name, and as `native_grid` does.
    """
    if name not in GRIDS:
        raise ContractError(f"{name!r} is no grid", remedy=f"Take one of {', '.join(GRIDS)}.")
    return study_grid() if name == "study" else native_grid(wavelength)


def regrid(
    values: npt.NDArray[Any],
    wavelength: u.Quantity,
    grid: u.Quantity,
    *,
    valid: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.float32]:
    """Return spectra (..., w) on another grid, float32 (..., g), as means over its pixels.

    Parameters
    ----------
    values
        Flux per wavelength; each value is the mean over its pixel.
    wavelength, grid
        Axis of the values and that wanted, increasing, in any unit of length.
    valid
        Which values to trust, same shape; what is not finite is never trusted.

    Returns
    -------
    ndarray
        NaN where a pixel of the grid is not wholly covered by valid pixels of the axis. Values
        that are not valid have no influence on the others. Values of single precision are computed
        in it, which costs two millionths of their maximum at most.

    Raises
    ------
    ContractError
        when the axes do not increase or the shapes do not fit.

    Notes
    -----
    Piecewise parabolas through the means (Colella & Woodward 1984,
    10.1016/0021-9991(84)90143-8, equations 1.5 to 1.10 for pixels of one width), integrated over
    the pixels of the grid. So flux is kept, a coarser grid averages and does not alias, positive
    flux stays positive, where the values rise or fall they do so on a finer grid too, and a grid
    whose pixels are those of the axis returns the values. In one point we leave the paper: a
    pixel higher or lower than both its neighbours keeps its parabola, where the paper would
    flatten the peaks of the lines. It rises to 1.5 times the pixel's mean at most, and falls to
    zero at most, since the flux at an edge is kept below three times that of either pixel.
    """
    axis, target = axis_angstrom(wavelength), axis_angstrom(grid, "the grid")
    values = np.asarray(values)
    pixels_of(values, axis, "values")
    flat = values.reshape(-1, len(axis))
    trusted = (np.isfinite(values) & _like(valid, values)).reshape(flat.shape)
    resampling = Resampling.between(axis, target)
    mean = np.empty((len(flat), len(target)), dtype=np.float32)
    for start in range(0, len(flat), BLOCK):
        rows = slice(start, start + BLOCK)
        mean[rows] = resampling.means(flat[rows], trusted[rows])
    return mean.reshape(*values.shape[:-1], len(target))


@dataclass(frozen=True, kw_only=True, eq=False)
class Resampling:
    """What `regrid` computes of an axis (w,) and a grid (g,) once for all spectra.

    Parameters
    ----------
    near
        Points of the axis on which the grid depends, two more at either side; where the axis ends,
        its last point again.
    pixel
        In which pixel each edge (g + 1,) of the grid lies, of those that have two at either side.
    part, reach
        How much of that pixel lies before the edge, as a share and in Angstrom.
    whole
        Sparse, (g, pixels): what the pixels from an edge's up to the next edge's are wide.
    size
        Of the grid's pixels, Angstrom.
    first, last
        Points of the axis that each pixel of the grid overlaps, from and to.
    covered
        Whether the axis covers a pixel of the grid.
    """

    near: Places
    pixel: Places
    part: Floats
    reach: Floats
    whole: csr_array
    size: Floats
    first: Places
    last: Places
    covered: npt.NDArray[np.bool_]

    @classmethod
    def between(cls, axis: Floats, grid: Floats) -> Resampling:
        """Return the resampling from an axis to a grid."""
        edges, target = pixel_edges(axis), pixel_edges(grid)
        width = np.diff(edges)
        inside = np.clip(target, edges[0], edges[-1])
        pixel = np.clip(np.searchsorted(edges, inside, "right") - 1, 0, len(width) - 1)
        part = (inside - edges[pixel]) / width[pixel]
        start, stop = max(int(pixel[0]) - 2, 0), min(int(pixel[-1]) + 3, len(width))
        passed = np.arange(pixel[0], pixel[-1])
        sums = (width[passed], passed - start, pixel - pixel[0])
        first, last, covered = _overlap(axis, grid)
        return cls(
            near=np.clip(np.arange(start - 2, stop + 2), 0, len(axis) - 1), pixel=pixel - start,
            part=part, reach=part * width[pixel],
            whole=csr_array(sums, shape=(len(grid), stop - start)), size=np.diff(target),
            first=first, last=last, covered=covered,
        )  # fmt: skip

    def means(self, values: npt.NDArray[Any], trusted: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
        """Return means (n, g) over the grid's pixels of values (n, w); NaN where not covered.

        They are computed in single precision where the values are.
        """
        sound = trusted[:, self.near[0] : self.near[-1] + 1].all(axis=1)
        if not sound.all():
            values = values.copy()
            values[~sound] = _filled(values[~sound], trusted[~sound])
        kind = np.float32 if values.dtype == np.float32 else np.float64
        mean = self._means(values.T.astype(kind, order="C")[self.near]).T
        mean[:, ~self.covered] = np.nan
        mean[~sound] = np.where(self._doubtful(trusted[~sound]), np.nan, mean[~sound])
        return mean

    def _means(self, padded: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return means (g, n) over the grid's pixels of those over the pixels `near`.

        The wavelengths come first: so a point of all spectra is one row, quickly taken.
        """
        part, reach, size = (
            each.astype(padded.dtype)[:, None] for each in (self.part, self.reach, self.size)
        )
        left, right = _sides(padded, self.pixel)
        bend = 6 * padded[self.pixel + 2] - 3 * (left + right)
        before = ((right - left + bend) / 2 - bend * (part / 3)) * part + left
        whole = self.whole.astype(padded.dtype) @ padded[2:-2]
        return np.asarray((whole + np.diff(before * reach, axis=0)) / size)

    def _doubtful(self, trusted: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return in which of the grid's pixels (n, g) something is not trusted."""
        doubts = np.zeros((len(trusted), trusted.shape[1] + 1), dtype=np.int32)
        np.cumsum(~trusted, axis=1, out=doubts[:, 1:])
        return np.asarray(doubts[:, self.last + 1] > doubts[:, self.first])


def span(axis: Floats, grid: Floats) -> slice:
    """Return which points of an axis (w,) the pixels of a grid (g,) overlap."""
    first, last, _ = _overlap(axis, grid)
    return slice(int(first.min()), int(last.max()) + 1)


def _like(valid: npt.NDArray[np.bool_] | None, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if valid is None:
        return np.ones(values.shape, dtype=bool)
    if np.shape(valid) != np.shape(values):
        raise ContractError(
            f"valid of shape {np.shape(valid)} and values of shape {np.shape(values)} do not fit",
            remedy="Give one flag a value.",
        )
    return np.asarray(valid, dtype=bool)


def _filled(flat: npt.NDArray[Any], trusted: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Return values (n, w), those not trusted replaced by a trusted neighbour."""
    column = np.arange(flat.shape[1])
    before = np.maximum.accumulate(np.where(trusted, column, -1), axis=1)
    first = trusted.argmax(axis=1)[:, None]
    filled = np.take_along_axis(flat, np.where(before < 0, first, before), axis=1)
    return np.where(trusted.any(axis=1, keepdims=True), filled, flat.dtype.type(0))


def _sides(padded: npt.NDArray[Any], pixel: Places) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the flux at the left and right side of pixels; two more are at either end."""
    before, after = padded[1:-2], padded[2:-1]
    size = np.abs(padded)
    most = 3 * np.minimum(size[1:-2], size[2:-1])
    edge = (7 * (before + after) - padded[:-3] - padded[3:]) / 12
    np.maximum(edge, np.maximum(np.minimum(before, after), -most), out=edge)
    np.minimum(edge, np.minimum(np.maximum(before, after), most), out=edge)
    rise = after - before
    left, right, mean = edge[pixel], edge[pixel + 1], padded[pixel + 2]
    slope, bend = right - left, 6 * mean - 3 * (left + right)
    steep = (np.abs(bend) > np.abs(slope)) & (rise[pixel] * rise[pixel + 1] >= 0)
    upward = slope * bend > 0
    return (
        _either(steep & upward, 3 * mean - 2 * right, left),
        _either(steep & ~upward, 3 * mean - 2 * left, right),
    )


def _either(
    flags: npt.NDArray[np.bool_], one: npt.NDArray[Any], other: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """Return one where flagged, else the other, both finite: `np.where` in a quarter of its time.

    Processors guess at `np.where` which comes next, and flags of noise are hard to guess.
    """
    return np.asarray(one * flags + other * ~flags)


def _overlap(axis: Floats, grid: Floats) -> tuple[Places, Places, npt.NDArray[np.bool_]]:
    """Return first and last point of the axis in each pixel of the grid, and if it is covered."""
    edges, target = pixel_edges(axis), pixel_edges(grid)
    slack = SAME * float(np.diff(edges).min())
    low, high = target[:-1] + slack, target[1:] - slack
    covered = (low >= edges[0]) & (high <= edges[-1])
    first = np.searchsorted(edges, low, "right") - 1
    last = np.searchsorted(edges, high, "left") - 1
    first, last = (np.clip(point, 0, len(axis) - 1) for point in (first, last))
    return first, last, np.asarray(covered)
