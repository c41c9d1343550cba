"""A run done again from what its store records of it, and what differs where it differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solarxai.errors import WorkflowError
from solarxai.provenance import file_hash
from solarxai.store import Store
from solarxai.store.segment import Segment
from solarxai.workflow.clusters import Cluster
from solarxai.workflow.execution import execute
from solarxai.workflow.file import read_value
from solarxai.workflow.plan import single_step
from solarxai.workflow.progress import Progress
from solarxai.workflow.record import differences, read_record, surroundings

__all__ = ["Reproduction", "reproduce"]

_LAST = "attribute"


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """A run beside its twin.

    Parameters
    ----------
    then, now
        Root hashes of the recorded run and of the one made now.
    surroundings
        One line a difference of code, versions, machine or numerical flags.
    inputs
        One line an input file whose bytes are others.
    files
        Files of the segment that differ, by path inside it.
    number_of_files
        Files compared.
    """

    then: str
    now: str
    surroundings: tuple[str, ...]
    inputs: tuple[str, ...]
    files: tuple[str, ...]
    number_of_files: int

    @property
    def same(self) -> bool:
        """Whether every byte is the same."""
        return self.then == self.now

    def text(self) -> str:
        """Return what a reader should know, line by line."""
        lines = [f"root hash then {self.then}", f"root hash now  {self.now}"]
        if self.same:
            lines.append("reproduced: every byte is the same")
        else:
            shown = ", ".join(self.files[:6]) + (", ..." if len(self.files) > 6 else "")
            number = f"{len(self.files)} of {self.number_of_files} files"
            lines.append(f"not reproduced: {number} of the segment differ: {shown}")
        lines += [f"input differs: {line}" for line in self.inputs]
        lines += [f"differs: {line}" for line in self.surroundings]
        return "\n".join(lines)


def reproduce(
    store: Store,
    *,
    out: Path,
    cluster: Cluster,
    progress: Progress,
    run: str | None = None,
    settings: Sequence[str] = (),
) -> Reproduction:
    """Carry out, in an empty folder, the steps behind a run up to its maps; compare root hashes.

    Parameters
    ----------
    store
        The store.
    out
        Folder of the new run; one interrupted before goes on.
    cluster
        Where units of work run.
    progress
        Follows the run.
    run
        First characters of the run's key; needed where the store holds several.
    settings
        Options that are others here, as "ingest.catalog=/new/place/catalog.yaml".

    Raises
    ------
    WorkflowError
        when the store has no such run, no record of it, or an input is not there.
    """
    segment = _chosen(store, run)
    then = segment.root_hash
    steps = read_record(store.path, segment.run)["steps"]
    changed = _settings(settings, steps)
    inputs: list[str] = []
    for name, record in steps.items():
        if name not in _behind(steps):
            continue
        options = _options(record["made"]) | changed.get(name, {})
        inputs += _compare_inputs(name, record["made"], options)
        made = record["made"]
        workflow = single_step(name, options, seed=made["seed"], threads=made["threads"])
        execute(workflow, out=out, cluster=cluster, progress=progress)
    (twin,) = Store(out / "store").segments()
    before, after = segment.ledger.sealed_files(), twin.ledger.sealed_files()
    names = {*before, *after}
    return Reproduction(
        then=then,
        now=twin.root_hash,
        surroundings=tuple(_differences(steps)),
        inputs=tuple(inputs),
        files=tuple(sorted(n for n in names if before.get(n) != after.get(n))),
        number_of_files=len(names),
    )


def _chosen(store: Store, run: str | None) -> Segment:
    fitting = [key for key in store.runs if key.startswith(run or "")]
    if len(fitting) != 1:
        raise WorkflowError(
            f"{store.path}: {len(fitting)} runs begin with {run!r}"
            if run
            else f"{store.path}: it holds {len(fitting)} runs",
            remedy="Choose one with --run: " + (", ".join(k[:12] for k in store.runs) or "none"),
        )
    return store.segment(fitting[0])


def _behind(steps: Mapping[str, Any]) -> set[str]:
    """Return the steps on which the maps depend, and the maps themselves."""
    needed = ("synth", "synth_iris", "ingest", "ingest_iris", "classifier", "train", _LAST)
    return {name for name in needed if name in steps}


def _options(made: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in made["options"].items() if name not in made["places"]}


def _settings(settings: Sequence[str], steps: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    changed: dict[str, dict[str, Any]] = {}
    for setting in settings:
        words, equals, text = setting.partition("=")
        step, dot, option = words.partition(".")
        if not (equals and dot and step in steps and option):
            raise WorkflowError(
                f"--set {setting}: write it as step.option=value",
                remedy=f"The steps behind this run are {', '.join(steps)}.",
            )
        changed.setdefault(step, {})[option] = read_value(text)
    return changed


def _compare_inputs(name: str, made: Mapping[str, Any], options: Mapping[str, Any]) -> list[str]:
    """Return which input files of a step are not, byte for byte, those of the recorded run.

    Raises
    ------
    WorkflowError
        when one is not there.
    """
    found = []
    for option, recorded in made["inputs"].items():
        path = Path(str(options[option]))
        if not path.is_file():
            raise WorkflowError(
                f"{path}: the input {name}.{option} of the recorded run is not there "
                f"(sha256 {recorded['sha256'][:12]})",
                remedy=f"Say where it is with --set {name}.{option}=PATH.",
            )
        if (sha256 := file_hash(path)) != recorded["sha256"]:
            found.append(f"{name}.{option}: {path} was {recorded['sha256'][:12]}, is {sha256[:12]}")
    return found


def _differences(steps: Mapping[str, Any]) -> list[str]:
    """Return what differs between here and wherever a step was done, each line once."""
    now = surroundings()
    lines = [
        line
        for name in _behind(steps)
        for then in steps[name]["made"]["in"]
        for line in differences(then, now)
    ]
    return sorted(set(lines))
