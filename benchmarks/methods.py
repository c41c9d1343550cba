"""Write the table of methods: oracle, passes, time over the floor, and the axioms that hold.

    python benchmarks/methods.py [--methods gradient lrp ...] [--write]

Oracles are those of the tests in tests/explainers, which this runs. Axioms are measured on small
networks by `solarxai.validation.axioms`. Passes and time are those of 4 images of 64×64 on the
demo's `ResidualCNN` with each method's own options, one thread; the floor is the number of passes
times one pass of 32 images of the network as it is. --write puts the table into docs/methods.md
and the figures into solarxai/explainers/measured.json, which `solarxai methods` reads.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from torch import Tensor, nn

from solarxai import registry
from solarxai.engine.preparation import Snapshot
from solarxai.errors import ExplainerRefusal
from solarxai.explainers import Explainer, ExplainerWarning
from solarxai.explainers._catalogue import make_explainer
from solarxai.models.residual_cnn import ResidualCNN
from solarxai.models.vision_transformer import VisionTransformer
from solarxai.validation.axioms import AXIOMS, measure_axioms

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "methods.md"
FIGURES = ROOT / "solarxai" / "explainers" / "measured.json"
HOLDS, HOLDS_ON_AVERAGE = 1e-3, 1e-2
IMAGES = 4
PASS = 32
WORDS = """# What was measured of each method

Written by `benchmarks/methods.py`, which says how. *Passes* are images sent forward and backward
for one image explained, with the options a method has by default; *÷ floor* is the time against
that many passes of the network as it is, in batches of 32. Under each axiom stands its violation,
**bold** where it holds (at most 0.001, or 0.01 for methods that draw random numbers), and a dash
where the method could not be asked. Players are single pixels; `shapley_exact`, which refuses so
many, is asked about blocks of four, and so keeps no axiom about single pixels.

"""


def oracles() -> dict[str, list[dict[str, str]]]:
    """Return what the tests found of each method beside its oracles: of each the worst."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        tests = ["tests/explainers", "--ignore=tests/explainers/test_contract.py"]
        command = [sys.executable, "-m", "pytest", "-q", *tests, f"--junitxml={report}"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
        told = ElementTree.parse(report).iter("property")
        found = [json.loads(p.attrib["value"]) for p in told if p.attrib["name"] == "oracle"]
    by_method: dict[str, dict[str, str]] = {}
    for each in sorted(found, key=lambda each: each["off"]):
        by_method.setdefault(each["method"], {})[each["oracle"]] = each["difference"]
    return {
        method: [{"oracle": name, "difference": worst} for name, worst in told.items()]
        for method, told in by_method.items()
    }


def transformer(seed: int, size: int = 8, patch: int = 2) -> nn.Module:
    """Return a small vision transformer with seeded weights."""
    del size
    torch.manual_seed(seed)
    return VisionTransformer(width=16, depth=2, heads=2, patch=patch).eval()


def convolutional() -> nn.Module:
    """Return the demo's network with batch-norm statistics of noise."""
    torch.manual_seed(0)
    made = ResidualCNN()
    with torch.no_grad():
        made(images(64))
    return made.eval().requires_grad_(False)


def images(n: int) -> Tensor:
    """Return images of normal noise."""
    return torch.randn((n, 1, 64, 64), generator=torch.Generator().manual_seed(1))


def seconds(call: Callable[[], object], rounds: int = 3) -> float:
    """Return the median time of a call on this thread."""
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return statistics.median(spent)


def pass_seconds(model: nn.Module) -> tuple[float, float]:
    """Return seconds an image of a pass forward, and of one forward and backward."""
    x = images(PASS)

    def forward() -> None:
        with torch.no_grad():
            model(x)

    def both() -> None:
        leaf = x.clone().requires_grad_()
        torch.autograd.grad(model(leaf).sum(), leaf)

    return seconds(forward, 7) / PASS, seconds(both, 7) / PASS


def cost(explainer: Explainer, model: nn.Module, floor: tuple[float, float]) -> dict[str, float]:
    """Return passes an image and time ÷ floor of a method, the preparation left out."""
    x, ready = images(IMAGES), Snapshot(model)
    asked = getattr(explainer, "n_baselines", 0)
    baselines = images(asked) if asked else None
    explainer(ready, x, baselines=baselines)
    found = explainer(ready, x, baselines=baselines).passes
    spent = seconds(lambda: explainer(ready, x, baselines=baselines))
    least = found.backward * floor[1] + (found.forward - found.backward) * floor[0]
    return {
        "forward": found.forward / IMAGES,
        "backward": found.backward / IMAGES,
        "time_over_floor": round(spent / least, 2),
    }


def measured(method: str, checked: list[dict[str, str]]) -> dict[str, Any]:
    """Return all figures of one method."""
    explainer = make_explainer(method)
    attentive = "transformer" in method or "attention" in method
    model = transformer(0, patch=8) if attentive else convolutional()
    axioms = measure_axioms(explainer, network=transformer if attentive else None)
    violations = {n: None if m.violation is None else m.violation for n, m in axioms.items()}
    return {
        "oracles": checked,
        "stochastic": "samples" in type(explainer).__dataclass_fields__,
        "axioms": {n: v if v is None else float(f"{v:.1e}") for n, v in violations.items()},
        **cost(explainer, model, pass_seconds(model)),
    }


def row(method: str, figures: dict[str, Any]) -> str:
    """Return the line of one method."""
    limit = HOLDS_ON_AVERAGE if figures["stochastic"] else HOLDS
    cells = [
        f"`{method}`",
        "; ".join(agreement(oracle) for oracle in figures["oracles"]) or "–",
        f"{figures['forward']:.4g} + {figures['backward']:.4g}",
        f"{figures['time_over_floor']:.2f}",
        *(cell(violation, limit) for violation in figures["axioms"].values()),
    ]
    return f"| {' | '.join(cells)} |"


def agreement(oracle: dict[str, str]) -> str:
    """Return what stands of an oracle in the table."""
    return f"{oracle['oracle']}: {oracle['difference']}".replace("|", "\\|")


def cell(violation: float | None, limit: float) -> str:
    """Return what stands under an axiom."""
    if violation is None:
        return "–"
    return f"**{violation:.0e}**" if violation <= limit else f"{violation:.2g}"


def main() -> None:
    """Print the table line by line, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=registry.names("solarxai.explainers"))
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ExplainerWarning)
    checked = oracles()
    head = ["method", "oracle: difference", "passes", "÷ floor", *AXIOMS]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    print("\n".join(lines), flush=True)
    figures: dict[str, Any] = {}
    for method in given.methods:
        try:
            figures[method] = measured(method, checked.get(method, []))
        except ExplainerRefusal as refusal:
            print(f"{method}: {refusal}", file=sys.stderr)
            continue
        lines.append(row(method, figures[method]))
        print(lines[-1], flush=True)
    if given.write:
        PAGE.write_text(WORDS + "\n".join(lines) + "\n")
        FIGURES.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
