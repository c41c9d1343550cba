"""World coordinates: a minimal, exact FITS header out of what an instrument's header says.

The observer always ends up as HGLN_OBS, HGLT_OBS (Stonyhurst) and DSUN_OBS. Headers that give
Carrington coordinates instead (CRLN_OBS, CRLT_OBS: HMI and MDI) are converted as
`sunpy.coordinates` does at mid-exposure: the latitude stays, the longitude becomes the angle from
Earth. Headers without an observer are taken to be seen from Earth, with a note.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import astropy.units as u
import numpy as np
from astropy.coordinates import UnitSphericalRepresentation, get_body_barycentric
from astropy.io.fits import Header
from astropy.time import Time
from sunpy.sun import constants

from solarxai.errors import IngestError
from solarxai.instruments._carrington import stonyhurst_longitude

__all__ = ["Coordinates", "assumed_coordinates", "header_coordinates", "tilted_coordinates"]

Words = dict[str, str | float | int]

_SOLAR_RADIUS = 6.957e8
"""Metres, IAU 2015 Resolution B3: for headers without RSUN_REF."""

_PROJECTIVE = ("HPLN", "HPLT")
_AXES = (_PROJECTIVE, ("CRLN", "CRLT"), ("HGLN", "HGLT"))
_OLD_AXES = {"SOLAR-X": "HPLN-TAN", "SOLAR-Y": "HPLT-TAN", "SOLAR_X": "HPLN-TAN",
             "SOLAR_Y": "HPLT-TAN"}  # fmt: skip
_ANGLES = {"degree": "deg", "degrees": "deg", "deg": "deg", "arcsec": "arcsec",
           "arcsecond": "arcsec", "arcseconds": "arcsec"}  # fmt: skip
_RADIANS = {"deg": float(u.deg.to(u.rad)), "arcsec": float(u.arcsec.to(u.rad))}
_TOLERANCE = 0.01

_POLE = UnitSphericalRepresentation(
    constants.get("alpha_0"), constants.get("delta_0")
).to_cartesian().xyz.value  # fmt: skip
"""Unit vector of the Sun's north pole on the axes of the ICRS."""


class Coordinates(NamedTuple):
    """World coordinates of an image.

    Parameters
    ----------
    text
        FITS header, a card a line, that `astropy.wcs.WCS` and sunpy read.
    scale_mm
        Mm a pixel spans at the sub-observer point (heliographic grids: along the meridian).
    notes
        What had to be assumed.
    """

    text: str
    scale_mm: float
    notes: tuple[str, ...]


def header_coordinates(header: Header, time: np.datetime64, *, name: str) -> Coordinates:
    """Return the world coordinates an image's header gives.

    Parameters
    ----------
    header
        All its cards.
    time
        Mid-exposure, UTC.
    name
        What messages call the file.

    Raises
    ------
    IngestError
        if a keyword is missing, in an unknown unit, out of range, or contradicts another.
    """
    words: Words = {"WCSAXES": 2}
    words |= _axes(header, name)
    words |= _units(header, name)
    for stem in ("CRPIX", "CRVAL", "CDELT"):
        words |= {f"{stem}{axis}": _number(header, f"{stem}{axis}", name) for axis in (1, 2)}
    words |= _rotation(header, name)
    _check_latitude(words, name)
    _check_pixels(words, name)
    for keyword in ("LONPOLE", "LATPOLE"):
        if np.isfinite(value := _optional(header, keyword)):
            words[keyword] = value
    observer, notes = _observer(header, time, name)
    words |= observer
    if str(words["CTYPE1"]).startswith(_PROJECTIVE):
        _check_disk(header, words, name)
    stretch = float(np.sqrt(abs(_determinant(words))))
    if abs(stretch - 1) > _TOLERANCE:
        notes = (*notes, f"PCi_j are no pure rotation: they stretch pixels by {stretch:.4f}")
    return Coordinates(_text(words, time), _scale_mm(words), notes)


def assumed_coordinates(shape: tuple[int, int], scale: float, time: np.datetime64) -> Coordinates:
    """Return coordinates for an image whose header has none: its middle at disk centre.

    Parameters
    ----------
    shape
        (y, x) of the image.
    scale
        Arcsec of a pixel.
    time
        Mid-exposure, UTC.
    """
    words: Words = {"WCSAXES": 2, "CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN"}
    words |= {"CUNIT1": "arcsec", "CUNIT2": "arcsec"}
    words |= {"CRPIX1": (shape[1] + 1) / 2, "CRPIX2": (shape[0] + 1) / 2}
    words |= {"CRVAL1": 0.0, "CRVAL2": 0.0, "CDELT1": scale, "CDELT2": scale}
    words |= {"PC1_1": 1.0, "PC1_2": 0.0, "PC2_1": 0.0, "PC2_2": 1.0}
    words |= {"RSUN_REF": _SOLAR_RADIUS} | _earth(time)
    note = (
        "no world coordinates: the image is taken to lie at disk centre, north up, seen from Earth"
    )
    return Coordinates(_text(words, time), _scale_mm(words), (note,))


def tilted_coordinates(
    header: Header,
    time: np.datetime64,
    *,
    size: tuple[int, int],
    centre: tuple[float, float],
    scale: tuple[float, float],
    lean: float,
    name: str,
) -> Coordinates:
    """Return coordinates of a plane grid whose pixels need not be square, such as a raster's.

    Parameters
    ----------
    header
        Its DSUN_OBS, HGLN_OBS, HGLT_OBS place the observer; without them, Earth.
    time
        Of the observation, UTC.
    size
        Pixels along FITS axes 1 and 2.
    centre
        Solar x and y of its middle, arcsec.
    scale
        Arcsec of a pixel along axes 1 and 2, above zero.
    lean
        Angle, radians, by which axis 2 leans from solar north to west.
    name
        What messages call the file.

    Raises
    ------
    IngestError
        if the centre is no place on the sky, or the header's observer is out of range.
    """
    sine, cosine, ratio = float(np.sin(lean)), float(np.cos(lean)), scale[1] / scale[0]
    words: Words = {"WCSAXES": 2, "CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN"}
    words |= {"CUNIT1": "arcsec", "CUNIT2": "arcsec"}
    words |= {f"CRPIX{axis}": (n + 1) / 2 for axis, n in enumerate(size, start=1)}
    words |= {f"CRVAL{axis}": value for axis, value in enumerate(centre, start=1)}
    words |= {f"CDELT{axis}": value for axis, value in enumerate(scale, start=1)}
    words |= {"PC1_1": cosine, "PC1_2": sine * ratio, "PC2_1": -sine / ratio, "PC2_2": cosine}
    _check_latitude(words, name)
    observer, notes = _observer(header, time, name)
    words |= observer
    return Coordinates(_text(words, time), _scale_mm(words), notes)


def _axes(header: Header, name: str) -> Words:
    types = []
    for axis in (1, 2):
        text = str(_present(header, f"CTYPE{axis}", name)).strip()
        types.append(_OLD_AXES.get(text.upper(), text))
    if tuple(text[:4] for text in types) not in _AXES:
        raise IngestError(
            f"{name}: CTYPE1, CTYPE2 are {types[0]!r}, {types[1]!r}: not longitude and latitude "
            "on the Sun (HPLN/HPLT, CRLN/CRLT, HGLN/HGLT)",
            remedy="Give an image with solar coordinates, or read it with the instrument generic.",
        )
    return {"CTYPE1": types[0], "CTYPE2": types[1]}


def _units(header: Header, name: str) -> Words:
    words: Words = {}
    for axis in (1, 2):
        text = str(_present(header, f"CUNIT{axis}", name)).strip()
        if text.lower() not in _ANGLES:
            raise IngestError(
                f"{name}: CUNIT{axis} is {text!r}, not an angle (arcsec or deg)",
                remedy="Correct the header's unit.",
            )
        words[f"CUNIT{axis}"] = _ANGLES[text.lower()]
    return words


def _rotation(header: Header, name: str) -> Words:
    """Return PCi_j: as given, from CROTA2, or none.

    Notes
    -----
    With CROTA2 = r: PC1_1 = PC2_2 = cos r, PC1_2 = -sin r CDELT2/CDELT1,
    PC2_1 = sin r CDELT1/CDELT2 (Thompson 2006, 10.1051/0004-6361:20054262, eq. 2).
    """
    given = {k: _optional(header, k) for k in ("PC1_1", "PC1_2", "PC2_1", "PC2_2")}
    angle = _optional(header, "CROTA2")
    if any(np.isfinite(value) for value in given.values()):
        default = {"PC1_1": 1.0, "PC1_2": 0.0, "PC2_1": 0.0, "PC2_2": 1.0}
        matrix = {k: v if np.isfinite(v) else default[k] for k, v in given.items()}
        _check_rotation(matrix, angle, name)
        return {**matrix}
    radians = np.deg2rad(angle if np.isfinite(angle) else 0.0)
    ratio = float(header["CDELT2"]) / float(header["CDELT1"]) if header["CDELT1"] else 1.0
    cosine, sine = float(np.cos(radians)), float(np.sin(radians))
    return {
        "PC1_1": cosine,
        "PC1_2": -sine * ratio,
        "PC2_1": sine / ratio if ratio else 0.0,
        "PC2_2": cosine,
    }


def _check_rotation(matrix: Mapping[str, float], angle: float, name: str) -> None:
    if not np.isfinite(angle):
        return
    turned = np.rad2deg(np.arctan2(matrix["PC2_1"], matrix["PC1_1"]))
    if abs((turned - angle + 180) % 360 - 180) > 0.1:
        raise IngestError(
            f"{name}: its PCi_j turn the image by {turned:.2f} deg, its CROTA2 by {angle:.2f} deg",
            remedy="Remove the wrong one from the header.",
        )


def _check_latitude(words: Words, name: str) -> None:
    if abs(float(words["CRVAL2"])) > (90 if words["CUNIT2"] == "deg" else 90 * 3600):
        raise IngestError(
            f"{name}: CRVAL2 is {words['CRVAL2']:g} {words['CUNIT2']}, not a latitude",
            remedy="Correct CRVAL2 or CUNIT2 in the header.",
        )


def _check_pixels(words: Words, name: str) -> None:
    scales = [float(words[f"CDELT{axis}"]) for axis in (1, 2)]
    arcsec = [
        scale * (3600.0 if words[f"CUNIT{axis}"] == "deg" else 1.0)
        for axis, scale in enumerate(scales, start=1)
    ]
    limit = 60.0 if str(words["CTYPE1"]).startswith(_PROJECTIVE) else 36000.0
    for axis, (scale, angle) in enumerate(zip(scales, arcsec, strict=True), start=1):
        if not 0 < angle < limit:
            raise IngestError(
                f"{name}: CDELT{axis} is {scale:g} {words[f'CUNIT{axis}']}, "
                f"not a plate scale between 0 and {limit:g} arcsec",
                remedy="Correct CDELT or CUNIT in the header.",
            )
    if abs(arcsec[0] / arcsec[1] - 1) > _TOLERANCE:
        raise IngestError(
            f"{name}: pixels of {scales[0]:g} by {scales[1]:g} are not square",
            remedy="Resample the image to square pixels, for instance with reproject.",
        )
    if abs(_determinant(words)) < 1e-6:
        raise IngestError(
            f"{name}: its matrix PCi_j is singular", remedy="Correct PCi_j in the header."
        )


def _check_disk(header: Header, words: Words, name: str) -> None:
    """Compare what the header says of the disk's size with its distance and its plate scale."""
    said = _optional(header, "RSUN_OBS")
    if not said > 0:
        return
    distance, radius = float(words["DSUN_OBS"]), float(words["RSUN_REF"])
    expected = float(np.rad2deg(np.arcsin(radius / distance)) * 3600)
    if abs(said / expected - 1) > _TOLERANCE:
        raise IngestError(
            f"{name}: RSUN_OBS is {said:.2f} arcsec, but DSUN_OBS puts the limb at "
            f"{expected:.2f} arcsec",
            remedy="Correct RSUN_OBS or DSUN_OBS in the header.",
        )
    pixels = _optional(header, "R_SUN")
    arcsec = pixels * float(words["CDELT1"]) * (3600.0 if words["CUNIT1"] == "deg" else 1.0)
    if pixels > 0 and abs(arcsec / said - 1) > _TOLERANCE:
        raise IngestError(
            f"{name}: a disk of R_SUN {pixels:.1f} pixels at CDELT1 {words['CDELT1']:g} "
            f"{words['CUNIT1']} spans {arcsec:.1f} arcsec, but RSUN_OBS is {said:.1f}",
            remedy="Correct CDELT1, R_SUN or RSUN_OBS in the header.",
        )


def _observer(header: Header, time: np.datetime64, name: str) -> tuple[Words, tuple[str, ...]]:
    """Return the observer's place and the Sun's radius, and what had to be assumed."""
    radius = _optional(header, "RSUN_REF")
    words: Words = {"RSUN_REF": radius if radius > 0 else _SOLAR_RADIUS}
    distance = _optional(header, "DSUN_OBS")
    if np.isfinite(distance) and not 1.5e10 < distance < 3e11:
        raise IngestError(
            f"{name}: DSUN_OBS is {distance:g}, not a distance between 1.5e10 and 3e11 metres",
            remedy="Correct DSUN_OBS in the header (metres).",
        )
    if not np.isfinite(distance):
        return words | _earth(time), ("no DSUN_OBS: the observer is taken to be at Earth",)
    words["DSUN_OBS"] = distance
    longitude, latitude = (_optional(header, k) for k in ("HGLN_OBS", "HGLT_OBS"))
    if np.isfinite([longitude, latitude]).all():
        return words | {"HGLN_OBS": longitude, "HGLT_OBS": latitude}, ()
    longitude, latitude = (_optional(header, k) for k in ("CRLN_OBS", "CRLT_OBS"))
    if np.isfinite([longitude, latitude]).all():
        west = stonyhurst_longitude(longitude, distance, time)
        return words | {"HGLN_OBS": west, "HGLT_OBS": latitude}, ()
    place = _earth(time) | {"DSUN_OBS": distance}
    return words | place, ("no observer's longitude and latitude: those of Earth are taken",)


def _earth(time: np.datetime64) -> Words:
    """Return the place of Earth as `sunpy.coordinates.get_earth` does, in a fifth of its time."""
    moment = _time(time)
    apart = get_body_barycentric("earth", moment) - get_body_barycentric("sun", moment)
    metres = apart.xyz.to_value(u.m)
    distance = float(np.linalg.norm(metres))
    latitude = float(np.rad2deg(np.arcsin(metres @ _POLE / distance)))
    return {"DSUN_OBS": distance, "HGLN_OBS": 0.0, "HGLT_OBS": latitude}


def _time(time: np.datetime64) -> Time:
    return Time(str(time), format="isot", scale="utc")


def _determinant(words: Words) -> float:
    pc = [float(words[f"PC{i}_{j}"]) for i in (1, 2) for j in (1, 2)]
    return pc[0] * pc[3] - pc[1] * pc[2]


def _scale_mm(words: Words) -> float:
    """Return Mm a pixel: the angle times the distance to the surface, or times the radius."""
    radians = [float(words[f"CDELT{i}"]) * _RADIANS[str(words[f"CUNIT{i}"])] for i in (1, 2)]
    size = np.sqrt(radians[0] * radians[1] * abs(_determinant(words)))
    radius = float(words["RSUN_REF"])
    projective = str(words["CTYPE1"]).startswith(_PROJECTIVE)
    length = float(words["DSUN_OBS"]) - radius if projective else radius
    return float(size * length / 1e6)


def _present(header: Header, keyword: str, name: str) -> object:
    if keyword not in header:
        raise IngestError(
            f"{name}: keyword {keyword} is missing",
            remedy="Mend the header, or strip its coordinates and give plate_scale in the catalog.",
        )
    return header[keyword]


def _number(header: Header, keyword: str, name: str) -> float:
    value = _present(header, keyword, name)
    number = _optional(header, keyword)
    if not np.isfinite(number):
        raise IngestError(
            f"{name}: {keyword} is {value!r}, not a number", remedy="Correct it in the header."
        )
    return number


def _optional(header: Header, keyword: str) -> float:
    value = header.get(keyword)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return float("nan")
    return float(value)


def _text(words: Words, time: np.datetime64) -> str:
    """Return the words as FITS cards with every digit, and the time as DATE-OBS and MJD-OBS."""
    day = (time - np.datetime64("1858-11-17", "ns")) / np.timedelta64(1, "D")
    words = words | {"DATE-OBS": str(time.astype("datetime64[us]")), "TIMESYS": "UTC"}
    words["MJD-OBS"] = float(day)
    return "\n".join(_card(keyword, value) for keyword, value in words.items())


def _card(keyword: str, value: str | float | int) -> str:
    written = f"'{value:<8}'" if isinstance(value, str) else repr(value).upper()
    return f"{keyword:<8}= {written}".ljust(80)
