"""An image, its time, unit and place put together as an Observation."""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np
import xarray as xr

from solarxai.catalog import Reference
from solarxai.errors import IngestError
from solarxai.instruments._coordinates import (
    Coordinates,
    assumed_coordinates,
    header_coordinates,
)
from solarxai.instruments._fits import Plane
from solarxai.instruments._options import Options
from solarxai.instruments._time import Instant, parse_instant

__all__ = ["assemble", "given_time", "place"]


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
