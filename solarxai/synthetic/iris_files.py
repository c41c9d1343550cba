"""Write what IRIS would write: level-2 raster and slit-jaw FITS files, and the truth beside them.

Nothing in a file depends on when or where it was written.

References
----------
A User's Guide to IRIS Data, ITN 26, and the level-2 files of 2014-03-29 and 2017-05-02.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from solarxai.synthetic.iris_detector import FILL, Frames, slit_columns
from solarxai.synthetic.iris_surface import Surface
from solarxai.synthetic.iris_survey import ROW_ARCSEC, Observation, Survey
from solarxai.synthetic.spectra import TRAITS

__all__ = ["frames_bytes", "frames_truth_bytes", "raster_bytes", "raster_truth_bytes"]

Array = npt.NDArray[np.float64]

WINDOW = "Mg II k 2796"
"""Name of the spectral window, as IRIS spells it; it holds h too."""

_SCALE, _ZERO = 0.25, 7992.0
_SLIT_WIDTH = 0.33
_ORBIT = 97.0 * 60

_RASTER_COLUMNS = (
    "TIME", "PZTX", "PZTY", "EXPTIMEF", "EXPTIMEN", "SUMSPTRF", "SUMSPATF", "SUMSPTRN", "SUMSPATN",
    "DSRCFIX", "DSRCNIX", "LUTIDF", "LUTIDN", "XCENIX", "YCENIX", "OBS_VRIX", "OPHASEIX", "PC1_1IX",
    "PC1_2IX", "PC2_1IX", "PC2_2IX", "PC3_1IX", "PC3_2IX", "PC3_3IX", "PC2_3IX", "IT01PFUV",
    "IT06TFUV", "IT14SFUV", "IT15SFUV", "IT16SFUV", "IT17SFUV", "IT18SFUV", "IT19SFUV", "POFFXFUV",
    "POFFYFUV", "POFFFFUV", "IT01PNUV", "IT06TNUV", "IT14SNUV", "IT15SNUV", "IT16SNUV", "IT17SNUV",
    "IT18SNUV", "IT19SNUV", "POFFXNUV", "POFFYNUV", "POFFFNUV",
)  # fmt: skip
_FRAME_COLUMNS = (
    "TIME", "PZTX", "PZTY", "EXPTIMES", "SLTPX1IX", "SLTPX2IX", "SUMSPTRS", "SUMSPATS", "DSRCSIX",
    "LUTIDS", "XCENIX", "YCENIX", "OBS_VRIX", "OPHASEIX", "PC1_1IX", "PC1_2IX", "PC2_1IX",
    "PC2_2IX", "PC3_1IX", "PC3_2IX", "IT01PSJI", "IT06TSJI", "IT14SSJI", "IT15SSJI", "IT16SSJI",
    "IT17SSJI", "IT18SSJI", "IT19SSJI", "POFFXSJI", "POFFYSJI", "POFFFSJI",
)  # fmt: skip
_TEMPERATURES = {
    "IT01P": 39.6, "IT06T": 23.9, "IT14S": 19.0, "IT15S": 22.1, "IT16S": 19.0, "IT17S": 21.5,
    "IT18S": 24.7, "IT19S": 6.6,
}  # fmt: skip


def raster_bytes(survey: Survey, observation: Observation, raster: int, counts: Array) -> bytes:
    """Return the level-2 file of one raster.

    The primary HDU without data, the window (step, y, wavelength) as int16 with BSCALE 0.25 and
    BZERO 7992 (so that −32768 is −200 DN), the 47-column auxiliary HDU, the table of frames.

    Parameters
    ----------
    counts
        (step, slit, wavelength) DN.
    """
    exposure = np.arange(survey.steps, dtype=np.float64) + raster * survey.steps
    seconds = np.asarray(exposure * survey.cadence)
    primary = fits.PrimaryHDU(header=_raster_header(survey, observation, seconds, counts))
    window = fits.ImageHDU(_raw(counts))
    window.header.update(_window_cards(survey, observation))
    window.header.update({"BSCALE": _SCALE, "BZERO": _ZERO})
    columns = _raster_columns(survey, observation, seconds)
    table = _frame_table(observation, ("FUV", "NUV"), survey.steps)
    return _file([primary, window, _auxiliary(_RASTER_COLUMNS, columns, survey.steps), table])


def frames_bytes(survey: Survey, observation: Observation, frames: Frames) -> bytes:
    """Return the level-2 file of the slit-jaw frames (SJI_1400), scaled as the rasters are."""
    primary = fits.PrimaryHDU(_raw(frames.counts))
    primary.header.update(_frames_header(survey, observation, frames))
    primary.header.update({"BSCALE": _SCALE, "BZERO": _ZERO})
    columns = _frame_columns(survey, observation, frames.seconds)
    table = _frame_table(observation, ("SJI",), survey.frames)
    return _file([primary, _auxiliary(_FRAME_COLUMNS, columns, survey.frames), table])


def raster_truth_bytes(
    survey: Survey, observation: Observation, surface: Surface, raster: int
) -> bytes:
    """Return the truth of one raster: the table SPECTRA, a row a spectrum.

    Columns step, slit, patch (0 quiet, 1 active, 2 pre-flare), state (the same, between) and the
    traits; the header tells of the observation, its flare and what was planted in it.
    """
    step, slit = (place.ravel() for place in np.indices((survey.steps, survey.slit)))
    columns = [
        fits.Column(name="step", format="J", array=step),
        fits.Column(name="slit", format="J", array=slit),
        fits.Column(name="patch", format="B", array=surface.patch[raster].ravel()),
        fits.Column(name="state", format="E", array=surface.state[raster].ravel()),
    ]
    columns += [
        fits.Column(name=name, format="E", array=surface.traits[name][raster].ravel())
        for name in TRAITS
    ]
    table = fits.BinTableHDU.from_columns(columns, name="SPECTRA")
    primary = fits.PrimaryHDU()
    primary.header.update(_truth_cards(survey, observation, surface))
    return _file([primary, table])


def frames_truth_bytes(
    survey: Survey, observation: Observation, surface: Surface, frames: Frames
) -> bytes:
    """Return the truth of the slit-jaw frames: the table FRAMES and where the flare brightens.

    Columns seconds (after the observation's start) and brightening (peak DN); the header has the
    raster step, the slit position and the 0-based pixel (COLUMN, ROW) of the brightening.
    """
    columns = [
        fits.Column(name="seconds", format="D", array=frames.seconds),
        fits.Column(name="brightening", format="E", array=frames.brightening),
    ]
    primary = fits.PrimaryHDU()
    primary.header.update(_truth_cards(survey, observation, surface))
    if observation.flare is not None:
        primary.header.update({"COLUMN": frames.column, "ROW": frames.row})
    return _file([primary, fits.BinTableHDU.from_columns(columns, name="FRAMES")])


def _raster_header(
    survey: Survey, observation: Observation, seconds: Array, counts: Array
) -> fits.Header:
    first = observation.start + _milliseconds(seconds[0])
    last = observation.start + _milliseconds(seconds[-1] + survey.exposure)
    size = observation.step_size
    summed = round(survey.sampling / 0.02546)
    cards = _common_cards(observation, "SPEC", first, last) | {
        "CAMERA": 1,
        "FOVY": survey.slit * ROW_ARCSEC,
        "FOVX": abs(size) * (survey.steps - 1) + _SLIT_WIDTH if size else _SLIT_WIDTH,
        "SUMSPTRL": 0, "SUMSPTRN": summed, "SUMSPTRF": 2, "SUMSPAT": 2,
        "EXPTIME": survey.exposure, "EXPMIN": survey.exposure, "EXPMAX": survey.exposure,
        "NEXP_PRP": 1, "NEXP": survey.steps, "NEXPOBS": survey.steps * survey.rasters,
        "NRASTERP": survey.steps if size else 1, "RASTYPDX": 1, "RASTYPNX": 1, "RASRPT": 1,
        "RASNRPT": survey.rasters, "STEPS_AV": size, "STEPS_DV": 0.0,
        "STEPT_AV": survey.cadence, "STEPT_DV": 0.0,
        "CADPL_AV": survey.cadence * survey.steps, "CADPL_DV": 0.0,
        "NWIN": 1, "TDET1": "NUV", "TDESC1": WINDOW, "TWAVE1": 2796.2,
        "TWMIN1": survey.wavelength[0], "TWMAX1": survey.wavelength[-1],
        "TSR1": 1, "TER1": survey.slit, "TSC1": 1, "TEC1": survey.wavelength.size,
    }  # fmt: skip
    return _header(cards | _statistics(counts))


def _frames_header(survey: Survey, observation: Observation, frames: Frames) -> dict[str, Any]:
    size, cadence = survey.frame_size, float(np.diff(frames.seconds).mean())
    sine, cosine = _turn(observation)
    first, last = (observation.start + _milliseconds(frames.seconds[end]) for end in (0, -1))
    cards = _common_cards(observation, "SJI", first, last) | {
        "CAMERA": 2, "FOVY": size * ROW_ARCSEC, "FOVX": size * ROW_ARCSEC,
        "SUMSPTRL": 2, "SUMSPAT": 2, "EXPTIME": survey.exposure, "EXPMIN": survey.exposure,
        "EXPMAX": survey.exposure, "NEXP": survey.frames, "NEXPOBS": survey.frames,
        "NRASTERP": survey.frames, "RASNRPT": 1, "CADPL_AV": cadence, "CADEX_AV": cadence,
        "PC1_1": cosine, "PC1_2": sine, "PC2_1": -sine, "PC2_2": cosine, "PC3_1": 0.0, "PC3_2": 0.0,
        "NWIN": 1, "TDET1": "SJI", "TDESC1": "SJI_1400", "TWAVE1": 1400.0, "TWMIN1": 1380.0,
        "TWMAX1": 1420.0, "TSR1": 1, "TER1": size, "TSC1": 1, "TEC1": size,
        "CDELT1": ROW_ARCSEC, "CDELT2": ROW_ARCSEC, "CDELT3": cadence,
        "CRPIX1": (size + 1) / 2, "CRPIX2": (size + 1) / 2, "CRPIX3": 1.0,
        "CRVAL1": observation.x, "CRVAL2": observation.y, "CRVAL3": float(frames.seconds[0]),
        "CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CTYPE3": "Time",
        "CUNIT1": "arcsec", "CUNIT2": "arcsec", "CUNIT3": "seconds",
    }  # fmt: skip
    return cards | _statistics(frames.counts)


def _common_cards(
    observation: Observation, instrument: str, first: np.datetime64, last: np.datetime64
) -> dict[str, Any]:
    """Return the cards that rasters and slit-jaw frames share."""
    return {
        "TELESCOP": "IRIS", "INSTRUME": instrument, "DATA_LEV": 2.0, "LVL_NUM": 2.0,
        "VER_RF2": "synthetic", "DATA_SRC": 1.51, "ORIGIN": "solarxai synthetic Sun",
        "OBSID": observation.obsid, "OBS_DESC": "Synthetic: not an observation",
        "OBSLABEL": "", "OBSTITLE": "",
        "DATE_OBS": str(first), "DATE_END": str(last),
        "STARTOBS": str(observation.start), "ENDOBS": str(observation.last), "OBSREP": 1,
        "STATUS": "Quicklook", "BTYPE": "Intensity", "BUNIT": "Corrected DN", "HLZ": 0,
        "SAA": f"{int(observation.saa):12d}", "SAT_ROT": observation.roll, "AECNOBS": 0,
        "AECNRAS": 0, "DSUN_OBS": 1.49598e11, "IAECEVFL": "NO", "IAECFLAG": "YES",
        "IAECFLFL": "YES", "TR_MODE": "", "XCEN": observation.x, "YCEN": observation.y,
        "MISSOBS": 0, "MISSRAS": 0,
    }  # fmt: skip


def _window_cards(survey: Survey, observation: Observation) -> dict[str, Any]:
    """Return the coordinates of the window: wavelength, along the slit, across it."""
    sine, cosine = _turn(observation)
    ratio = observation.step_size / ROW_ARCSEC
    return {
        "CDELT1": survey.sampling, "CDELT2": ROW_ARCSEC, "CDELT3": observation.step_size,
        "CRPIX1": 1.0, "CRPIX2": (survey.slit + 1) / 2, "CRPIX3": (survey.steps + 1) / 2,
        "CRVAL1": survey.wavelength[0], "CRVAL2": observation.y, "CRVAL3": observation.x,
        "CTYPE1": "WAVE", "CTYPE2": "HPLT-TAN", "CTYPE3": "HPLN-TAN",
        "CUNIT1": "Angstrom", "CUNIT2": "arcsec", "CUNIT3": "arcsec",
        "PC1_1": 1.0, "PC1_2": 0.0, "PC2_1": 0.0, "PC2_2": cosine, "PC3_1": 0.0,
        "PC3_2": sine / ratio if ratio else sine, "PC3_3": cosine, "PC2_3": -sine * ratio,
    }  # fmt: skip


def _raster_columns(survey: Survey, observation: Observation, seconds: Array) -> dict[str, Any]:
    sine, cosine = _turn(observation)
    cards = _window_cards(survey, observation)
    west = (np.arange(survey.steps) - (survey.steps - 1) / 2) * observation.step_size
    return _orbit_columns(seconds) | {
        "PZTX": west, "PZTY": 0.4, "EXPTIMEF": survey.exposure, "EXPTIMEN": survey.exposure,
        "SUMSPTRF": 2.0, "SUMSPATF": 2.0, "SUMSPTRN": round(survey.sampling / 0.02546),
        "SUMSPATN": 2.0, "DSRCFIX": 1.51, "DSRCNIX": 1.51, "LUTIDF": 4.0, "LUTIDN": 4.0,
        "XCENIX": observation.x + cosine * west, "YCENIX": observation.y - sine * west,
        "PC1_1IX": 1.0, "PC2_2IX": cosine, "PC3_2IX": cards["PC3_2"], "PC3_3IX": cosine,
        "PC2_3IX": cards["PC2_3"], "POFFFFUV": 51.0, "POFFFNUV": 51.0,
    }  # fmt: skip


def _frame_columns(survey: Survey, observation: Observation, seconds: Array) -> dict[str, Any]:
    sine, cosine = _turn(observation)
    return _orbit_columns(seconds) | {
        "EXPTIMES": survey.exposure,
        "SLTPX1IX": slit_columns(survey, observation, seconds) + 1,
        "SLTPX2IX": (survey.frame_size + 1) / 2,
        "SUMSPTRS": 2.0, "SUMSPATS": 2.0, "DSRCSIX": 1.51,
        "XCENIX": observation.x, "YCENIX": observation.y,
        "PC1_1IX": cosine, "PC1_2IX": sine, "PC2_1IX": -sine, "PC2_2IX": cosine, "POFFFSJI": 51.0,
    }  # fmt: skip


def _orbit_columns(seconds: Array) -> dict[str, Any]:
    phase = (seconds / _ORBIT) % 1
    return {"TIME": seconds, "OBS_VRIX": 2500 * np.sin(2 * np.pi * phase), "OPHASEIX": phase}


def _auxiliary(names: tuple[str, ...], columns: dict[str, Any], rows: int) -> fits.ImageHDU:
    """Return the auxiliary HDU: a column a name, whose number the header's keyword gives."""
    table = np.zeros((rows, len(names)))
    for place, name in enumerate(names):
        table[:, place] = columns.get(name, _TEMPERATURES.get(name[:5], 0.0))
    unit = fits.ImageHDU(table)
    for place, name in enumerate(names):
        unit.header[name] = (place, "column of each exposure (rowindex)")
    return unit


def _frame_table(observation: Observation, detectors: tuple[str, ...], rows: int) -> fits.TableHDU:
    """Return the ASCII table of the frames the exposures come from."""
    columns = [fits.Column(name="FRMID", format="A10", array=[observation.obsid] * rows)]
    for name in detectors:
        files = [
            f"synthetic/{observation.name}_{row:05d}_{name.lower()}.fits" for row in range(rows)
        ]
        columns += [
            fits.Column(name=f"{name}FDBID", format="A10", array=["3808300102"] * rows),
            fits.Column(name=f"{name}CRSID", format="A4", array=["1353"] * rows),
        ]
        columns.append(fits.Column(name=f"{name}filename", format="A66", array=files))
    ordered = sorted(columns, key=lambda column: "filename" in column.name)
    return fits.TableHDU.from_columns(ordered)


def _truth_cards(survey: Survey, observation: Observation, surface: Surface) -> dict[str, Any]:
    """Return what is known of an observation and what was planted in it."""
    flare = observation.flare
    planted = observation.planted
    return {
        "CONTENT": "TRUTH OF A SYNTHETIC OBSERVATION",
        "OBS": observation.name, "INDEX": observation.index, "LABEL": observation.label,
        "NOAA_AR": observation.region.number, "ENDRAST": str(observation.end),
        "ONSET": str(flare.start) if flare else "", "MAXIMUM": str(flare.peak) if flare else "",
        "GOES": flare.goes_class if flare else "",
        "PLANTED": planted, "FIDUCIAL": observation.fiducial,
        "DUST": " ".join(str(row) for row in observation.dust),
        "ZEROPT": survey.wavelength_zero_point * planted, "SLOPE": survey.continuum_slope * planted,
        "BOX": survey.box if planted else "none",
        **_brightening_cards(observation, surface),
    }  # fmt: skip


def _brightening_cards(observation: Observation, surface: Surface) -> dict[str, Any]:
    if observation.flare is None:
        return {}
    step, row = surface.brightening
    return {"FL_STEP": step, "FL_SLIT": row, "FL_KERN": surface.at_kernel}


def _statistics(counts: Array) -> dict[str, Any]:
    """Return the statistics of the data that headers carry."""
    kept = counts[counts > FILL]
    levels = np.percentile(kept, (1, 10, 25, 50, 75, 90, 95, 98, 99))
    names = ("P01", "P10", "P25", "MEDN", "P75", "P90", "P95", "P98", "P99")
    ranks = {f"DATA{name}": float(level) for name, level in zip(names, levels, strict=True)}
    whole = {
        "MEAN": kept.mean(), "RMS": kept.std(), "MEDN": ranks["DATAMEDN"],
        "MIN": kept.min(), "MAX": kept.max(), "VALS": kept.size,
    }  # fmt: skip
    first = {f"TD{name}1": value for name, value in whole.items()}
    first["TMISSV1"] = counts.size - kept.size
    return ranks | {f"DATA{name}": value for name, value in whole.items()} | first


def _turn(observation: Observation) -> tuple[float, float]:
    """Return sine and cosine of the roll."""
    angle = np.radians(observation.roll)
    return float(np.sin(angle)), float(np.cos(angle))


def _raw(counts: Array) -> npt.NDArray[np.int16]:
    """Return counts as the integers of the file."""
    return np.clip(np.rint((counts - _ZERO) / _SCALE), -32768, 32767).astype(np.int16)


def _header(cards: dict[str, Any]) -> fits.Header:
    header = fits.Header()
    header.update(cards)
    return header


def _milliseconds(seconds: float) -> np.timedelta64:
    return np.timedelta64(round(float(seconds) * 1000), "ms")


def _file(units: list[Any]) -> bytes:
    stream = io.BytesIO()
    fits.HDUList(units).writeto(stream, output_verify="exception")
    return stream.getvalue()
