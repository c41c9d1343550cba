"""Time every method that has a rival beside it, interleaved, on one thread.

    python benchmarks/speed.py [--device cuda] [--rounds 7] [--write]

The network is the demo's `ResidualCNN`: 16 images of 64×64 a call, and 64 spectra of 240 points
with its 1-D form. Each side cuts its work into passes of the size that is fastest for it. The rival
runs on a network whose parameters take no gradient, its explainer made beforehand; ours runs on a
`Snapshot`, prepared beforehand. The floor is the number of passes the method needs times one pass
of 32 images of the network as it is. Each round times all of them in turn; the table gives
medians. --write puts it into docs/benchmarks/speed.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import captum.attr as captum
import torch
from torch import Tensor, nn

from solarxai.engine.preparation import Snapshot
from solarxai.explainers import Explainer
from solarxai.explainers._catalogue import make_explainer
from solarxai.models.residual_cnn import ResidualCNN

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "speed.md"
IMAGES = {1: 64, 2: 16}
PASS = 32
PARTS = (8, 16, 32, 64)
HEAD = (
    "| method | axes | ms an image | ours ÷ rival | wanted | rival | parts: ours, rival "
    "| ours ÷ floor | rival ÷ floor |"
)
Call = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Match:
    """One of our methods beside the ways in which a rival can be driven."""

    method: str
    ours: Explainer
    rival: str
    ways: dict[str, Call]
    target: float | None


class Margin(nn.Module):
    """The second score of a network less the first, (batch, 1)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the margin of each image."""
        scores: Tensor = self.network(x)
        return scores[:, 1:] - scores[:, :1]


def network_of(axes: int, device: str) -> nn.Module:
    """Return the demo's network with batch-norm statistics of noise."""
    torch.manual_seed(0)
    made = ResidualCNN(axes=axes)
    with torch.no_grad():
        made(images_of(axes, "cpu", n=64))
    return made.eval().requires_grad_(False).to(device)


def images_of(axes: int, device: str, *, n: int | None = None) -> Tensor:
    """Return normal noise of the size of an image or a spectrum."""
    count = IMAGES[axes] if n is None else n
    shape = (count, 1, 64, 64) if axes == 2 else (count, 1, 240)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(device)


def in_parts(x: Tensor, call: Callable[[Tensor], object]) -> dict[str, Call]:
    """Return calls that send x in parts of several sizes, by their size."""

    def way(part: int) -> Call:
        return lambda: [call(some) for some in torch.split(x, part)]

    return {str(part): way(part) for part in (1, *PARTS) if part <= len(x)}


def gradient_matches(model: nn.Module, x: Tensor) -> list[Match]:
    """Return the matches of methods that need gradients alone."""
    margin = Margin(model)
    saliency, product = captum.Saliency(margin), captum.InputXGradient(margin)
    integrated = captum.IntegratedGradients(margin)
    noise = captum.NoiseTunnel(saliency)
    guided, decon = captum.GuidedBackprop(margin), captum.Deconvolution(margin)

    def ways(call: Callable[[Tensor], object]) -> dict[str, Call]:
        return in_parts(x, call)

    def smooth(part: int) -> Call:
        return lambda: noise.attribute(
            x, nt_samples=50, nt_samples_batch_size=max(part // len(x), 1), stdevs=0.1, abs=False
        )

    def steps(part: int) -> Call:
        return lambda: integrated.attribute(
            x, n_steps=64, method="gausslegendre", internal_batch_size=part
        )

    return [
        match("gradient", ways(lambda some: saliency.attribute(some, abs=False)), 0.75),
        match("input_x_gradient", ways(product.attribute), 0.75),
        match("smoothgrad", {str(p): smooth(p) for p in PARTS}, 0.75, samples=50),
        match("integrated_gradients", {str(p): steps(p) for p in PARTS}, 0.75, steps=64),
        match("guided_backprop", ways(guided.attribute), 0.9),
        match("deconvnet", ways(decon.attribute), None),
    ]


def other_matches(model: nn.Module, x: Tensor) -> list[Match]:
    """Return the matches of methods that read a layer or mask the image."""
    margin = Margin(model)
    cam = captum.LayerGradCam(margin, margin.network.stages)
    hide = captum.Occlusion(margin)
    window = (1, *(8,) * (x.ndim - 2))
    stride = (1, *(4,) * (x.ndim - 2))
    mode = "bilinear" if x.ndim == 4 else "linear"

    def on_pixels(some: Tensor) -> Tensor:
        cells: Tensor = cam.attribute(some)
        fine: Tensor = captum.LayerAttribution.interpolate(cells, tuple(some.shape[2:]), mode)
        return fine

    def occluded(part: int) -> Call:
        return lambda: hide.attribute(
            x, window, strides=stride, perturbations_per_eval=max(part // len(x), 1)
        )

    return [
        match("grad_cam", in_parts(x, on_pixels), 0.8),
        match(
            "occlusion",
            {str(p): occluded(p) for p in PARTS},
            0.8,
            window=8,
            stride=4,
            fill="value",
        ),
        match("rise", {str(p): rise(margin, x, part=p) for p in PARTS}, 0.8, "a loop", samples=200),
    ]


def match(
    method: str,
    ways: dict[str, Call],
    target: float | None,
    rival: str = "captum",
    **options: object,
) -> Match:
    """Return a match of one of our methods."""
    ours = make_explainer(method, **options)
    return Match(method=method, ours=ours, rival=rival, ways=ways, target=target)


def rise(margin: nn.Module, x: Tensor, *, part: int, cells: int = 8) -> Call:
    """Return RISE as its authors write it: masks made first, then scores in parts."""
    axes = x.ndim - 2
    size = x.shape[-1]
    cell = -(-size // cells)
    mode = "bilinear" if axes == 2 else "linear"

    def masks() -> Tensor:
        coarse = (torch.rand((200, 1, *(cells,) * axes)) < 0.5).float()
        fine = nn.functional.interpolate(
            coarse, size=(size + cell,) * axes, mode=mode, align_corners=False
        )
        starts = torch.randint(0, cell, (200, axes)).tolist()
        cut = [
            m[(..., *(slice(s, s + size) for s in at))] for m, at in zip(fine, starts, strict=True)
        ]
        return torch.stack(cut).to(x)

    def call() -> Tensor:
        made = masks()
        with torch.no_grad():
            scores = [
                torch.cat([margin(some * image) for some in torch.split(made, part)])[:, 0]
                for image in x
            ]
        return torch.stack([torch.tensordot(s, made, dims=1) / len(made) for s in scores])

    return call


def relevance_match(model: nn.Module, x: Tensor) -> Match | None:
    """Return the match with zennit where it is installed."""
    for name in ("torchvision", "torchvision.models", "torchvision.models.resnet"):
        sys.modules.setdefault(name, types.ModuleType(name))
    for name in ("BasicBlock", "Bottleneck", "ResNet"):
        setattr(sys.modules["torchvision.models.resnet"], name, type(name, (nn.Module,), {}))
    setattr(sys.modules["torchvision.models"], "vgg", types.ModuleType("vgg"))  # noqa: B010
    try:
        from zennit.attribution import Gradient
        from zennit.canonizers import SequentialMergeBatchNorm
        from zennit.composites import EpsilonPlus
    except ImportError:
        return None

    def relevance(some: Tensor) -> object:
        composite = EpsilonPlus(canonizers=[SequentialMergeBatchNorm()])
        with Gradient(model=model, composite=composite) as attributor:
            return attributor(some, torch.tensor([[-1.0, 1.0]]).to(some).expand(len(some), 2))

    return match("lrp", in_parts(x, relevance), 1.0, "zennit", composite="epsilon_plus")


def seconds(call: Call, device: str) -> float:
    """Return how long a call takes: of this process on one thread, of the clock on a device."""
    if device == "cpu":
        start = time.process_time()
        call()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def one_pass(model: nn.Module, x: Tensor, *, backward: bool) -> float:
    """Return seconds an image of one pass of 32 images of the network as it is."""
    many = torch.cat([x] * PASS)[:PASS].requires_grad_(backward)

    def call() -> None:
        with torch.set_grad_enabled(backward):
            score = model(many).sum()
            if backward:
                torch.autograd.grad(score, many)

    return seconds(call, x.device.type) / PASS


def calling(explainer: Explainer, ready: Snapshot, x: Tensor) -> Call:
    """Return a call of one of our methods."""
    return lambda: explainer(ready, x)


def fastest(ways: dict[str, Call], device: str) -> str:
    """Return the name of the fastest of several calls."""
    return min(ways, key=lambda way: min(seconds(ways[way], device) for _ in range(2)))


def row(one: Match, model: nn.Module, x: Tensor, *, rounds: int) -> str:
    """Time one match and return its line of the table."""
    device, ready = x.device.type, Snapshot(model)
    one.ours(ready, x)
    found = one.ours(ready, x)
    own = {str(n): calling(replace(one.ours, batch_size=n), ready, x) for n in PARTS[1:]}
    mine_at, best = (fastest(ways, device) for ways in (own, one.ways))
    ours, rival, forward, both = [], [], [], []
    for _ in range(rounds):
        ours.append(seconds(own[mine_at], device))
        rival.append(seconds(one.ways[best], device))
        forward.append(one_pass(model, x, backward=False))
        both.append(one_pass(model, x, backward=True))
    backward = found.passes.backward
    floor = backward * statistics.median(both)
    floor += (found.passes.forward - backward) * statistics.median(forward)
    mine, theirs = statistics.median(ours), statistics.median(rival)
    ratio = mine / theirs
    kept = "" if one.target is None else f"≤ {one.target:g} {'✓' if ratio <= one.target else '✗'}"
    cells = (
        one.method, x.ndim - 2, f"{1e3 * mine / len(x):.2f}", f"{ratio:.2f}", kept,
        one.rival, f"{mine_at}, {best}", f"{mine / floor:.2f}", f"{theirs / floor:.2f}",
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def lines(axes: Sequence[int], device: str, rounds: int) -> list[str]:
    """Return the table, printing each line as it comes."""
    table = [HEAD, "|---" * 9 + "|"]
    print("\n".join(table), flush=True)
    for n in axes:
        model, x = network_of(n, device), images_of(n, device)
        matches = [*gradient_matches(model, x), *other_matches(model, x)]
        relevance = relevance_match(model, x)
        for one in [*matches, *([relevance] if relevance else [])]:
            table.append(row(one, model, x, rounds=rounds))
            print(table[-1], flush=True)
    return table


def main() -> None:
    """Print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--axes", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks/speed.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    table = lines(given.axes, given.device, given.rounds)
    if given.write:
        where = "one thread" if given.device == "cpu" else torch.cuda.get_device_name()
        words = f"Written by `benchmarks/speed.py`, which says how; {where}.\n\n"
        PAGE.write_text("# Time beside the peers\n\n" + words + "\n".join(table) + "\n")


if __name__ == "__main__":
    main()
