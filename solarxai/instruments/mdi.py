"""SOHO/MDI full disks, as JSOC and the MDI archive write them."""

from __future__ import annotations

from dataclasses import dataclass

from solarxai.instruments import Thresholds
from solarxai.instruments._fits import Plane
from solarxai.instruments._observation import FitsInstrument
from solarxai.instruments._time import Instant, mid_exposure_keyword

__all__ = ["Mdi"]


_SEGMENTATION = Thresholds(
    source=(
        "umbra and penumbra as for HMI (arXiv 1810.09358: same kind of continuum image); "
        "PSF: 4 arcsec resolution of full-disk images, Scherrer et al. 1995, "
        "10.1007/BF00733429, so the pixel of 2 arcsec needs no further smoothing"
    ),
    umbra=0.5,
    penumbra=0.9,
    smoothing_px=0.5,
    psf_fwhm_arcsec=4.0,
)


@dataclass(frozen=True, kw_only=True)
class Mdi(FitsInstrument):
    """MDI continuum (mdi.fd_Ic) or magnetogram; off the disk there are no data.

    Its time is T_OBS, the middle of the exposure in TAI. At 2 arcsec a pixel the penumbra of
    small spots is not resolved.
    """

    name: str = "mdi"
    segmentation: Thresholds = _SEGMENTATION

    def _time(self, plane: Plane) -> Instant:
        return mid_exposure_keyword(plane.header, "T_OBS", name=plane.name)
