"""Which methods find the penumbra? Every method on matched sunspots, at equal passes.

    python benchmarks/method_ranking.py RUN --out DIR [--real RUN] [--write]

RUN holds the classifier (`solarxai run workflows/quickstart.yaml`), and `--real` a run on real
images (`workflows/sunspot_pore_real.yaml`). DIR gets matched scenes of a seed that no training saw,
and a JSON file a method: what is there is not done again. Every method that has a number of samples
or steps to choose gets as many as make PASSES images sent forward or backward for one image
explained; the others take what they take. Players are superpixels, not the segments: those would
give the penumbra away. --write puts the tables into docs/validation/ranking.md, below the line that
says so.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from solarxai import registry
from solarxai.attribution import attribute, draw_baselines
from solarxai.blocks import concatenate, open_samples
from solarxai.catalog import Catalog
from solarxai.classifier import Classifier
from solarxai.errors import SolarxaiError
from solarxai.explainers import Explainer, ExplainerWarning
from solarxai.explainers._catalogue import make_explainer
from solarxai.ingest import ingest
from solarxai.metrics import Interval, block_bootstrap
from solarxai.synthetic.archive import write_hmi
from solarxai.validation.faithfulness.table import faithfulness
from solarxai.validation.localisation.measures import measure
from solarxai.validation.randomisation.checks import randomisation_checks, sensitivities
from solarxai.validation.randomisation.weights import edge_controls, randomisation_test
from solarxai.validation.report import Limits, Resampling

PAGE = Path(__file__).parents[1] / "docs" / "validation" / "ranking.md"
LINE = "<!-- below this line: written by benchmarks/method_ranking.py -->"
PASSES, SUNSPOTS, SCENES, SEED = 256, 48, 128, 7
RESAMPLING = Resampling(n=1000, seed=0)


def matched(out: Path) -> xr.Dataset:
    """Return the sunspots of matched scenes, drawn once."""
    folder = out / "matched"
    if not (folder / "catalog.yaml").is_file():
        write_hmi(folder, n=SCENES, mode="matched", seed=SEED)
    references = Catalog.load(folder / "catalog.yaml").references
    blocks = [block for r in references if (block := ingest(r)).sizes["sample"]]
    return sunspots(concatenate(blocks))


def sunspots(samples: xr.Dataset) -> xr.Dataset:
    """Return at most SUNSPOTS sunspots, evenly spread, in memory."""
    rows = np.flatnonzero(samples["label"].values == "sunspot")
    spread = np.unique(np.linspace(0, len(rows) - 1, min(SUNSPOTS, len(rows))).round().astype(int))
    return samples.isel(sample=rows[spread]).drop_vars("header", errors="ignore").load()


def at_equal_passes(
    name: str, classifier: Classifier, baselines: torch.Tensor, image: np.ndarray
) -> Explainer:
    """Return the method with as many samples or steps as cost PASSES, as near as it can."""
    made = make_explainer(name)
    known = {option.name for option in fields(made)}
    if "players" in known:
        made = varied(made, players="superpixels")
    if "n_players" in known and name != "shapley_exact":
        made = varied(made, n_players=32)
    count = next((option for option in ("samples", "steps") if option in known), None)
    if count is None:
        return made
    for _ in range(3):  # passes are nearly proportional to the number
        spent = passes(made, classifier, baselines, image)
        number = round(getattr(made, count) * PASSES / spent)
        made = varied(made, **{count: min(max(number, 2), PASSES)})
    return made


def varied(explainer: Explainer, **options: Any) -> Explainer:
    """Return the method with other options."""
    return replace(explainer, **options)


def passes(
    explainer: Explainer, classifier: Classifier, baselines: torch.Tensor, image: np.ndarray
) -> int:
    """Return the images sent forward and backward for one image explained."""
    x = classifier.tensor(image[None])
    found = explainer(classifier.network, x, baselines=first(baselines, explainer))
    return int(found.passes.forward + found.passes.backward)


def first(baselines: torch.Tensor, explainer: Explainer) -> torch.Tensor | None:
    """Return as many baselines as the method asks for."""
    number = getattr(explainer, "n_baselines", 0)
    return baselines[:number] if number else None


def areas(maps: np.ndarray, samples: xr.Dataset) -> np.ndarray:
    """Return the area under the ROC curve of |map| for the penumbra, a structure."""
    planes = samples["segmentation"].values, samples["central"].values
    return measure(maps, *planes, names=("AUC",))["AUC"]


def interval(values: np.ndarray, samples: xr.Dataset) -> dict[str, Any]:
    """Return the median over structures with its interval by region."""
    defined = ~np.isnan(values)
    if not defined.any():
        return Interval(value=math.nan, low=math.nan, high=math.nan, n_groups=0).record()
    regions = samples["region"].values[defined]
    found = block_bootstrap(
        partial(np.median), values[defined], groups=regions, n=RESAMPLING.n, seed=RESAMPLING.seed
    )
    return found.record()


def ranked(
    name: str, samples: xr.Dataset, classifier: Classifier, baselines: torch.Tensor
) -> dict[str, Any]:
    """Return what is found of one method."""
    image = samples["image"].values[0]
    explainer = at_equal_passes(name, classifier, baselines, image)
    start = time.process_time()
    maps = attribute(samples, classifier, {name: explainer}, baselines=baselines)[name].values
    spent = time.process_time() - start
    area = areas(maps, samples)
    sobel = areas(edge_controls(samples, classifier)["Sobel"], samples)
    forgot = randomisation_test(
        samples, classifier, {name: explainer}, baselines=baselines, modes=(), n_seeds=3, most=8,
        resampling=RESAMPLING,
    )  # fmt: skip
    checks = randomisation_checks(forgot.rows, limits=Limits())
    rates = [name] if explainer.units != "logit" else []
    faith = faithfulness(
        samples, classifier, {name: maps}, fills=("granulation",), most=24, gradients=rates
    )
    gain = next(r for r in faith if r["method"] == name and r["quantity"] == "deletion")
    full = next(check for check in checks if "all" in check.name)
    return {
        "method": name,
        "passes": passes(explainer, classifier, baselines, image),
        "seconds": spent / samples.sizes["sample"],
        "AUC": interval(area, samples),
        "beyond Sobel": interval(area - sobel, samples),
        "sensitivity": sensitivities(checks)[0]["verdict"],
        "likeness": [full.value, full.low, full.high, full.limit],
        "deletion": gain["interval"].record(),
        "structures": samples.sizes["sample"],
        "regions": len(set(samples["region"].values.tolist())),
    }


def controls(samples: xr.Dataset, classifier: Classifier) -> list[dict[str, Any]]:
    """Return the edge detectors, and the images themselves, as methods."""
    quiet = np.abs(samples["image"].values - 1)
    shown = {**edge_controls(samples, classifier), "|image − quiet Sun|": quiet}
    sobel = areas(shown["Sobel"], samples)
    return [
        {
            "method": f"*{name}* (knows no network)",
            "passes": 0,
            "seconds": 0.0,
            "AUC": interval(areas(values, samples), samples),
            "beyond Sobel": interval(areas(values, samples) - sobel, samples),
            "sensitivity": "",
        }
        for name, values in shown.items()
    ]


def measured(
    folder: Path, names: list[str], samples: xr.Dataset, classifier: Classifier, learnt: xr.Dataset
) -> list[dict[str, Any]]:
    """Return the rows of all methods, making those that are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    baselines = draw_baselines(learnt, classifier, n=100, seed=0)
    for name in names:
        path = folder / f"{name}.json"
        if path.is_file():
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExplainerWarning)
                row = ranked(name, samples, classifier, baselines)
        except SolarxaiError as refusal:
            row = {"method": name, "refused": refusal.what}
        path.write_text(json.dumps(row, indent=1))
        told = row.get("refused") or f"AUC {row['AUC']['value']:.3f}, {row['passes']} passes"
        print(f"{name}: {told}", flush=True)
    return [json.loads((folder / f"{name}.json").read_text()) for name in names]


def table(rows: list[dict[str, Any]], beside: list[dict[str, Any]]) -> str:
    """Return the table, the best first."""
    shown = [row for row in rows if "refused" not in row] + beside
    shown.sort(key=lambda row: -(row["AUC"]["value"] or 0))
    head = (
        "method", "passes", "AUC for penumbra [95 %]", "less that of Sobel [95 %]",
        "weights forgotten", "likeness, limit", "deletion gain [95 %]",
    )  # fmt: skip
    lines = [line(*head), line(*["---"] * len(head))]
    lines += [
        line(
            row["method"],
            row["passes"] or "",
            spelt(row["AUC"]),
            spelt(row["beyond Sobel"], "+.3f"),
            row["sensitivity"],
            "{:.2f}, {:.2f}".format(row["likeness"][0], row["likeness"][3])
            if "likeness" in row
            else "",
            spelt(row["deletion"], ".2f") if "deletion" in row else "",
        )
        for row in shown
    ]
    refused = [f"* {row['method']}: {row['refused']}" for row in rows if "refused" in row]
    return "\n".join(lines) + ("\n\nRefused:\n\n" + "\n".join(refused) if refused else "")


def spelt(found: dict[str, Any], form: str = ".3f") -> str:
    """Return a value with its interval."""
    if found["value"] is None:
        return "–"
    bounds = [found["low"], found["high"]]
    told = "" if None in bounds else f" [{', '.join(format(b, form) for b in bounds)}]"
    return f"{found['value']:{form}}{told}"


def line(*cells: object) -> str:
    """Return a line of a table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def told(title: str, rows: list[dict[str, Any]], beside: list[dict[str, Any]]) -> str:
    """Return one section of the page."""
    one = next(row for row in rows if "refused" not in row)
    said = f"{one['structures']} sunspots of {one['regions']} regions."
    return f"## {title}\n\n{said}\n\n{table(rows, beside)}\n"


def main() -> None:
    """Measure what is missing, one method after the other, and write on request."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--real", type=Path, help="a run on real images, ingested")
    names = registry.names("solarxai.explainers")
    parser.add_argument("--methods", nargs="+", choices=names, default=names)
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}")
    given = parser.parse_args()
    torch.set_num_threads(1)
    classifier = Classifier.load(given.run / "classifier.safetensors")
    sides = json.loads((given.run / "split.json").read_text())
    learnt = open_samples(given.run / "samples")
    column = [sides.get(name, "none") for name in learnt["sample_id"].values]
    learnt = learnt.assign_coords(split=("sample", np.array(column, dtype=object)))
    sets = {"Matched sunspots of the synthetic Sun": ("synthetic", matched(given.out))}
    if given.real:
        sets["Real sunspots"] = ("real", sunspots(open_samples(given.real / "samples")))
    parts = []
    for title, (word, samples) in sets.items():
        rows = measured(given.out / word, given.methods, samples, classifier, learnt)
        parts.append(told(title, rows, controls(samples, classifier)))
    text = "\n".join(parts)
    print(text)
    if given.write:
        PAGE.write_text(f"{PAGE.read_text().split(LINE)[0]}{LINE}\n\n{text}")


if __name__ == "__main__":
    main()
