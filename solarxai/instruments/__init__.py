"""Instruments, one a file: header words in, our words out.

An instrument is a frozen dataclass: what it is called, and `read`, which turns a reference into an
Observation. One that images the photosphere also says how its images are segmented, and whether
they still carry the Sun's limb darkening. Its name is the name of its file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import xarray as xr

from solarxai import registry
from solarxai.catalog import Reference
from solarxai.errors import IngestError

__all__ = [
    "Exposures", "Imager", "Instrument", "Spectrograph", "Thresholds", "open_imager",
    "open_instrument",
]  # fmt: skip


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

    def read(self, reference: Reference) -> xr.Dataset:
        """Return the Observation a reference points to."""


class Imager(Instrument, Protocol):
    """An instrument whose images show the photosphere, so that spots can be cut from them."""

    @property
    def segmentation(self) -> Thresholds:
        """Where its images are cut into umbra, penumbra, pore and quiet Sun."""

    @property
    def limb_darkened(self) -> bool:
        """Whether its images still darken towards the limb."""


class Exposures(Protocol):
    """The exposures of a raster, of which none is read before it is asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """How many there are, positions along the slit, wavelengths."""

    def read(self, steps: range) -> xr.Dataset:
        """Return consecutive ones as an Observation, or fail as `Instrument.read` does.

        It is what `Instrument.read` gives at these steps, with the coordinate `step`; that no pixel
        is valid is no error.
        """


@runtime_checkable
class Spectrograph(Instrument, Protocol):
    """An instrument whose rasters can be read by parts."""

    def exposures(self, reference: Reference) -> Exposures:
        """Return the exposures of a file from its headers."""


def open_instrument(name: str) -> Instrument:
    """Return the instrument of that name.

    Raises
    ------
    IngestError
        if there is none; it suggests the nearest name.
    """
    instrument: Instrument = registry.load("solarxai.instruments", name, error=IngestError)()
    return instrument


def open_imager(name: str) -> Imager:
    """Return the instrument of that name, which images the photosphere.

    Raises
    ------
    IngestError
        if there is none of that name, or it does not say where its images are cut.
    """
    instrument: Imager = registry.load("solarxai.instruments", name, error=IngestError)()
    if not isinstance(getattr(instrument, "segmentation", None), Thresholds):
        raise IngestError(
            f"instrument {name!r} does not image the photosphere: it has no limits of umbra and "
            "penumbra",
            remedy="Give an observation of an imager, such as hmi.",
        )
    return instrument
