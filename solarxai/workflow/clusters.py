"""Where units of work run, as a workflow file or the command line says it: a kind and its options.

The options of a kind are the keyword parameters of its class, found by entry point
(`solarxai.clusters`) and checked before anything runs, like those of a pipeline.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError
from ruamel.yaml.comments import CommentedMap

from solarxai.registry import near_name
from solarxai.workflow.file import Complaint, builtin, line_of, read_value, refusal
from solarxai.workflow.options import located, options_of

__all__ = ["Cluster", "Placement", "make_cluster", "read_placement", "spelled_placement"]

_CLUSTERS = "solarxai.clusters"
_GIVEN = frozenset({"self", "folder", "workers"})
"""Parameters of a cluster's class that the run supplies; all others are options."""


class Cluster(Protocol):
    """Where units of work run: in this process, in others, on other machines."""

    def run(
        self, function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        """Yield (index of the call, its result or the `SolarxaiError` it raised) as they end."""

    def close(self) -> None:
        """Let go of processes and machines."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where units of work run: a kind of cluster, and what it is told.

    Parameters
    ----------
    kind
        A name of the group `solarxai.clusters`.
    options
        Keyword parameters of its class.
    """

    kind: str = "none"
    options: Mapping[str, Any] = field(default_factory=dict)


def make_cluster(placement: Placement, *, workers: int, folder: Path) -> Cluster:
    """Return the cluster of a placement, from the entry points `solarxai.clusters`.

    Parameters
    ----------
    placement
        What `read_placement` or `spelled_placement` found sound.
    workers
        Processes, jobs or parts, at most.
    folder
        Folder of the run; a cluster that keeps files keeps them there.

    Raises
    ------
    WorkflowError
        when the cluster cannot be used here.
    """
    made: Cluster = _clusters()[placement.kind].load()(
        folder=folder.resolve(), workers=workers, **placement.options
    )
    return made


def read_placement(value: Any, tree: CommentedMap) -> tuple[Placement, list[Complaint]]:
    """Return what stands at `cluster` in a tree, and all that is wrong with it.

    Parameters
    ----------
    value
        A kind, or a mapping {kind: name, **options}.
    tree
        The tree, for the lines.
    """
    kind = value.get("kind") if isinstance(value, Mapping) else value
    known = _clusters()
    line = line_of(tree, ("cluster", "kind") if isinstance(value, Mapping) else ("cluster",))
    if not known:
        text = "cluster: none is installed; run `pip install -e .` again"
    elif not isinstance(kind, str):
        text = f"cluster: a kind or {{kind: ..., options}} expected, not {value!r:.60}"
    elif kind not in known:
        text = f"cluster: {kind!r} is not one of {', '.join(sorted(known))}. "
        text += near_name(kind, sorted(known))
    else:
        return _checked(kind, known[kind].load(), value, tree)
    return Placement(), [Complaint(line if known else 0, text.rstrip())]


def spelled_placement(text: str, *, beside: Placement) -> Placement:
    """Return the placement that a word of the command line names.

    Parameters
    ----------
    text
        A kind, or a mapping as `{kind: slurm, partition: long}`.
    beside
        What the workflow file says: of the same kind, it keeps its options.

    Raises
    ------
    WorkflowError
        when it is not a placement.
    """
    value = read_value(text)
    if value == beside.kind:
        return beside
    placement, complaints = read_placement(value, CommentedMap({"cluster": value}))
    if complaints:
        unplaced = [Complaint(0, complaint.text) for complaint in complaints]
        raise refusal(f"--cluster {text}", unplaced)
    return placement


def _checked(
    kind: str, made: Callable[..., Any], value: Any, tree: CommentedMap
) -> tuple[Placement, list[Complaint]]:
    given = builtin(value) if isinstance(value, Mapping) else {}
    given.pop("kind", None)
    model = options_of(made.__init__, given=_GIVEN)
    try:
        checked = model.model_validate_json(json.dumps(given))
    except ValidationError as error:
        return Placement(), located(error, tree, ("cluster",), list(model.model_fields))
    options = {name: getattr(checked, name) for name in type(checked).model_fields}
    check = getattr(sys.modules[made.__module__], "complaints", None)
    line = line_of(tree, ("cluster",))
    found = (
        [Complaint(line, f"cluster: {kind}: {text}") for text in check(options)] if check else []
    )
    return Placement(kind=kind, options=options), found


def _clusters() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=_CLUSTERS)}
