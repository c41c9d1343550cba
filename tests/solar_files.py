"""Small FITS files like those of the instruments, and references to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from solarxai.catalog import Reference
from solarxai.provenance import file_hash


def hmi_cards(**changes: Any) -> dict[str, Any]:
    """Return the cards of an HMI cutout; a keyword changed to None is left out."""
    cards: dict[str, Any] = {
        "TELESCOP": "SDO/HMI",
        "INSTRUME": "HMI_SIDE1",
        "T_OBS": "2017.09.05_03:40:22.661_TAI",
        "DATE-OBS": "2017-09-05T03:39:45.661",
        "BUNIT": "DN/s",
        "CTYPE1": "HPLN-TAN",
        "CTYPE2": "HPLT-TAN",
        "CUNIT1": "arcsec",
        "CUNIT2": "arcsec",
        "CRPIX1": 8.5,
        "CRPIX2": 6.5,
        "CRVAL1": 100.0,
        "CRVAL2": -200.0,
        "CDELT1": 0.504,
        "CDELT2": 0.504,
        "CROTA2": 0.0,
        "DSUN_OBS": 1.5e11,
        "RSUN_REF": 6.96e8,
        "RSUN_OBS": 957.06,
        "CRLN_OBS": 120.0,
        "CRLT_OBS": 7.2,
    }
    cards = {keyword.replace("__", "-"): value for keyword, value in (cards | changes).items()}
    return {keyword: value for keyword, value in cards.items() if value is not None}


def bright_image(shape: tuple[int, ...] = (12, 16)) -> np.ndarray:
    """Return 50000 DN/s with a gradient, float32."""
    return (50000 + np.arange(np.prod(shape)).reshape(shape)).astype(np.float32)


def write_image(path: Path, values: Any = None, cards: dict[str, Any] | None = None) -> Path:
    """Write an image with the cards, HMI's by default; return its path."""
    unit = fits.PrimaryHDU(bright_image() if values is None else np.asarray(values))
    for keyword, value in (hmi_cards() if cards is None else cards).items():
        unit.header[keyword] = value
    unit.writeto(path)
    return path


def refer(path: Path, instrument: str = "hmi", *, region: str = "AR", **options: Any) -> Reference:
    """Return a reference to a file, with its true checksum."""
    return Reference(
        path=path,
        name=path.name,
        sha256=file_hash(path) if path.is_file() else "0" * 64,
        instrument=instrument,
        region=region,
        origin="real",
        options=options,
    )
