"""How often a network is right with and against a bias of its training set: one task, one table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from pipelines.attribute import labelled
from solarxai.classifier import Classifier
from solarxai.errors import ValidationError
from solarxai.provenance import write_atomically
from solarxai.validation.report import Resampling
from solarxai.validation.selection import held_out
from solarxai.validation.subgroups import GAP, subgroup_rows
from solarxai.workflow import Cluster, Outcome
from solarxai.workflow.progress import Progress

__all__ = ["OUTPUTS", "run"]

OUTPUTS = ("subgroups/subgroups.json", "subgroups/subgroups.md")


def run(
    *,
    out: Path,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    column: str | None = None,
    cut: float | None = None,
    second_class: Literal["above", "below"] = "above",
    n_bootstrap: Annotated[int, Field(ge=1)] = 1000,
    seed: int = 0,
) -> Outcome:
    """Write `out/subgroups/subgroups.json` and `subgroups.md`, and tell the table.

    Parameters
    ----------
    out
        Folder of the run; it holds `samples/`, `split.json`, `training.json` and the classifier.
    cluster, progress, threads
        Not used: the test samples are scored once.
    column, cut, second_class
        Whose halves are told apart, where, and which half a biased archive has sunspots in; those
        of the bias of the training where no column is named.
    n_bootstrap, seed
        Resamples of the active regions behind each interval.

    Raises
    ------
    ValidationError
        when no column is named and the training had no bias.
    """
    del cluster, progress, threads
    asked = {"column": column, "cut": cut, "second_class": second_class}
    chosen = asked if column is not None else _of_training(out)
    samples = labelled(out)
    test = samples.isel(sample=np.flatnonzero(samples["split"].values == "test"))
    test = held_out(test)[0].load()
    classifier = Classifier.load(out / "classifier.safetensors")
    rows = subgroup_rows(
        test, classifier.margins(test["image"].values), **chosen,
        resampling=Resampling(n=n_bootstrap, seed=seed),
    )  # fmt: skip
    folder = out / "subgroups"
    folder.mkdir(exist_ok=True)
    record = {"rows": [_plain(row) for row in rows], **chosen}
    files = folder / "subgroups.json", folder / "subgroups.md"
    write_atomically(files[0], (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())
    write_atomically(files[1], _table(rows).encode())
    return Outcome(
        outputs=files,
        done=int(test.sizes["sample"]),
        figures={
            f"called rightly, {_name(row)}": _told(row) for row in rows if row["subgroup"] != GAP
        },
        sentences=tuple(
            _sentence(row, str(chosen["column"])) for row in rows if row["subgroup"] == GAP
        ),
    )


def _of_training(out: Path) -> dict[str, Any]:
    bias = json.loads((out / "training.json").read_text()).get("bias")
    if bias is None:
        raise ValidationError(
            f"{out}: the training had no bias, so no column is known to tell subgroups by",
            remedy="Name one, as `subgroups: {column: area_mm2}`.",
        )
    return {name: bias[name] for name in ("column", "cut", "second_class")}


def _name(row: Mapping[str, Any]) -> str:
    return str(row["subgroup"]) if row["label"] == "all" else f"{row['label']}, {row['subgroup']}"


def _told(row: Mapping[str, Any]) -> str:
    return f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _sentence(row: Mapping[str, Any], column: str) -> str:
    leans = "leans on" if row["low"] > 0 else "is not shown to lean on"
    return (
        f"this model {leans} {column}: the fraction called rightly with the bias less that against "
        f"it is {_told(row)}."
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| samples | called rightly | structures | regions |", "|---|---|---|---|"]
    lines += [
        f"| {_name(row)} | {_told(row)} | {row['structures']} | {row['regions']} |" for row in rows
    ]
    return "\n".join(lines) + "\n"


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: (None if math.isnan(value) else float(f"{value:.6g}"))
        if isinstance(value, float)
        else value
        for name, value in row.items()
    }
