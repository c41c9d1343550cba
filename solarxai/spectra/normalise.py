"""Spectra divided by their own maximum."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["by_maximum"]


def by_maximum(
    spectra: npt.NDArray[Any],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return spectra (..., w) divided by their own maximum, and the maximum (...), both float32.

    Parameters
    ----------
    spectra
        Any unit; the maximum has the same. NaN is left where it stands and is not a maximum.

    Returns
    -------
    tuple
        A spectrum without a finite value has a NaN maximum; one whose maximum is not positive
        keeps its maximum. Both come back as NaN: they have no shape to show.
    """
    values = np.asarray(spectra, dtype=np.float32)
    finite = np.isfinite(values)
    highest = np.where(finite, values, -np.inf).max(axis=-1)
    peak = np.where(finite.any(axis=-1), highest, np.nan).astype(np.float32)
    divisor = np.where(peak > 0, peak, np.nan)[..., None]
    return (np.where(finite, values, np.nan) / divisor).astype(np.float32), peak
