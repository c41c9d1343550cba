"""SDO/HMI SHARP: active regions on a cylindrical equal-area grid (CRLN-CEA, CRLT-CEA)."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr

from solarxai.catalog import Reference
from solarxai.errors import IngestError
from solarxai.instruments import Thresholds
from solarxai.instruments._coordinates import header_coordinates
from solarxai.instruments._fits import read_plane
from solarxai.instruments._observation import assemble, given_time
from solarxai.instruments._options import Options
from solarxai.instruments._time import mid_exposure_keyword
from solarxai.instruments._units import value_unit
from solarxai.instruments.hmi import Hmi

__all__ = ["HmiSharp"]


@dataclass(frozen=True, kw_only=True)
class HmiSharp:
    """A segment of hmi.sharp_cea_720s: pixels of 0.03 degrees, already deprojected.

    The image stands in the first unit that holds one (HDU 1; in older files, where the bitmap
    comes first, say `hdu`). Its continuum still carries limb darkening.
    """

    name: str = "hmi_sharp"
    segmentation: Thresholds = Hmi.segmentation
    limb_darkened: bool = True

    def read(self, reference: Reference) -> xr.Dataset:
        """Return the Observation a reference points to.

        Raises
        ------
        IngestError
            if the file or its header cannot be trusted, or the grid is not equal-area.
        """
        options = Options.of(reference)
        plane = read_plane(reference, options)
        axes = str(plane.header.get("CTYPE1", "absent"))
        if not axes.endswith("-CEA"):
            raise IngestError(
                f"{plane.name}: CTYPE1 is {axes!r}, not on the equal-area grid of SHARP maps",
                remedy="Read it with the instrument `hmi`.",
            )
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
