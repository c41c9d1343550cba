"""Noise of IRIS spectra in the near ultraviolet, computed for the pixels that are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from irispy.utils import calculate_uncertainty
from irispy.utils.constants import DN_UNIT, READOUT_NOISE
from xarray.backends import BackendArray
from xarray.core.indexing import (
    ExplicitIndexer,
    IndexingSupport,
    LazilyIndexedArray,
    explicit_indexing_adapter,
)

__all__ = ["noise"]

Array = npt.NDArray[np.float32]


def noise(values: Array, *, per_count: Array) -> LazilyIndexedArray:
    """Return the standard deviation of calibrated counts, not computed until it is asked for.

    Parameters
    ----------
    values
        (step, slit, wavelength), in any unit; they must not change afterwards.
    per_count
        That unit in one DN, on shapes that broadcast to those of the values.

    Returns
    -------
    LazilyIndexedArray
        float32, in the unit of the values, for an `xarray.Variable`: photon noise of counts above
        zero, and read noise, as irispy has them. NaN where the values are.
    """
    return LazilyIndexedArray(_Noise(values, np.broadcast_to(per_count, values.shape)))


class _Noise(BackendArray):
    """An array whose parts are computed when they are read."""

    def __init__(self, values: Array, per_count: Array) -> None:
        self.values, self.per_count = values, per_count
        self.shape, self.dtype = values.shape, values.dtype

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        """Return the noise of a part of the values."""
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.BASIC, self._at)

    def _at(self, key: tuple[int | slice, ...]) -> Array:
        values, per_count = self.values[key], self.per_count[key]
        if values.ndim < self.values.ndim:
            return _noise(values, per_count)
        # irispy computes in double precision, so it is given a step at a time.
        made = np.empty(values.shape, dtype=np.float32)
        for row, (step, unit) in enumerate(zip(values, per_count, strict=True)):
            made[row] = _noise(step, unit)
        return made


def _noise(values: Array, per_count: Array) -> Array:
    counts = np.maximum(values / per_count, np.float32(0))
    found = calculate_uncertainty(counts, READOUT_NOISE["NUV"], DN_UNIT["NUV"])
    return np.asarray(found, dtype=np.float32) * per_count
