"""Where structures lie, in every form that the measures of localisation ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from solarxai.validation.localisation.boundaries import boundary_distances
from solarxai.validation.localisation.proximity import structure_distances

__all__ = ["Masks"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Masks:
    """Where the structures of some samples lie, (sample, y, x) each.

    Parameters
    ----------
    segmentation, central
        Of the samples.
    inner, outer, penumbra
        Distance to the inner and outer boundary and to the penumbra, pixels; infinite without.
    """

    segmentation: Array
    central: Array
    inner: Array
    outer: Array
    penumbra: Array

    @classmethod
    def of(cls, segmentation: Array, central: Array) -> Masks:
        """Return the masks of a segmentation."""
        near = boundary_distances(segmentation)
        return cls(
            segmentation=segmentation,
            central=central,
            inner=near["inner boundary"],
            outer=near["outer boundary"],
            penumbra=structure_distances(segmentation),
        )

    def moved(self, move: Callable[[Array], Array]) -> Masks:
        """Return every plane moved in the same way."""
        return Masks(**{name: move(plane) for name, plane in vars(self).items()})

    @property
    def complete(self) -> npt.NDArray[np.bool_]:
        """Return which samples have penumbra and both of its boundaries, (sample,)."""
        planes = (self.inner, self.outer, self.penumbra)
        return np.asarray(np.all([np.isfinite(p).all(axis=(1, 2)) for p in planes], axis=0))
