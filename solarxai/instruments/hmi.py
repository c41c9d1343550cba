"""SDO/HMI: full disks and helioprojective cutouts, as JSOC writes them."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr

from solarxai.catalog import Reference
from solarxai.instruments import Thresholds
from solarxai.instruments._fits import read_plane
from solarxai.instruments._observation import assemble, given_time, place
from solarxai.instruments._options import Options
from solarxai.instruments._time import mid_exposure_keyword
from solarxai.instruments._units import value_unit

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
class Hmi:
    """HMI continuum, magnetogram or Dopplergram as seen from SDO (HPLN, HPLT).

    Its time is T_OBS, the middle of the exposure in TAI. A cutout that lost its header is read
    with the options `plate_scale`, `time` and `unit`.
    """

    name: str = "hmi"
    segmentation: Thresholds = _SEGMENTATION
    limb_darkened: bool = True

    def read(self, reference: Reference) -> xr.Dataset:
        """Return the Observation a reference points to.

        Raises
        ------
        IngestError
            if the file or its header cannot be trusted.
        """
        options = Options.of(reference)
        plane = read_plane(reference, options)
        instant = given_time(options, plane.name) or mid_exposure_keyword(
            plane.header, "T_OBS", name=plane.name
        )
        return assemble(
            reference,
            plane,
            instant=instant,
            coordinates=place(plane, options, instant),
            unit=value_unit(plane.header, options.unit, name=plane.name),
            limb_darkened=self.limb_darkened,
        )
