"""A workflow file, read and checked as a whole: a plan that can run, or every complaint at once.

The keys of the file that name a pipeline are steps; what stands below such a key are the keyword
parameters of that pipeline's `run`. There is no second list of options: the function's own
signature is the schema, checked strictly.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)
from ruamel.yaml.comments import CommentedMap

from solarxai.errors import SolarxaiError, WorkflowError
from solarxai.workflow.clusters import Placement, read_placement
from solarxai.workflow.file import (
    Complaint,
    builtin,
    line_of,
    plain_complaints,
    read_tree,
    read_value,
    refusal,
)
from solarxai.workflow.options import GIVEN, located, options_of

__all__ = [
    "STEPS",
    "Folder",
    "InputFile",
    "Outcome",
    "Step",
    "Workflow",
    "WorkflowFile",
    "describe_options",
    "load",
    "single_step",
    "sound",
]

STEPS = (
    "synth", "synth_iris", "ingest", "ingest_iris", "classifier", "train", "skill", "subgroups",
    "adversarial", "attribute", "attention", "validate",
)  # fmt: skip
"""Steps in the order in which data flow through them."""

_VARIABLE = re.compile(r"\$\{?(\w+)\}?")

_EXCLUSIVE = (
    ("synth", "synth_iris", "a run holds images or spectra"),
    ("classifier", "train", "use a classifier, or train one"),
    ("ingest", "ingest_iris", "a run holds images or spectra"),
)
"""Steps that cannot stand in one workflow, and why."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a step of a run gives back.

    Parameters
    ----------
    outputs
        Files whose bytes speak for the whole output; their hashes are kept and checked.
    units
        Other files, whose presence and size are checked.
    done, skipped, failed
        Units computed now, there already, and left out because of an error.
    failures
        One record a unit left out: file, error, remedy.
    figures
        Headline numbers and words, by name.
    sentences
        What a reader should take away.
    next_command
        What to type next; "{out}" stands for the folder of the run.
    """

    outputs: tuple[Path, ...]
    units: tuple[Path, ...] = ()
    done: int = 0
    skipped: int = 0
    failed: int = 0
    failures: tuple[Mapping[str, str], ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()
    next_command: str = ""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a workflow: a pipeline and its checked options.

    Parameters
    ----------
    name
        Its key in the file.
    run
        The pipeline.
    options
        Every keyword parameter of the pipeline, defaults filled in.
    """

    name: str
    run: Callable[..., Outcome]
    options: Mapping[str, Any]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the patterns of all files the pipeline makes, relative to the run's folder."""
        return tuple(getattr(sys.modules[self.run.__module__], "OUTPUTS", ()))


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """A workflow whose every option has been checked.

    Parameters
    ----------
    name
        What the run is called.
    steps
        In the order in which data flow.
    seed
        The seed of every step that does not state its own.
    threads
        Threads of torch in training and validation; part of every key.
    cluster
        Where units of work run.
    workers
        Processes, jobs or parts of that cluster.
    """

    name: str
    steps: tuple[Step, ...]
    seed: int = 0
    threads: int = 1
    cluster: Placement = field(default_factory=Placement)
    workers: int = 2


class _Header(BaseModel):
    """What a workflow file says beside its steps."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(default="", pattern=r"^[A-Za-z0-9_.-]*$")
    description: str = ""
    seed: int = Field(default=0, ge=0)
    threads: int = Field(default=1, ge=1)
    cluster: Any = "none"
    workers: int = Field(default=2, ge=1)


def sound(check: Callable[..., Any]) -> AfterValidator:
    """Return a validator that turns a `SolarxaiError` of `check(value)` into a complaint."""

    def validate(value: Any) -> Any:
        try:
            check(value)
        except SolarxaiError as error:
            raise ValueError(str(error)) from error
        return value

    return AfterValidator(validate)


def _beside(path: Path, info: ValidationInfo) -> Path:
    """Return a path relative to the workflow's folder; ${VARIABLES} of the environment count."""
    folder = (info.context or {}).get("folder", Path())
    spelled = os.path.expandvars(path)
    if unset := _VARIABLE.search(spelled):
        raise ValueError(
            f"the environment variable {unset[1]} is not set; export it, or name the path"
        )
    return Path(folder, Path(spelled).expanduser()).resolve()


def _a_file(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"there is no file {path}; paths are relative to the workflow file")
    return path


@dataclass(frozen=True)
class PathMeaning:
    """What a path among the options stands for in a step's key: "bytes", "workflow" or nothing."""

    kind: str


InputFile = Annotated[Path, AfterValidator(_beside), AfterValidator(_a_file), PathMeaning("bytes")]
"""An option that names a file to read; in a step's key it stands for the file's bytes."""

WorkflowFile = Annotated[
    Path, AfterValidator(_beside), AfterValidator(_a_file), PathMeaning("workflow")
]
"""An option that names another workflow; in a step's key it stands for what that one trains."""

Folder = Annotated[Path, AfterValidator(_beside), PathMeaning("place")]
"""An option that names a folder to write in; it is no part of a step's key."""


def load(path: Path, *, settings: Iterable[str] = ()) -> Workflow:
    """Return the workflow of a YAML file, every option checked.

    Parameters
    ----------
    path
        The file: YAML 1.2.
    settings
        Changes such as "train.epochs=3", with a YAML value, applied before the checks.

    Raises
    ------
    WorkflowError
        naming every problem at once, with lines.
    """
    tree = read_tree(path)
    complaints = [*plain_complaints(tree), *_apply(settings, tree)]
    if complaints:
        raise refusal(path, complaints)
    return _check(tree, path, folder=path.parent)


def single_step(name: str, options: Mapping[str, Any], *, seed: int, threads: int) -> Workflow:
    """Return the workflow of one step whose options were typed on the command line."""
    tree = CommentedMap({"name": name, "seed": seed, "threads": threads, name: dict(options)})
    return _check(tree, Path(f"solarxai {name}"), folder=Path())


def describe_options(name: str) -> list[str]:
    """Return one line an option of a pipeline: its name, type and default."""
    run = _pipelines()[name].load()
    hints = get_type_hints(run)
    lines = []
    for option, parameter in inspect.signature(run).parameters.items():
        if option not in GIVEN:
            kind = re.sub(r"[\w.]+\.(?=\w)", "", inspect.formatannotation(hints[option]))
            kind = re.sub(r"^Optional\[(.*)\]$|^(.*) \| None$", r"\1\2", kind)
            default = "" if parameter.default is parameter.empty else f" [{parameter.default}]"
            lines.append(f"--{option}  {kind}{default}")
    return lines


_PIPELINES = "solarxai.pipelines"


def _check(tree: CommentedMap, path: Path, *, folder: Path) -> Workflow:
    pipelines = _pipelines()
    blocks = {name: tree[name] for name in STEPS if name in tree}
    stray = {name: value for name, value in tree.items() if name not in STEPS}
    complaints = []
    try:
        header = _Header.model_validate_json(json.dumps(builtin(stray)))
    except ValidationError as error:
        header = _Header()
        complaints += located(error, tree, (), [*_Header.model_fields, *STEPS])
    steps = []
    for name, block in blocks.items():
        if name not in pipelines:
            complaints.append(Complaint(line_of(tree, (name,)), _uninstalled(name)))
            continue
        run = pipelines[name].load()
        options, found = _options(run, name, tree, block, seed=header.seed, folder=folder)
        complaints += found
        steps.append(Step(name=name, run=run, options=options))
    cluster, found = read_placement(header.cluster, tree)
    complaints += [*_flow_complaints(tree, blocks), *found]
    if complaints:
        raise refusal(path, complaints)
    stated = header.model_dump(exclude={"name", "description", "cluster"})
    return Workflow(name=header.name or path.stem, steps=tuple(steps), cluster=cluster, **stated)


def _options(
    run: Callable[..., Any], name: str, tree: CommentedMap, block: Any, *, seed: int, folder: Path
) -> tuple[dict[str, Any], list[Complaint]]:
    """Return the checked options of a step; a pipeline's `complaints(options)` has a say too."""
    model = options_of(run)
    given = builtin(block) if block is not None else {}
    if not isinstance(given, dict):
        return {}, [Complaint(line_of(tree, (name,)), f"{name}: options expected, as `key: value`")]
    if "seed" in model.model_fields:
        given = {"seed": seed, **given}
    try:
        made = model.model_validate_json(json.dumps(given), context={"folder": folder})
    except ValidationError as error:
        return {}, located(error, tree, (name,), list(model.model_fields))
    options = {key: getattr(made, key) for key in type(made).model_fields}
    check = getattr(sys.modules[run.__module__], "complaints", None)
    line = line_of(tree, (name,))
    return options, [Complaint(line, f"{name}: {text}") for text in check(options)] if check else []


def _flow_complaints(tree: CommentedMap, blocks: Mapping[str, Any]) -> list[Complaint]:
    found = []
    if not blocks:
        found.append(Complaint(1, f"no step at all; a workflow has some of {', '.join(STEPS)}"))
    for first, second, remedy in _EXCLUSIVE:
        if first in blocks and second in blocks:
            text = f"{first} and {second} exclude each other: {remedy}"
            found.append(Complaint(line_of(tree, (first,)), text))
    for synth, ingest in (("synth", "ingest"), ("synth_iris", "ingest_iris")):
        given = blocks.get(ingest)
        if synth in blocks and isinstance(given, Mapping) and given.get("catalog"):
            text = f"{ingest}.catalog: the {synth} step makes the catalog; drop one of the two"
            found.append(Complaint(line_of(tree, (ingest, "catalog")), text))
    return found


def _pipelines() -> dict[str, importlib.metadata.EntryPoint]:
    found = {point.name: point for point in importlib.metadata.entry_points(group=_PIPELINES)}
    if not found:
        raise WorkflowError(
            f"no pipeline is installed under the entry points {_PIPELINES!r}",
            remedy="Install the package: `pip install -e .` in its folder, or `make install`.",
        )
    return found


def _uninstalled(name: str) -> str:
    return f"{name}: no such pipeline is installed; run `pip install -e .` again"


def _apply(settings: Iterable[str], tree: CommentedMap) -> list[Complaint]:
    found = []
    for setting in settings:
        words, equals, text = setting.partition("=")
        *parents, last = words.split(".")
        if not equals or not last:
            found.append(Complaint(0, f"--set {setting}: write it as step.option=value"))
            continue
        node: Any = tree
        for parent in parents:
            if node.get(parent) is None:
                node[parent] = CommentedMap()
            node = node[parent]
            if not isinstance(node, CommentedMap):
                found.append(Complaint(0, f"--set {setting}: {parent} holds no options"))
                break
        else:
            node[last] = read_value(text)
    return found
