"""Instruments, one a file: header words in, our words out.

An instrument is a frozen dataclass: what it is called, how its images are segmented, whether they
still carry the Sun's limb darkening, and `read`, which turns a reference into an Observation.
Its name is the name of its file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import xarray as xr

from solarxai import registry
from solarxai.catalog import Reference
from solarxai.errors import IngestError

__all__ = ["Instrument", "Thresholds", "open_instrument"]


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Where an instrument's photosphere is cut, in units of the local quiet Sun.

    Parameters
    ----------
    source
        Who measured these values: paper, or the calibration they come from.
    umbra
        Upper limit of the umbra.
    penumbra
        Outer edge of the penumbra (and of a pore's rim).
    smoothing_px
        Standard deviation of the Gaussian laid over the image before it is cut, in its pixels:
        near the resolution element, so that granules do not break the contours.
    psf_fwhm_arcsec
        Full width at half maximum of the point-spread function that makes a pore's rim.
    """

    source: str
    umbra: float = 0.5
    penumbra: float = 0.9
    smoothing_px: float = 1.0
    psf_fwhm_arcsec: float = 1.0


class Instrument(Protocol):
    """What each module of this package offers first in its `__all__` (the class)."""

    @property
    def name(self) -> str:
        """The word catalogs use."""

    @property
    def segmentation(self) -> Thresholds:
        """Where its images are cut into umbra, penumbra, pore and quiet Sun."""

    @property
    def limb_darkened(self) -> bool:
        """Whether its images still darken towards the limb."""

    def read(self, reference: Reference) -> xr.Dataset:
        """Return the Observation a reference points to."""


def open_instrument(name: str) -> Instrument:
    """Return the instrument of that name.

    Raises
    ------
    IngestError
        if there is none; it suggests the nearest name.
    """
    instrument: Instrument = registry.load("solarxai.instruments", name, error=IngestError)()
    return instrument
