"""Results as text for the terminal: what a run came to, and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from solarxai.workflow.execution import Result
from solarxai.workflow.progress import Stage

__all__ = ["describe_results", "describe_rows"]

_MARGIN = " " * 11


def describe_results(results: Sequence[Result], stages: Sequence[Stage], *, out: Path) -> str:
    """Return counts, speed, headline figures, sentences, and what to type next.

    Parameters
    ----------
    results
        One a step.
    stages
        Those followed while the steps were taken, for the speed; of several of one name (another
        workflow's, inside a step) the first counts.
    out
        Folder of the run, as the user typed it.
    """
    timed = {stage.name: stage for stage in reversed(stages)}
    lines = [line for result in results for line in _describe(result, timed.get(result.name))]
    sentences = [sentence for result in results for sentence in result.outcome.sentences]
    commands = [r.outcome.next_command for r in results if r.outcome.next_command]
    parts = [lines, sentences, [f"next: {command.format(out=out)}" for command in commands[-1:]]]
    return "\n\n".join("\n".join(part) for part in parts if part)


def describe_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return records as a table whose columns line up under their names, numbers to 3 decimals."""
    if not rows:
        return "none"
    texts = [list(rows[0]), *([_text(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in texts) for column in range(len(rows[0]))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in texts)


def _text(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float | np.floating) else str(value)


def _describe(result: Result, stage: Stage | None) -> list[str]:
    made = result.outcome
    told = f"{made.done} done, {made.skipped} there already, {made.failed} failed"
    if result.kept:
        told = f"there already, nothing done ({told.split(',')[0]} before)"
    elif stage is not None and stage.rate:
        told += f" ({stage.rate:.3g} {stage.unit}/s, {stage.seconds:.0f} s)"
    lines = [f"{result.name:<10} {told}"]
    lines += [f"{_MARGIN}left out: {item['file']}: {item['error']}" for item in made.failures]
    return lines + [f"{_MARGIN}{name}: {value}" for name, value in made.figures.items()]
