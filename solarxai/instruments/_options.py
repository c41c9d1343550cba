"""The options a catalog entry may give its reader."""

from __future__ import annotations

from dataclasses import dataclass, fields

import astropy.units as u

from solarxai.catalog import Reference
from solarxai.errors import IngestError
from solarxai.registry import near_name

__all__ = ["Options"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a header does not say, or which part of a file is meant.

    Parameters
    ----------
    hdu
        Number or EXTNAME of the header-data unit; the first image unless given.
    frame
        Index (0-based) along the third axis of a cube.
    plate_scale
        Angle of a pixel, such as "0.504 arcsec", for images without world coordinates.
    time
        Mid-exposure in UTC, such as "2013-05-30T00:12:00", before what the header says.
    unit
        Unit of the values, such as "DN / s", for images without BUNIT.
    """

    hdu: int | str | None = None
    frame: int | None = None
    plate_scale: str | None = None
    time: str | None = None
    unit: str | None = None

    @classmethod
    def of(cls, reference: Reference) -> Options:
        """Return the options of a reference.

        Raises
        ------
        IngestError
            for an unknown option (with the nearest name) or one of the wrong type.
        """
        types = {
            "hdu": (int, str),
            "frame": (int,),
            "plate_scale": (str,),
            "time": (str,),
            "unit": (str,),
        }
        known = [field.name for field in fields(cls)]
        for word, value in reference.options.items():
            if word not in known:
                raise IngestError(
                    f"{reference.name}: {word!r} is not an option of readers: {', '.join(known)}",
                    remedy=near_name(word, known) or "Remove it from the catalog entry.",
                )
            if isinstance(value, bool) or not isinstance(value, types[word]):
                wanted = " or ".join(kind.__name__ for kind in types[word])
                raise IngestError(
                    f"{reference.name}: option {word} is {value!r}, not {wanted}",
                    remedy="Correct the catalog entry.",
                )
        return cls(**reference.options)  # type: ignore[arg-type]

    def plate_scale_arcsec(self, name: str) -> float | None:
        """Return the angle of a pixel in arcsec, None if not given.

        Raises
        ------
        IngestError
            if it is not an angle above zero with its unit.
        """
        if self.plate_scale is None:
            return None
        try:
            scale = float(u.Quantity(self.plate_scale).to_value(u.arcsec))
        except (TypeError, ValueError, u.UnitConversionError):
            scale = 0.0
        if not 0 < scale < 60:
            raise IngestError(
                f"{name}: plate_scale {self.plate_scale!r} is not an angle between 0 and 60 arcsec",
                remedy='Write it with its unit, such as "0.504 arcsec".',
            )
        return scale
