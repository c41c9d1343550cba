"""What the page of a report on patches says: verdict, checks, tables and pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from solarxai import plotting
from solarxai.classifier import Classifier
from solarxai.errors import ValidationError
from solarxai.page._judged import (
    check_row,
    checks_of_maps,
    left_out,
    map_figures,
    map_groups,
    verdict_words,
)
from solarxai.page._nuisances import is_nuisance, nuisance_groups
from solarxai.page._parts import image, number, with_interval
from solarxai.validation.causal.interventions import Patch, cut_patches
from solarxai.validation.localisation.measures import NULLS
from solarxai.validation.report import Check, Limits, Report

__all__ = ["penumbra_words"]

Row = Mapping[str, Any]
Progress = Callable[[int, int, str], None]

_FIGURES = ("enrichment in penumbra", "AUC")


def penumbra_words(
    report: Report,
    samples: xr.Dataset,
    classifier: Classifier,
    max_cards: int,
    progress: Progress | None,
) -> dict[str, Any]:
    """Return the words and pictures of the template `penumbra.html`, but for the title.

    Raises
    ------
    ValidationError
        when `samples` lacks a structure of the report.
    """
    judged = _judged(report, samples)
    of_model = [check for check in report.checks if not check.method]
    return {
        "subtitle": _subtitle(report),
        "verdicts": verdict_words(report),
        "counts": f"{sum(c.verdict == 'holds' for c in of_model)} checks of the model hold, "
        f"{sum(c.verdict == 'fails' for c in of_model)} fail.",
        "judged": _judged_checks(report, of_model),
        "nuisances": nuisance_groups(report),
        "informing": [
            check_row(c) for c in of_model if c.verdict == "informs" and not is_nuisance(c)
        ],
        "bars": _bars(report),
        "maps": map_groups(report),
        "map_figures": map_figures(report),
        "map_checks": checks_of_maps(report),
        "localisation_images": _localisation_images(report),
        "localisation": _localisation_tables(report),
        "confusion": report.tables["confusion"],
        "calibration": _calibration(report),
        "cards": _card_groups(report, judged, classifier, max_cards, progress),
        "left_out": left_out(report),
        "limits": report.settings["limits"],
        "settings": {"runs": [], **report.settings},
    }


def _judged(report: Report, samples: xr.Dataset) -> xr.Dataset:
    """Return the report's structures, in its order, in memory."""
    places = {str(name): i for i, name in enumerate(samples["sample_id"].values)}
    wanted = [row["sample_id"] for row in report.tables["structures"]]
    missing = [name for name in wanted if name not in places]
    if missing:
        raise ValidationError(
            f"{len(missing)} structures of the report are not among the samples: {missing[0]!r}",
            remedy="Give the samples that were validated.",
        )
    rows = samples.isel(sample=[places[name] for name in wanted])
    return rows.drop_vars("header", errors="ignore").load()


def _subtitle(report: Report) -> str:
    rows = report.tables["structures"]
    parts = []
    for origin in _origins(report):
        mine = [row for row in rows if row["origin"] == origin]
        regions = len({row["region"] for row in mine})
        parts.append(f"{len(mine)} {origin} structures of {regions} regions")
    methods = ", ".join(report.settings["methods"]) or "no method"
    return f"{'; '.join(parts)}. Maps by {methods}."


def _origins(report: Report) -> list[str]:
    return sorted({row["origin"] for row in report.tables["structures"]})


def _judged_checks(report: Report, checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Return the checks of the model that hold or fail by origin, failures first.

    Those of nuisances stand in tables of their own.
    """
    judged = [c for c in checks if c.verdict != "informs" and not is_nuisance(c)]
    judged.sort(key=lambda check: check.verdict != "fails")
    origins = dict.fromkeys([*_origins(report), *(c.group.split(" · ")[0] for c in judged)])
    return [
        {"origin": origin, "rows": rows}
        for origin in origins
        if (rows := [check_row(c) for c in judged if c.group.startswith(f"{origin} · ")])
    ]


def _bars(report: Report) -> list[dict[str, Any]]:
    return [
        image(
            plotting.per_structure_bars(report, origin=origin),
            f"Score of {origin} structures before (filled) and after (open) the penumbra is "
            "removed or painted, and where each method puts its attribution.",
        )
        for origin in _origins(report)
    ]


def _localisation_images(report: Report) -> list[dict[str, Any]]:
    present = {(row["group"], row["quantity"]) for row in report.tables.get("localisation", ())}
    return [
        image(
            plotting.localisation_figure(report, origin=origin, quantity=quantity),
            f"{quantity} of {origin} sunspots by method, with 95 % interval; nulls in grey.",
        )
        for origin in _origins(report)
        for quantity in _FIGURES
        if (f"{origin} · sunspot", quantity) in present
    ]


def _calibration(report: Report) -> dict[str, Any] | None:
    if not report.tables["reliability"]:
        return None
    return image(
        plotting.calibration_figure(report),
        "Reliability: how often a structure is a sunspot, by the probability the model states.",
    )


def _localisation_tables(report: Report) -> list[dict[str, Any]]:
    rows = report.tables.get("localisation", ())
    made = []
    for group in dict.fromkeys(row["group"] for row in rows):
        mine = [row for row in rows if row["group"] == group]
        methods = list(dict.fromkeys(row["method"] for row in mine))
        cells = {(row["quantity"], row["method"]): row for row in mine}
        regions = max(row["regions"] for row in mine)
        few = regions < report.settings["limits"]["trusted_regions"]
        made.append(
            {
                "group": group,
                "methods": [method.replace("_", " ") for method in methods],
                "remark": f"{regions} region(s): intervals are not to be trusted." if few else "",
                "rows": [
                    {
                        "quantity": quantity,
                        "cells": [_cell(cells.get((quantity, method))) for method in methods],
                    }
                    for quantity in dict.fromkeys(row["quantity"] for row in mine)
                ],
            }
        )
    return made


def _cell(row: Row | None) -> dict[str, str]:
    if row is None:
        return {"value": "–", "beside": ""}
    nulls = [f"{null} {number(row[null])}" for null in NULLS[1:] if not math.isnan(row[null])]
    value = with_interval(row["value"], row["low"], row["high"])
    return {"value": value, "beside": "; ".join(nulls)}


def _card_groups(
    report: Report,
    samples: xr.Dataset,
    classifier: Classifier,
    max_cards: int,
    progress: Progress | None,
) -> list[dict[str, Any]]:
    limits = Limits.parse(report.settings["limits"])
    patches = cut_patches(
        samples,
        scale_mm=classifier.contract.plate_scale,
        seed=report.settings["seed"],
        limits=limits,
    )
    rows = report.tables["structures"]
    chosen = {origin: _chosen(rows, origin, max_cards) for origin in _origins(report)}
    total, done, groups = sum(map(len, chosen.values())), 0, []
    for origin, places in chosen.items():
        cards = []
        for place in places:
            cards.append(_card(report, samples, place, patches[place], classifier))
            done += 1
            if progress:
                progress(done, total, "pictures")
        groups.append(_group(rows, origin, cards))
    return groups


def _chosen(rows: Sequence[Row], origin: str, most: int) -> list[int]:
    """Return the places of the structures to show: all real ones, a few of the others."""
    mine = [i for i, row in enumerate(rows) if row["origin"] == origin]
    mine.sort(key=lambda i: (_ORDER.index(rows[i]["label"]), rows[i]["time"], i))
    if origin == "real" or len(mine) <= most:
        return mine
    return [mine[i] for i in np.unique(np.linspace(0, len(mine) - 1, most).round().astype(int))]


_ORDER = ("sunspot", "pore", "ambiguous")


def _group(rows: Sequence[Row], origin: str, cards: list[dict[str, Any]]) -> dict[str, Any]:
    mine = [row for row in rows if row["origin"] == origin]
    every = len(cards) == len(mine)
    return {
        "origin": origin,
        "title": f"{origin.capitalize()} structures",
        "remark": f"{'All' if every else f'{len(cards)} of'} {len(mine)} structures, with the map "
        "of each method.",
        "rows": [_structure_row(row) for row in mine] if origin == "real" else [],
        "cards": cards,
    }


def _structure_row(row: Row) -> dict[str, str]:
    name = "penumbra painted" if row["label"] == "pore" else "penumbra removed"
    return {
        "region": row["region"],
        "time": row["time"].replace("T", " "),
        "label": row["label"],
        "predicted": row["predicted"],
        "mark": _mark(row),
        "score": f"{row['score']:+.2f}",
        "area": number(row["area_mm2"]),
        "mu": number(row["mu"], 2),
        "position": _position(row),
        "after": number(row[f"score, {name}"], 2),
    }


def _position(row: Row) -> str:
    if math.isnan(row["solar_x"]):
        return "unknown"
    return f"{row['solar_x']:.0f}, {row['solar_y']:.0f}"


def _mark(row: Row) -> str:
    if row["label"] == "ambiguous":
        return "informs"
    return "holds" if row["predicted"] == row["label"] else "fails"


def _card(
    report: Report, samples: xr.Dataset, place: int, patch: Patch, classifier: Classifier
) -> dict[str, Any]:
    row = report.tables["structures"][place]
    methods = list(report.settings["methods"])
    short = _structure_row(row)
    named = f"{row['label']} of {row['region']} at {short['time']} UTC"
    signs = {"holds": "✓", "fails": "✗", "informs": "·"}
    facts = {
        "time": f"{short['time']} UTC",
        "score": f"{short['score']} logit",
        "μ": short["mu"],
        "area": f"{short['area']} Mm²",
        "umbra": f"{number(row['umbra_area_mm2'])} Mm²",
        "penumbra": f"{number(row['penumbra_area_mm2'])} Mm²",
        "darkest": f"{row['minimum_intensity']:.2f}",
        "position": short["position"]
        if short["position"] == "unknown"
        else f"{short['position']} ″",
        "instrument": row["instrument"],
    }
    return {
        "title": f"{row['region']}: {row['label']}",
        "answer": f"{signs[short['mark']]} called {row['predicted']}",
        "mark": short["mark"],
        "facts": list(facts.items()),
        "maps": image(
            plotting.structure_figure(samples, place, methods),
            f"Continuum image of the {named}, and its maps by {', '.join(methods)}.",
        ),
        "changed": image(
            plotting.counterfactual_figure(patch, row["label"], classifier),
            f"The {named}, before and after each intervention, with its scores.",
        ),
    }
