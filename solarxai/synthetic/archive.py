"""Write a folder of synthetic images with their truth and a catalog, scene by scene."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from solarxai.catalog import Catalog, Reference
from solarxai.errors import SynthesisError
from solarxai.provenance import file_hash, write_atomically
from solarxai.synthetic.full_disk import draw_disk, render_disk
from solarxai.synthetic.hmi import disk_header, image_bytes, scene_header, truth_bytes
from solarxai.synthetic.image import render
from solarxai.synthetic.scenes import MEMBERS, Mode, draw_region, draw_scene

__all__ = ["Kind", "scene_files", "write_catalog", "write_hmi", "write_scene"]

Kind = Literal["cutout", "full_disk"]

_SIZES: dict[Kind, int] = {"cutout": 160, "full_disk": 1024}


def write_hmi(
    out: Path,
    *,
    n: int = 200,
    mode: Mode = "natural",
    seed: int = 0,
    kind: Kind = "cutout",
    size: int | None = None,
    clutter: bool = True,
) -> Path:
    """Write `n` synthetic HMI images, their truth and a catalog; return the catalog's path.

    Parameters
    ----------
    out
        Folder, made if it is not there.
    n
        Number of images; in the modes with pairs, an even number leaves no partner out.
    mode
        "natural", "matched", "adversarial", "paired" or "mixed"; see
        `solarxai.synthetic.scenes.draw_scene`.
    seed
        Fixes every byte of every file.
    kind
        "cutout": one structure at the centre of each image. "full_disk": several active regions.
    size
        Pixels along a side; 160 for cutouts, 1024 for full disks.
    clutter
        Whether anything but the centre is drawn.

    Raises
    ------
    SynthesisError
        for options that cannot be drawn.
    """
    for index in range(_number(n)):
        write_scene(out, index=index, mode=mode, seed=seed, kind=kind, size=size, clutter=clutter)
    return write_catalog(out, n=n, mode=mode, seed=seed, kind=kind)


def write_scene(
    out: Path,
    *,
    index: int,
    mode: Mode = "natural",
    seed: int = 0,
    kind: Kind = "cutout",
    size: int | None = None,
    clutter: bool = True,
) -> tuple[Path, Path]:
    """Write one image and its truth; return their paths.

    The bytes depend on the arguments alone, so that scenes may be written by several processes.

    Raises
    ------
    SynthesisError
        for options that cannot be drawn.
    """
    side = _size(kind) if size is None else size
    if kind == "cutout":
        scene = draw_scene(seed, index, mode=mode, size=side, clutter=clutter)
        image, header = render(scene), scene_header(scene)
    else:
        disk = draw_disk(seed, index, mode=mode, size=side, clutter=clutter)
        image, header = render_disk(disk), disk_header(disk)
    out.mkdir(parents=True, exist_ok=True)
    paths = scene_files(out, index)
    write_atomically(paths[0], image_bytes(image, header))
    write_atomically(paths[1], truth_bytes(image, header))
    return paths


def write_catalog(
    out: Path, *, n: int, mode: Mode = "natural", seed: int = 0, kind: Kind = "cutout"
) -> Path:
    """Write `catalog.yaml` over the first `n` images of a folder; return its path.

    Raises
    ------
    SynthesisError
        naming the first image that has not been written.
    """
    _size(kind)
    references = tuple(_reference(out, index, seed, kind) for index in range(_number(n)))
    catalog = Catalog(
        name=f"synthetic-{kind.replace('_', '-')}-{mode}-{seed}",
        description=f"{n} synthetic HMI continuum images ({kind}, {mode}), seed {seed}",
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


def scene_files(out: Path, index: int) -> tuple[Path, Path]:
    """Return where an image and its truth stand in a folder."""
    return out / f"scene_{index:05d}.fits", out / f"scene_{index:05d}.truth.fits"


def _reference(out: Path, index: int, seed: int, kind: Kind) -> Reference:
    image, truth = scene_files(out, index)
    for path in (image, truth):
        if not path.is_file():
            raise SynthesisError(
                f"{path.name} has not been written, so the catalog cannot list it",
                remedy=f"Write scene {index} first, or catalogue fewer images.",
            )
    region = draw_region(seed, index // MEMBERS).number
    return Reference(
        path=image,
        name=image.name,
        sha256=file_hash(image),
        instrument="hmi",
        region=f"HARP {region}" if kind == "cutout" else f"synthetic disk {index}",
        origin="synthetic",
        licence="BSD-3-Clause",
        truth=truth,
        truth_sha256=file_hash(truth),
    )


def _size(kind: Kind) -> int:
    if kind not in _SIZES:
        raise SynthesisError(
            f"kind {kind!r} is not one of {', '.join(_SIZES)}", remedy="Choose one of these kinds."
        )
    return _SIZES[kind]


def _number(n: int) -> int:
    if n < 1:
        raise SynthesisError(f"{n} images were asked for", remedy="Ask for 1 or more.")
    return n
