"""Print how far from its place a dot comes back, for every class activation map.

    python benchmarks/grad_cam_registration.py [--write]

Networks of stride-2 convolutions with positive weights and a pooled head are shown one dot, in turn
at pixels spread evenly over one stride, the first of them on the centre of a cell, in the middle of
a spectrum or of an image's diagonal. The place is the centroid of |map| along each axis; errors are
in input pixels, and for spectra in Å at 0.0509 Å a pixel. --write puts the tables into
docs/benchmarks/grad_cam_registration.md.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from solarxai import registry
from solarxai.engine.preparation import Snapshot
from solarxai.explainers._class_activation import ClassActivation
from solarxai.explainers.grad_cam import GradCAM
from solarxai.explainers.published_grad_cam import PublishedGradCAM

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "grad_cam_registration.md"
MODES = {1: "linear", 2: "bilinear"}
ANGSTROM = 0.0509
DOTS = 8
METHOD_TITLES = "method, on a centre, mean, largest ÷ stride, largest in spectra Å"
NETWORK_TITLES = (
    "input, padded, dilation, stride, stride / 4, mean, on a centre, largest, resized mean, "
    "resized largest, largest Å, resized largest Å"
)
LINES = {"k": 2796.352, "triplet": 2798.77, "h": 2803.53}
IRIS_FIRST, IRIS_STEP = 2794.14, 0.04845


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network of one channel: the stride of its last map, padding, dilation, axes."""

    axes: int
    padded: bool
    dilation: int
    stride: int

    def size(self) -> int:
        """Return pixels an axis that leave several cells around the middle."""
        return 2048 if self.axes == 1 else max(64, 16 * self.stride * self.dilation + 64)

    def network(self) -> nn.Module:
        """Return the network."""
        convolution = nn.Conv2d if self.axes == 2 else nn.Conv1d
        edge = 1 if self.padded else 0
        layers: list[nn.Module] = [convolution(1, 1, 3, 1, edge, bias=False)]
        for _ in range(self.stride.bit_length() - 1):
            width = 2 * self.dilation if self.padded else 0
            step = convolution(1, 1, 5, 2, width, dilation=self.dilation, bias=False)
            layers += [step, nn.ReLU()]
        layers += [convolution(1, 1, 3, 1, edge, bias=False), nn.ReLU()]
        for layer in layers:
            for weight in layer.parameters():
                nn.init.constant_(weight, 0.2)
        pool = nn.AdaptiveAvgPool2d(1) if self.axes == 2 else nn.AdaptiveAvgPool1d(1)
        head = nn.Linear(1, 2)
        head.weight.data = torch.tensor([[-1.0], [1.0]])
        return nn.Sequential(*layers, pool, nn.Flatten(), head).eval()


@dataclass(frozen=True)
class Found:
    """Recovered − planted, in pixels, of the dots of one case: (dot, axis), a centre first."""

    registered: Tensor
    resized: Tensor


def cases() -> list[Case]:
    """Return all networks, spectra first."""
    return [
        Case(axes=axes, padded=padded, dilation=dilation, stride=stride)
        for axes in (1, 2)
        for padded in (True, False)
        for dilation in (1, 2)
        for stride in (1, 2, 4, 8, 16, 32)
    ]


def methods() -> dict[str, ClassActivation]:
    """Return every class activation map of the registry by its name."""
    kinds = {
        name: registry.load("solarxai.explainers", name)
        for name in registry.names("solarxai.explainers")
    }
    return {name: kind() for name, kind in kinds.items() if issubclass(kind, ClassActivation)}


def centroids(values: Tensor) -> Tensor:
    """Return the centroid of |values| (image, 1, *space) along each axis, (image, axis)."""
    size = values[:, 0].abs().double()
    found = []
    for axis in range(1, size.ndim):
        others = [n for n in range(1, size.ndim) if n != axis]
        along = size.sum(dim=others) if others else size
        found.append((along * torch.arange(along.shape[1])).sum(dim=1) / along.sum(dim=1))
    return torch.stack(found, dim=1)


def dots(case: Case, network: Snapshot) -> tuple[Tensor, Tensor]:
    """Return the pixel of each dot, and the images (dot, 1, *space)."""
    shape = (1, 1, *(case.size(),) * case.axes)
    features = GradCAM()(network, torch.zeros(shape)).features
    assert features is not None
    middle = round(float(features.centres[-1][len(features.centres[-1]) // 2]))
    pixels = torch.arange(middle, middle + case.stride, max(1, case.stride // DOTS))
    x = torch.zeros(len(pixels), *shape[1:])
    for image, pixel in zip(x, pixels.tolist(), strict=True):
        image[(0, *(pixel,) * case.axes)] = 1.0
    return pixels[:, None], x


def errors(case: Case) -> dict[str, Found]:
    """Return the errors of every map for one network: registered, and its cells resized."""
    network = Snapshot(case.network())
    pixels, x = dots(case, network)
    made = {}
    for name, cam in methods().items():
        found = cam(network, x)
        assert found.features is not None
        plain = nn.functional.interpolate(
            found.features.values, x.shape[2:], mode=MODES[case.axes], align_corners=False
        )
        made[name] = Found(*(centroids(each) - pixels for each in (found.values, plain)))
    return made


def measured() -> dict[str, dict[Case, Found]]:
    """Return the errors of every map for every network."""
    each = {case: errors(case) for case in cases()}
    return {name: {case: found[name] for case, found in each.items()} for name in methods()}


def network_rows(all_found: dict[str, dict[Case, Found]]) -> list[str]:
    """Return a row a network: the worst of all maps."""
    made = []
    for case in cases():
        found = [each[case] for each in all_found.values()]
        registered = torch.stack([each.registered for each in found])
        resized = torch.stack([each.resized for each in found])
        pixels = [registered.mean(dim=1), registered[:, :1], registered]
        pixels += [resized.mean(dim=1), resized]
        angstrom = [ANGSTROM * registered, ANGSTROM * resized] if case.axes == 1 else []
        cells = [f"{case.axes}-D", "yes" if case.padded else "no", str(case.dilation)]
        cells += [
            str(case.stride),
            f"{case.stride / 4:.2f}",
            *(f"{largest(each):.2f}" for each in pixels),
        ]
        cells += [f"{largest(each):.4f}" for each in angstrom] or ["", ""]
        made.append(row(cells))
    return made


def largest(found: Tensor) -> float:
    """Return the largest absolute value."""
    return float(found.abs().max())


def row(cells: list[str]) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"


def method_rows(all_found: dict[str, dict[Case, Found]]) -> list[str]:
    """Return a row a map: the worst of all networks."""
    made = []
    for name, each in all_found.items():
        centre = max(largest(found.registered[0]) for found in each.values())
        shift = max(largest(found.registered.mean(dim=0)) for found in each.values())
        part = max(largest(found.registered) / case.stride for case, found in each.items())
        spectra = max(largest(f.registered) for case, f in each.items() if case.axes == 1)
        numbers = (f"{centre:.3f}", f"{shift:.3f}", f"{part:.3f}", f"{ANGSTROM * spectra:.4f}")
        made.append(row([f"`{name}`", *numbers]))
    return made


def iris_rows() -> list[str]:
    """Return where the 2023 study draws the lines of Mg II, and where `registered` does."""
    study = nn.Sequential(
        nn.Conv1d(1, 2, 20, 3), nn.ReLU(), nn.Conv1d(2, 4, 10, 3), nn.ReLU(), nn.MaxPool1d(2),
        nn.Flatten(), nn.Linear(44, 5), nn.ReLU(), nn.Linear(5, 2),
    ).eval()  # fmt: skip
    cam, x = PublishedGradCAM(), torch.linspace(0, 1, 240)[None, None]
    grids = []
    for placement in ("registered", "stretched"):
        features = replace(cam, placement=placement)(study, x).features
        assert features is not None
        grids.append(features.centres[0].double())
    true, drawn = grids
    rows = []
    for name, line in LINES.items():
        cell = ((line - IRIS_FIRST) / IRIS_STEP - true[0]) / (true[1] - true[0])
        pixel = drawn[0] + cell * (drawn[1] - drawn[0])
        shift = float(IRIS_FIRST + IRIS_STEP * pixel) - line
        rows.append(row([name, f"{line:.2f}", f"{shift:+.2f}"]))
    return rows


def table(titles: str, rows: list[str]) -> str:
    """Return a table whose titles are given with commas between them."""
    names = titles.split(", ")
    return "\n".join([row(names), "|" + "---|" * len(names), *rows])


def page() -> str:
    """Return the page."""
    all_found = measured()
    return f"""# Registration of class activation maps

Written by `benchmarks/grad_cam_registration.py`: |recovered − planted place| of a dot, for every
class activation map of the registry. Promised: 0.5 pixel on the centre of a cell, a quarter of the
stride elsewhere, no systematic shift. A spectrum has {ANGSTROM} Å a pixel.

Each network has one channel with positive weights, so its maps differ only by a factor, and the
rows of the methods agree: what is tested is where a method puts its cells, not how it weighs
channels.

## Each map: the largest over all networks

Pixels; the mean is over dots spread evenly over one stride.

{table(METHOD_TITLES, method_rows(all_found))}

## Each network: the largest over all maps

Pixels, and for spectra Å. *Resized* is the same cells stretched over the image by
`torch.nn.functional.interpolate`.

{table(NETWORK_TITLES, network_rows(all_found))}

## The 2023 study of IRIS spectra

What its drawing of the cells (`published_grad_cam`, placement "stretched") moves each line of Mg II
by, at 48.45 mÅ a pixel; placed by receptive field it is zero.

{table("line, Å, drawn − true Å", iris_rows())}
"""


def main() -> None:
    """Measure, print, and write on request."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks/")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    text = page()
    print(text)
    if arguments.write:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
