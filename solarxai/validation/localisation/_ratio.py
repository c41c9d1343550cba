"""Quotients that are undefined, not infinite, where nothing is divided by."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ratio"]


def ratio(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return above ÷ below, NaN where below is zero."""
    safe = np.where(below == 0, 1, below)
    return np.where(below == 0, np.nan, above / safe)
