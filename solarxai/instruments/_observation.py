"""An image, its time, unit and place put together as an Observation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import xarray as xr

from solarxai.catalog import Reference
from solarxai.errors import IngestError
from solarxai.instruments import Thresholds
from solarxai.instruments._coordinates import (
    Coordinates,
    assumed_coordinates,
    header_coordinates,
)
from solarxai.instruments._fits import Plane, read_plane
from solarxai.instruments._options import Options
from solarxai.instruments._time import Instant, exposure_middle, parse_instant
from solarxai.instruments._units import value_unit

__all__ = ["FitsInstrument", "assemble", "given_time", "place"]


@dataclass(frozen=True, kw_only=True)
class FitsInstrument:
    """An instrument whose headers say when, where and in which unit by standard FITS keywords.

    One that says any of these otherwise replaces the method that reads it.

    Parameters
    ----------
    name
        The word catalogs use.
    segmentation
        Where its images are cut into umbra, penumbra, pore and quiet Sun.
    limb_darkened
        Whether its images still darken towards the limb.
    """

    name: str
    segmentation: Thresholds
    limb_darkened: bool = True

    def read(self, reference: Reference) -> xr.Dataset:
        """Return the Observation a reference points to.

        Raises
        ------
        IngestError
            if the file or its header cannot be trusted, or neither the header nor the catalog
            entry says when, where or in which unit the image is.
        """
        options = Options.of(reference)
        plane = read_plane(reference, options)
        instant = given_time(options, plane.name) or self._time(plane)
        return assemble(
            reference,
            plane,
            instant=instant,
            coordinates=self._coordinates(plane, options, instant),
            unit=self._unit(plane, options),
            limb_darkened=self.limb_darkened,
        )

    def _time(self, plane: Plane) -> Instant:
        """Return mid-exposure by the header, where the catalog entry gives no time."""
        return exposure_middle(plane.header, name=plane.name)

    def _coordinates(self, plane: Plane, options: Options, instant: Instant) -> Coordinates:
        """Return the world coordinates; see `place` for headers that may lack them."""
        del options
        return header_coordinates(plane.header, instant.utc, name=plane.name)

    def _unit(self, plane: Plane, options: Options) -> tuple[str, str, str]:
        """Return (unit, quantity, note) of the values."""
        return value_unit(plane.header, options.unit, name=plane.name)


def given_time(options: Options, name: str) -> Instant | None:
    """Return the time the catalog entry gives, None if it leaves it to the header.

    Raises
    ------
    IngestError
        if its text is no time.
    """
    if options.time is None:
        return None
    return parse_instant(options.time, keyword="option time", name=name)


def place(plane: Plane, options: Options, instant: Instant) -> Coordinates:
    """Return the world coordinates of an image: its header's, else from the catalog's plate scale.

    Raises
    ------
    IngestError
        if there are neither, or both.
    """
    scale = options.plate_scale_arcsec(plane.name)
    if "CTYPE1" in plane.header:
        if scale is not None:
            raise IngestError(
                f"{plane.name}: its header has world coordinates, and the entry a plate_scale",
                remedy="Drop plate_scale from the catalog entry.",
            )
        return header_coordinates(plane.header, instant.utc, name=plane.name)
    if scale is None:
        raise IngestError(
            f"{plane.name}: keyword CTYPE1 is missing, so its world coordinates are unknown",
            remedy='Give `plate_scale`, such as "0.504 arcsec", in the options of the entry.',
        )
    return assumed_coordinates(plane.values.shape, scale, instant.utc)


def assemble(
    reference: Reference,
    plane: Plane,
    *,
    instant: Instant,
    coordinates: Coordinates,
    unit: tuple[str, str, str],
    limb_darkened: bool,
) -> xr.Dataset:
    """Return the Observation.

    Parameters
    ----------
    reference, plane
        The catalog entry and the image read through it.
    instant, coordinates
        Its time and place.
    unit
        (unit, quantity, note) of its values.
    limb_darkened
        Whether it still darkens towards the limb.

    Returns
    -------
    xarray.Dataset
        `intensity` (y, x) float32 in its unit, `valid` (y, x) bool, `time`, and the attributes of
        `solarxai.schema.check_observation`, plus `quantity`, `limb_darkened`, `wcs_assumed` and
        `notes` (what was mended or assumed, a line each).
    """
    spelled, quantity, note = unit
    notes = [*plane.notes, instant.note, note, *coordinates.notes]
    return xr.Dataset(
        {
            "intensity": (("y", "x"), plane.values, {"units": spelled}),
            "valid": (("y", "x"), np.isfinite(plane.values)),
        },
        coords={"time": instant.utc},
        attrs={
            "observation": _identity(reference, plane),
            "instrument": reference.instrument,
            "region": reference.region,
            "origin": reference.origin,
            "licence": reference.licence,
            "source": reference.name,
            "sha256": reference.sha256,
            "time_scale": instant.scale,
            "time_original": instant.original,
            "header": plane.text,
            "wcs": coordinates.text,
            "wcs_assumed": int("CTYPE1" not in plane.header),
            "scale_mm": coordinates.scale_mm,
            "quantity": quantity,
            "limb_darkened": int(limb_darkened),
            "notes": "\n".join(n for n in notes if n),
        },
    )


def _identity(reference: Reference, plane: Plane) -> str:
    """Return the name of the image: its file's, and its frame's number in a cube."""
    stem = PurePosixPath(reference.name).name.removesuffix(".gz").removesuffix(".fits")
    return stem if plane.frame is None else f"{stem}.{plane.frame:03d}"
