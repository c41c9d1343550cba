"""Large images in strips of rows, so that what is computed on the way stays small."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["strips"]

_PIXELS_AT_ONCE = 1 << 16
"""Pixels of a strip: its float64 intermediates stay in a processor's cache."""


def strips(shape: tuple[int, ...], *, multiple: int = 1) -> Iterator[slice]:
    """Yield slices of the rows of an image, each a small part of it.

    Parameters
    ----------
    shape
        Of the image, (y, x).
    multiple
        The rows of a strip, except of the last, are a multiple of this.
    """
    rows = max(1, _PIXELS_AT_ONCE // (multiple * max(shape[1], 1))) * multiple
    for start in range(0, shape[0], rows):
        yield slice(start, min(start + rows, shape[0]))
