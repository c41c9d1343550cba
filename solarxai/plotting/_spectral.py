"""Spectra, spectrograms and slits over time, drawn on axes that figures and films lay out."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap, Normalize
from matplotlib.image import AxesImage

from solarxai.plotting._style import GREY
from solarxai.spectra import LINES, velocity_wavelength

__all__ = [
    "WAVELENGTH",
    "draw_image",
    "draw_over_time",
    "draw_spectrogram",
    "draw_spectrum",
    "mark_lines",
    "pixel_range",
]

Array = npt.NDArray[Any]

WAVELENGTH = "vacuum wavelength [Å]"
"""What is written below every axis of wavelengths."""

_VELOCITIES = np.array([-100, 0, 100])
"""Velocities written above the axis, km/s, around each of `_SCALED`."""
_SCALED = ("k", "h")
_DROPPED = "#dddddd"
_CLOSE = np.timedelta64(10, "m")
"""Times closer together are written with their seconds."""
_SHORT = np.timedelta64(4, "s")
"""Half the time that a lone exposure is drawn for."""


def draw_spectrum(
    axis: Axes, wavelength: Array, spectrum: Array, values: Array, norm: Normalize
) -> AxesImage:
    """Draw a spectrum (w,) as a line over its attribution (w,) in colour; return the colours."""
    left, right = pixel_range(wavelength)
    top = 1.08 * max(float(np.nanmax(spectrum)), 1e-6)
    shown = axis.imshow(
        values[None], cmap="RdBu_r", norm=norm, aspect="auto", interpolation="nearest",
        extent=(left, right, 0, top),
    )  # fmt: skip
    below = axis.fill_between(wavelength, 0, spectrum, facecolor="none", edgecolor="none")
    shown.set_clip_path(below.get_paths()[0], transform=axis.transData)
    axis.plot(wavelength, spectrum, color="black", linewidth=0.9)
    axis.set(xlim=(left, right), ylim=(0, top), xlabel=WAVELENGTH, ylabel="I / maximum")
    return shown


def draw_spectrogram(
    axis: Axes,
    wavelength: Array,
    values: Array,
    length: float,
    *,
    norm: Normalize | None = None,
) -> AxesImage:
    """Draw (slit, wavelength) over a slit of a length in arcsec; a map if there is a norm."""
    left, right = pixel_range(wavelength)
    shown = draw_image(axis, values, norm=norm, top=1.0, extent=(left, right, 0.0, length))
    axis.set_aspect("auto")
    return shown


def draw_image(
    axis: Axes,
    values: Array,
    *,
    norm: Normalize | None = None,
    top: float = 1.15,
    extent: tuple[float, float, float, float] | None = None,
) -> AxesImage:
    """Draw intensities (y, x) in grey up to `top`, or a map under a norm; missing ones light."""
    return axis.imshow(
        np.ma.masked_invalid(values),
        cmap=_with_dropped("gray" if norm is None else "RdBu_r"),
        norm=norm or Normalize(0, top),
        interpolation="nearest",
        origin="lower",
        extent=extent,
    )


def draw_over_time(
    axis: Axes,
    time: Array,
    along: Array,
    values: Array,
    *,
    cmap: str,
    norm: Normalize | None = None,
) -> QuadMesh:
    """Draw values (time, slit), each from midway to the one before to midway to the next."""
    shown = axis.pcolormesh(
        _borders(time.astype("datetime64[ns]"), _SHORT),
        _borders(along, 0.5),
        np.ma.masked_invalid(values.T),
        cmap=_with_dropped(cmap),
        norm=norm,
        rasterized=True,
    )
    inside = time[0] + (time[-1] - time[0]) * np.linspace(0.1, 0.9, 4)
    unit = "s" if time[-1] - time[0] < _CLOSE else "m"
    words = [str(one.astype(f"datetime64[{unit}]"))[11:] for one in inside]
    axis.set_xticks(inside.astype("datetime64[s]"), words)
    axis.set_xlabel(f"{time[0].astype('datetime64[D]')}, UTC")
    return shown


def mark_lines(axis: Axes, *, above: bool = False) -> None:
    """Draw the lines inside an axis of wavelengths whose limits are set.

    Where `above`, their names and the velocity around k and h, in km/s, stand above the axis.
    """
    left, right = axis.get_xlim()
    for rest in LINES.values():
        if left < rest.to_value(u.AA) < right:
            axis.axvline(rest.to_value(u.AA), color=GREY, linewidth=0.7, linestyle=":")
    if above:
        _write_velocities(axis)


def pixel_range(points: Array) -> tuple[float, float]:
    """Return the outer edges of the first and last pixel."""
    first, last = (points[1] - points[0]) / 2, (points[-1] - points[-2]) / 2
    return float(points[0] - first), float(points[-1] + last)


def _write_velocities(axis: Axes) -> None:
    left, right = axis.get_xlim()
    places, words = [], []
    for line in LINES:
        velocity = _VELOCITIES if line in _SCALED else _VELOCITIES[_VELOCITIES == 0]
        at = velocity_wavelength(velocity * u.km / u.s, line).to_value(u.AA)
        inside = (at > left) & (at < right)
        places += at[inside].tolist()
        words += [f"{v:+d}" if v else line.replace("_", " ") for v in velocity[inside].tolist()]
    ruler = axis.secondary_xaxis("top")
    ruler.set_xticks(places, words, fontsize=6.5)
    ruler.tick_params(length=2, pad=1)
    ruler.set_xlabel("km/s from k and from h", fontsize=6.5, loc="right", labelpad=2)


def _with_dropped(name: str) -> Colormap:
    return matplotlib.colormaps[name].with_extremes(bad=_DROPPED)


def _borders(points: Array, half: Any) -> Array:
    """Return edges (n + 1,) midway between points, those of a lone point at +- half."""
    if len(points) == 1:
        return np.array([points[0] - half, points[0] + half])
    steps = (points[1:] - points[:-1]) / 2
    first, last = points[0] - steps[0], points[-1] + steps[-1]
    return np.concatenate([[first], points[:-1] + steps, [last]])
