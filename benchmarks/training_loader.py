"""Measure how fast training is fed from blocks, what a state costs, and two processes.

    python benchmarks/training_loader.py [--rows 8192] [--write]

Images lie in files as blocks keep them: patches of 64 x 64 pixels, 24 and 256 a block, and spectra
of 240 points, 4096 a block. In turn, again and again: the same bytes read plainly, file by file; an
epoch through the loader from memory, from blocks without and with a reader process; and training
steps of the default network (`published_cnn` for spectra) on one thread. Medians of rows a second.
Files are in the page cache: what is measured is the loader, not a disk. --write puts the page into
docs/benchmarks/training_loader.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from solarxai.classifier import InputContract
from solarxai.training.augmentation import Augmentation, SpectralAugmentation
from solarxai.training.checkpoints import Checkpointing, Checkpoints
from solarxai.training.descent import Sides, _Descent
from solarxai.training.loading import Loader
from solarxai.training.networks import untrained
from solarxai.training.order import balanced_order, windowed
from solarxai.training.parts import Part
from solarxai.training.recipe import Recipe
from solarxai.training.shards import Shard, ShardedImages
from solarxai.training.team import Team

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "training_loader.md"
TURNS, WINDOW, STEPS = 5, 16, 8


@dataclass(frozen=True, kw_only=True)
class Case:
    """An archive, and what learns from it."""

    name: str
    space: tuple[int, ...]
    a_block: int
    batch: int
    model: str
    contract: InputContract
    augment: Augmentation | SpectralAugmentation


PATCHES = InputContract()
SPECTRA = InputContract(
    shape=(240,), scale_mm=None, classes=("active", "preflare"), wavelength=(2794.14, 2805.72)
)
CASES = (
    Case(
        name="patches, 24 a block", space=(64, 64), a_block=24, batch=32, model="residual_cnn",
        contract=PATCHES, augment=Augmentation(),
    ),
    Case(
        name="patches, 256 a block", space=(64, 64), a_block=256, batch=32, model="residual_cnn",
        contract=PATCHES, augment=Augmentation(),
    ),
    Case(
        name="spectra, 4096 a block", space=(240,), a_block=4096, batch=64, model="published_cnn",
        contract=SPECTRA, augment=SpectralAugmentation(),
    ),
)  # fmt: skip


def archive(folder: Path, case: Case, rows: int) -> ShardedImages:
    """Write the images of an archive as blocks keep them: one after the other, at an offset."""
    rng = np.random.default_rng(0)
    shards = []
    for number in range(rows // case.a_block):
        path = folder / f"{number}"
        block = rng.normal(1, 0.2, (case.a_block, *case.space)).astype(np.float32)
        path.write_bytes(bytes(8192) + block.tobytes())
        shards.append(Shard(path=path, offset=8192, shape=block.shape))
    row = np.arange(len(shards) * case.a_block)
    return ShardedImages(
        shards=tuple(shards), shard=(row % len(shards)).astype(np.int32), place=row // len(shards),
        space=case.space,
    )  # fmt: skip


def plain(images: ShardedImages) -> int:
    """Read the bytes of all blocks, one after the other."""
    for shard in images.shards:
        with shard.path.open("rb") as file:
            file.seek(shard.offset or 0)
            np.fromfile(file, dtype=np.float32)
    return len(images)


def epoch(loader: Loader, batches: tuple[torch.Tensor, ...]) -> int:
    """Take all batches from a loader."""
    return sum(len(batch) for batch in loader.batches(batches))


def learner(case: Case, images: np.ndarray, truth: np.ndarray) -> _Descent:
    """Return a network about to learn from images in memory."""
    recipe = Recipe(
        epochs=1000, batch_size=case.batch, learning_rate=1e-3, weight_decay=0.01, seed=0,
        label_smoothing=0.05, attribution_prior=0.0, patience=1000, threads=1, augment=case.augment,
    )  # fmt: skip
    part = Part(images=images, truth=truth, regions=np.zeros(len(truth)))
    made = untrained(case.model, {}, case.contract)
    loader = Loader(images, window=None, readers=0)
    sides = Sides(learn=part, check=part, loader=loader, team=Team())
    call = made.network.train()
    return _Descent.of(made, sides, recipe, call, Checkpoints(None, belongs=""))


def steps(descent: _Descent, images: torch.Tensor, truth: torch.Tensor) -> int:
    """Take some training steps with a batch at hand."""
    for _ in range(STEPS):
        descent._step(images, truth, len(truth))
    return STEPS * len(truth)


def timed(work: Callable[[], int]) -> float:
    """Return rows a second."""
    started = time.perf_counter()
    rows = work()
    return rows / (time.perf_counter() - started)


def measured(case: Case, rows: int) -> dict[str, float]:
    """Return the medians of rows a second of one archive, each way."""
    with tempfile.TemporaryDirectory() as folder:
        images = archive(Path(folder), case, rows)
        whole = images[:]
        truth = np.arange(len(images)) % 3 == 0
        generator = torch.Generator().manual_seed(0)
        order = windowed(balanced_order(truth, generator), images.shard, truth, WINDOW, generator)
        batches = torch.tensor_split(order, len(order) // case.batch)
        descent = learner(case, whole, truth)
        first = torch.from_numpy(whole[: case.batch])[:, None]
        said = torch.from_numpy(truth[: case.batch]).long()
        with (
            Loader(whole, window=None, readers=0) as memory,
            Loader(images, window=WINDOW, readers=0) as blocks,
            Loader(images, window=WINDOW, readers=1) as ahead,
        ):
            epoch(ahead, batches)
            ways: dict[str, Callable[[], int]] = {
                "plain": partial(plain, images),
                "memory": partial(epoch, memory, batches),
                "blocks": partial(epoch, blocks, batches),
                "ahead": partial(epoch, ahead, batches),
                "steps": partial(steps, descent, first, said),
            }
            found = {name: [timed(way) for way in ways.values()] for name in range(TURNS)}
        medians = map(statistics.median, zip(*found.values(), strict=True))
        result = dict(zip(ways, medians, strict=True))
        path = Path(folder) / "state"
        where = Checkpointing(path=path, due=lambda: True)
        kept = Checkpoints(where, belongs="")
        result["state_s"] = 1 / timed(lambda: kept.keep(descent.state()) or 1)
        result["state_bytes"] = path.stat().st_size
    return result


def page(found: dict[str, dict[str, float]], rows: int) -> str:
    """Return the page."""
    lines = [
        "# How fast training is fed",
        "",
        "Written by `python benchmarks/training_loader.py --write` "
        f"(torch {torch.__version__}, {platform.machine()}, {os.cpu_count()} cores, one thread, "
        f"{rows} rows, window of {WINDOW} blocks, files in the page cache). Rows a second, medians "
        f"of {TURNS} turns, all ways in turn.",
        "",
        "| archive | bytes read plainly | loader, images in memory | loader, from blocks | "
        "the same, one reader process | training steps | loader / steps | "
        "loader / plain |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, r in found.items():
        cells = (f"{r[way]:,.0f}" for way in ("plain", "memory", "blocks", "ahead", "steps"))
        lines.append(
            f"| {name} | {' | '.join(cells)} | {r['blocks'] / r['steps']:.0f}× | "
            f"{r['blocks'] / r['plain']:.2f} |"
        )
    state = next(iter(found.values()))
    lines += [
        "",
        f"The state of the default network is {state['state_bytes'] / 1e6:.1f} MB and is written, "
        f"with its fsync, in {1000 * state['state_s']:.0f} ms.",
        "",
        "A loader that gives n times the rows of the training steps takes 1/n of a step's time "
        "from training when it reads in the same process, and next to nothing with a reader "
        "process. Against the plain reading stand the rows that are copied into batches, and "
        "into the memory that processes share. Steps of a GPU may be faster than all of these; "
        "more readers read more blocks at once.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write on request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks/")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = {case.name: measured(case, arguments.rows) for case in CASES}
    told = page(found, arguments.rows)
    print(told)
    if arguments.write:
        PAGE.write_text(told)


if __name__ == "__main__":
    main()
