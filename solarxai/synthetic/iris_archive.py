"""Write a folder of synthetic IRIS observations with their truth, flare list and catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from solarxai.catalog import Catalog, Reference
from solarxai.errors import SynthesisError
from solarxai.provenance import file_hash, write_atomically
from solarxai.synthetic.iris_detector import expose_frames, expose_raster
from solarxai.synthetic.iris_files import (
    frames_bytes,
    frames_truth_bytes,
    raster_bytes,
    raster_truth_bytes,
)
from solarxai.synthetic.iris_surface import draw_surface
from solarxai.synthetic.iris_survey import (
    Box,
    Flare,
    Observation,
    Survey,
    draw_flare_list,
    draw_observation,
)

__all__ = [
    "FLARES",
    "flare_list",
    "observation_count",
    "observation_files",
    "write_iris",
    "write_iris_catalog",
    "write_observation",
]

FLARES = "flares.csv"
"""Name of the flare list."""

_COLUMNS = (
    "date,event_no,start_time,max_time,end_time,goes_sat,goes_channel,goes_class_ind,goes_class,"
    "integrated_flux,noaa_ar,ts"
)


def write_iris(
    out: Path,
    *,
    regions: int = Survey.regions,
    observations: int = Survey.observations,
    seed: int = Survey.seed,
    rasters: int = Survey.rasters,
    steps: int = Survey.steps,
    slit: int = Survey.slit,
    sampling: float = Survey.sampling,
    shortest: float = Survey.shortest,
    longest: float = Survey.longest,
    exposure: float = Survey.exposure,
    step_size: float = Survey.step_size,
    quiet_fraction: float = Survey.quiet_fraction,
    kernel_fraction: float = Survey.kernel_fraction,
    impostor_fraction: float = Survey.impostor_fraction,
    precursor: float = Survey.precursor,
    mixed_regions: float = Survey.mixed_regions,
    shared_traits: float = Survey.shared_traits,
    correlation: float = Survey.correlation,
    slitjaw: bool = Survey.slitjaw,
    frames: int = Survey.frames,
    frame_size: int = Survey.frame_size,
    brightening_agreement: float = Survey.brightening_agreement,
    sit_and_stare: float = Survey.sit_and_stare,
    flipped: float = Survey.flipped,
    saa: float = Survey.saa,
    cosmic_rays: float = Survey.cosmic_rays,
    dust_rows: int = Survey.dust_rows,
    wavelength_zero_point: float = Survey.wavelength_zero_point,
    continuum_slope: float = Survey.continuum_slope,
    fiducial_row: bool = Survey.fiducial_row,
    box: Box = Survey.box,
    box_height: float = Survey.box_height,
    box_width: float = Survey.box_width,
    cheat_agreement: float = Survey.cheat_agreement,
) -> Path:
    """Write synthetic IRIS observations, their truth, flares and catalog; return its path.

    Parameters
    ----------
    out
        Folder, made if it is not there.
    regions, observations
        Number of active regions, and of observations of each (1 to 6). Of regions 2k and 2k + 1
        one flares after each of its observations, the other does not.
    seed
        Fixes every byte of every file.
    rasters, steps, slit
        Raster files of an observation, exposures of each, positions along the slit.
    sampling, shortest, longest
        Step and limits of the wavelength scale, vacuum Å; the detector's own step is 0.02546.
    exposure, step_size
        Exposure time, s, and distance of two steps, arcsec.
    quiet_fraction
        Share of the slit positions below the activity that makes a patch active.
    kernel_fraction, impostor_fraction
        Share of positions in pre-flare kernels, before a flare and where none follows.
    precursor
        How far active patches before a flare lean towards pre-flare traits, 0 to 1.
    mixed_regions
        Share of regions with observations of both classes, by turns.
    shared_traits
        How much of the spread of traits is common to a region (0.65 of it) and an observation
        (0.25 of it): 0 none, 1 as much as can be.
    correlation
        Distance over which traits vary along the slit, arcsec; 0: each position on its own.
    slitjaw, frames, frame_size
        Whether there are slit-jaw frames, how many, pixels along a side.
    brightening_agreement
        Probability that the flare brightens at the strongest kernel rather than anywhere.
    sit_and_stare, flipped, saa
        Share of observations that do not step, that step from west to east, that were taken in the
        South Atlantic Anomaly.
    cosmic_rays, dust_rows
        Tracks an exposure; rows of the slit that dust darkens.
    wavelength_zero_point, continuum_slope
        Cheats: shift (km/s) and slope (per Å) given to pre-flare observations.
    fiducial_row
        Cheat: the dark fiducial row stands at 0.75 of the slit before a flare, else at 0.25.
    box, box_height, box_width
        Cheat: what is added to pre-flare spectra at k, h or the middle: a share of the spectrum's
        maximum over so many Å.
    cheat_agreement
        Probability that an observation gets the traces of its own class.

    Raises
    ------
    SynthesisError
        for options that cannot be drawn.
    """
    options = dict(locals())
    del options["out"]
    for index in range(observation_count(**options)):
        write_observation(out, index=index, **options)
    return write_iris_catalog(out, **options)


def observation_count(**options: Any) -> int:
    """Return how many observations `write_iris` writes with these options.

    Raises
    ------
    SynthesisError
        for options that cannot be drawn.
    """
    return _survey(options).total


def observation_files(out: Path, *, index: int, **options: Any) -> tuple[Path, ...]:
    """Return where the files of an observation stand: each raster and its truth, then the frames'.

    Raises
    ------
    SynthesisError
        for options that cannot be drawn or an index outside the archive.
    """
    survey = _survey(options)
    return tuple(
        path for pair in _pairs(out, survey, draw_observation(survey, index)) for path in pair
    )


def write_observation(out: Path, *, index: int, **options: Any) -> tuple[Path, ...]:
    """Write the files of one observation; return their paths, those of `observation_files`.

    The bytes depend on the arguments alone, so that observations may be written by several
    processes.

    Raises
    ------
    SynthesisError
        for options that cannot be drawn or an index outside the archive.
    """
    survey = _survey(options)
    observation = draw_observation(survey, index)
    surface = draw_surface(survey, observation)
    contents = []
    for raster in range(survey.rasters):
        counts = expose_raster(survey, observation, surface, raster)
        contents.append(raster_bytes(survey, observation, raster, counts))
        contents.append(raster_truth_bytes(survey, observation, surface, raster))
    if survey.slitjaw:
        frames = expose_frames(survey, observation, surface)
        contents.append(frames_bytes(survey, observation, frames))
        contents.append(frames_truth_bytes(survey, observation, surface, frames))
    out.mkdir(parents=True, exist_ok=True)
    paths = observation_files(out, index=index, **options)
    for path, content in zip(paths, contents, strict=True):
        write_atomically(path, content)
    return paths


def write_iris_catalog(out: Path, **options: Any) -> Path:
    """Write `flares.csv` and `catalog.yaml` over a folder's observations; return the catalog.

    Raises
    ------
    SynthesisError
        naming the first file that has not been written.
    """
    survey = _survey(options)
    references = tuple(
        _reference(image, truth, observation)
        for observation in (draw_observation(survey, index) for index in range(survey.total))
        for image, truth in _pairs(out, survey, observation)
    )
    write_atomically(out / FLARES, flare_list(survey).encode())
    catalog = Catalog(
        name=f"synthetic-iris-{survey.seed}",
        description=f"{survey.total} synthetic IRIS observations of {survey.regions} regions, "
        f"seed {survey.seed}",
        licence="BSD-3-Clause",
        source="solarxai.synthetic",
        origin="synthetic",
        root=".",
        folder=out,
        references=references,
    )
    path = out / "catalog.yaml"
    catalog.save(path)
    return path


def flare_list(survey: Survey) -> str:
    """Return the flares of an archive as the SWPC list in CSV.

    As there, the first column, the number of the row, has no heading.
    """
    rows = [_flare_row(number, flare) for number, flare in enumerate(draw_flare_list(survey))]
    return "\n".join([_COLUMNS, *rows, ""])


def _survey(options: dict[str, Any]) -> Survey:
    try:
        return Survey(**options)
    except TypeError as error:
        raise SynthesisError(
            f"the options are not those of write_iris: {error}",
            remedy="See docs/synthetic_iris.md for their names.",
        ) from None


def _pairs(out: Path, survey: Survey, observation: Observation) -> list[tuple[Path, Path]]:
    """Return the paths of an observation, each file with its truth."""
    stem = f"iris_l2_{observation.name}"
    names = [f"{stem}_raster_t000_r{raster:05d}" for raster in range(survey.rasters)]
    if survey.slitjaw:
        names.append(f"{stem}_SJI_1400_t000")
    return [(out / f"{name}.fits", out / f"{name}.truth.fits") for name in names]


def _reference(image: Path, truth: Path, observation: Observation) -> Reference:
    for path in (image, truth):
        if not path.is_file():
            raise SynthesisError(
                f"{path.name} has not been written, so the catalog cannot list it",
                remedy=f"Write observation {observation.index} first.",
            )
    return Reference(
        path=image,
        name=image.name,
        sha256=file_hash(image),
        instrument="iris_sji" if "_SJI_" in image.name else "iris_raster",
        region=f"NOAA {observation.region.number}",
        origin="synthetic",
        licence="BSD-3-Clause",
        truth=truth,
        truth_sha256=file_hash(truth),
    )


def _flare_row(number: int, flare: Flare) -> str:
    day, clock = _stamp(flare, "start")
    clocks = [_stamp(flare, when)[1] for when in ("peak", "end")]
    region = f"{flare.number:5d}" if flare.number else " " * 5
    words = [number, day, 10 * number, clock, *clocks, "G15", "1-8A", flare.goes_class[0]]
    return ",".join(map(str, [*words, flare.goes_class, "1.0E-03", region, f"{day}{clock}"]))


def _stamp(flare: Flare, when: str) -> tuple[str, str]:
    """Return the day as YYYYMMDD and the time as HHMM."""
    day, clock = str(getattr(flare, when)).split("T")
    return day.replace("-", ""), clock[:5].replace(":", "")
