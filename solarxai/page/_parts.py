"""What all pages share: how numbers are written, how pictures are held, how a page is made."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from solarxai import plotting

__all__ = ["image", "number", "rendered", "with_interval"]


def rendered(template: str, words: Mapping[str, Any]) -> str:
    """Return a page: a template of this folder with its words."""
    environment = Environment(
        loader=PackageLoader("solarxai", "page"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(template).render(words)


def with_interval(value: float, low: float, high: float) -> str:
    """Return a value with its interval, if it has one."""
    if math.isnan(value):
        return "–"
    return number(value) + ("" if math.isnan(low) else f" [{number(low)}, {number(high)}]")


def number(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, a dash for none."""
    if math.isnan(value):
        return "–"
    return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def image(figure: Figure, alt: str) -> dict[str, Any]:
    """Return a picture as a page holds it: its bytes in base64, its size, and words for it."""
    png = plotting.to_png(figure)
    width, height = struct.unpack(">II", png[16:24])
    return {"data": base64.b64encode(png).decode(), "alt": alt, "width": width, "height": height}
