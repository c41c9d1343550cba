"""Expose rasters and slit-jaw frames: counts as level-2 files hold them, defects included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from solarxai.synthetic.iris_surface import Surface, Waves
from solarxai.synthetic.iris_survey import BOXES, ROW_ARCSEC, Observation, Survey
from solarxai.synthetic.spectra import FULL_WELL, NATIVE_SAMPLING, count, expected_counts

__all__ = ["FILL", "Frames", "expose_frames", "expose_raster", "slit_columns"]

Array = npt.NDArray[np.float64]

FILL = -200.0
"""DN of a pixel without data."""

_FIDUCIAL_LIGHT, _DUST_LIGHT, _SLIT_LIGHT = 0.3, 0.02, 0.35
_ANOMALY_HITS = 60.0
_BRIGHTENING_ARCSEC = 1.0
_SPEED_OF_LIGHT = 299792.458
_RASTER, _FRAMES = 14, 15


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Slit-jaw frames.

    Parameters
    ----------
    counts
        (frame, y, x) DN.
    seconds
        (frame,) start of each exposure, s after the observation's start.
    brightening
        (frame,) peak DN that the flare adds.
    column, row
        0-based pixel of the flare's brightening.
    """

    counts: Array
    seconds: Array
    brightening: Array
    column: float
    row: float


def expose_raster(survey: Survey, observation: Observation, surface: Surface, raster: int) -> Array:
    """Return the counts of one raster, (step, slit, wavelength), DN; `FILL` without data.

    The first and the last wavelength and the last row have no data.
    """
    rng = np.random.default_rng([survey.seed, _RASTER, observation.index, raster])
    shift = _zero_point(survey, observation) / _SPEED_OF_LIGHT
    traits = {name: values[raster].ravel() for name, values in surface.traits.items()}
    light = expected_counts(survey.wavelength / (1 + shift), traits)
    light = light.reshape(survey.steps, survey.slit, -1)
    if survey.box != "none" and observation.planted:
        inside = np.abs(survey.wavelength - BOXES[survey.box]) <= survey.box_width / 2
        light = light + survey.box_height * light.max(axis=2, keepdims=True) * inside
    light[:, observation.fiducial] *= _FIDUCIAL_LIGHT
    light[:, list(observation.dust)] *= _DUST_LIGHT
    gain = survey.exposure / 8 * survey.sampling / NATIVE_SAMPLING
    counts = count(light, gain, rng)
    _strike(counts, survey.cosmic_rays + _ANOMALY_HITS * observation.saa, rng)
    counts[:, -1] = FILL
    counts[:, :, [0, -1]] = FILL
    return counts


def expose_frames(survey: Survey, observation: Observation, surface: Surface) -> Frames:
    """Return the slit-jaw frames of an observation, from its start to `Observation.last`.

    After a pre-flare observation the flare brightens: a spot of 1″ (sigma) that rises from the
    flare's start and is brightest in the last frame, at its maximum.
    """
    rng = np.random.default_rng([survey.seed, _FRAMES, observation.index])
    seconds = np.linspace(0, _seconds(observation, observation.last), survey.frames)
    north, west = (np.indices((survey.frame_size,) * 2) - (survey.frame_size - 1) / 2) * ROW_ARCSEC
    column, row = (offset / ROW_ARCSEC + (survey.frame_size - 1) / 2 for offset in surface.offset)
    away = ((west - surface.offset[0]) ** 2 + (north - surface.offset[1]) ** 2) / 2
    spot = np.exp(-away / _BRIGHTENING_ARCSEC**2)
    brightening = _rise(observation, seconds, rng.uniform(2000, 6000))
    grain = Waves.draw(rng, 0.6)
    frames = []
    for time, peak in zip(seconds, brightening, strict=True):
        points = np.stack([west, north, np.full_like(west, time)], axis=-1)
        frames.append(_scene(surface, grain, points) + peak * spot)
    columns = slit_columns(survey, observation, seconds)
    light = np.stack(frames)
    for frame, slit in zip(light, columns, strict=True):
        if 0 <= round(slit) < survey.frame_size:
            frame[:, round(slit)] *= _SLIT_LIGHT
    counts = count(light, 1.0, rng)
    return Frames(counts=counts, seconds=seconds, brightening=brightening, column=column, row=row)


def slit_columns(survey: Survey, observation: Observation, seconds: Array) -> Array:
    """Return the 0-based column of the slit in slit-jaw frames at times, s after the start."""
    exposure = np.floor(np.asarray(seconds) / survey.cadence)
    step = np.minimum(exposure, survey.rasters * survey.steps - 1) % survey.steps
    west = (step - (survey.steps - 1) / 2) * observation.step_size
    return np.asarray(west / ROW_ARCSEC + (survey.frame_size - 1) / 2)


def _scene(surface: Surface, grain: Waves, points: Array) -> Array:
    """Return what the slit-jaw imager sees without the flare, DN."""
    kernel = np.clip((surface.kernels.at(points) - surface.threshold) / 0.5, 0, 1)
    logarithm = 2.9 + 0.9 * surface.activity.at(points) + 0.5 * grain.at(points)
    return np.asarray(np.exp(logarithm) * (1 + kernel))


def _rise(observation: Observation, seconds: Array, peak: float) -> Array:
    """Return the peak DN of the flare in each frame: zero before its start."""
    if observation.flare is None:
        return np.zeros_like(seconds)
    start, top = (
        _seconds(observation, time) for time in (observation.flare.start, observation.flare.peak)
    )
    phase = np.clip((seconds - start) / (top - start), 0, 1)
    return np.asarray(peak * phase**2)


def _zero_point(survey: Survey, observation: Observation) -> float:
    """Return the shift of the wavelength scale, km/s."""
    jitter = np.sqrt(survey.shared_traits) * (
        observation.region.zero_point + observation.zero_point
    )
    return float(jitter + survey.wavelength_zero_point * observation.planted)


def _strike(counts: Array, rate: float, rng: np.random.Generator) -> None:
    """Add cosmic rays: straight tracks of one to five pixels, `rate` of them an exposure."""
    for exposure in counts:
        for _ in range(rng.poisson(rate)):
            row, column = (int(rng.integers(size)) for size in exposure.shape)
            charge = rng.lognormal(6.5, 1.0)
            angle = rng.uniform(0, 2 * np.pi)
            for along in range(int(rng.integers(1, 6))):
                y, x = row + round(along * np.sin(angle)), column + round(along * np.cos(angle))
                if 0 <= y < exposure.shape[0] and 0 <= x < exposure.shape[1]:
                    exposure[y, x] = min(exposure[y, x] + charge, FULL_WELL)


def _seconds(observation: Observation, time: np.datetime64) -> float:
    return float((time - observation.start) / np.timedelta64(1, "ms")) / 1000
