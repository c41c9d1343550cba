"""Write what HMI would write: FITS bytes with its keywords, and the truth beside them.

Nothing in a file depends on when or where it was written.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.time import Time, TimeDelta

from solarxai.synthetic import sun
from solarxai.synthetic.continuum import OVERSAMPLING
from solarxai.synthetic.full_disk import Disk
from solarxai.synthetic.image import Image
from solarxai.synthetic.scenes import SLOT_SECONDS, Scene

__all__ = ["disk_header", "image_bytes", "scene_header", "truth_bytes"]

_SLOT_EPOCH = Time("1993-01-01T00:00:00", scale="tai")

_WCS_KEYWORDS = (
    "CTYPE1", "CTYPE2", "CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CDELT1", "CDELT2", "CUNIT1",
    "CUNIT2", "CROTA2",
)  # fmt: skip

_COLUMNS = (
    ("x", "D", "pixel"),
    ("y", "D", "pixel"),
    ("label", "12A", None),
    ("role", "12A", None),
    ("radius_mm", "D", "Mm"),
    ("umbra_radius_mm", "D", "Mm"),
    ("pair", "J", None),
)


def scene_header(scene: Scene) -> fits.Header:
    """Return the header of a cutout: keywords of hmi.Ic_720s with a helioprojective TAN WCS.

    T_REC and T_OBS are TAI (T_OBS, the middle of the exposure, 6 s before T_REC), DATE-OBS is the
    UTC of T_OBS.
    """
    region, view = scene.region, scene.view
    header = _header(
        scene.slot,
        view.observer,
        reference=(view.column + 1, view.row + 1, view.x, view.y),
        plate_scale=region.plate_scale,
        roll=region.roll,
    )
    header["HARPNUM"] = (region.number, "synthetic region")
    header["NOAA_AR"] = (region.number, "synthetic region")
    header["OBJECT"] = f"synthetic scene {scene.index}"
    header["CONTENT"] = "CONTINUUM INTENSITY"
    return header


def disk_header(disk: Disk) -> fits.Header:
    """Return the header of a full disk: keywords of hmi.Ic_720s, upside down as HMI's are."""
    view = disk.view
    header = _header(
        disk.slot,
        view.observer,
        reference=(view.column + 1, view.row + 1, 0.0, 0.0),
        plate_scale=disk.centre.plate_scale,
        roll=disk.centre.roll,
    )
    header["OBJECT"] = f"synthetic disk {disk.index}"
    header["CONTENT"] = "CONTINUUM INTENSITY"
    return header


def image_bytes(image: Image, header: fits.Header) -> bytes:
    """Return the FITS file of an image: one float32 plane in DN/s."""
    return _file(fits.HDUList([fits.PrimaryHDU(image.counts, header=header)]))


def truth_bytes(image: Image, header: fits.Header) -> bytes:
    """Return the FITS file of the truth behind an image.

    Planes UMBRA, PENUMBRA, PORE (area fractions before the point-spread function in steps of 1/16,
    one byte a pixel, with the WCS of the image) and the table STRUCTURES, a row a `TrueStructure`.
    """
    planes = [
        _plane(name.upper(), image.truth[name], header) for name in ("umbra", "penumbra", "pore")
    ]
    primary = fits.PrimaryHDU()
    primary.header["CONTENT"] = "TRUTH OF A SYNTHETIC IMAGE"
    return _file(fits.HDUList([primary, *planes, _table(image)]))


def _header(
    slot: int,
    observer: sun.Observer,
    *,
    reference: tuple[float, float, float, float],
    plate_scale: float,
    roll: float,
) -> fits.Header:
    recorded = Time(_SLOT_EPOCH) + TimeDelta(slot * SLOT_SECONDS, format="sec", scale="tai")
    observed = recorded - TimeDelta(6, format="sec", scale="tai")
    dsun = observer.dsun_mm * 1e6
    cards: dict[str, tuple[Any, str]] = {
        "TELESCOP": ("SDO/HMI", ""),
        "INSTRUME": ("HMI_SIDE1", ""),
        "ORIGIN": ("solarxai synthetic Sun", "not an observation"),
        "WAVELNTH": (6173.0, "Angstrom"),
        "WAVEUNIT": ("Angstrom", ""),
        "CAMERA": (1, ""),
        "QUALITY": (0, ""),
        "BUNIT": ("DN/s", ""),
        "T_REC": (_jsoc(recorded), "TAI"),
        "T_OBS": (_jsoc(observed), "TAI, middle of the exposure"),
        "DATE-OBS": (observed.utc.isot, "UTC of T_OBS"),
        "CADENCE": (float(SLOT_SECONDS), "s"),
        "CTYPE1": ("HPLN-TAN", ""),
        "CTYPE2": ("HPLT-TAN", ""),
        "CRPIX1": (reference[0], ""),
        "CRPIX2": (reference[1], ""),
        "CRVAL1": (reference[2], ""),
        "CRVAL2": (reference[3], ""),
        "CDELT1": (plate_scale, ""),
        "CDELT2": (plate_scale, ""),
        "CUNIT1": ("arcsec", ""),
        "CUNIT2": ("arcsec", ""),
        "CROTA2": (roll, "degrees"),
        "DSUN_OBS": (dsun, "m"),
        "DSUN_REF": (149597870691.0, "m"),
        "RSUN_REF": (sun.RSUN_MM * 1e6, "m"),
        "RSUN_OBS": (observer.radius_arcsec, "arcsec"),
        "CRLN_OBS": (observer.carrington_longitude, "degrees"),
        "CRLT_OBS": (observer.latitude, "degrees"),
        "HGLN_OBS": (0.0, "degrees"),
        "HGLT_OBS": (observer.latitude, "degrees"),
    }
    return fits.Header([(name, *card) for name, card in cards.items()])


def _jsoc(time: Time) -> str:
    """Return a time as JSOC writes it, to the second."""
    return str(time.tai.strftime("%Y.%m.%d_%H:%M:%S_TAI"))


def _plane(name: str, fraction: npt.NDArray[np.float32], header: fits.Header) -> fits.ImageHDU:
    steps = np.rint(fraction * OVERSAMPLING**2).astype(np.uint8)
    plane = fits.ImageHDU(steps, name=name)
    for keyword in _WCS_KEYWORDS:
        plane.header[keyword] = header[keyword]
    plane.header["BSCALE"] = 1 / OVERSAMPLING**2
    plane.header["BZERO"] = 0.0
    return plane


def _table(image: Image) -> fits.BinTableHDU:
    rows = image.structures
    columns = [
        fits.Column(name=name, format=kind, unit=unit, array=[getattr(row, name) for row in rows])
        for name, kind, unit in _COLUMNS
    ]
    return fits.BinTableHDU.from_columns(columns, name="STRUCTURES")


def _file(hdus: fits.HDUList) -> bytes:
    stream = io.BytesIO()
    hdus.writeto(stream, output_verify="exception")
    return stream.getvalue()
