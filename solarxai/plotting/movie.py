"""The film of a training: its loss above, what the network looks at below, epoch by epoch."""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import PIL.Image
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from solarxai.errors import ContractError
from solarxai.plotting._spectral import (
    WAVELENGTH,
    draw_image,
    draw_spectrogram,
    draw_spectrum,
    mark_lines,
)
from solarxai.plotting._style import BLUE, GREY, drawn, styled, symmetric
from solarxai.plotting._training_run import Progress, TrainingFilm, read_training

__all__ = ["film_frames", "training_movie", "write_film"]

_INCHES, _DPI = (7.2, 5.6), 100
"""Frames are 720 x 560 pixels: even numbers, as mp4 needs them."""
_GREEN = "#1b7837"
_HELD = 2.0
"""Seconds that the last frame stays."""


def training_movie(
    run: Path,
    path: Path,
    *,
    method: str | None = None,
    sample: str | None = None,
    fps: float = 5.0,
    progress: Progress | None = None,
) -> int:
    """Write the film of a training and return its number of frames, one an epoch.

    Parameters
    ----------
    run
        Folder of a run whose training kept its epochs: `training.json`, `epochs/`, `samples/`,
        and `baselines.npy` for methods that compare with a set.
    path
        The film: .webp, or .mp4 where ffmpeg is installed.
    method
        Which maps; those of the run's own attribution keep their options. Expected gradients where
        the run has baselines, else input x gradient.
    sample
        Name of a sample, of a single spectrum of a spectrogram, or the number of a row; else the
        first of the second class, of the test side if there is one.
    fps
        Epochs shown in a second.
    progress
        Called with how much is done, of how much, and what.

    Raises
    ------
    ContractError
        when the file name or `fps` cannot be, or ffmpeg is not there.
    WorkflowError
        when the run lacks a history, checkpoints or baselines.
    QueryError
        when it has no such sample.

    Notes
    -----
    The colours mean the same in every frame: their range is the 99.5th percentile of |a| over all
    epochs. A score grows in training, so early frames are pale. Equal runs give equal bytes of
    WebP.
    """
    _check_target(path, fps)
    film = read_training(run, method=method, sample=sample, progress=progress)
    return write_film(film_frames(film), path, fps=fps, total=len(film.epochs), progress=progress)


def film_frames(film: TrainingFilm) -> Iterator[PIL.Image.Image]:
    """Yield the frames of a film, one in memory at a time, 720 x 560 pixels of RGB."""
    with styled():
        scene = _scene(film)
    for place in range(len(film.epochs)):
        _turn(scene, film, place)
        yield drawn(scene.figure, dpi=_DPI)


def write_film(
    frames: Iterable[PIL.Image.Image],
    path: Path,
    *,
    fps: float,
    total: int,
    progress: Progress | None = None,
) -> int:
    """Write frames as .webp or .mp4, whole or not at all, and return how many there were."""
    _check_target(path, fps)
    path.parent.mkdir(parents=True, exist_ok=True)
    counted = _counted(frames, total, progress)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        unfinished = Path(folder) / path.name
        number = _WRITERS[path.suffix.lower()](counted, unfinished, fps)
        unfinished.replace(path)
    return number


class _Scene(NamedTuple):
    """One figure for all frames, and what moves in it."""

    figure: Figure
    marker: Line2D
    dots: list[tuple[Line2D, npt.NDArray[np.float64]]]
    map: AxesImage
    title: Text


def _scene(film: TrainingFilm) -> _Scene:
    figure = Figure(figsize=_INCHES)
    above = figure.add_axes((0.09, 0.68, 0.77, 0.25))
    curves = _draw_history(above, film)
    marker = above.axvline(0, color="black", linewidth=0.9)
    dots = [
        (axis.plot([], [], "o", color=colour, markersize=4)[0], values)
        for axis, values, colour in curves
    ]
    return _Scene(
        figure=figure,
        marker=marker,
        dots=dots,
        map=_draw_sample(figure, film),
        title=figure.text(0.09, 0.955, "", fontsize=9),
    )


def _turn(scene: _Scene, film: TrainingFilm, place: int) -> None:
    """Put a scene to one epoch."""
    epoch, values = film.epochs[place], film.maps[place]
    scene.marker.set_xdata([epoch, epoch])
    for dot, curve in scene.dots:
        known = epoch < len(curve) and math.isfinite(curve[epoch])
        dot.set_data(([epoch], [curve[epoch]]) if known else ([], []))
    scene.map.set_data(np.ma.masked_invalid(values[None] if values.ndim == 1 else values))
    scene.title.set_text(
        f"epoch {epoch} of {film.epochs[-1]}, score {film.margins[place]:+.3g} logit"
    )


def _draw_history(
    axis: Axes, film: TrainingFilm
) -> list[tuple[Axes, npt.NDArray[np.float64], str]]:
    """Draw losses and skill; return each curve by epoch number, with its axis and colour."""
    beside = axis.twinx()
    wanted = (
        (axis, "loss", "loss", GREY),
        (axis, "validation_loss", "validation loss", BLUE),
        (beside, "validation_tss", "validation TSS", _GREEN),
    )
    curves, lines = [], []
    for where, key, word, colour in wanted:
        values = _by_epoch(film, key)
        lines += where.plot(np.arange(len(values)), values, color=colour, linewidth=1.1, label=word)
        curves.append((where, values, colour))
    axis.set(xlabel="epoch", ylabel="loss [nat]", xlim=(-0.5, max(film.epochs[-1], 1) + 0.5))
    axis.set_ylim(bottom=0)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    beside.set(ylabel="TSS", ylim=(min(-0.05, float(np.nanmin(curves[2][1])) - 0.05), 1.05))
    beside.spines["right"].set_visible(True)
    axis.legend(handles=lines, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=7)
    return curves


def _by_epoch(film: TrainingFilm, key: str) -> npt.NDArray[np.float64]:
    """Return a curve whose place is the number of the epoch; before training there is none."""
    values = np.full(1 + max(int(one["number"]) for one in film.history), np.nan)
    for one in film.history:
        values[int(one["number"])] = float(one[key])
    return values


def _draw_sample(figure: Figure, film: TrainingFilm) -> AxesImage:
    """Draw the sample below the history; return the map that moves."""
    norm, sample = symmetric(film.maps), film.sample
    dims = sample["image"].dims
    draw = {1: _draw_line, 2: _draw_patch}[len(dims)]
    if "slit" in dims:
        draw = _draw_exposure
    shown = draw(figure, film, norm)
    bar = figure.colorbar(shown, cax=figure.add_axes((0.88, 0.09, 0.012, 0.4)))
    bar.set_label(f"{film.method.replace('_', ' ')} [{film.unit}]", fontsize=7)
    bar.ax.tick_params(labelsize=6.5, length=2)
    bar.ax.yaxis.set_major_formatter("{x:.2g}")
    time = str(sample["time"].values.astype("datetime64[s]")).replace("T", " ")
    words = f"{sample['region'].item()}, {time} UTC: {sample['label'].item()}"
    figure.text(0.09, 0.545, words, fontsize=8)
    return shown


def _draw_line(figure: Figure, film: TrainingFilm, norm: Normalize) -> AxesImage:
    axis = figure.add_axes((0.09, 0.09, 0.77, 0.4))
    sample = film.sample
    wavelength = sample["wavelength"].values
    shown = draw_spectrum(axis, wavelength, sample["image"].values, film.maps[0], norm)
    mark_lines(axis, above=True)
    return shown


def _draw_exposure(figure: Figure, film: TrainingFilm, norm: Normalize) -> AxesImage:
    upper = figure.add_axes((0.09, 0.31, 0.77, 0.18))
    lower = figure.add_axes((0.09, 0.09, 0.77, 0.18), sharex=upper)
    wavelength, image = film.sample["wavelength"].values, film.sample["image"].values
    draw_spectrogram(upper, wavelength, image, len(image))
    shown = draw_spectrogram(lower, wavelength, film.maps[0], len(image), norm=norm)
    upper.tick_params(labelbottom=False)
    mark_lines(upper, above=True)
    mark_lines(lower)
    for axis in (upper, lower):
        axis.set_ylabel("slit [pixel]")
    lower.set_xlabel(WAVELENGTH)
    return shown


def _draw_patch(figure: Figure, film: TrainingFilm, norm: Normalize) -> AxesImage:
    left = figure.add_axes((0.07, 0.06, 0.38, 0.46))
    right = figure.add_axes((0.48, 0.06, 0.38, 0.46))
    draw_image(left, film.sample["image"].values)
    shown = draw_image(right, film.maps[0], norm=norm)
    for axis, word in ((left, "I / quiet Sun"), (right, "attribution")):
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(True)
        axis.set_xlabel(word)
    return shown


def _counted(
    frames: Iterable[PIL.Image.Image], total: int, progress: Progress | None
) -> Iterator[PIL.Image.Image]:
    for done, frame in enumerate(frames, start=1):
        yield frame
        if progress:
            progress(done, total, "frames")


def _write_webp(frames: Iterator[PIL.Image.Image], path: Path, fps: float) -> int:
    """Write an endless WebP without loss; Pillow wants all frames at once, 1.2 MB each."""
    drawn_frames = list(frames)
    lasting = [round(1000 / fps)] * (len(drawn_frames) - 1) + [round(1000 * _HELD)]
    drawn_frames[0].save(
        path, format="WEBP", save_all=True, append_images=drawn_frames[1:], loop=0, lossless=True,
        method=4, quality=50, duration=lasting,
    )  # fmt: skip
    return len(drawn_frames)


def _write_mp4(frames: Iterator[PIL.Image.Image], path: Path, fps: float) -> int:
    """Pipe the frames through ffmpeg."""
    width, height = (round(inches * _DPI) for inches in _INCHES)
    command = [
        _ffmpeg(), "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24",
        "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-",
        "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "18", str(path),
    ]  # fmt: skip
    number = 0
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said) as running:
            try:
                for frame in frames:
                    _pipe(running).write(frame.tobytes())
                    number += 1
                _pipe(running).close()
            except BrokenPipeError:
                pass
        said.seek(0)
        words = said.read().decode(errors="replace").strip()
    if running.returncode:
        raise ContractError(
            f"ffmpeg could not write {path.name}: {words or running.returncode}",
            remedy="Mend that, or write a .webp.",
        )
    return number


def _pipe(running: subprocess.Popen[bytes]) -> Any:
    return running.stdin


def _ffmpeg() -> str:
    found = shutil.which("ffmpeg")
    if found is None:
        raise ContractError(
            "an mp4 is written by ffmpeg, which is not installed",
            remedy="Install ffmpeg, or give the film a name that ends in .webp.",
        )
    return found


_WRITERS: dict[str, Callable[[Iterator[PIL.Image.Image], Path, float], int]] = {
    ".webp": _write_webp,
    ".mp4": _write_mp4,
}


def _check_target(path: Path, fps: float) -> None:
    """Refuse before anything is computed."""
    if path.suffix.lower() not in _WRITERS:
        raise ContractError(
            f"{path} is no name of a film",
            remedy=f"Give a name that ends in {' or '.join(_WRITERS)}.",
        )
    if not 0 < fps <= 60:
        raise ContractError(f"fps {fps:g} is not in (0, 60]", remedy="Give for example 5.")
    if path.suffix.lower() == ".mp4":
        _ffmpeg()
