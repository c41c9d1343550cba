"""Any image of the photosphere, with as little header as its catalog entry makes up for."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr

from solarxai.catalog import Reference
from solarxai.errors import IngestError
from solarxai.instruments import Thresholds
from solarxai.instruments._fits import Plane, read_plane
from solarxai.instruments._observation import assemble, given_time, place
from solarxai.instruments._options import Options
from solarxai.instruments._time import Instant, exposure_middle
from solarxai.instruments._units import value_unit

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
class Generic:
    """An image or one frame of a cube; what its header lacks, the catalog entry must say.

    Without world coordinates it needs `plate_scale` and is taken to lie at disk centre; without
    a date, and for a frame of a cube, it needs `time`; without BUNIT it needs `unit`.
    """

    name: str = "generic"
    segmentation: Thresholds = _SEGMENTATION
    limb_darkened: bool = True

    def read(self, reference: Reference) -> xr.Dataset:
        """Return the Observation a reference points to.

        Raises
        ------
        IngestError
            if the file cannot be trusted, or neither its header nor the entry says when, where
            or in which unit it is.
        """
        options = Options.of(reference)
        plane = read_plane(reference, options)
        instant = given_time(options, plane.name) or _header_time(plane)
        return assemble(
            reference,
            plane,
            instant=instant,
            coordinates=place(plane, options, instant),
            unit=value_unit(plane.header, options.unit, name=plane.name),
            limb_darkened=self.limb_darkened,
        )


def _header_time(plane: Plane) -> Instant:
    if plane.frames > 1:
        raise IngestError(
            f"{plane.name}: the header of a cube does not tell the time of frame {plane.frame}",
            remedy="Give `time` in the options of the catalog entry.",
        )
    return exposure_middle(plane.header, name=plane.name)
