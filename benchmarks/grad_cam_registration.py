"""Print how far from its place a dot comes back: registered by receptive field, and by resizing.

    python benchmarks/grad_cam_registration.py [--write]

Networks of stride-2 convolutions with positive weights and a pooled head are shown one dot, in turn
at every pixel of one stride in the middle of a spectrum or of an image's diagonal. The place is the
centroid of |map| along the last axis; errors are in input pixels. --write puts the table into
docs/benchmarks/grad_cam_registration.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from solarxai.explainers.grad_cam import GradCAM

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "grad_cam_registration.md"
MODES = {1: "linear", 2: "bilinear"}
SIZES = {1: 1024, 2: 384}


def network(stride: int, *, padded: bool, dilation: int, axes: int) -> nn.Module:
    """Return a network of one channel whose last map has that stride."""
    convolution = nn.Conv2d if axes == 2 else nn.Conv1d
    edge = 1 if padded else 0
    layers: list[nn.Module] = [convolution(1, 1, 3, 1, edge, bias=False)]
    for _ in range(stride.bit_length() - 1):
        padding = 2 * dilation if padded else 0
        layers += [convolution(1, 1, 5, 2, padding, dilation=dilation, bias=False), nn.ReLU()]
    layers += [convolution(1, 1, 3, 1, edge, bias=False), nn.ReLU()]
    pool = nn.AdaptiveAvgPool2d(1) if axes == 2 else nn.AdaptiveAvgPool1d(1)
    made = nn.Sequential(*layers, pool, nn.Flatten(), nn.Linear(1, 2))
    for module in made:
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            nn.init.ones_(module.weight)
    made[-1].weight.data = torch.tensor([[-1.0], [1.0]])
    return made.eval()


def centroid(values: Tensor) -> float:
    """Return the centroid of |values| along the last axis."""
    along = values.abs().reshape(-1, values.shape[-1]).sum(dim=0)
    return float((along * torch.arange(len(along))).sum() / along.sum())


def errors(
    stride: int, *, padded: bool, dilation: int, axes: int
) -> tuple[list[float], list[float]]:
    """Return recovered − planted for every dot of one stride: registered, and resized."""
    size = SIZES[axes]
    model = network(stride, padded=padded, dilation=dilation, axes=axes)
    start = size // 2 // stride * stride
    registered, resized = [], []
    for dot in range(start, start + stride):
        x = torch.zeros(1, 1, *(size,) * axes)
        x[(0, 0) + (dot,) * axes] = 1.0
        found = GradCAM()(model, x)
        assert found.features is not None
        plain = nn.functional.interpolate(found.features.values, x.shape[2:], mode=MODES[axes])
        registered.append(centroid(found.values[0, 0]) - dot)
        resized.append(centroid(plain[0, 0]) - dot)
    return registered, resized


def rows() -> list[str]:
    """Return the rows of the table."""
    made = []
    for axes, padded, dilation in ((1, True, 1), (1, False, 1), (1, True, 2), (2, True, 1)):
        for stride in (1, 2, 4, 8, 16, 32) if axes == 1 else (2, 4, 8):
            found = errors(stride, padded=padded, dilation=dilation, axes=axes)
            numbers = [f"{sum(e) / len(e):+.2f} | {max(map(abs, e)):.2f}" for e in found]
            words = f"{axes}-D | {'yes' if padded else 'no'} | {dilation} | {stride}"
            made.append(f"| {words} | {stride / 4:.2f} | {' | '.join(numbers)} |")
    return made


def main() -> None:
    """Measure, print, and write on request."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks/")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    head = (
        "# Registration of class activation maps\n\n"
        "Written by `benchmarks/grad_cam_registration.py`: recovered − planted place of a dot, in "
        "input\npixels, mean and largest over all dots of one stride.\n\n"
        "| input | padded | dilation | stride | stride / 4 | registered, mean | largest "
        "| resized, mean | largest |\n|---|---|---|---|---|---|---|---|---|\n"
    )
    text = head + "\n".join(rows()) + "\n"
    print(text)
    if arguments.write:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
