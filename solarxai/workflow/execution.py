"""A workflow carried out step by step: what is there already is kept, what is missing is made.

A step's key is the hash of all that shapes its output: options, the keys of the steps before it,
the code, the number of threads. Its record in `OUT/steps/<step>.json` names that key, so a run
killed anywhere goes on where it stood, and a run repeated does nothing.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_type_hints

from solarxai.errors import WorkflowError
from solarxai.provenance import code_hash, content_hash, file_hash, write_atomically
from solarxai.workflow.clusters import Cluster
from solarxai.workflow.locks import alone
from solarxai.workflow.plan import Outcome, Step, Workflow, load
from solarxai.workflow.progress import Progress
from solarxai.workflow.record import made_by, path_meaning

__all__ = ["NEEDS", "PlannedStep", "Result", "execute", "join", "plan"]

NEEDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "synth": (),
    "synth_iris": (),
    "ingest": (("synth",),),
    "ingest_iris": (("synth_iris",),),
    "classifier": (),
    "train": (("ingest", "ingest_iris"),),
    "skill": (("ingest_iris",),),
    "subgroups": (("ingest", "ingest_iris"), ("train",)),
    "adversarial": (("ingest",), ("classifier", "train")),
    "attribute": (("ingest", "ingest_iris"), ("classifier", "train")),
    "attention": (("attribute",),),
    "validate": (("attribute",),),
}
"""What each step reads: of every group at least one, from this run or from one before it."""


_TEMPORARY = re.compile(
    r"\..+\.(checkpoint|fits|csv|json|md|png|nc|npy|safetensors|yaml|html|xml)\.\w{6,10}"
)
_FIELDS = {"step", "key", "ingredients", "state"}


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    """A step, its key, and what would become of it.

    Parameters
    ----------
    step
        The step.
    key
        Hash of all that shapes its output.
    ingredients
        What the key is the hash of.
    state
        "done" (kept), "missing" (to make), "unfinished" (to go on with), "changed" (an output of
        other options or other code stands in the folder) or "damaged" (to make again).
    reason
        Why, in words.
    """

    step: Step
    key: str
    ingredients: Mapping[str, Any]
    state: Literal["done", "missing", "unfinished", "changed", "damaged"]
    reason: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of a step.

    Parameters
    ----------
    name, key
        The step and its key.
    kept
        Whether its output was there already.
    outcome
        What it gave back, now or then.
    """

    name: str
    key: str
    kept: bool
    outcome: Outcome


def plan(workflow: Workflow, *, out: Path | None) -> tuple[PlannedStep, ...]:
    """Return the steps with their keys and what would become of them in the folder `out`, if any.

    Raises
    ------
    WorkflowError
        when a step reads what no step makes and `out` does not hold.
    """
    keys: dict[str, str] = {}
    planned = []
    for step in workflow.steps:
        ingredients = _ingredients(step, workflow, keys, out)
        keys[step.name] = content_hash(ingredients)
        planned.append(_compare(step, keys[step.name], ingredients, out))
    return tuple(planned)


def execute(
    workflow: Workflow,
    *,
    out: Path,
    cluster: Cluster,
    progress: Progress,
    resume: bool = False,
    until: str | None = None,
) -> tuple[Result, ...]:
    """Return what became of every step, after making what `out` does not hold.

    Parameters
    ----------
    workflow
        The steps.
    out
        The folder of the run; made if absent.
    cluster
        Where units of work run.
    progress
        Follows the run.
    resume
        Go on in a folder whose outputs were made by other options or other code: make the steps
        that differ again, in place of what stands there. Without it such a folder is refused.
    until
        The last step to take.

    Raises
    ------
    WorkflowError
        when the folder holds something else, cannot be written, or is in use.
    """
    out = out.resolve()
    if until is not None:
        names = [step.name for step in workflow.steps]
        workflow = replace(workflow, steps=workflow.steps[: names.index(until) + 1])
    planned = plan(workflow, out=out)
    _check_folder(out, planned, resume=resume)
    with _lock(out):
        return tuple(
            _keep(item, out, progress)
            if item.state == "done"
            else _make(item, out, cluster, progress, workflow)
            for item in planned
        )


def join(workflow: Workflow, *, out: Path) -> None:
    """Take part in the training of a run that another process, the first, carries out.

    Parameters
    ----------
    workflow, out
        As for `execute`, which the first process calls. This one locks, writes and records
        nothing, and takes the step `train` alone, unless that is done.
    """
    for item in plan(workflow, out=out.resolve()):
        if item.step.name == "train" and item.state != "done":
            options = {**item.step.options, "threads": workflow.threads}
            item.step.run(out=out.resolve(), **options)


def _keep(item: PlannedStep, out: Path, progress: Progress) -> Result:
    name = item.step.name
    progress.say(f"{name}: there already, skipped ({item.key[:12]})")
    return Result(name=name, key=item.key, kept=True, outcome=_outcome(_record(out, name), out))


def _make(
    item: PlannedStep, out: Path, cluster: Cluster, progress: Progress, workflow: Workflow
) -> Result:
    step, threads = item.step, workflow.threads
    if item.state == "changed":
        _clear(step, out)
    record = {"step": step.name, "key": item.key, "ingredients": item.ingredients}
    record["made"] = made_by(step, workflow, _record(out, step.name))
    _write_record(out, step.name, {**record, "state": "started"})
    outcome = step.run(out=out, cluster=cluster, progress=progress, threads=threads, **step.options)
    facts = asdict(replace(outcome, outputs=(), units=()))
    finished = {**record, "state": "done", "files": _stamp(outcome, out), "outcome": facts}
    _write_record(out, step.name, finished)
    progress.event("step done", step=step.name, key=item.key, figures=dict(outcome.figures))
    return Result(name=step.name, key=item.key, kept=False, outcome=outcome)


def _ingredients(
    step: Step, workflow: Workflow, keys: Mapping[str, str], out: Path | None
) -> dict[str, Any]:
    needs: dict[str, str] = {}
    for group in () if step.options.get("catalog") else NEEDS[step.name]:
        found = {name: keys[name] for name in group if name in keys}
        if not found:
            found = {name: key for name in group if (key := _made_before(name, out))}
        if not found:
            raise WorkflowError(
                f"the step {step.name!r} reads what {' or '.join(map(repr, group))} makes, and "
                f"neither this workflow nor {out or 'a run before it'} has it",
                remedy=f"Add the step {' or '.join(group)}"
                + (
                    f", or give {step.name} a catalog."
                    if step.name in ("ingest", "ingest_iris")
                    else "."
                ),
            )
        needs |= found
    pipeline = Path(str(sys.modules[step.run.__module__].__file__))
    return {
        "step": step.name,
        "options": _keyed_options(step),
        "needs": needs,
        "code": content_hash([_library_hash(), code_hash([pipeline])]),
        "threads": workflow.threads,
    }


@cache
def _library_hash() -> str:
    return code_hash()


def _keyed_options(step: Step) -> dict[str, Any]:
    """Return the options with paths replaced by what they stand for."""
    hints = get_type_hints(step.run, include_extras=True)
    kept = {}
    for name, value in step.options.items():
        meaning = path_meaning(hints[name])
        if meaning == "place":
            continue
        if isinstance(value, Path) and meaning == "bytes":
            value = file_hash(value)
        elif isinstance(value, Path) and meaning == "workflow":
            value = [item.key for item in plan(load(value), out=None)]
        kept[name] = value
    return kept


def _compare(step: Step, key: str, ingredients: Mapping[str, Any], out: Path | None) -> PlannedStep:
    record = _record(out, step.name) if out else {}
    state: Literal["done", "missing", "unfinished", "changed", "damaged"]
    if not record:
        state, reason = "missing", "not made yet"
    elif record["key"] != key:
        state, reason = "changed", "; ".join(_differences(record["ingredients"], ingredients))
    elif record["state"] != "done":
        state, reason = "unfinished", "interrupted"
    elif out and (broken := _broken(record, out)):
        state, reason = "damaged", f"{broken} is missing or altered"
    else:
        state, reason = "done", "there already"
    return PlannedStep(step=step, key=key, ingredients=ingredients, state=state, reason=reason)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    then, now = old["options"], json.loads(json.dumps(new["options"], default=asdict))
    found = [
        f"{new['step']}.{name} was {then.get(name)!r}, is {now.get(name)!r}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
    if old["code"] != new["code"]:
        found.append("the code has changed")
    if old["threads"] != new["threads"]:
        found.append(f"threads was {old['threads']}, is {new['threads']}")
    return found or ["a step before it has changed"]


def _check_folder(out: Path, planned: tuple[PlannedStep, ...], *, resume: bool) -> None:
    changed = [item for item in planned if item.state == "changed"]
    if changed and not resume:
        told = "; ".join(f"{item.step.name} ({item.reason})" for item in changed[:3])
        raise WorkflowError(
            f"{out} holds a run made otherwise: {told}",
            remedy="Give another --out, or --resume to make these steps again in its place.",
        )
    if out.exists() and not (out / "steps").is_dir() and (not out.is_dir() or any(out.iterdir())):
        raise WorkflowError(
            f"{out} is there and is no run of solarxai", remedy="Give a new folder as --out."
        )
    try:
        (out / "steps").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkflowError(
            f"{out}: cannot be made ({error.strerror})", remedy="Give a folder you may write in."
        ) from error


@contextlib.contextmanager
def _lock(out: Path) -> Iterator[None]:
    """Keep others out of the folder, and remove what those left that were killed in it."""
    with alone(out):
        _sweep(out)
        yield


def _sweep(out: Path) -> None:
    """Remove the temporary files of writes that were killed; nobody else is writing now."""
    for folder in (out, *(path for path in out.iterdir() if path.is_dir())):
        for path in folder.glob(".*.*.*"):
            if path.is_file() and _TEMPORARY.fullmatch(path.name):
                path.unlink()


def _record(out: Path, name: str) -> dict[str, Any]:
    path = out / "steps" / f"{name}.json"
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError:
        found = None
    if not isinstance(found, dict) or not set(found) >= _FIELDS:
        raise WorkflowError(
            f"{path}: not the record of a step",
            remedy="Delete this file; the step is then made again.",
        )
    return found


def _write_record(out: Path, name: str, record: Mapping[str, Any]) -> None:
    text = json.dumps(record, indent=1, default=_plain)
    write_atomically(out / "steps" / f"{name}.json", text.encode())


def _plain(value: Any) -> Any:
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value.item()


def _made_before(name: str, out: Path | None) -> str | None:
    record = _record(out, name) if out else {}
    if not out or record.get("state") != "done" or _broken(record, out):
        return None
    return str(record["key"])


def _stamp(outcome: Outcome, out: Path) -> dict[str, dict[str, Any]]:
    stamps: dict[str, dict[str, Any]] = {}
    for path in (*outcome.units, *outcome.outputs):
        stamps[_name(path, out)] = {"bytes": path.stat().st_size}
    for path in outcome.outputs:
        stamps[_name(path, out)]["sha256"] = file_hash(path)
    return stamps


def _broken(record: Mapping[str, Any], out: Path) -> str | None:
    files: dict[str, dict[str, Any]] = record["files"]
    for name, stamp in files.items():
        path = out / name
        if not path.is_file() or path.stat().st_size != stamp["bytes"]:
            return name
        if "sha256" in stamp and file_hash(path) != stamp["sha256"]:
            return name
    return None


def _outcome(record: Mapping[str, Any], out: Path) -> Outcome:
    files = record["files"]
    kept = dict(record["outcome"])
    kept["outputs"] = tuple(out / name for name in files if "sha256" in files[name])
    kept["units"] = tuple(out / name for name in files if "sha256" not in files[name])
    for name in ("failures", "sentences"):
        kept[name] = tuple(kept[name])
    return Outcome(**kept)


def _name(path: Path, out: Path) -> str:
    return path.relative_to(out).as_posix() if path.is_relative_to(out) else path.as_posix()


def _clear(step: Step, out: Path) -> None:
    """Remove what other options left, so that no old unit passes for a new one."""
    (out / "steps" / f"{step.name}.json").unlink(missing_ok=True)
    for pattern in step.outputs:
        for path in sorted(out.glob(pattern), reverse=True):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
