"""What a validation found: checks with intervals and limits, sentences, tables, an exit code."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import numpy as np

from solarxai.errors import ValidationError
from solarxai.metrics import Interval
from solarxai.registry import near_name

__all__ = ["Check", "Limits", "Outcome", "Report", "Sense", "Verdict", "judge"]

Sense = Literal["at least", "at most", ""]
Outcome = Literal["looks at the penumbra", "does not look at the penumbra", "undecided"]
Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Where a check holds and where it fails.

    What the model *must* do is judged by the lower bound of the interval: the burden of proof lies
    on the claim. What it *must not* do is judged by the value.

    Parameters
    ----------
    penumbra_flip
        Least lower bound of the fraction of sunspots no longer called so without their penumbra.
    control_ratio
        The loss of score without the penumbra must exceed this many times the change when the same
        area of quiet Sun is replaced (lower bound).
    quiet_flip
        Greatest fraction of sunspots lost when the same area of quiet Sun is replaced.
    painted_ratio
        The gain of score when a pore is given a penumbra must exceed this many times the change
        when the same area of its quiet Sun is replaced (lower bound).
    score_tolerance
        Greatest difference, in logits, of a stored score from the classifier's own.
    nuisance_flip
        Greatest fraction of calls changed by a nuisance intervention.
    nuisance_share
        Greatest change of score by a nuisance, in units of the loss without the penumbra.
    accuracy
        Least fraction of structures of each label called rightly.
    min_structures
        With fewer structures a check only informs, and the verdict is *undecided*.
    min_regions
        With fewer active regions the verdict is *undecided*.
    trusted_regions
        With fewer active regions an interval is said not to be trusted.
    pore_core
        Pores whose darkest pixel is above this are too dim to carry a penumbra.
    quiet_fraction
        Least share of a patch that must be quiet Sun for its texture to be measured; patches with
        less borrow from the quietest patch of the same observation, then of the same origin.
    control_coverage
        The quiet control counts only where at least this share of the penumbra's area was found.
    brightness
        Fractional change of brightness in the nuisance tests.
    shift_px
        Shift in the nuisance tests, pixels.
    noise
        Standard deviation of the noise in the nuisance tests, of the quiet Sun.
    """

    penumbra_flip: float = 0.5
    control_ratio: float = 3.0
    quiet_flip: float = 0.1
    painted_ratio: float = 3.0
    score_tolerance: float = 0.01
    nuisance_flip: float = 0.1
    nuisance_share: float = 0.25
    accuracy: float = 0.8
    min_structures: int = 5
    min_regions: int = 2
    trusted_regions: int = 3
    pore_core: float = 0.6
    quiet_fraction: float = 0.1
    control_coverage: float = 0.5
    brightness: float = 0.02
    shift_px: int = 2
    noise: float = 0.01

    def __post_init__(self) -> None:
        wrong = [
            f"{f.name} = {getattr(self, f.name)!r}" for f in fields(self) if not self._sound(f.name)
        ]
        if wrong:
            raise ValidationError(
                f"limits {'; '.join(wrong)} are out of range",
                remedy="Fractions lie in 0–1, ratios and counts are numbers that are not negative.",
            )

    def _sound(self, name: str) -> bool:
        value, default = getattr(self, name), type(self).__dataclass_fields__[name].default
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if isinstance(default, int):  # a count
            return isinstance(value, int) and value >= 0
        unbounded = name in ("control_ratio", "painted_ratio", "nuisance_share")
        return 0 <= value < math.inf and (unbounded or value <= 1)

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Limits:
        """Return the defaults with `given` in place of some.

        Raises
        ------
        ValidationError
            naming every unknown limit and every value out of range.
        """
        known = [f.name for f in fields(cls)]
        unknown = [name for name in given if name not in known]
        if unknown:
            hints = " ".join(filter(None, (near_name(name, known) for name in unknown)))
            raise ValidationError(
                f"unknown limits {unknown}", remedy=hints or f"The limits are {', '.join(known)}."
            )
        return cls(**given)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One number, its interval, and what it means.

    Parameters
    ----------
    name, group, method
        What was measured, on which structures ("synthetic · sunspot"), and on which method's maps
        (empty when no map took part).
    value, low, high
        The number and the bounds of its 95 % interval; NaN when undefined.
    limit, sense
        Where it holds ("at least" or "at most" this), or NaN when it only informs.
    verdict
        "holds", "fails" or "informs".
    reason
        Why, in plain words.
    structures, regions
        How many structures and active regions the number rests on.
    """

    name: str
    group: str
    value: float
    low: float = math.nan
    high: float = math.nan
    limit: float = math.nan
    sense: Sense = ""
    verdict: Literal["holds", "fails", "informs"] = "informs"
    reason: str = ""
    method: str = ""
    structures: int = 0
    regions: int = 0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the interventions say of one origin of data.

    Parameters
    ----------
    origin
        "real" or "synthetic".
    outcome
        "looks at the penumbra", "does not look at the penumbra" or "undecided".
    swayed_by
        Nuisance interventions that change the answer although they should not.
    sentence
        The same in words, with the numbers.
    """

    origin: str
    outcome: Outcome
    sentence: str
    swayed_by: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything a validation found.

    Parameters
    ----------
    checks
        In the order in which they were made.
    verdicts
        One an origin.
    tables
        Rows (mappings of plain values) by table: "structures", "localisation", "confusion",
        "reliability", "left_out".
    settings
        Hash of the classifier, methods, limits, seed, number of resamples.
    """

    checks: tuple[Check, ...]
    verdicts: tuple[Verdict, ...]
    tables: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """Return 0 if no check fails, else 1."""
        return int(any(check.verdict == "fails" for check in self.checks))

    @property
    def verdict(self) -> str:
        """Return the sentences of all verdicts, one a line."""
        return "\n".join(verdict.sentence for verdict in self.verdicts)

    def count(self, verdict: str) -> int:
        """Return how many checks have this verdict."""
        return sum(check.verdict == verdict for check in self.checks)

    def to_json(self) -> str:
        """Return the report as JSON text: sorted keys, six digits, null for undefined numbers."""
        record = {
            "checks": [asdict(check) for check in self.checks],
            "exit_code": self.exit_code,
            "settings": dict(self.settings),
            "tables": {name: [dict(row) for row in rows] for name, rows in self.tables.items()},
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
        }
        text = json.dumps(_plain(record), sort_keys=True, indent=1, allow_nan=False)
        return text + "\n"

    def text(self) -> str:
        """Return the verdicts and the checks that hold or fail as a table for the terminal."""
        judged = [check for check in self.checks if check.verdict != "informs"]
        rows: list[tuple[str, ...]] = [("", "check", "on", "value [95 %]", "limit", "n")]
        rows += [_text_row(check) for check in judged]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        summary = (
            f"{self.count('holds')} checks hold, {self.count('fails')} fail, "
            f"{self.count('informs')} inform."
        )
        return "\n".join([*self._verdict_lines(), "", *lines, "", summary]) + "\n"

    def _verdict_lines(self) -> list[str]:
        return [verdict.sentence for verdict in self.verdicts] or ["no structures to judge"]


def judge(
    found: Interval,
    *,
    name: str,
    group: str,
    structures: int,
    limits: Limits,
    limit: float = math.nan,
    sense: Sense = "",
    by: Literal["low", "value"] = "value",
    reason: str = "",
    method: str = "",
) -> Check:
    """Return the check of a number against a limit, by its value or by its lower bound.

    It only informs when there is no limit, the number is undefined, there are too few structures,
    or a lower bound is asked of too few regions.
    """
    judged = found.low if by == "low" and not math.isnan(found.low) else found.value
    few = structures < limits.min_structures
    unproven = by == "low" and found.n_groups < limits.min_regions
    notes = [reason] if reason else []
    if found.n_groups < limits.trusted_regions:
        notes.append(f"{_regions(found.n_groups)}: the interval is not to be trusted")
    if few and sense:
        notes.append(f"{structures} structures are fewer than {limits.min_structures}")
    verdict: Literal["holds", "fails", "informs"] = "informs"
    if sense and not (few or unproven or math.isnan(judged)):
        holds = judged >= limit if sense == "at least" else judged <= limit
        verdict = "holds" if holds else "fails"
    return Check(
        name=name,
        group=group,
        value=found.value,
        low=found.low,
        high=found.high,
        limit=limit,
        sense=sense,
        verdict=verdict,
        reason="; ".join(notes),
        method=method,
        structures=structures,
        regions=found.n_groups,
    )


def _regions(number: int) -> str:
    return "1 region" if number == 1 else f"{number} regions"


def _text_row(check: Check) -> tuple[str, ...]:
    sign = {"at least": "≥", "at most": "≤", "": ""}[check.sense]
    interval = "" if math.isnan(check.low) else f" [{check.low:.3g}, {check.high:.3g}]"
    return (
        check.verdict,
        check.name,
        check.group,
        f"{check.value:.3g}{interval}",
        f"{sign} {check.limit:.3g}",
        str(check.structures),
    )


def _plain(value: Any) -> Any:
    """Return the value for JSON: numbers to six digits, None where undefined."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, Iterable):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
