"""Draw the chromosphere below the slit: patches of quiet, active and pre-flare spectra.

Positions are (west, north, time): arcsec from the raster's centre and seconds after its start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from solarxai.synthetic.iris_survey import ROW_ARCSEC, Observation, Survey
from solarxai.synthetic.spectra import ACTIVE, PREFLARE, QUIET, TRAITS, traits_at

__all__ = ["Surface", "Waves", "draw_surface", "raster_points"]

Array = npt.NDArray[np.float64]

_PATCH_ARCSEC = 2.4
_LIFETIME = 240.0
_MODES = 60
_REGION_SHARE, _OBSERVATION_SHARE, _SMOOTH_SHARE = 0.65, 0.25, 0.75
_CORE = {"triplet": 0.5, "broad": 0.4}
_SURFACE = 13


@dataclass(frozen=True, kw_only=True)
class Waves:
    """A smooth Gaussian random field of variance 1: the sum of plane waves.

    Parameters
    ----------
    vectors
        (3, wave) wave vectors, radians per arcsec, arcsec, s.
    phases
        (wave,) radians.
    """

    vectors: Array
    phases: Array

    @classmethod
    def draw(cls, rng: np.random.Generator, length: float) -> Waves:
        """Return a field whose correlation falls as exp(−d²/2) of d in `length` arcsec."""
        scales = np.array([[1 / length], [1 / length], [1 / _LIFETIME]])
        vectors = scales * rng.normal(size=(3, _MODES))
        return cls(vectors=vectors, phases=rng.uniform(0, 2 * np.pi, _MODES))

    def at(self, points: Array) -> Array:
        """Return the field at (..., 3) points."""
        waves = np.cos(points @ self.vectors + self.phases)
        return np.asarray(np.sqrt(2 / _MODES) * waves.sum(axis=-1))


@dataclass(frozen=True, kw_only=True)
class Surface:
    """What stands below the slit and around it.

    Parameters
    ----------
    state
        (raster, step, slit) 0 quiet, 1 active, 2 pre-flare, and between.
    patch
        (raster, step, slit) QUIET, ACTIVE or PREFLARE: the kind of the patch.
    traits
        Of each of `TRAITS`, (raster, step, slit).
    activity, kernels
        Fields whose high values are active patches and pre-flare kernels.
    threshold
        Value of `kernels` above which a point is a kernel.
    brightening
        Step, slit position and offsets (west, north, arcsec) where the flare brightens; with
        `at_kernel`, the middle of the strongest kernel.
    """

    state: Array
    patch: npt.NDArray[np.uint8]
    traits: dict[str, Array]
    activity: Waves
    kernels: Waves
    threshold: float
    brightening: tuple[int, int]
    offset: tuple[float, float]
    at_kernel: bool


def raster_points(survey: Survey, observation: Observation) -> Array:
    """Return where and when each exposure sees: (raster, step, slit, 3)."""
    raster, step, row = np.indices((survey.rasters, survey.steps, survey.slit)).astype(float)
    west = (step - (survey.steps - 1) / 2) * observation.step_size
    north = (row - (survey.slit - 1) / 2) * ROW_ARCSEC
    time = (raster * survey.steps + step) * survey.cadence
    return np.stack([west, north, time], axis=-1)


def draw_surface(survey: Survey, observation: Observation) -> Surface:
    """Return the chromosphere of an observation.

    Notes
    -----
    A trait is its state's mean plus its deviation times a deviate, whose variance comes from the
    region (0.65 s), the observation (0.25 s) and the place, with s = `shared_traits`; of the
    place's part, three quarters vary smoothly over `correlation` arcsec.
    """
    rng = np.random.default_rng([survey.seed, _SURFACE, observation.index])
    points = raster_points(survey, observation)
    activity, kernels = (Waves.draw(rng, _PATCH_ARCSEC) for _ in range(2))
    calm, hot = activity.at(points), kernels.at(points)
    preflare = observation.flare is not None
    share = survey.kernel_fraction if preflare else survey.impostor_fraction
    quiet = np.quantile(calm, survey.quiet_fraction)
    threshold = float(np.quantile(hot, 1 - share)) if share else np.inf
    lean = survey.precursor if preflare else 0.0
    kernel = _soft(hot - threshold)
    state = (1 - kernel) * _soft(calm - quiet) * (ACTIVE + lean) + kernel * PREFLARE
    patch = np.where(calm > quiet, ACTIVE, QUIET)
    patch[hot >= threshold] = PREFLARE
    deviates = {name: _deviate(survey, observation, name, rng, points) for name in TRAITS}
    for name, gain in _CORE.items():
        deviates[name] += gain * np.maximum(hot - threshold, 0)
    traits = traits_at(state, deviates)
    traits["slope"] += survey.continuum_slope * observation.planted
    place, at_kernel = _brightening(survey, rng, hot)
    west, north, _ = points[(0, *place)]
    return Surface(
        state=state, patch=patch.astype(np.uint8), traits=traits, activity=activity,
        kernels=kernels, threshold=threshold, brightening=place,
        offset=(float(west), float(north)), at_kernel=at_kernel,
    )  # fmt: skip


def _soft(excess: Array) -> Array:
    """Return a step that takes a third of a deviation to rise."""
    return np.asarray(1 / (1 + np.exp(-np.clip(excess / 0.12, -50, 50))))


def _deviate(
    survey: Survey, observation: Observation, name: str, rng: np.random.Generator, points: Array
) -> Array:
    """Return the deviate of one trait at each point."""
    shared = survey.shared_traits
    place = rng.normal(size=points.shape[:-1])
    if survey.correlation:
        smooth = Waves.draw(rng, survey.correlation).at(points)
        place = np.sqrt(_SMOOTH_SHARE) * smooth + np.sqrt(1 - _SMOOTH_SHARE) * place
    own = 1 - shared * (_REGION_SHARE + _OBSERVATION_SHARE)
    region = np.sqrt(shared * _REGION_SHARE) * observation.region.deviates[name]
    visit = np.sqrt(shared * _OBSERVATION_SHARE) * observation.deviates[name]
    return np.asarray(region + visit + np.sqrt(own) * place)


def _brightening(
    survey: Survey, rng: np.random.Generator, hot: Array
) -> tuple[tuple[int, int], bool]:
    """Return (step, slit) where the flare brightens, and whether the strongest kernel is there."""
    strongest = np.unravel_index(int(hot.mean(axis=0).argmax()), hot.shape[1:])
    step, row = (int(place) for place in strongest)
    if rng.random() < survey.brightening_agreement:
        return (step, row), True
    return (int(rng.integers(survey.steps)), int(rng.integers(survey.slit))), False
