"""What a validation found: checks with intervals and limits, sentences, tables, an exit code."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from solarxai.errors import ValidationError
from solarxai.metrics import Interval, block_bootstrap, proportion_interval
from solarxai.registry import near_name

__all__ = [
    "BEYOND",
    "NOTHING",
    "Check",
    "Limits",
    "Outcome",
    "Report",
    "Resampling",
    "Sense",
    "Verdict",
    "judge",
]

Sense = Literal["at least", "at most", ""]
Outcome = Literal["honest so far", "convicted", "undecided"]
Row = Mapping[str, Any]
Column = npt.NDArray[Any]

NOTHING = Interval(value=math.nan, low=math.nan, high=math.nan, n_groups=0)
"""What is known of no row at all."""

BEYOND = "the value is beyond the limit, but not its whole interval"


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """How intervals are made: number of resamples of the regions, and their seed."""

    n: int = 1000
    seed: int = 0

    def interval(
        self,
        statistic: Callable[..., float],
        *arrays: Column,
        groups: Column,
        bounds: tuple[float, float] | None = None,
    ) -> Interval:
        """Return the `block_bootstrap` of a statistic; without a row, an interval of NaN."""
        if not len(groups):
            return NOTHING
        return block_bootstrap(
            statistic, *arrays, groups=groups, n=self.n, seed=self.seed, bounds=bounds
        )

    def proportion(self, hits: Column, *, groups: Column) -> Interval:
        """Return the `proportion_interval` of hits; without a row, an interval of NaN."""
        if not len(groups):
            return NOTHING
        return proportion_interval(hits, groups=groups, n=self.n, seed=self.seed)


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
    swap_flip
        Greatest fraction of calls that the other label's value of a quantity changes, less that
        which the own label's changes. Below `nuisance_flip`: what the swap itself does cancels.
    swap_share
        Greatest pull of the score to the other label by such a value, in units of the loss without
        the penumbra.
    positional_ahead
        By so much a gradient map must be more alike to itself moved with the structure than to
        itself where it was.
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
    randomised_excess, randomised_similarity
        A map is *insensitive* to the model when its rank likeness to that of a network that forgot
        everything, in units of the method's likeness to itself, exceeds chance by the first or is
        above the second.
    method_ceiling
        Least likeness of a method to itself under another seed; noisier ones cannot be judged.
    deletion_gain
        Deleting what a map marks must take away this much more than a random order does, in units
        of the best order (lower bound).
    margin_share
        Of spectra: greatest mean change of margin towards the other class when they get from it
        what is no part of the chromosphere, in units of the spread (standard deviation) of the
        margins. It has a direction, so that a network that answers at random is not convicted.
    line_share
        Of spectra: a line is *needed* when its replacement by the other class's mean moves the
        margin by more than this, in the same unit (lower bound).
    least_auc
        Of spectra: with less area under the ROC curve there is no answer to explain: *undecided*.
    label_difference
        So much of its rank likeness a map must lose to labels that mean nothing, beyond what
        another training takes (lower bound).
    """

    penumbra_flip: float = 0.5
    control_ratio: float = 3.0
    quiet_flip: float = 0.1
    painted_ratio: float = 3.0
    score_tolerance: float = 0.01
    nuisance_flip: float = 0.1
    nuisance_share: float = 0.25
    swap_flip: float = 0.05
    swap_share: float = 0.1
    positional_ahead: float = 0.0
    accuracy: float = 0.8
    min_structures: int = 5
    min_regions: int = 2
    trusted_regions: int = 3
    pore_core: float = 0.6
    quiet_fraction: float = 0.1
    control_coverage: float = 0.5
    randomised_excess: float = 0.25
    randomised_similarity: float = 0.5
    method_ceiling: float = 0.5
    deletion_gain: float = 0.0
    margin_share: float = 0.4
    line_share: float = 0.1
    least_auc: float = 0.55
    label_difference: float = 0.05

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
        unbounded = name.endswith(("_ratio", "_share", "_gain"))
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
        "honest so far", "convicted" or "undecided".
    sentence
        The same in words, with the numbers.
    convicted_of
        What the answer rests on although it must not, what weighs most first.
    needs
        Without what the answer changes, as it should.
    swayed_by
        What changes the answer more than its limit allows, but not provably so.
    """

    origin: str
    outcome: Outcome
    sentence: str
    convicted_of: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
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
        Rows (mappings of plain values) by table, such as "structures", "confusion", "left_out";
        of spectra "windows"; of maps "localisation", "sensitivity", "faithfulness".
    settings
        Hash of the classifier, methods, limits, seed, number of resamples.
    """

    checks: tuple[Check, ...]
    verdicts: tuple[Verdict, ...]
    tables: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """Return 1 if a check of the model fails, else 0: maps do not make a model a cheat."""
        return int(any(check.verdict == "fails" and not check.method for check in self.checks))

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
        return "\n".join([*self._verdict_lines(), "", *lines, "", *self._summary()]) + "\n"

    def _summary(self) -> list[str]:
        """Return how many checks of the model hold or fail, and apart from them those of maps."""
        said = Counter(("of maps " * bool(c.method), c.verdict) for c in self.checks)
        return [
            f"{said[of, 'holds']} checks {of}hold, {said[of, 'fails']} fail, "
            f"{said[of, 'informs']} inform."
            for of in dict.fromkeys(["", *(of for of, _ in said)])
        ]

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
    by: Literal["low", "value", "interval"] = "value",
    reason: str = "",
    method: str = "",
) -> Check:
    """Return the check of a number against a limit.

    By its value; by its lower bound, where the burden of proof lies on the claim; or by its
    interval, where many checks are made and each failure accuses: the value must not pass the
    limit, but only an interval wholly beyond it fails. Between the two the check informs.

    It only informs, too, when there is no limit, the number is undefined, there are too few
    structures, or a bound is asked of too few regions.
    """
    judged = found.low if by == "low" and not math.isnan(found.low) else found.value
    few = structures < limits.min_structures
    unproven = by != "value" and found.n_groups < limits.min_regions
    notes = [reason] if reason else []
    if found.n_groups < limits.trusted_regions:
        notes.append(f"{_regions(found.n_groups)}: the interval is not to be trusted")
    if few and sense:
        notes.append(f"{structures} structures are fewer than {limits.min_structures}")
    verdict: Literal["holds", "fails", "informs"] = "informs"
    if sense and not (few or unproven or math.isnan(judged)):
        verdict = "holds" if _within(judged, limit, sense) else "fails"
        nearest = found.high if sense == "at least" else found.low
        if by == "interval" and verdict == "fails" and _within(nearest, limit, sense):
            verdict = "informs"
            notes.append(BEYOND)
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


def _within(value: float, limit: float, sense: Sense) -> bool:
    return value >= limit if sense == "at least" else value <= limit


def _regions(number: int) -> str:
    return "1 region" if number == 1 else f"{number} regions"


def _text_row(check: Check) -> tuple[str, ...]:
    sign = {"at least": "≥", "at most": "≤", "": ""}[check.sense]
    interval = "" if math.isnan(check.low) else f" [{check.low:.3g}, {check.high:.3g}]"
    return (
        check.verdict,
        check.name,
        f"{check.group} · {check.method}" if check.method else check.group,
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
