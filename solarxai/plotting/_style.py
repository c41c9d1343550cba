"""The manner of every picture: fonts, colours, norms, and the bytes of a figure."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

__all__ = ["BLUE", "GREY", "RED", "drawn", "styled", "symmetric", "to_png"]

BLUE, RED, GREY = "#2166ac", "#b2182b", "#888888"

_STYLE: Mapping[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def styled() -> AbstractContextManager[None]:
    """Return a context with matplotlib's own defaults and ours, whatever the user has set."""
    made: AbstractContextManager[None] = style.context(["default", dict(_STYLE)])
    return made


def symmetric(values: npt.NDArray[Any]) -> Normalize:
    """Return a norm centred on 0 up to the 99.5th percentile of |a|; NaN does not count."""
    known = np.abs(values[np.isfinite(values)])
    top = float(np.percentile(known, 99.5)) if known.size else 0.0
    return Normalize(-(top or 1.0), top or 1.0)


def drawn(figure: Figure, *, dpi: int) -> PIL.Image.Image:
    """Return the figure as an RGB image, the same for the same figure."""
    FigureCanvasAgg(figure)
    file = io.BytesIO()
    with styled():
        figure.savefig(file, format="raw", dpi=dpi)
    width, height = (round(inches * dpi) for inches in figure.get_size_inches())
    return PIL.Image.frombytes("RGBA", (width, height), file.getvalue()).convert("RGB")


def to_png(figure: Figure, *, dpi: int = 96) -> bytes:
    """Return the figure as PNG of 256 colours, without date or version.

    Equal figures give equal bytes. The palette makes files a third of the size.
    """
    FigureCanvasAgg(figure)
    full_file, packed = io.BytesIO(), io.BytesIO()
    with styled():
        figure.savefig(full_file, format="png", dpi=dpi, metadata={"Software": None})
    with PIL.Image.open(full_file) as full:
        few = full.convert("RGB").quantize(
            256, method=PIL.Image.Quantize.MEDIANCUT, dither=PIL.Image.Dither.NONE
        )
    few.save(packed, "png")
    return packed.getvalue()
