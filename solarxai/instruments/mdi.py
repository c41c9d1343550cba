"""SOHO/MDI full disks, as JSOC and the MDI archive write them."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr

from solarxai.catalog import Reference
from solarxai.instruments import Thresholds
from solarxai.instruments._coordinates import header_coordinates
from solarxai.instruments._fits import read_plane
from solarxai.instruments._observation import assemble, given_time
from solarxai.instruments._options import Options
from solarxai.instruments._time import mid_exposure_keyword
from solarxai.instruments._units import value_unit

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
class Mdi:
    """MDI continuum (mdi.fd_Ic) or magnetogram; off the disk there are no data.

    Its time is T_OBS, the middle of the exposure in TAI. At 2 arcsec a pixel the penumbra of
    small spots is not resolved.
    """

    name: str = "mdi"
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
            coordinates=header_coordinates(plane.header, instant.utc, name=plane.name),
            unit=value_unit(plane.header, options.unit, name=plane.name),
            limb_darkened=self.limb_darkened,
        )
