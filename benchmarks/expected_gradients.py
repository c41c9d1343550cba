r"""Compare Expected Gradients with captum's GradientShap: error and time, standard errors, memory.

    python benchmarks/expected_gradients.py [--run RUN] [--write]

RUN is the folder of a finished `solarxai run`: its classifier explains test images against training
images. Without it a small network is trained on mock samples. Two more networks are trained on
synthetic spectra of 240 points, one with soft and one with saturated scores. --write puts tables,
numbers and curves into docs/benchmarks/expected_gradients.{md,json,png}.

The truth of an image is the mean over all baselines of even positions on each path (64, or 16 with
500 baselines or more), by plain autograd on the network with its batch norm folded. Captum runs one
image a call on a network whose parameters take no gradient, its samples cut into calls in the
fastest of several ways. Ours runs as it is called by users, many images in a call and the fastest
of several batch sizes, with all that it computes once a call charged. Both are timed in turn, on
one thread, and medians compared. "Ours, again" is a call with a `solarxai.Snapshot` that was called
before with the same baselines, as every call for an archive is but the first.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from expected_gradients_cases import Case, mock_images, run_images, spectra_network
from torch import Tensor

from solarxai import Snapshot
from solarxai.explainers.expected_gradients import ExpectedGradients
from solarxai.models.residual_cnn import ResidualCNN

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "expected_gradients.md"
AT = 200
CALLS = (1, 2, 4, 8)
BATCHES = (32, 64, 128, 256)
ERRORS = (0.02, 0.05, 0.1, 0.2, 0.5)
CAPTUM_SIZES = (50, AT, 400)
HALF = (32, 48, 64, AT)
WAYS = {"ours": "float32", "ours, again": "float32", "ours, again, bfloat16": "bfloat16"}


def seconds(call: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def best_batch(case: Case) -> int:
    """Return which batch size of ours is fastest."""
    few = case.some(4)
    times = {
        size: [seconds(lambda s=size: few.ours(AT, 0, batch_size=s)) for _ in range(3)]
        for size in BATCHES
    }
    return min(times, key=lambda size: float(np.median(times[size])))


def best_calls(case: Case) -> int:
    """Return into how many calls captum's samples are best cut."""
    one = case.some(1)
    times = {c: [seconds(lambda c=c: one.captum(AT, c)) for _ in range(5)] for c in CALLS}
    return min(times, key=lambda c: float(np.median(times[c])))


def compared(case: Case, truth: Tensor) -> dict[str, Any]:
    """Return curves of error against time of both, and the standard errors of ours."""
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    calls, batch, half = best_calls(case), best_batch(case), {"precision": "bfloat16"}
    ready = Snapshot(case.network)
    ways: dict[tuple[str, int], Callable[[int], Tensor]] = {}

    def ours(n: int, seed: int, **options: Any) -> Tensor:
        found = case.ours(n, seed, batch_size=batch, **options)
        return found.values[: case.known]

    for n in case.sizes:
        ways["ours", n] = lambda seed, n=n: ours(n, seed)
        ways["ours, again", n] = lambda seed, n=n: ours(n, seed, model=ready)
        if n in HALF:
            ways["ours, again, bfloat16", n] = lambda seed, n=n: ours(n, seed, model=ready, **half)
    ours(min(case.sizes), 0, model=ready)
    ours(min(case.sizes), 0, model=ready, **half)
    for n in CAPTUM_SIZES:
        ways["captum", n] = lambda _, n=n: case.captum(n, max(1, calls * n // AT))
    maps: dict[tuple[str, int], list[Tensor]] = {way: [] for way in ways}
    clock: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    for seed in range(case.repeats):
        for way, call in ways.items():
            if way == ("captum", max(CAPTUM_SIZES)) and seed:
                continue
            many = case.known if way[0] == "captum" else len(case.x)
            clock[way].append(seconds(lambda c=call, s=seed, w=way: maps[w].append(c(s))) / many)
    size = truth.square().flatten(1).mean(dim=1)
    squares = {
        way: (torch.stack(found) - truth).square().flatten(2).mean(dim=2).mean(dim=0) / size
        for way, found in maps.items()
    }
    curves: dict[str, list[dict[str, float]]] = {}
    for (who, n), each in squares.items():
        point = {
            "gradients": n,
            "seconds": float(np.median(clock[who, n])),
            "error": float(each.mean().sqrt()),
        }
        curves.setdefault(who, []).append(point)
    ratio = squares["captum", AT] / squares["ours", AT]
    found = {
        "baselines": len(case.baselines),
        "images": case.known,
        "images a call": len(case.x),
        "batch size": batch,
        "captum's calls an image": calls,
        "curves": curves,
        "variance ratio": float(squares["captum", AT].mean() / squares["ours", AT].mean()),
        "variance ratio, least and most of an image": [float(ratio.min()), float(ratio.max())],
    }
    return found | speeds(curves)


def speeds(curves: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Return ratios of time, at the same gradients and at the same error."""
    captum = next(p for p in curves["captum"] if p["gradients"] == AT)
    made: dict[str, Any] = {}
    for who in WAYS:
        curve = sorted(curves[who], key=lambda p: -p["error"])
        errors, times = ([np.log(p[k]) for p in curve] for k in ("error", "seconds"))
        reached = float(np.exp(np.interp(-np.log(captum["error"]), -np.array(errors), times)))
        ours = next(p for p in curves[who] if p["gradients"] == AT)
        part = ours["seconds"] / captum["seconds"]
        made[who] = {
            "time, ours ÷ captum": part,
            "captum's error at 200 gradients: captum ÷ ours": captum["seconds"] / reached,
            "our error at 200 gradients: captum ÷ ours": (captum["error"] / ours["error"]) ** 2
            / part,
        }
    return made


def calibration(case: Case, truth: Tensor, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return how often the error lies within two standard errors."""
    rows, case = [], case.some(case.known)
    for n in sizes:
        found = [case.ours(n, 100 + seed) for seed in range(case.repeats)]
        error = torch.stack([one.values for one in found]) - truth
        stderr = torch.stack([one.stderr for one in found])
        rows.append(
            {
                "network": case.name,
                "baselines": len(case.baselines),
                "gradients": n,
                "within": float((error.abs() < 2 * stderr).double().mean()),
                "ratio": float((stderr.square().mean() / error.square().mean()).sqrt()),
            }
        )
    return rows


def peak(images: int, samples: int) -> float:
    """Return the most memory in MiB that a fresh process takes to explain so many images."""
    command = [sys.executable, __file__, "--peak", str(images), str(samples)]
    return int(subprocess.check_output(command)) / 1024


def anonymous() -> int:
    """Return the memory in KiB that this process has allocated, in store or swapped out."""
    status = Path("/proc/self/status").read_text().splitlines()
    sizes = {line.split(":")[0]: line.split()[1] for line in status if line.endswith("kB")}
    return int(sizes["RssAnon"]) + int(sizes["VmSwap"])


def print_peak(images: int, samples: int) -> None:
    """Explain so many images of noise, and print the most memory that was seen, in KiB."""
    torch.manual_seed(0)
    x, b = torch.randn(images, 1, 64, 64), torch.randn(64, 1, 64, 64)
    network, done, seen = ResidualCNN().eval(), threading.Event(), [anonymous()]

    def watch() -> None:
        while not done.wait(0.002):
            seen.append(anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    ExpectedGradients(samples=samples)(network, x, baselines=b)
    done.set()
    watcher.join()
    print(max(seen))


def measured(run: Path | None) -> dict[str, Any]:
    """Return every number of the page."""
    start = time.perf_counter()
    network, x, b = mock_images() if run is None else run_images(run, 500)
    network.requires_grad_(False)
    soft, sx, sb = spectra_network(apart=False)
    hard, hx, hb = spectra_network(apart=True)
    two, on = "2-D, demo" if run else "2-D, mock", {"control": "on"}
    every = [
        Case(
            name=two,
            network=network,
            x=x[:24],
            baselines=b[:: len(b) // 100][:100],
            known=12,
            positions=64,
            repeats=2,
            options=on,
        ),
        Case(
            name="1-D, soft",
            network=soft,
            x=sx,
            baselines=sb[:100],
            known=12,
            positions=64,
            options=on,
        ),
        Case(
            name="1-D, soft",
            network=soft,
            x=sx,
            baselines=sb,
            known=4,
            positions=16,
            options=on,
        ),
    ]
    extra = [
        Case(name=two, network=network, x=x, baselines=b, known=2, positions=16),
        Case(name="1-D, soft", network=soft, x=sx, baselines=sb[:500], known=4, positions=16),
        Case(name="1-D, saturated", network=hard, x=hx, baselines=hb[:100], known=6, positions=64),
        Case(name="1-D, saturated", network=hard, x=hx, baselines=hb[:500], known=4, positions=16),
    ]
    found: dict[str, Any] = {"compared": {}, "calibration": []}
    for case in every:
        print(f"{time.perf_counter() - start:.0f} s: {case.name}", file=sys.stderr, flush=True)
        truth = case.truth()
        found["compared"][f"{case.name}, {len(case.baselines)} baselines"] = compared(case, truth)
        plain = Case(**{**case.__dict__, "options": {}})
        found["calibration"] += calibration(plain.some(4), truth[:4], (AT, 800))
    for case in extra:
        print(f"{time.perf_counter() - start:.0f} s: {case.name}", file=sys.stderr, flush=True)
        sizes = (AT, 800) if case.x.ndim == 3 else (AT,)
        found["calibration"] += calibration(case, case.truth(), sizes)
    peaks = {f"{i} images, {n} samples": peak(i, n) for i, n in ((1, 64), (64, AT))}
    few, many = peaks.values()
    return found | {"memory": {**peaks, "ratio": many / few}}


def page(found: dict[str, Any], source: str) -> str:
    """Return the tables as markdown."""
    lines = [
        "# Expected Gradients against captum's GradientShap",
        "",
        f"Written by `benchmarks/expected_gradients.py` for {source} and two networks of spectra; "
        "one thread, both timed in turn, medians.",
        "",
        "![error against time](expected_gradients.png)",
        "",
        "| network | images, in a call, in a pass | error variance at 200 gradients, captum ÷ ours "
        "(least to most of an image) | call | time at 200 gradients, ours ÷ captum | time to "
        "captum's error at 200 gradients, captum ÷ ours | time to our error at 200 gradients, "
        "captum ÷ ours |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, case in found["compared"].items():
        least, most = case["variance ratio, least and most of an image"]
        for who in WAYS:
            part, theirs, ours = case[who].values()
            spread = f"{case['variance ratio']:.1f} ({least:.1f} to {most:.1f})"
            lines.append(
                f"| {name} | {case['images']}, {case['images a call']}, "
                f"{case['batch size']} "
                f"| {spread if who == 'ours' else ''} | {who} | {part:.2f} | {theirs:.1f} "
                f"| {ours:.1f} |"
            )
    lines += [
        "",
        "Captum's error falls with the root of its gradients, so its time to our error is its time "
        'at 200 gradients times the ratio of variances. Ours runs with `control="on"`: the '
        "gradients at all baselines are in the time of the first call, and a later one with the "
        "same `Snapshot` (*again*) does not take them anew. bfloat16 is ours alone: captum runs in "
        "float32, and errors are those against a float32 truth.",
        "",
        "| network | gradients | RMS error ÷ RMS of the map | ms an image |",
        "|---|---|---|---|",
    ]
    for name, case in found["compared"].items():
        for who, curve in case["curves"].items():
            lines += [
                f"| {name}: {who} | {point['gradients']} | {point['error']:.3f} "
                f"| {point['seconds'] * 1e3:.1f} |"
                for point in curve
            ]
    lines += [
        "",
        "| network | baselines | gradients | pixels whose error is within 2 standard errors "
        "| RMS standard error ÷ RMS error |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['network']} | {row['baselines']} | {row['gradients']} | {row['within']:.3f} "
        f"| {row['ratio']:.2f} |"
        for row in found["calibration"]
    ]
    lines += ["", "| peak memory of a call | MiB |", "|---|---|"]
    lines += [f"| {name} | {value:.2f} |" for name, value in found["memory"].items()]
    return "\n".join(lines) + "\n"


def draw(found: dict[str, Any], path: Path) -> None:
    """Draw error against time, a panel a case."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot, ticker

    cases = found["compared"]
    figure, axes = pyplot.subplots(
        1, len(cases), figsize=(4.2 * len(cases), 3.8), layout="constrained"
    )
    styles = {
        "captum": ("tab:grey", "s"),
        "ours": ("tab:blue", "o"),
        "ours, again": ("tab:green", "v"),
        "ours, again, bfloat16": ("tab:orange", "^"),
    }
    for axis, (name, case) in zip(axes, cases.items(), strict=True):
        for who, (colour, marker) in styles.items():
            curve = case["curves"][who]
            x, y = ([p[k] for p in curve] for k in ("seconds", "error"))
            axis.loglog(np.array(x) * 1e3, y, color=colour, marker=marker, label=who, ms=4)
            for point in (p for p in curve if p["gradients"] == AT):
                axis.plot(
                    point["seconds"] * 1e3, point["error"], "o", mfc="none", ms=11, mec=colour
                )
        axis.set(title=name, xlabel="time an image (ms)")
        for one, ticks in ((axis.xaxis, (2, 5, 10, 20, 50, 100, 200, 500)), (axis.yaxis, ERRORS)):
            one.set_major_locator(ticker.FixedLocator(ticks))
            one.set_major_formatter(ticker.FormatStrFormatter("%g"))
            one.set_minor_locator(ticker.NullLocator())
        axis.grid(visible=True, which="both", alpha=0.25)
    axes[0].set_ylabel("RMS error ÷ RMS of the map")
    axes[0].legend(title="circled: 200 gradients", fontsize=8, title_fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print, and write on request."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, help="folder of a finished `solarxai run`")
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks/")
    parser.add_argument("--peak", type=int, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.peak:
        print_peak(*arguments.peak)
        return
    found = measured(arguments.run)
    text = page(found, "a mock network" if arguments.run is None else "the trained classifier")
    print(text)
    if arguments.write:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(text)
        PAGE.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
        draw(found, PAGE.with_suffix(".png"))


if __name__ == "__main__":
    main()
