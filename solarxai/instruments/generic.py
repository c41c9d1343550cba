"""Any image of the photosphere, with as little header as its catalog entry makes up for."""

from __future__ import annotations

from dataclasses import dataclass

from solarxai.errors import IngestError
from solarxai.instruments import Thresholds
from solarxai.instruments._coordinates import Coordinates
from solarxai.instruments._fits import Plane
from solarxai.instruments._observation import FitsInstrument, place
from solarxai.instruments._options import Options
from solarxai.instruments._time import Instant

__all__ = ["Generic"]


_SEGMENTATION = Thresholds(
    source=(
        "umbra 0.5: Schmassmann et al. 2018, arXiv 1810.09358; penumbra 0.8: at sub-arcsecond "
        "resolution dark lanes reach 0.79 (SST/CRISP) and 0.85 (DKIST/VBI) of the median; "
        "2 pixels of smoothing because the resolution is not known"
    ),
    umbra=0.5,
    penumbra=0.8,
    smoothing_px=2.0,
    psf_fwhm_arcsec=1.0,
)


@dataclass(frozen=True, kw_only=True)
class Generic(FitsInstrument):
    """An image or one frame of a cube; what its header lacks, the catalog entry must say.

    Without world coordinates it needs `plate_scale` and is taken to lie at disk centre; without
    a date, and for a frame of a cube, it needs `time`; without BUNIT it needs `unit`.
    """

    name: str = "generic"
    segmentation: Thresholds = _SEGMENTATION

    def _time(self, plane: Plane) -> Instant:
        if plane.frames > 1:
            raise IngestError(
                f"{plane.name}: the header of a cube does not tell the time of frame {plane.frame}",
                remedy="Give `time` in the options of the catalog entry.",
            )
        return super()._time(plane)

    def _coordinates(self, plane: Plane, options: Options, instant: Instant) -> Coordinates:
        return place(plane, options, instant)
