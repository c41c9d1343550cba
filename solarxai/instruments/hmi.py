"""SDO/HMI: full disks and helioprojective cutouts, as JSOC writes them."""

from __future__ import annotations

from dataclasses import dataclass

from solarxai.instruments import Thresholds
from solarxai.instruments._coordinates import Coordinates
from solarxai.instruments._fits import Plane
from solarxai.instruments._observation import FitsInstrument, place
from solarxai.instruments._options import Options
from solarxai.instruments._time import Instant, mid_exposure_keyword

__all__ = ["Hmi"]


_SEGMENTATION = Thresholds(
    source=(
        "umbra 0.5: Schmassmann et al. 2018, arXiv 1810.09358; penumbra 0.9: "
        "outer contour usual with HMI continuum, checked on AR 11158; PSF: 1.0 arcsec resolution, "
        "Schou et al. 2012, "
        "10.1007/s11207-011-9842-2"
    ),
    umbra=0.5,
    penumbra=0.9,
    smoothing_px=1.0,
    psf_fwhm_arcsec=1.05,
)


@dataclass(frozen=True, kw_only=True)
class Hmi(FitsInstrument):
    """HMI continuum, magnetogram or Dopplergram as seen from SDO (HPLN, HPLT).

    Its time is T_OBS, the middle of the exposure in TAI. A cutout that lost its header is read
    with the options `plate_scale`, `time` and `unit`.
    """

    name: str = "hmi"
    segmentation: Thresholds = _SEGMENTATION

    def _time(self, plane: Plane) -> Instant:
        return mid_exposure_keyword(plane.header, "T_OBS", name=plane.name)

    def _coordinates(self, plane: Plane, options: Options, instant: Instant) -> Coordinates:
        return place(plane, options, instant)
