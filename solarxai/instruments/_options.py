"""The options a catalog entry may give its reader."""

from __future__ import annotations

from dataclasses import dataclass

import astropy.units as u

from solarxai.catalog import Reference
from solarxai.errors import IngestError
from solarxai.registry import near_name

__all__ = ["IMAGE_OPTIONS", "Options"]

IMAGE_OPTIONS = ("hdu", "frame", "plate_scale", "time", "unit")
"""What readers of images take."""

_TYPES = {
    "hdu": (int, str),
    "frame": (int,),
    "plate_scale": (str,),
    "time": (str,),
    "unit": (str,),
    "calibrate": (bool,),
}


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
    calibrate
        Whether spectra are turned from DN / s into spectral radiance.
    """

    hdu: int | str | None = None
    frame: int | None = None
    plate_scale: str | None = None
    time: str | None = None
    unit: str | None = None
    calibrate: bool = False

    @classmethod
    def of(cls, reference: Reference, known: tuple[str, ...] = IMAGE_OPTIONS) -> Options:
        """Return the options of a reference.

        Parameters
        ----------
        reference
            The catalog's entry.
        known
            Options its reader takes.

        Raises
        ------
        IngestError
            for an unknown option (with the nearest name) or one of the wrong type.
        """
        for word, value in reference.options.items():
            if word not in known:
                raise IngestError(
                    f"{reference.name}: {word!r} is not an option of this reader: "
                    f"{', '.join(known) or 'it has none'}",
                    remedy=near_name(word, list(known)) or "Remove it from the catalog entry.",
                )
            kinds = _TYPES[word]
            if not isinstance(value, kinds) or isinstance(value, bool) is not (bool in kinds):
                wanted = " or ".join(kind.__name__ for kind in kinds)
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
