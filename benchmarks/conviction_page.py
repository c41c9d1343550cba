"""The page of `conviction.py`: who was convicted, by which test, and what honest networks score."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from solarxai.validation.causal.nuisances import nuisance_rows

PAGE = Path(__file__).parents[1] / "docs" / "validation" / "cheats.md"
LINE = "<!-- below this line: written by benchmarks/conviction.py -->"
OUTCOMES = ("convicted", "honest so far", "undecided")
REMOVED = ("penumbra removed", "penumbra removed, darkness kept")


def failed(record: Mapping[str, Any], *, by_value: bool = False) -> list[str]:
    """Return what a network is convicted of, with what may be so, its limit in the interval."""
    return [*record["convicted_of"], *(record["swayed_by"] if by_value else ())]


def lost(record: Mapping[str, Any], intervention: str) -> float:
    """Return the fraction of sunspots no longer called so after an intervention."""
    name = f"{intervention}: sunspots no longer called so"
    return float(next(c["value"] for c in record["checks"] if c["name"] == name))


def took_it(record: Mapping[str, Any]) -> bool:
    """Return whether the network reads its cue: reversed, it costs a tenth of the calls."""
    lost = record["accuracy"] - record.get("accuracy_reversed", record["accuracy"])
    return bool(lost > 0.1)


def finished(out: Path, arms: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the records of all finished networks by arm, in the order of `arms`."""
    records = [json.loads(path.read_text()) for path in sorted((out / "networks").glob("*.json"))]
    found = {name: [r for r in records if r["arm"] == name] for name in arms}
    return {name: some for name, some in found.items() if some}


def span(values: list[float]) -> str:
    """Return the least and greatest of some numbers."""
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


def row(*cells: object) -> str:
    """Return a line of a table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def confusion(found: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    """Return the table of verdicts: a row an arm."""
    head = (
        "network", "n", "accuracy", "accuracy, cue reversed", "read the cue", "convicted",
        "honest so far", "undecided", "convicted, were the value enough", "needs the penumbra",
        "sunspots lost without penumbra", "... with the darkness kept",
    )  # fmt: skip
    lines = [row(*head), row(*["---"] * len(head))]
    for name, records in found.items():
        reversed_ = [r["accuracy_reversed"] for r in records if "accuracy_reversed" in r]
        lines.append(
            row(
                name,
                len(records),
                span([r["accuracy"] for r in records]),
                span(reversed_) if reversed_ else "",
                sum(map(took_it, records)) if reversed_ else "",
                *(sum(r["outcome"] == word for r in records) for word in OUTCOMES),
                sum(bool(failed(r, by_value=True)) for r in records),
                sum("penumbra" in r["needs"] for r in records),
                *(span([lost(r, name) for r in records]) for name in REMOVED),
            )
        )
    return lines


def convicting(found: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    """Return the table of tests: how many networks of each arm each test convicts."""
    every = {name: [test for r in records for test in failed(r)] for name, records in found.items()}
    tests = list(dict.fromkeys(test for some in every.values() for test in some))
    lines = [row("test", *(f"{name} ({len(found[name])})" for name in found))]
    lines.append(row(*["---"] * (len(found) + 1)))
    lines += [row(test, *(every[name].count(test) or "" for name in found)) for test in tests]
    return lines


def nearest(records: list[dict[str, Any]]) -> list[str]:
    """Return how near honest networks come to each limit: the largest value over the seeds."""
    values: dict[str, list[float]] = {}
    for check in (c for r in records for c in r["checks"] if c["name"].startswith("nuisance")):
        values.setdefault(check["name"].removeprefix("nuisance "), []).append(check["value"])
    limits = {c["name"].removeprefix("nuisance "): c["limit"] for c in records[0]["checks"]}
    lines = [row("check", "least to greatest", "limit"), row("---", "---", "---")]
    return lines + [row(name, span(some), limits[name]) for name, some in values.items()]


def placed(found: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    """Return how maps follow a structure that is moved: least and greatest over the seeds."""
    methods = list(
        dict.fromkeys(c["method"] for rs in found.values() for r in rs for c in r["positional"])
    )
    lines = [row("network", *methods), row(*["---"] * (len(methods) + 1))]
    for name, records in found.items():
        cells = []
        for method in methods:
            values = [
                c["value"]
                for r in records
                for c in r["positional"]
                if c["method"] == method and c["sense"]
            ]
            cells.append(span(values) if values else "")
        lines.append(row(name, *cells))
    return lines


def share(hits: int, of: int) -> str:
    """Return hits of how many, with the exact binomial interval in per cent."""
    if not of:
        return "0 of 0"
    low, high = binomtest(hits, of).proportion_ci(0.95, "exact")
    return f"{hits} of {of} [{100 * low:.0f}, {100 * high:.0f}] %"


def rates(found: Mapping[str, list[dict[str, Any]]]) -> str:
    """Return the rates in words, and the cheats that no test saw."""
    cheats = [r for rs in found.values() for r in rs if "accuracy_reversed" in r]
    reading = [r for r in cheats if took_it(r)]
    ignoring = [r for r in cheats if not took_it(r)]
    honest = found.get("honest", [])
    caught = sum(r["outcome"] == "convicted" for r in reading)
    free = sum(r["outcome"] == "honest so far" for r in honest)
    missed = [r for r in reading if not failed(r)]
    wronged = [r for r in ignoring if failed(r)]
    return "\n".join(
        [
            f"* Convicted: {share(caught, len(reading))} networks that read their cue.",
            f"* Acquitted: {share(free, len(honest))} honest networks.",
            f"* Read their cue and no test saw it: {named(missed)}.",
            f"* Did not read the cue that was planted: {named(ignoring)}; of these convicted: "
            f"{named(wronged)}.",
        ]
    )


def named(records: list[dict[str, Any]]) -> str:
    """Return the networks by arm and seed."""
    return "; ".join(sorted(f"{r['arm']}, seed {r['seed']}" for r in records)) or "none"


def page(out: Path, arms: list[str]) -> str:
    """Return the generated part of the page."""
    found = finished(out, arms)
    structures = {r["structures"] for records in found.values() for r in records}
    epochs = {r["epochs"] for records in found.values() for r in records}
    count = ", ".join(str(n) for n in sorted(structures))
    parts = [
        f"Test structures a network: {count}; epochs: {', '.join(map(str, sorted(epochs)))}.",
        rates(found),
        "## Confusion",
        "\n".join(confusion(found)),
        "## Which test convicts",
        "Networks convicted by each test, of (n).",
        "\n".join(convicting(found)),
        "## Maps of a moved structure",
        "Median correlation with the map moved along less that with the map where it was.",
        "\n".join(placed(found)),
    ]
    if "honest" in found:
        parts += ["## How near honest networks come to the limits"]
        parts += ["\n".join(nearest(found["honest"]))]
    rows = [row(r["nuisance"], r["what"], r["why"]) for r in nuisance_rows()]
    parts += [
        "## The nuisances",
        "\n".join([row("nuisance", "what", "why"), row(*["---"] * 3), *rows]),
    ]
    return "\n\n".join(parts) + "\n"


def write(out: Path, arms: list[str]) -> None:
    """Put the generated part below its line in the page."""
    kept = PAGE.read_text().split(LINE)[0]
    PAGE.write_text(f"{kept}{LINE}\n\n{page(out, arms)}")
