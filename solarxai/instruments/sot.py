"""Hinode/SOT filtergrams, level 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass

from solarxai.instruments import Thresholds
from solarxai.instruments._fits import Plane
from solarxai.instruments._observation import FitsInstrument
from solarxai.instruments._options import Options
from solarxai.instruments._units import MAGNETIC_FIELD, VELOCITY, value_unit

__all__ = ["Sot"]

_QUANTITIES = {"MG": MAGNETIC_FIELD, "V/I": MAGNETIC_FIELD, "DG": VELOCITY, "DOPPLER": VELOCITY}


_SEGMENTATION = Thresholds(
    source=(
        "penumbra 0.8: contour that separates granulation at this resolution on SOT/SP "
        "continuum images; umbra 0.5 as for HMI; PSF: 0.2 to 0.3 arcsec, Tsuneta et al. 2008, "
        "10.1007/s11207-008-9174-z; 4 pixels (0.6 arcsec) of smoothing close the granules"
    ),
    umbra=0.5,
    penumbra=0.8,
    smoothing_px=4.0,
    psf_fwhm_arcsec=0.3,
)


@dataclass(frozen=True, kw_only=True)
class Sot(FitsInstrument):
    """A filtergram with the axes Solar-X and Solar-Y, which become HPLN-TAN and HPLT-TAN.

    Its time is the middle of DATE_OBS and DATE_END. Level 0 has no BUNIT: counts (DN). What it
    shows is said by OBS_TYPE, so a level 0 magnetogram in counts is not taken for a continuum.
    """

    name: str = "sot"
    segmentation: Thresholds = _SEGMENTATION

    def _unit(self, plane: Plane, options: Options) -> tuple[str, str, str]:
        unit, quantity, note = value_unit(plane.header, options.unit, name=plane.name, default="DN")
        return unit, _quantity(plane) or quantity, note


def _quantity(plane: Plane) -> str:
    """Return what OBS_TYPE says the image shows, empty for an intensity."""
    words = str(plane.header.get("OBS_TYPE", "")).upper()
    return next((said for word, said in _QUANTITIES.items() if word in words), "")
