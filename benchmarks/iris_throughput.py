"""Measure Expected Gradients over many IRIS-like spectra, end to end, and beside captum.

    python benchmarks/iris_throughput.py [--spectra 20480] [--write]

The network of the 2023 study (363 parameters) is trained on synthetic Mg II spectra of 240 points,
active against pre-flare. Each block of 1024 spectra is read from a netCDF file, explained with 500
gradients a spectrum, rounded and written as the store does, with what is computed once a block
charged. After every block captum explains 32 spectra, driven in the fastest of several ways; both
are timed by their processor time, on one thread, and medians compared. Errors of both are taken
against the mean over all baselines of even positions on each path, by plain autograd, for 16
spectra. With 500 baselines all spectra are explained, and again by two processes that share the
blocks; with other baselines 4096. --write puts the tables and numbers into
docs/benchmarks/iris_throughput.{md,json}.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
import zarr
from captum.attr import GradientShap
from torch import Tensor, nn

from solarxai.engine.preparation import Snapshot
from solarxai.explainers.expected_gradients import ExpectedGradients
from solarxai.models.published_cnn import PublishedCNN
from solarxai.spectra.grid import study_grid
from solarxai.store.layout import MapVariable, create_map, encode_map, shard_file
from solarxai.synthetic.spectra import ACTIVE, PREFLARE, TRAITS, count, expected_counts, traits_at

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "iris_throughput.md"
SAMPLES = 500
BASELINES = (100, 500, 2000)
POSITIONS = {100: 256, 500: 128, 2000: 64}
BLOCK, SHARD = 1024, 256
TRAINING = 8000
KNOWN, BESIDE, REPEATS = 16, 32, 4
BATCHES = (32, 128, 256, 512)
WHOLE, PART = 500, 4096
STUDY = {"days": 5.43, "spectra": 2_352_972, "networks": 9}
NAMES = ("expected_gradients", "expected_gradients_stderr")


class Margin(nn.Module):
    """The second score of a network less the first."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the margin of each spectrum, (spectrum,)."""
        scores = self.network(x)
        return scores[:, 1] - scores[:, 0]


def spectra(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, 240) float32 spectra divided by their maximum, and labels: 1 is pre-flare."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    state = np.where(labels == 1, float(PREFLARE), float(ACTIVE))
    traits = traits_at(state, {name: rng.standard_normal(n) for name in TRAITS})
    counts = count(expected_counts(study_grid().to_value("Angstrom"), traits), 1.0, rng)
    return (counts / counts.max(axis=1, keepdims=True)).astype(np.float32), labels


@cache
def trained() -> tuple[PublishedCNN, Tensor, float]:
    """Return the network, the spectra it was trained on, and its accuracy on others."""
    values, labels = (torch.from_numpy(each) for each in spectra(TRAINING, 1))
    torch.manual_seed(0)
    network = PublishedCNN()
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    for epoch in range(20):
        order = torch.randperm(TRAINING, generator=torch.Generator().manual_seed(epoch))
        for rows in order.split(64):
            found = nn.functional.cross_entropy(network(values[rows, None]), labels[rows])
            optimiser.zero_grad()
            found.backward()
            optimiser.step()
    network.eval().requires_grad_(False)
    others, truth = (torch.from_numpy(each) for each in spectra(2000, 2))
    accuracy = float((network(others[:, None]).argmax(dim=1) == truth).double().mean())
    return network, values[:, None], accuracy


@dataclass(frozen=True)
class Work:
    """Spectra in a file, explained block by block into maps in a folder."""

    spectra: Path
    maps: Path
    baselines: int
    batch_size: int

    def begin(self, rows: int) -> Work:
        """Make the empty maps."""
        group = zarr.create_group(str(self.maps), zarr_format=3)
        for name in NAMES:
            shape, dims = (rows, 240), ("sample", "wavelength")
            empty = MapVariable(name=name, dims=dims, shape=shape, dtype="float32")
            create_map(group, empty, shard_size=SHARD)
        return self

    def block(self, start: int) -> None:
        """Read, explain and write the block of spectra that begins at a row."""
        network, training, _ = trained()
        with xr.open_dataset(self.spectra) as file:
            image = file["image"].isel(sample=slice(start, start + BLOCK)).values
        method = ExpectedGradients(samples=SAMPLES, batch_size=self.batch_size, control="on")
        x = torch.from_numpy(image)[:, None]
        found = method(network, x, baselines=training[: self.baselines])
        for name, values in zip(NAMES, (found.values, found.stderr), strict=True):
            assert values is not None
            for first in range(0, len(image), SHARD):
                part = values[first : first + SHARD, 0].numpy()
                path = self.maps / name / shard_file((start + first) // SHARD, ndim=2)
                path.write_bytes(encode_map(part, shard_size=SHARD, rounded=True))

    def stored(self, rows: int) -> np.ndarray:
        """Return the maps of the first rows as they are read back."""
        return np.asarray(zarr.open_group(str(self.maps))[NAMES[0]][:rows])


def clock(call: Callable[[], Any]) -> float:
    """Return the processor time in seconds that a call takes."""
    start = time.process_time()
    call()
    return time.process_time() - start


def captum_ways(baselines: Tensor) -> dict[str, Callable[[Tensor, int], Tensor]]:
    """Return ways to drive captum: maps of spectra from so many samples each."""
    network, _, _ = trained()
    method = GradientShap(Margin(network))

    def way(together: int, calls: int) -> Callable[[Tensor, int], Tensor]:
        def maps(x: Tensor, n: int) -> Tensor:
            found = []
            for some in x.split(together):
                parts = [
                    method.attribute(some, baselines, n_samples=n // calls, stdevs=0.0)
                    for _ in range(calls)
                ]
                found.append(torch.stack(parts).mean(dim=0))
            return torch.cat(found).detach()

        return maps

    sizes = ((1, 1), (1, 2), (1, 4), (2, 4), (4, 4), (8, 10), (32, 25))
    return {f"{m} a call, {SAMPLES // c} samples": way(m, c) for m, c in sizes}


def best_way(ways: dict[str, Callable[[Tensor, int], Tensor]], x: Tensor) -> str:
    """Return the name of the fastest way."""
    times = {
        name: [clock(lambda w=way: w(x, SAMPLES)) for _ in range(4)][1:]
        for name, way in ways.items()
    }
    return min(times, key=lambda name: float(np.median(times[name])))


def batch_times(x: Tensor, baselines: Tensor) -> dict[int, float]:
    """Return our milliseconds a spectrum by batch size."""
    ready = Snapshot(trained()[0])

    def run(size: int) -> object:
        method = ExpectedGradients(samples=SAMPLES, batch_size=size, control="on")
        return method(ready, x, baselines=baselines)

    times = {size: [clock(lambda s=size: run(s)) for _ in range(4)][1:] for size in BATCHES}
    return {size: 1e3 * float(np.median(each)) / len(x) for size, each in times.items()}


def long_run(x: Tensor, baselines: Tensor) -> Tensor:
    """Return the mean over all baselines of even positions on each path, by plain autograd."""
    network = Margin(trained()[0])
    positions = POSITIONS[len(baselines)]
    alphas = ((torch.arange(positions) + 0.5) / positions).view(-1, 1, 1)
    total = torch.zeros_like(x, dtype=torch.float64)
    for spectrum, sum_of_one in zip(x, total, strict=True):
        for some in baselines.split(max(1, 1024 // positions)):
            way = spectrum - some[:, None]
            points = (some[:, None] + alphas * way).flatten(0, 1).requires_grad_()
            (slope,) = torch.autograd.grad(network(points).sum(), points)
            slopes = slope.unflatten(0, (len(some), -1)).double().mean(dim=1)
            sum_of_one += ((spectrum - some) * slopes).sum(dim=0)
    return total / len(baselines)


def errors(x: Tensor, baselines: Tensor, way: Callable[[Tensor, int], Tensor]) -> dict[str, float]:
    """Return RMS errors ÷ RMS of the map, of ours and of captum."""
    truth = long_run(x, baselines)
    size = float(truth.square().mean())

    def error(maps: list[Tensor]) -> float:
        squares = (torch.stack(maps).double() - truth).square().mean()
        return float((squares / size).sqrt())

    def ours(n: int, seed: int) -> Any:
        method = ExpectedGradients(samples=n, seed=seed, batch_size=512, control="on")
        return method(trained()[0], x, baselines=baselines)

    seeds = range(REPEATS)
    found = {f"captum, {n}": error([way(x, n) for _ in seeds]) for n in (SAMPLES, 4 * SAMPLES)}
    for n in (SAMPLES, 2 * SAMPLES):
        maps = [ours(n, seed) for seed in seeds]
        found[f"ours, {n}"] = error([one.values for one in maps])
        if n == SAMPLES:
            stderr = torch.stack([one.stderr for one in maps]).double()
            off = (torch.stack([one.values for one in maps]) - truth).abs()
            found["within two standard errors"] = float((off < 2 * stderr).double().mean())
    return found


def single(work: Work, rows: int) -> dict[str, Any]:
    """Return times of ours and of captum, block after block in one process, and errors."""
    _, training, _ = trained()
    baselines = training[: work.baselines]
    ways = captum_ways(baselines)
    x = torch.from_numpy(spectra(BESIDE, 7)[0])[:, None]
    chosen = best_way(ways, x)
    ours, captum, start = list[float](), list[float](), time.perf_counter()
    elapsed = 0.0
    for first in range(0, rows, BLOCK):
        start = time.perf_counter()
        ours.append(clock(lambda f=first: work.block(f)) / BLOCK)
        elapsed += time.perf_counter() - start
        captum.append(clock(lambda: ways[chosen](x, SAMPLES)) / BESIDE)
    found = errors(x[:KNOWN], baselines, ways[chosen])
    return {
        "baselines": work.baselines,
        "spectra": rows,
        "batch size": work.batch_size,
        "captum's way": chosen,
        "ours, ms": 1e3 * float(np.median(ours)),
        "ours in all, s": sum(ours) * BLOCK,
        "ours, elapsed s": elapsed,
        "captum, ms": 1e3 * float(np.median(captum)),
        "captum ÷ ours, median of blocks": float(np.median(np.array(captum) / np.array(ours))),
        "errors": found,
    }


def _one_block(work: Work, first: int) -> float:
    torch.set_num_threads(1)
    trained()
    return clock(lambda: work.block(first)) if first >= 0 else 0.0


def double(work: Work, rows: int) -> dict[str, float]:
    """Return the times of the same blocks, shared by two processes that are ready."""
    pool = multiprocessing.get_context("spawn").Pool(2)
    pool.starmap(_one_block, [(work, -1)] * 8, chunksize=1)
    start = time.perf_counter()
    each = pool.starmap(_one_block, [(work, f) for f in range(0, rows, BLOCK)], chunksize=1)
    elapsed = time.perf_counter() - start
    pool.close()
    pool.join()
    return {"processor s": sum(each), "elapsed s": elapsed}


def rounding(work: Work) -> float:
    """Return the largest relative difference of the first stored maps from those computed again."""
    network, training, _ = trained()
    with xr.open_dataset(work.spectra) as file:
        x = torch.from_numpy(file["image"].isel(sample=slice(0, 8)).values)[:, None]
    method = ExpectedGradients(samples=SAMPLES, batch_size=work.batch_size, control="on")
    wanted = method(network, x, baselines=training[: work.baselines]).values[:, 0].numpy()
    off = np.abs(work.stored(8) - wanted)
    return float((off / np.abs(wanted).clip(1e-30)).max())


def works(folder: Path, rows: int) -> Iterator[tuple[Work, dict[int, float]]]:
    """Yield the work of each set of baselines, on one file, and our time by batch size."""
    file = folder / "spectra.nc"
    image = np.concatenate([spectra(BLOCK, 100 + n)[0] for n in range(rows // BLOCK)])
    xr.Dataset({"image": (("sample", "wavelength"), image)}).to_netcdf(file, engine="netcdf4")
    x = torch.from_numpy(image[:64])[:, None]
    for number in BASELINES:
        times = batch_times(x, trained()[1][:number])
        best = min(times, key=lambda size: times[size])
        yield Work(file, folder / f"maps-{number}", number, best).begin(rows), times


def measured(rows: int) -> dict[str, Any]:
    """Return every number of the page."""
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    network, _, accuracy = trained()
    found: dict[str, Any] = {
        "spectra": rows,
        "parameters": sum(p.numel() for p in network.parameters()),
        "accuracy": accuracy,
        "sets": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        for work, times in works(Path(folder), rows):
            part = rows if work.baselines == WHOLE else min(rows, PART)
            made = single(work, part) | {"rounding": rounding(work), "ms by batch size": times}
            if work.baselines == WHOLE:
                made["two processes"] = double(work, rows)
            found["sets"].append(made)
            print(json.dumps(made), flush=True)
    return found


def page(found: dict[str, Any]) -> str:
    """Return the tables as markdown."""
    whole = next(one for one in found["sets"] if one["baselines"] == WHOLE)
    ways = "; ".join(f"{one['baselines']} baselines, {one[_WAY]}" for one in found["sets"])
    return f"""# Expected Gradients over a million spectra

Written by `benchmarks/iris_throughput.py`: {found["spectra"]} synthetic Mg II spectra of 240
points, read from netCDF, explained with {SAMPLES} gradients each, rounded and written as the store
does, in blocks of {BLOCK}; the network of the 2023 study ({found["parameters"]} parameters,
accuracy {found["accuracy"]:.3f}). Processor time of one thread, medians of blocks, captum between
them.

{table(SPEED_TITLES, [_speed_row(one) for one in found["sets"]])}

Ours returns standard errors and completeness errors in that time, captum maps alone. Captum's
error falls with the root of its samples (next table), so its time for our error is its time times
the ratio of squared errors. It is driven in the fastest of seven ways: {ways}.

{table(ERROR_TITLES, [_error_row(one) for one in found["sets"]])}

Our time by the most points in a pass, what is computed once a call charged to 64 spectra:

{table(BATCH_TITLES, [_batch_row(one) for one in found["sets"]])}

## Extrapolated to a million spectra

{table(HOURS_TITLES, [_hours_row(one) for one in found["sets"]])}

Two processes that shared the blocks of {WHOLE} baselines: {_two_processes(whole)}. Elapsed times
are those of a machine that did other work at the same time.

The study reports {STUDY["days"]} days for {STUDY["spectra"]:,} spectra and {STUDY["networks"]}
networks, on hardware that it does not name, with baselines drawn from the whole training set. As
many spectra and networks at the rate measured here: {_study(whole):.0f} processor hours with
{WHOLE} baselines.
"""


_WAY = "captum's way"
SPEED_TITLES = (
    "baselines; spectra; batch size; ours, ms a spectrum; captum, ms a spectrum; "
    "captum ÷ ours, equal samples; captum's samples for our error; captum ÷ ours, equal error"
)
ERROR_TITLES = (
    f"baselines; captum's RMS error ÷ RMS of the map, {SAMPLES} samples; {4 * SAMPLES} samples; "
    f"ratio (2 for 1/√n); ours, {SAMPLES} samples; {2 * SAMPLES} samples; "
    "our values within two standard errors; largest relative rounding in the store"
)
BATCH_TITLES = "baselines; " + "; ".join(f"{size} points, ms" for size in BATCHES)
HOURS_TITLES = "baselines; one process: processor h; elapsed h"


def table(titles: str, rows: list[list[str]]) -> str:
    """Return a table whose titles are given with semicolons between them."""
    names = titles.split("; ")
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _needed(one: dict[str, Any]) -> float:
    error = one["errors"]
    return float(SAMPLES * (error[f"captum, {SAMPLES}"] / error[f"ours, {SAMPLES}"]) ** 2)


def _speed_row(one: dict[str, Any]) -> list[str]:
    ratio, needed = one["captum ÷ ours, median of blocks"], _needed(one)
    numbers = [str(one[key]) for key in ("baselines", "spectra", "batch size")]
    times = [f"{one[key]:.2f}" for key in ("ours, ms", "captum, ms")]
    return [*numbers, *times, f"{ratio:.1f}", f"{needed:.0f}", f"{ratio * needed / SAMPLES:.0f}"]


def _error_row(one: dict[str, Any]) -> list[str]:
    error = one["errors"]
    few, many = (error[f"captum, {n}"] for n in (SAMPLES, 4 * SAMPLES))
    ours = [f"{error[f'ours, {n}']:.4f}" for n in (SAMPLES, 2 * SAMPLES)]
    captum = [f"{few:.4f}", f"{many:.4f}", f"{few / many:.2f}"]
    within = f"{error['within two standard errors']:.3f}"
    return [str(one["baselines"]), *captum, *ours, within, f"{one['rounding']:.1e}"]


def _batch_row(one: dict[str, Any]) -> list[str]:
    return [str(one["baselines"]), *(f"{ms:.2f}" for ms in one["ms by batch size"].values())]


def _hours_row(one: dict[str, Any]) -> list[str]:
    million = 1e6 / one["spectra"] / 3600
    hours = (one["ours in all, s"] * million, one["ours, elapsed s"] * million)
    return [str(one["baselines"]), *(f"{each:.2f}" for each in hours)]


def _two_processes(one: dict[str, Any]) -> str:
    million, two = 1e6 / one["spectra"] / 3600, one["two processes"]
    processor, elapsed = two["processor s"] * million, two["elapsed s"] * million
    return f"{processor / 2:.2f} processor hours each, {elapsed:.2f} h elapsed"


def _study(one: dict[str, Any]) -> float:
    each: float = one["ours in all, s"] / one["spectra"] / 3600
    return each * STUDY["spectra"] * STUDY["networks"]


def main() -> None:
    """Measure, print, and write on request."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--spectra", type=int, default=20 * BLOCK, help="a multiple of 1024")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks/")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = measured(arguments.spectra)
    print(page(found))
    if arguments.write:
        PAGE.write_text(page(found))
        PAGE.with_suffix(".json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
