"""Pictures of spectra and spectrograms with their attributions, and of what these say together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from solarxai.attention import light_curves, slit_profile, slit_world
from solarxai.attention.slit import Quantity
from solarxai.errors import QueryError
from solarxai.plotting._spectral import (
    WAVELENGTH,
    draw_over_time,
    draw_spectrogram,
    draw_spectrum,
    mark_lines,
    pixel_range,
)
from solarxai.plotting._style import BLUE, GREY, RED, styled, symmetric

__all__ = [
    "attention_figure",
    "feature_figure",
    "slit_figure",
    "spectrogram_figure",
    "spectrum_figure",
]

Array = npt.NDArray[Any]


def spectrum_figure(
    samples: xr.Dataset, row: int, method: str, *, slit: int | None = None
) -> Figure:
    """Return one spectrum, coloured below by its attribution: red for, blue against.

    Parameters
    ----------
    samples
        Spectrum Samples with maps, or spectrograms and a position `slit`.
    row
        Which sample.
    method
        Name of the maps.
    slit
        Position along the slit of a spectrogram.

    Raises
    ------
    QueryError
        when that spectrum was dropped, or a spectrogram is given without `slit`.
    """
    one = samples.isel(sample=row)
    if "slit" in one["image"].dims:
        one = _at(one, slit)
    wavelength, values = one["wavelength"].values, one[method].values
    with styled():
        figure = Figure(figsize=(6.6, 2.9), layout="constrained")
        axis = figure.subplots()
        shown = draw_spectrum(axis, wavelength, one["image"].values, values, symmetric(values))
        bar = figure.colorbar(shown, ax=axis, pad=0.01, aspect=30)
        bar.set_label(f"{method.replace('_', ' ')} [{_unit(one[method])}]")
        mark_lines(axis, above=True)
        axis.set_title(_named(one, slit), loc="left", pad=4)
    return figure


def spectrogram_figure(samples: xr.Dataset, row: int, methods: Sequence[str]) -> Figure:
    """Return one exposure (slit x wavelength) above the map of each method; dropped is grey.

    Parameters
    ----------
    samples
        Spectrogram Samples with maps.
    row
        Which sample.
    methods
        Names of the maps.

    Notes
    -----
    Maps are signed: white is zero, and each scale is symmetric and clipped at the 99.5th
    percentile of |a|. The intensity is that of each spectrum relative to its own maximum.
    """
    one = samples.isel(sample=row)
    wavelength, length = one["wavelength"].values, _slit_length(samples, row)
    with styled():
        figure = Figure(figsize=(6.6, 0.5 + 1.9 * (1 + len(methods))), layout="constrained")
        panels = figure.subplots(1 + len(methods), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        shown = draw_spectrogram(panels[0], wavelength, one["image"].values, length)
        figure.colorbar(shown, ax=panels[0], pad=0.01, aspect=20, label="I / maximum")
        panels[0].set_title(_named(one, None), loc="left", pad=4)
        for panel, method in zip(panels[1:], methods, strict=True):
            values = one[method].values
            shown = draw_spectrogram(panel, wavelength, values, length, norm=symmetric(values))
            figure.colorbar(shown, ax=panel, pad=0.01, aspect=20, label=_unit(one[method]))
            panel.set_title(method.replace("_", " "), loc="left", pad=4)
        for place, panel in enumerate(panels):
            panel.set_ylabel("along the slit [arcsec]")
            mark_lines(panel, above=place == 0)
        panels[-1].set_xlabel(WAVELENGTH)
    return figure


def attention_figure(attention: xr.Dataset, *, spectrum: Array | None = None) -> Figure:
    """Return mean signed and absolute attribution per wavelength or velocity, with intervals.

    Parameters
    ----------
    attention
        Of `solarxai.attention.attention_by_wavelength` or `attention_by_velocity`.
    spectrum
        A profile on the same points, relative to its maximum, drawn in grey for orientation.
    """
    over_velocity = "velocity" in attention.dims
    points = attention["velocity" if over_velocity else "wavelength"].values
    with styled():
        figure = Figure(figsize=(6.6, 3.6), layout="constrained")
        panels = figure.subplots(2, 1, sharex=True)
        for panel, name, colour in zip(panels, ("mean", "absolute"), (RED, BLUE), strict=True):
            _band(panel, points, attention, name, colour)
            word = "signed" if name == "mean" else "absolute"
            panel.set_ylabel(f"{word} [{_unit(attention[name])}]")
            if spectrum is not None:
                _behind(panel, points, spectrum)
        panels[0].axhline(0, color=GREY, linewidth=0.8)
        panels[1].set_ylim(bottom=0)
        panels[0].set_title(_averaged(attention), loc="left", pad=4)
        if over_velocity:
            panels[1].set_xlabel(f"velocity from {attention.attrs['line']} [km/s]")
            for panel in panels:
                panel.axvline(0, color=GREY, linewidth=0.8, linestyle=":")
        else:
            panels[0].set_xlim(*pixel_range(points))
            mark_lines(panels[0], above=True)
            mark_lines(panels[1])
            panels[1].set_xlabel(WAVELENGTH)
    return figure


def slit_figure(
    samples: xr.Dataset, movie: xr.Dataset, method: str, *, quantity: Quantity = "absolute"
) -> Figure:
    """Return the attention along the slit over time beside the emission of the slit-jaw images.

    Parameters
    ----------
    samples
        Exposures of one observation with maps; of a raster, those of one step.
    movie
        Slit-jaw images, as of `solarxai.attention.light_curves`.
    method, quantity
        What attention is, as of `solarxai.attention.slit_profile`.

    Notes
    -----
    Crosses mark the maximum of each exposure, the dashed line the onset of the flare if the
    samples tell one, the solid ones the position of the largest emission of all.
    """
    ordered = samples.isel(sample=np.argsort(samples["time"].values, kind="stable"))
    time = ordered["time"].values
    profile = slit_profile(ordered, method, quantity=quantity)
    world = slit_world(ordered, 0)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(world, axis=1)))])
    curves = light_curves(movie, world, at=time[0])
    with styled():
        figure = Figure(figsize=(7.2, 3.0), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        shown = draw_over_time(left, time, along, profile.values, cmap="viridis")
        figure.colorbar(shown, ax=left, pad=0.01, label=f"attention [{_unit(profile)}]")
        emission = curves.values
        shown = draw_over_time(
            right, movie["time"].values, along, emission, cmap="magma", norm=_flaring(emission)
        )
        figure.colorbar(shown, ax=right, pad=0.01, label=f"emission [{_unit(curves)}]")
        _crosses(left, time, along, profile.values)
        brightest = along[np.where(np.isfinite(emission), emission, -np.inf).max(axis=0).argmax()]
        for axis, times in ((left, time), (right, movie["time"].values)):
            axis.axhline(brightest, color="white", linewidth=0.9)
            _draw_onset(axis, ordered, times)
        left.set_ylabel("along the slit [arcsec]")
        left.set_title(f"attention: {method.replace('_', ' ')}, {quantity}", loc="left")
        right.set_title("slit-jaw emission beside the slit", loc="left")
    return figure


def feature_figure(correlations: xr.Dataset) -> Figure:
    """Return a bar a feature: its correlation with the score, with its interval.

    Parameters
    ----------
    correlations
        Of `solarxai.attention.feature_correlations`.
    """
    names = [str(name) for name in correlations["feature"].values]
    value = correlations["correlation"].values
    places = np.arange(len(names))[::-1]
    with styled():
        figure = Figure(figsize=(4.6, 0.9 + 0.26 * len(names)), layout="constrained")
        axis = figure.subplots()
        colours = [RED if one > 0 else BLUE for one in value]
        axis.barh(places, np.nan_to_num(value), color=colours, height=0.65, alpha=0.8)
        for place, low, high in zip(
            places,
            correlations["correlation_low"].values,
            correlations["correlation_high"].values,
            strict=True,
        ):
            if np.isfinite(low):
                axis.plot([low, high], [place, place], color="black", linewidth=1.2)
        axis.axvline(0, color=GREY, linewidth=0.8)
        axis.set_yticks(places, [name.replace("_", " ") for name in names])
        axis.set(xlim=(-1, 1), xlabel="Spearman's correlation with the score")
    return figure


def _at(one: xr.Dataset, slit: int | None) -> xr.Dataset:
    length = one.sizes["slit"]
    if slit is None or not 0 <= slit < length:
        raise QueryError(
            f"slit {slit} is no position of a slit of {length}",
            remedy=f"Give a position from 0 to {length - 1}.",
        )
    found = one.isel(slit=slit)
    if not np.isfinite(found["image"].values).any():
        raise QueryError(
            f"{found['sample_id'].item()}: the spectrum at slit {slit} was dropped",
            remedy="Give a position whose `quality` is 0.",
        )
    return found


def _named(one: xr.Dataset, slit: int | None) -> str:
    time = str(one["time"].values.astype("datetime64[s]")).replace("T", " ")
    place = "" if slit is None else f", slit {slit}"
    score = (
        f", score {one['score'].item():+.2f}" if "score" in one and not one["score"].dims else ""
    )
    return f"{one['region'].item()} {time}{place}: {one['label'].item()}{score}"


def _averaged(attention: xr.Dataset) -> str:
    spectra = int(attention["spectra"].values.max())
    return (
        f"{str(attention.attrs['method']).replace('_', ' ')}, mean of {spectra} spectra of "
        f"{attention.attrs['groups']} groups by {attention.attrs['by']}"
    )


def _unit(values: xr.DataArray) -> str:
    return str(values.attrs.get("units") or "logit")


def _slit_length(samples: xr.Dataset, row: int) -> float:
    world = slit_world(samples, row)
    step = float(np.hypot(*np.diff(world, axis=1)).mean())
    return float(step * world.shape[1])


def _band(axis: Axes, points: Array, attention: xr.Dataset, name: str, colour: str) -> None:
    low, high = attention[f"{name}_low"].values, attention[f"{name}_high"].values
    if np.isfinite(low).any():
        axis.fill_between(points, low, high, color=colour, alpha=0.25, linewidth=0)
    axis.plot(points, attention[name].values, color=colour, linewidth=1.2)


def _behind(axis: Axes, points: Array, spectrum: Array) -> None:
    beside = axis.twinx()
    beside.fill_between(points, 0, spectrum, color=GREY, alpha=0.2, linewidth=0)
    beside.set(yticks=[], ylim=(0, 1.1 * float(np.nanmax(spectrum))))


def _flaring(emission: Array) -> LogNorm | None:
    """Return a logarithmic norm from the median up, if flares exceed it; None if they do not."""
    known = emission[np.isfinite(emission) & (emission > 0)]
    if not known.size or known.max() < 3 * np.median(known):
        return None
    return LogNorm(float(np.median(known)), float(known.max()), clip=True)


def _crosses(axis: Axes, time: Array, along: Array, profile: Array) -> None:
    known = np.isfinite(profile).any(axis=1)
    place = np.where(np.isfinite(profile), profile, -np.inf).argmax(axis=1)
    axis.plot(time[known], along[place[known]], "x", color=RED, markersize=3)


def _draw_onset(axis: Axes, samples: xr.Dataset, time: Array) -> None:
    for word in sorted({str(word) for word in samples["flare_onset"].values if str(word)}):
        onset = np.datetime64(word.removesuffix("Z"), "ns")
        if time.min() <= onset <= time.max():
            axis.plot([onset, onset], axis.get_ylim(), color=RED, linewidth=0.9, linestyle="--")
