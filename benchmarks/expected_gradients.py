r"""Compare Expected Gradients with captum's GradientShap: error variance, time, standard errors.

    python benchmarks/expected_gradients.py --checkpoint RUN/classifier.safetensors \
        --samples RUN/samples

Without a checkpoint a small residual network is trained on mock samples. --write puts the table
into docs/benchmarks/expected_gradients.md, and the numbers beside it as JSON.

The truth of each image is the mean over all baselines of 64 evenly spaced positions on each path,
by plain autograd on the network itself. Captum runs one image a call on a network whose parameters
take no gradient, in the fastest of several ways to cut its samples into calls; both sides are timed
in turn, on one thread, and the medians compared.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum.attr import GradientShap
from torch import Tensor, nn

from solarxai.attribution import draw_baselines
from solarxai.classifier import Classifier, InputContract
from solarxai.explainers.expected_gradients import ExpectedGradients
from solarxai.models.residual_cnn import ResidualCNN
from solarxai.patches import open_samples
from solarxai.schema import mock_samples

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "expected_gradients.md"
POSITIONS = 64
CALLS = (1, 2, 4, 8)
NAMES = {
    "gradients": "gradients an image",
    "baselines": "baselines",
    "images": "images",
    "rms_captum": "RMS error ÷ RMS of the map, captum",
    "rms_ours": "RMS error ÷ RMS of the map, ours",
    "variance_ratio": "error variance, captum ÷ ours (mean over images)",
    "variance_ratio_each": "the same, image by image",
    "coverage": "pixels whose error is within 2 standard errors",
    "coverage_each": "the same, image by image",
    "stderr_ratio": "RMS standard error ÷ RMS error",
    "seconds_captum": "seconds an image, captum at its best",
    "seconds_ours": "seconds an image, ours, all images in one call",
    "time_ratio": "time, ours ÷ captum",
    "calls": "captum's best number of calls an image",
}


class Margin(nn.Module):
    """The second score of a network less the first."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the margin of each image, (image,)."""
        scores = self.network(x)
        return scores[:, 1] - scores[:, 0]


def mock_classifier() -> tuple[Classifier, Tensor]:
    """Return a network trained on mock samples, and images it has not seen."""
    samples = mock_samples(240, size=64)
    generator = np.random.default_rng(0)
    images = samples["image"].values * generator.uniform(0.7, 1.3, (240, 1, 1)).astype(np.float32)
    images = np.roll(images, generator.integers(-8, 9), axis=-1)
    torch.manual_seed(0)
    network = ResidualCNN()
    made = Classifier(
        network=network, contract=InputContract(), architecture="solarxai.models.residual_cnn"
    )
    x = made.tensor(images)
    truth = torch.from_numpy((samples["label"].values == "sunspot").astype(np.int64))
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)
    for epoch in range(4):
        for rows in torch.randperm(200, generator=torch.Generator().manual_seed(epoch)).split(20):
            loss = nn.functional.cross_entropy(network(x[rows]), truth[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    network.eval()
    return made, x


def given(arguments: argparse.Namespace) -> tuple[nn.Module, Tensor, Tensor]:
    """Return the network, the images to explain and the baselines."""
    n, many = arguments.images, arguments.baselines
    if arguments.checkpoint is None:
        classifier, x = mock_classifier()
        return classifier.network, x[200 : 200 + n], x[:many]
    classifier = Classifier.load(arguments.checkpoint)
    samples = open_samples(arguments.samples)
    split = "train" if "split" in samples.variables else None
    baselines = draw_baselines(samples, classifier, n=many, split=split)
    known = np.isin(samples["label"].values.astype(str), classifier.contract.classes)
    rows = np.flatnonzero(known & (samples["split"].values == "test") if split else known)
    spread = rows[np.linspace(0, len(rows) - 1, n).round().astype(int)]
    return classifier.network, classifier.tensor(samples["image"].values[spread]), baselines


def long_run(network: nn.Module, x: Tensor, baselines: Tensor) -> Tensor:
    """Return the truth of each image."""
    alphas = (torch.arange(POSITIONS) + 0.5).view(-1, 1, 1, 1) / POSITIONS
    truth = torch.zeros_like(x)
    for row, image in enumerate(x):
        for baseline in baselines:
            points = (baseline + alphas * (image - baseline)).requires_grad_()
            (gradient,) = torch.autograd.grad(Margin(network)(points).sum(), points)
            truth[row] += gradient.mean(dim=0) * (image - baseline) / len(baselines)
    return truth


def captum_map(
    network: nn.Module, x: Tensor, baselines: Tensor, samples: int, calls: int
) -> Tensor:
    """Return captum's maps, one image a call, its samples cut into that many calls."""
    method = GradientShap(Margin(network))
    maps = []
    for image in x[:, None]:
        parts = [
            method.attribute(image, baselines, n_samples=samples // calls, stdevs=0.0)
            for _ in range(calls)
        ]
        maps.append(torch.stack(parts).mean(dim=0))
    return torch.cat(maps).detach()


def seconds(run: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return every number of the table."""
    network, x, baselines = given(arguments)
    network.requires_grad_(False)
    n, repeats = arguments.gradients, arguments.repeats
    truth = long_run(network, x, baselines)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)

    def ours(seed: int) -> Any:
        return ExpectedGradients(samples=n, seed=seed)(network, x, baselines=baselines)

    times = {calls: [seconds(lambda c=calls: captum_map(network, x[:1], baselines, n, c))
             for _ in range(3)] for calls in CALLS}  # fmt: skip
    best = min(times, key=lambda calls: float(np.median(times[calls])))
    mine, theirs, clock = [], [], []
    for seed in range(repeats):
        one = seconds(lambda s=seed: mine.append(ours(s)))
        two = seconds(lambda: theirs.append(captum_map(network, x, baselines, n, best)))
        clock.append((one / len(x), two / len(x)))
    return table(arguments, mine, torch.stack(theirs), truth, np.median(clock, axis=0), best)


def table(
    arguments: argparse.Namespace,
    mine: list[Any],
    theirs: Tensor,
    truth: Tensor,
    clock: Any,
    best: int,
) -> dict[str, Any]:
    """Return the numbers of all maps."""
    error = torch.stack([found.values for found in mine]) - truth
    stderr = torch.stack([found.stderr for found in mine])
    axes = (0, 2, 3, 4)
    size = truth.square().mean(dim=(1, 2, 3))
    ours, captum = error.square().mean(dim=axes), (theirs - truth).square().mean(dim=axes)
    within = (error.abs() < 2 * stderr).float().mean(dim=axes)
    return {
        "gradients": arguments.gradients,
        "baselines": arguments.baselines,
        "images": len(truth),
        "rms_captum": float((captum / size).sqrt().mean()),
        "rms_ours": float((ours / size).sqrt().mean()),
        "variance_ratio": float((captum / ours).mean()),
        "variance_ratio_each": [round(float(v), 2) for v in captum / ours],
        "coverage": float(within.mean()),
        "coverage_each": [round(float(v), 3) for v in within],
        "stderr_ratio": float((stderr.square().mean() / error.square().mean()).sqrt()),
        "seconds_captum": float(clock[1]),
        "seconds_ours": float(clock[0]),
        "time_ratio": float(clock[0] / clock[1]),
        "calls": best,
    }


def page(found: dict[str, Any], source: str) -> str:
    """Return the table as markdown."""
    rows = [
        f"| {NAMES[key]} | {value:.3f} |"
        if isinstance(value, float)
        else f"| {NAMES[key]} | {value} |"
        for key, value in found.items()
    ]
    head = "# Expected Gradients against captum's GradientShap\n\n"
    about = f"Written by `benchmarks/expected_gradients.py` for {source}; one thread.\n\n"
    return head + about + "\n".join(["| quantity | value |", "|---|---|", *rows]) + "\n"


def main() -> None:
    """Measure, print, and write on request."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", type=Path, help="classifier written by `solarxai train`")
    parser.add_argument("--samples", type=Path, help="folder of samples, with the checkpoint")
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--gradients", type=int, default=200)
    parser.add_argument("--baselines", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks/")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(arguments)
    trained = "a network trained on mock samples"
    text = page(found, trained if arguments.checkpoint is None else "the trained classifier")
    print(text)
    if arguments.write:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(text)
        PAGE.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
