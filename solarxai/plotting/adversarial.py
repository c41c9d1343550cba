"""Pictures of perturbations too faint to see: calls they flip, places they lead maps to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from solarxai.plotting._style import GREY, RED, styled, symmetric
from solarxai.schema import PENUMBRA
from solarxai.validation.adversarial.study import Study

__all__ = ["flips_figure", "led_figure"]

_COLOURS = {"random signs": GREY, "FGSM": "#e08214", "PGD": RED}


def flips_figure(study: Study) -> Figure:
    """Return the fraction of calls flipped by amplitude, one panel a label.

    Parameters
    ----------
    study
        Of `solarxai.validation.adversarial.study.study`.
    """
    labels = sorted({row["label"] for row in study.flips}, reverse=True)
    with styled():
        figure = Figure(figsize=(1.0 + 2.8 * len(labels), 2.8), layout="constrained")
        axes = figure.subplots(1, len(labels), sharey=True, squeeze=False)[0]
        for axis, label in zip(axes, labels, strict=True):
            for name, colour in _COLOURS.items():
                rows = [r for r in study.flips if (r["perturbation"], r["label"]) == (name, label)]
                _draw_curve(axis, rows, name, colour)
            axis.set(
                xscale="log", ylim=(-0.03, 1.03), title=f"{label}s",
                xlabel="amplitude, % of the quiet Sun",
            )  # fmt: skip
        axes[0].set_ylabel("fraction of calls flipped")
        axes[0].legend(loc="upper left")
    return figure


def led_figure(study: Study, *, methods: Sequence[str] | None = None) -> Figure:
    """Return one sunspot under every perturbation: the image, what was added, the maps.

    Parameters
    ----------
    study
        Of `solarxai.validation.adversarial.study.study`.
    methods
        Maps to draw; all if None.

    Notes
    -----
    A black line bounds the penumbra, a green one the corner into which maps are led. Maps have a
    norm of their own each, centred on 0.
    """
    seen = study.examples
    shown = [name for name in seen.data_vars if _is_map(seen, str(name))]
    chosen = list(methods) if methods is not None else [str(name) for name in shown]
    columns = ["image", "added", *chosen]
    count = seen.sizes["perturbation"]
    with styled():
        figure = Figure(figsize=(1.65 * len(columns), 1.75 * count), layout="constrained")
        axes = figure.subplots(count, len(columns), squeeze=False)
        for row in range(count):
            one = seen.isel(perturbation=row)
            for axis, name in zip(axes[row], columns, strict=True):
                _draw(axis, one, seen, name)
                axis.set(xticks=[], yticks=[])
            axes[row][0].set_ylabel(
                f"{one['perturbation'].item()}\nscore {float(one['score']):.1f}"
            )
        for axis, name in zip(axes[0], columns, strict=True):
            axis.set_title(name)
        figure.suptitle(f"amplitude {100 * seen.attrs['amplitude']:g} % of the quiet Sun")
    return figure


def _is_map(seen: xr.Dataset, name: str) -> bool:
    return name != "image" and seen[name].dims == seen["image"].dims


def _draw(axis: Axes, one: xr.Dataset, seen: xr.Dataset, name: str) -> None:
    if name == "image":
        axis.imshow(one["image"], origin="lower", cmap="gray", vmin=0.1, vmax=1.15)
    elif name == "added":
        top = 100 * seen.attrs["amplitude"]
        added = 100 * (one["image"] - seen["image"].isel(perturbation=0))
        axis.imshow(added, origin="lower", cmap="PuOr", vmin=-top, vmax=top)
    else:
        values = one[name].values
        axis.imshow(values, origin="lower", cmap="RdBu_r", norm=symmetric(values))
        penumbra = (seen["segmentation"].values == PENUMBRA).astype(float)
        axis.contour(penumbra, [0.5], colors="black", linewidths=0.5)
        axis.contour(seen["corner"].values.astype(float), [0.5], colors="green", linewidths=0.8)


def _draw_curve(axis: Axes, rows: Sequence[dict[str, float]], name: str, colour: str) -> None:
    where = np.array([100 * row["amplitude"] for row in rows])
    bounds = np.array([[row["low"], row["high"]] for row in rows])
    axis.plot(where, [row["value"] for row in rows], "o-", color=colour, markersize=3, label=name)
    axis.fill_between(where, bounds[:, 0], bounds[:, 1], color=colour, alpha=0.15, linewidth=0)
