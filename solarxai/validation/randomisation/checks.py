"""What the randomisation of weights says of each method: sensitive to the model, or not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from solarxai.metrics import Interval
from solarxai.validation.randomisation._comparison import LIKENESS
from solarxai.validation.report import Check, Limits

__all__ = ["CEILING", "CHANCE", "FLOOR", "LANDMARKS", "randomisation_checks", "sensitivities"]

Row = Mapping[str, Any]

FLOOR, CEILING = "two random networks", "another sampling seed"
CHANCE = "moved map of the random network"
LANDMARKS = {"full": "all", "half": "upper half"}
"""The stages that are judged, and what they are called."""


def randomisation_checks(
    rows: Sequence[Row],
    *,
    limits: Limits,
) -> tuple[Check, ...]:
    """Return whether each method is sensitive to the model: two checks a method and origin.

    One is of networks that forgot all layers, one of those that forgot the upper half of them: what
    survives this shows what the lower layers see, not what the score is made of.

    Parameters
    ----------
    rows
        Of `randomisation_test`.
    limits
        Of the validation: fewest structures and regions. The rank likeness of a map to that of a
        network that forgot everything, in units of the method's likeness to itself under another
        sampling seed, may exceed that of the moved map (chance) by `randomised_excess`, and is
        `randomised_similarity` at most. A method whose likeness to itself is below
        `method_ceiling` is too noisy to be judged.

    Notes
    -----
    "holds": sensitive to the model, for the upper bound is below the limit. "fails": insensitive,
    for the lower bound is above. Between the two, and where the method's own noise, too few
    structures or too few regions leave it open, the check informs: noise makes maps unlike, and
    acquits nobody. The limit is not made of the floor, two random networks, since an edge
    detector's is 1.
    """
    made = []
    for row in rows:
        if row["mode"] in LANDMARKS and row["measure"] == LIKENESS:
            beside = _references(rows, row)
            made.append(_check(row, beside, limits))
    return tuple(made)


def sensitivities(checks: Sequence[Check]) -> list[dict[str, str]]:
    """Return rows (method, group, verdict) of the checks of `randomisation_checks`.

    A method is "sensitive" when every check holds, "insensitive" when one fails, else "undecided".
    """
    found: dict[tuple[str, str], set[str]] = {}
    for check in checks:
        found.setdefault((check.method, check.group), set()).add(check.verdict)
    words = {frozenset({"holds"}): "sensitive"}
    return [
        {
            "method": method,
            "group": group,
            "verdict": "insensitive"
            if "fails" in said
            else words.get(frozenset(said), "undecided"),
        }
        for (method, group), said in found.items()
    ]


def _check(
    row: Row,
    beside: Mapping[str, Interval],
    limits: Limits,
) -> Check:
    own = beside.get(CEILING, Interval(value=1.0, low=1.0, high=1.0, n_groups=0))
    least = own.value if math.isnan(own.low) else own.low
    found = row["interval"]
    value, low, high = found.value / own.value, found.low / own.high, found.high / least
    chance = beside[CHANCE].value / own.value
    similarity = min(chance + limits.randomised_excess, limits.randomised_similarity)
    few = row["structures"] < limits.min_structures or found.n_groups < limits.min_regions
    verdict: Literal["holds", "fails", "informs"] = "informs"
    if few or math.isnan(value):
        word = "undecided: too few structures or regions"
    elif least < limits.method_ceiling:
        word = "undecided: the method's own noise leaves too little to compare"
    elif low > similarity:
        verdict, word = "fails", "insensitive to the model"
    elif high <= similarity:
        verdict, word = "holds", "sensitive to the model"
    else:
        word = "undecided: the limit lies within the interval"
    return Check(
        name=f"random weights, {row['layer']}: rank likeness to the trained network's map",
        group=row["group"],
        value=value,
        low=low,
        high=high,
        limit=similarity,
        sense="at most",
        verdict=verdict,
        reason="; ".join([word, *(f"{name} {i.value:.3g}" for name, i in beside.items())]),
        method=row["method"],
        structures=row["structures"],
        regions=found.n_groups,
    )


def _references(rows: Sequence[Row], row: Row) -> dict[str, Interval]:
    same = ("method", "group", "measure")
    return {
        other["layer"]: other["interval"]
        for other in rows
        if other["mode"] == "reference" and all(other[word] == row[word] for word in same)
    }
