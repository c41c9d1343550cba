"""The networks, images and baselines that Expected Gradients is measured on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum.attr import GradientShap
from torch import Tensor, nn

from solarxai import Snapshot
from solarxai.attribution import draw_baselines
from solarxai.blocks import open_samples
from solarxai.classifier import Classifier
from solarxai.engine.preparation import prepare
from solarxai.explainers.expected_gradients import ExpectedGradients
from solarxai.models.residual_cnn import ResidualCNN
from solarxai.schema import mock_samples


class Margin(nn.Module):
    """The second score of a network less the first."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the margin of each image, (image,)."""
        scores = self.network(x)
        return scores[:, 1] - scores[:, 0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A network with images, the first of which have a truth, and baselines."""

    name: str
    network: nn.Module
    x: Tensor
    baselines: Tensor
    known: int
    positions: int
    sizes: tuple[int, ...] = (16, 32, 48, 64, 100, 200, 400)
    repeats: int = 3
    options: dict[str, Any] = field(default_factory=dict)

    def truth(self) -> Tensor:
        """Return the long-run average of the images that have one."""
        prepared, axes = prepare(self.network, self.x), self.x.ndim - 1
        margin = Margin(prepared.network)
        alphas = ((torch.arange(self.positions) + 0.5) / self.positions).view(-1, *[1] * axes)
        total = torch.zeros_like(self.x[: self.known], dtype=torch.float64)
        for image, sum_of_one in zip(self.x, total, strict=False):
            for some in self.baselines.split(max(1, 64 // self.positions)):
                way = image - some[:, None]
                points = (some[:, None] + alphas * way).flatten(0, 1)
                points = points.contiguous(memory_format=prepared.memory_format).requires_grad_()
                (slope,) = torch.autograd.grad(margin(points).sum(), points)
                slopes = slope.unflatten(0, (len(some), -1)).mean(dim=1)
                sum_of_one += ((image - some) * slopes).sum(dim=0)
        return total / len(self.baselines)

    def ours(
        self, samples: int, seed: int, *, model: Snapshot | None = None, **options: Any
    ) -> Any:
        """Return our attribution of all images, by the network or a snapshot of it."""
        method = ExpectedGradients(samples=samples, seed=seed, **self.options, **options)
        return method(model or self.network, self.x, baselines=self.baselines)

    def captum(self, samples: int, calls: int) -> Tensor:
        """Return captum's maps of the images with a truth, one image at a time."""
        method = GradientShap(Margin(self.network))
        maps = []
        for image in self.x[: self.known, None]:
            parts = [
                method.attribute(image, self.baselines, n_samples=samples // calls, stdevs=0.0)
                for _ in range(calls)
            ]
            maps.append(torch.stack(parts).mean(dim=0))
        return torch.cat(maps).detach()

    def some(self, images: int) -> Case:
        """Return the same with fewer images."""
        return Case(**{**self.__dict__, "x": self.x[:images], "known": min(images, self.known)})


def mock_images() -> tuple[nn.Module, Tensor, Tensor]:
    """Return a network trained on mock samples, images it has not seen, and those it has."""
    samples = mock_samples(900, size=64)
    generator = np.random.default_rng(0)
    images = samples["image"].values * generator.uniform(0.7, 1.3, (900, 1, 1)).astype(np.float32)
    x = torch.from_numpy(np.roll(images, generator.integers(-8, 9), axis=-1))[:, None] - 1
    truth = torch.from_numpy((samples["label"].values == "sunspot").astype(np.int64))
    network = trained(ResidualCNN(), x[:800], truth[:800], epochs=2)
    return network, x[800:], x[:800]


def run_images(run: Path, baselines: int) -> tuple[nn.Module, Tensor, Tensor]:
    """Return the classifier of a run, 24 of its test images, and training images."""
    classifier = Classifier.load(run / "classifier.safetensors")
    samples = open_samples(run / "samples")
    split = json.loads((run / "split.json").read_text())
    places = np.array([split[name] for name in samples["sample_id"].values.astype(str)])
    samples = samples.assign(split=("sample", places))
    rows = np.flatnonzero(places == "test")
    spread = rows[np.linspace(0, len(rows) - 1, 24).round().astype(int)]
    spread = np.concatenate([spread[::2], spread[1::2]])
    drawn = draw_baselines(samples, classifier, n=baselines)
    return classifier.network, classifier.tensor(samples["image"].values[spread]), drawn


def spectra(n: int, seed: int, *, apart: bool) -> tuple[Tensor, Tensor]:
    """Return (n, 1, 240) spectra of two lines and their labels.

    The second line of label 1 has a reversed core and a deeper wing; `apart` leaves no overlap.
    """
    draw = np.random.default_rng(seed)
    place, label = np.linspace(-1, 1, 240), np.arange(n) % 2

    def line(centre: Any, width: Any, depth: Any) -> Any:
        steps = (place - np.broadcast_to(centre, n)[:, None]) / np.broadcast_to(width, n)[:, None]
        return depth[:, None] * np.exp(-0.5 * steps**2)

    shift = draw.normal(0, 0.04, n)
    low, high = ((0.5, 0.9), (-0.1, 0.1)) if apart else ((0.15, 0.6), (-0.1, 0.25))
    core = np.where(label == 1, draw.uniform(*low, n), draw.uniform(*high, n))
    wing = draw.uniform(0, np.where(label == 1, 0.3, 0.15))
    flux = line(shift - 0.35, 0.05 * draw.uniform(0.8, 1.2, n), draw.uniform(0.8, 1.6, n))
    flux += line(shift + 0.3, draw.uniform(0.06, 0.1, n), draw.uniform(0.8, 1.6, n))
    flux += line(shift + 0.42, 0.04, wing) - line(shift + draw.normal(0.3, 0.01, n), 0.02, core)
    flux += draw.normal(0, 0.1, (n, 1)) * place + draw.normal(0, 0.03, (n, 240))
    return torch.from_numpy(flux[:, None].astype(np.float32)) - 0.3, torch.from_numpy(label)


def trained(
    network: nn.Module, x: Tensor, labels: Tensor, *, epochs: int, **loss: Any
) -> nn.Module:
    """Return the network after a few epochs."""
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3)
    for epoch in range(epochs):
        for rows in torch.randperm(len(x), generator=torch.Generator().manual_seed(epoch)).split(
            32
        ):
            found = nn.functional.cross_entropy(network(x[rows]), labels[rows], **loss)
            optimiser.zero_grad()
            found.backward()
            optimiser.step()
    return network.eval().requires_grad_(False)


def spectra_network(*, apart: bool) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a 1-D network with soft or saturated scores, spectra to explain and its training."""
    torch.manual_seed(0)
    x, labels = spectra(2000, 1, apart=apart)
    smoothing = 0.0 if apart else 0.1
    network = trained(ResidualCNN(axes=1), x, labels, epochs=5, label_smoothing=smoothing)
    return network, spectra(64, 2, apart=apart)[0], x
