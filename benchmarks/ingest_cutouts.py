"""Synthetic HMI images as archives hold them: cutouts and full disks, plain or Rice-compressed.

A few scenes of the synthetic Sun are drawn once. Every file is one of them with noise, time and
region of its own and a header as long as those of JSOC, in which Carrington longitude and latitude
place the observer. Compressed ones hold integers in steps of 0.1 DN/s, tiles of one row.
"""

from __future__ import annotations

import functools
import io
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.time import Time, TimeDelta
from ingest_floor import Kind

import pipelines.ingest
from solarxai import blocks
from solarxai.catalog import Catalog, Reference
from solarxai.ingest import ingest, open_observation
from solarxai.instruments import open_imager
from solarxai.patches import cut
from solarxai.photosphere import describe, mu
from solarxai.photosphere.flattening import flattened
from solarxai.provenance import file_hash
from solarxai.synthetic.full_disk import draw_disk, render_disk
from solarxai.synthetic.hmi import disk_header, scene_header
from solarxai.synthetic.image import render
from solarxai.synthetic.scenes import draw_scene

__all__ = ["CUTOUTS", "DISKS", "KINDS"]

SIDE, FULL = 600, 4096
SCENES, SUNS = 16, 4
STEPS = (
    "open", "μ", "flatten", "find structures", "cut patches", "join the block", "write the block",
)  # fmt: skip
CARDS = 190
"""Cards in the header of a SHARP's continuum."""

_STEP, _ZERO, _BLANK = 0.1, 97304.0, -(2**31)
_SLOTS = Time("2014-01-01T00:00:00", scale="tai")
_CADENCE = TimeDelta(720, format="sec", scale="tai")
_TURN = 360 / 27.2753
"""Degrees a day by which the Carrington longitude of Earth falls."""

Image = npt.NDArray[np.float32]


def read(path: Path) -> Image:
    """Return the first image of a file as astropy alone reads it, float32; hash the file first."""
    file_hash(path)
    with fits.open(path, memmap=False) as units:
        unit = next(one for one in units if one.is_image and one.header.get("NAXIS", 0) >= 2)
        return np.asarray(unit.data, dtype=np.float32)


def write(folder: Path, files: int, *, full: bool, packed: bool) -> Path:
    """Write so many images and their catalog; return its path."""
    folder.mkdir(parents=True)
    scenes = [_sun(n) if full else _cutout(n) for n in range(min(files, SUNS if full else SCENES))]
    rng = np.random.default_rng(0)
    references = []
    for number in range(files):
        values, header = scenes[number % len(scenes)]
        noisy = values + rng.normal(0, 30, values.shape).astype(np.float32)
        path = folder / f"image_{number:05d}.fits"
        path.write_bytes(_bytes(noisy, _dated(header, number), packed=packed))
        references.append(_reference(path, number))
    catalog = Catalog(
        name="images",
        description="synthetic HMI images",
        licence="BSD-3-Clause",
        source="solarxai.synthetic",
        origin="synthetic",
        root=".",
        folder=folder,
        references=tuple(references),
    )
    catalog.save(folder / "catalog.yaml")
    return folder / "catalog.yaml"


def steps(references: Sequence[Reference], folder: Path) -> dict[str, float]:
    """Return milliseconds of the processor a file that each step of ingest takes."""
    spent = defaultdict[str, float](float)

    def clocked(step: str, call: Callable[..., Any], *given: Any) -> Any:
        start = time.process_time()
        result = call(*given)
        spent[step] += time.process_time() - start
        return result

    made = []
    for reference in references:
        observation = clocked("open", open_observation, reference)
        thresholds = open_imager(reference.instrument).segmentation
        angle = clocked("μ", mu, observation)
        clocked("flatten", flattened, observation, angle, thresholds)
        described = clocked("describe", describe, observation)
        made.append(clocked("cut patches", cut, observation, described))
    joined = clocked("join the block", blocks.concatenate, made)
    clocked("write the block", blocks.save_block, joined, folder / "block.nc")
    spent["find structures"] = spent.pop("describe") - spent["μ"] - spent["flatten"]
    return {step: 1e3 * spent[step] / len(references) for step in STEPS}


def _cutout(number: int) -> tuple[Image, fits.Header]:
    scene = draw_scene(0, number, size=SIDE)
    return render(scene).counts, scene_header(scene)


def _sun(number: int) -> tuple[Image, fits.Header]:
    disk = draw_disk(0, number, size=FULL)
    return render_disk(disk).counts, disk_header(disk)


def _dated(header: fits.Header, number: int) -> fits.Header:
    """Return the header of file `number`: every 12 minutes a file, every 100 files a region."""
    dated = header.copy()
    instant = _SLOTS + number * _CADENCE
    told = instant.strftime("%Y.%m.%d_%H:%M:%S_TAI")
    days = number * _CADENCE.to_value("day")
    dated.update({"T_REC": told, "T_OBS": told, "DATE-OBS": instant.utc.isot})
    dated["CRLN_OBS"] = (header["CRLN_OBS"] - _TURN * days) % 360
    for word in ("HGLN_OBS", "HGLT_OBS"):
        del dated[word]
    dated["HARPNUM"] = dated["NOAA_AR"] = 12000 + number // 100
    for spare in range(CARDS - len(dated)):
        dated[f"STAT{spare:03d}"] = (1.0 + spare / 7, "a statistic, of which JSOC writes many")
    return dated


def _bytes(values: Image, header: fits.Header, *, packed: bool) -> bytes:
    if not packed:
        unit = fits.PrimaryHDU(values, header=header)
        units = fits.HDUList([unit])
    else:
        steps = np.where(np.isfinite(values), np.round((values - _ZERO) / _STEP), _BLANK)
        unit = fits.CompImageHDU(steps.astype(np.int32), header=header, compression_type="RICE_1")
        unit.header.update({"BSCALE": _STEP, "BZERO": _ZERO, "BLANK": _BLANK})
        units = fits.HDUList([fits.PrimaryHDU(), unit])
    stream = io.BytesIO()
    units.writeto(stream)
    return stream.getvalue()


def _reference(path: Path, number: int) -> Reference:
    return Reference(
        path=path,
        name=path.name,
        sha256=file_hash(path),
        instrument="hmi",
        region=f"NOAA {12000 + number // 100}",
        origin="synthetic",
        licence="BSD-3-Clause",
    )


def _kind(name: str, *, full: bool, packed: bool) -> Kind:
    written: Callable[[Path, int], Path] = functools.partial(write, full=full, packed=packed)
    return Kind(
        name=name,
        write=written,
        read=read,
        ingest=ingest,
        steps=steps,
        pipeline=pipelines.ingest.run,
        files_a_block=pipelines.ingest.FILES_A_BLOCK,
    )


CUTOUTS = (
    _kind(f"cutouts of {SIDE}², Rice", full=False, packed=True),
    _kind(f"cutouts of {SIDE}², float32", full=False, packed=False),
)
DISKS = (
    _kind(f"full disks of {FULL}², Rice", full=True, packed=True),
    _kind(f"full disks of {FULL}², float32", full=True, packed=False),
)
KINDS = (*CUTOUTS, *DISKS)
