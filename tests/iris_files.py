"""Small FITS files like IRIS level 2: windows, then a table of numbers, then a table of words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

FILL = -200.0
PITCH = 0.16635
DISPERSION = 0.02546

RASTER_COLUMNS = (
    "TIME", "PZTX", "PZTY", "EXPTIMEF", "EXPTIMEN", "SUMSPTRF", "SUMSPATF", "SUMSPTRN", "SUMSPATN",
    "DSRCFIX", "DSRCNIX", "LUTIDF", "LUTIDN", "XCENIX", "YCENIX", "OBS_VRIX", "OPHASEIX",
    "PC1_1IX", "PC1_2IX", "PC2_1IX", "PC2_2IX", "PC3_1IX", "PC3_2IX", "PC3_3IX", "PC2_3IX",
    "IT01PFUV", "IT06TFUV", "IT14SFUV", "IT15SFUV", "IT16SFUV", "IT17SFUV", "IT18SFUV", "IT19SFUV",
    "POFFXFUV", "POFFYFUV", "POFFFFUV", "IT01PNUV", "IT06TNUV", "IT14SNUV", "IT15SNUV", "IT16SNUV",
    "IT17SNUV", "IT18SNUV", "IT19SNUV", "POFFXNUV", "POFFYNUV", "POFFFNUV",
)  # fmt: skip
SJI_COLUMNS = (
    "TIME", "PZTX", "PZTY", "EXPTIMES", "SLTPX1IX", "SLTPX2IX", "SUMSPTRS", "SUMSPATS", "DSRCSIX",
    "LUTIDS", "XCENIX", "YCENIX", "OBS_VRIX", "OPHASEIX", "PC1_1IX", "PC1_2IX", "PC2_1IX",
    "PC2_2IX", "PC3_1IX", "PC3_2IX", "IT01PSJI", "IT06TSJI", "IT14SSJI", "IT15SSJI", "IT16SSJI",
    "IT17SSJI", "IT18SSJI", "IT19SSJI", "POFFXSJI", "POFFYSJI", "POFFFSJI",
)  # fmt: skip


def wavelengths(size: int = 633, low: float = 2790.49) -> np.ndarray:
    """Return the vacuum wavelength of each pixel, Angstrom."""
    return low + DISPERSION * np.arange(size)


def profile(wavelength: np.ndarray, amplitude: float = 800.0) -> np.ndarray:
    """Return counts of a continuum with k and h in emission."""
    lines = sum(np.exp(-0.5 * ((wavelength - line) / 0.15) ** 2) for line in (2796.352, 2803.53))
    return 60 + amplitude * lines


def spectra(steps: int = 4, slits: int = 6, size: int = 633) -> np.ndarray:
    """Return DN (step, slit, wavelength) float32; each step is brighter than the one before."""
    steady = np.broadcast_to(profile(wavelengths(size)), (steps, slits, size))
    return (steady * (1 + 0.1 * np.arange(steps))[:, None, None]).astype(np.float32)


def table(columns: tuple[str, ...], rows: int, **values: Any) -> fits.ImageHDU:
    """Return the auxiliary table; columns not named are zero."""
    numbers = np.zeros((rows, len(columns)))
    for word, value in values.items():
        numbers[:, columns.index(word)] = value
    unit = fits.ImageHDU(numbers)
    for index, word in enumerate(columns):
        unit.header[word] = index
    return unit


def words(rows: int) -> fits.TableHDU:
    """Return the table of words that ends a level 2 file."""
    column = fits.Column(name="FRMID", format="A10", array=np.array(["3808304750"] * rows))
    return fits.TableHDU.from_columns([column])


def primary_cards(**changes: Any) -> dict[str, Any]:
    """Return the cards all files share; a keyword changed to None is left out."""
    cards: dict[str, Any] = {
        "TELESCOP": "IRIS",
        "OBSID": "3860258481",
        "STARTOBS": "2014-03-29T14:09:38.830",
        "DATE_OBS": "2014-03-29T14:09:39.000",
        "BUNIT": "Corrected DN",
        "SAA": "           0",
        "DSUN_OBS": 1.49372e11,
        "NWIN": 1,
        "XCEN": 490.0,
        "YCEN": 280.0,
    } | changes
    return {keyword: value for keyword, value in cards.items() if value is not None}


def write_raster(
    path: Path,
    values: Any = None,
    *,
    stepping: float = 2.0,
    roll: float = 0.01127,
    cards: dict[str, Any] | None = None,
    window: dict[str, Any] | None = None,
    columns: dict[str, Any] | None = None,
    rows: int | None = None,
    before: int = 1,
    scaled: bool = False,
) -> Path:
    """Write a raster whose Mg II k window comes after `before` others; return its path.

    `cards`, `window` and `columns` change the primary header, the window's and the table; `scaled`
    writes int16 as real files do (0.25 DN, zero 7992).
    """
    values = spectra() if values is None else np.array(values)
    steps, slits, size = (*values.shape, 1, 1, 1)[:3]
    rows = steps if rows is None else rows
    number = before + 1
    primary = {"INSTRUME": "SPEC", "NWIN": number, "NRASTERP": steps, "RASRPT": 1}
    primary |= {"STEPS_AV": stepping, "FOVY": slits * PITCH, f"TDESC{number}": "Mg II k 2796"}
    primary |= {f"TDET{number}": "NUV", f"TWMIN{number}": wavelengths(size)[0]}
    primary |= {f"TWMAX{number}": wavelengths(size)[-1], f"TWAVE{number}": 2796.2}
    for other in range(1, number):
        primary |= {f"TDESC{other}": f"{1330 + other}", f"TDET{other}": "FUV1"}
    ratio = PITCH / stepping if stepping else 1.0
    header = {"CDELT1": DISPERSION, "CDELT2": PITCH, "CDELT3": stepping, "CRPIX1": 1.0}
    header |= {"CRPIX2": (slits + 1) / 2, "CRPIX3": (steps + 1) / 2, "CRVAL1": wavelengths()[0]}
    header |= {"CRVAL2": 280.0, "CRVAL3": 490.0, "CTYPE1": "WAVE", "CTYPE2": "HPLT-TAN"}
    header |= {"CTYPE3": "HPLN-TAN", "CUNIT1": "Angstrom", "CUNIT2": "arcsec", "CUNIT3": "arcsec"}
    header |= {"PC1_1": 1.0, "PC2_2": np.cos(roll), "PC3_3": np.cos(roll)}
    header |= {"PC3_2": ratio * np.sin(roll), "PC2_3": -np.sin(roll) / ratio}
    offset = (np.arange(rows) - (rows - 1) / 2) * stepping
    known = {"TIME": 0.17 + 9.4 * np.arange(rows), "EXPTIMEN": 8.0, "EXPTIMEF": 8.0}
    known |= {"XCENIX": 490 + offset * np.cos(roll), "YCENIX": 280 - offset * np.sin(roll)}
    known |= {"PC2_2IX": np.cos(roll), "PC3_2IX": ratio * np.sin(roll), "PC3_3IX": np.cos(roll)}
    unit = fits.ImageHDU(values)
    if scaled:
        unit.scale("int16", bscale=0.25, bzero=7992)
    for keyword, value in (header | (window or {})).items():
        unit.header[keyword] = value
    first = fits.PrimaryHDU(header=fits.Header(primary_cards(**(primary | (cards or {})))))
    others = [fits.ImageHDU(np.zeros((steps, slits, 3), np.float32)) for _ in range(before)]
    numbers = table(RASTER_COLUMNS, rows, **(known | (columns or {})))
    fits.HDUList([first, *others, unit, numbers, words(rows)]).writeto(path)
    return path


def write_sji(
    path: Path,
    values: Any = None,
    *,
    cards: dict[str, Any] | None = None,
    columns: dict[str, Any] | None = None,
    rows: int | None = None,
) -> Path:
    """Write slit-jaw images, (frame, y, x) DN; return the path."""
    if values is None:
        values = np.full((3, 8, 10), 100, np.float32) + np.arange(10, dtype=np.float32)
    values = np.asarray(values)
    frames, height, width = values.shape
    rows = frames if rows is None else rows
    header = {"INSTRUME": "SJI", "NRASTERP": 1, "TDESC1": "SJI_1400", "TDET1": "SJI"}
    header |= {"FOVX": width * PITCH, "FOVY": height * PITCH, "CDELT1": PITCH, "CDELT2": PITCH}
    header |= {"CRPIX1": (width + 1) / 2, "CRPIX2": (height + 1) / 2, "TWAVE1": 1400.0}
    header |= {"CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CUNIT1": "arcsec", "CUNIT2": "arcsec"}
    known = {
        "TIME": 0.1 + 20.0 * np.arange(rows),
        "EXPTIMES": 4.0,
        "XCENIX": 490.0 + np.arange(rows),
    }
    known |= {"YCENIX": 280.0, "PC1_1IX": np.cos(0.01127), "PC1_2IX": np.sin(0.01127)}
    known |= {"SLTPX1IX": 5.0, "SLTPX2IX": 4.0}
    first = fits.PrimaryHDU(values, header=fits.Header(primary_cards(**(header | (cards or {})))))
    numbers = table(SJI_COLUMNS, rows, **(known | (columns or {})))
    fits.HDUList([first, numbers, words(rows)]).writeto(path)
    return path
