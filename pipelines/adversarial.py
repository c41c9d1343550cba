"""Calls and maps under perturbations too faint to see: one task, tables and pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from pipelines.attribute import Explainers, labelled
from pipelines.options import with_options_of
from solarxai import attribution
from solarxai.classifier import Classifier
from solarxai.explainers import Explainer
from solarxai.plotting import to_png
from solarxai.plotting.adversarial import flips_figure, led_figure
from solarxai.provenance import write_atomically
from solarxai.validation.adversarial.study import Study, study
from solarxai.workflow import Cluster, Outcome
from solarxai.workflow.progress import Progress

__all__ = ["OUTPUTS", "run"]

OUTPUTS = ("adversarial/*.json", "adversarial/*.md", "adversarial/*.png")

THREE = ({"method": "grad_cam"}, {"method": "gradient"},
         {"method": "expected_gradients", "samples": 50})  # fmt: skip


@with_options_of(study, without={"progress", "baselines"})
def run(
    *,
    out: Path,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    explainers: Explainers = list(THREE),  # noqa: B006
    **options: Any,
) -> Outcome:
    """Write `out/adversarial/adversarial.json`, `adversarial.md` and pictures, and tell figures.

    Parameters
    ----------
    out
        Folder of the run; it holds `samples/` and the classifier.
    cluster
        Not used: the study is one task.
    progress
        Follows the amplitudes.
    threads
        Not used: one thread, so that the figures agree.
    explainers
        One mapping a method, as of the step `attribute`: whose maps are looked at.
    **options
        Those of `solarxai.validation.adversarial.study.study`.

    Raises
    ------
    ValidationError
        when there is no sunspot to study.
    """
    del cluster, threads
    classifier = Classifier.load(out / "classifier.safetensors")
    samples = labelled(out)
    parsed = attribution.parse_explainers(explainers)
    trained_here = "test" in samples["split"].values
    chosen = samples.isel(sample=samples["split"].values == "test") if trained_here else samples
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with (progress or Progress()).stage("adversarial", unit="amplitudes") as stage:
            found = study(
                chosen, classifier, parsed, progress=stage.reach,
                baselines=_baselines(samples, classifier, parsed, options["seed"], trained_here),
                **options,
            )  # fmt: skip
    finally:
        torch.set_num_threads(before)
    return _written(found, out / "adversarial")


def _baselines(
    samples: xr.Dataset,
    classifier: Classifier,
    explainers: dict[str, Explainer],
    seed: int,
    trained_here: bool,
) -> torch.Tensor | None:
    number = max((getattr(e, "n_baselines", 0) for e in explainers.values()), default=0)
    if not number:
        return None
    split = "train" if trained_here else None
    return attribution.draw_baselines(samples, classifier, n=number, seed=seed, split=split)


def _written(found: Study, folder: Path) -> Outcome:
    folder.mkdir(exist_ok=True)
    files = {
        "adversarial.json": (json.dumps(found.record(), indent=1, sort_keys=True) + "\n").encode(),
        "adversarial.md": _tables(found).encode(),
        "flips.png": to_png(flips_figure(found)),
        "led.png": to_png(led_figure(found)),
    }
    for name, data in files.items():
        write_atomically(folder / name, data)
    return Outcome(
        outputs=tuple(folder / name for name in files),
        done=len({row["amplitude"] for row in found.maps} - {0.0}),
        figures={"pictures": f"{folder.name}/flips.png, {folder.name}/led.png"},
        sentences=found.sentences,
    )


def _tables(found: Study) -> str:
    lines = ["| perturbation | amplitude | label | calls changed | structures | regions |"]
    lines.append("|---|---|---|---|---|---|")
    lines += [
        f"| {r['perturbation']} | {100 * r['amplitude']:g} % | {r['label']} | {_told(r)} "
        f"| {r['structures']} | {r['regions']} |"
        for r in found.flips
    ]
    for method in ("", *found.methods):
        lines += _maps_table(found, method)
    return "\n".join(lines) + "\n"


def _maps_table(found: Study, method: str) -> list[str]:
    rows = [row for row in found.maps if row["method"] == method]
    names = list(dict.fromkeys(row["quantity"] for row in rows))
    keys = list(dict.fromkeys((row["perturbation"], row["amplitude"]) for row in rows))
    head = ["perturbation", "amplitude", *names]
    lines = ["", method or "the call and its score", "", _line(head), _line(["---"] * len(head))]
    for name, amplitude in keys:
        told = [_told(found.of(quantity, name, amplitude, method)) for quantity in names]
        lines.append(_line([name, f"{100 * amplitude:g} %", *told]))
    return lines


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _told(row: dict[str, Any]) -> str:
    if np.isnan(row["value"]):
        return "undefined"
    return f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
