"""YAML 1.2 read so that every problem can be told with its line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import YAMLError

from solarxai.errors import WorkflowError

__all__ = [
    "Complaint",
    "builtin",
    "line_of",
    "plain_complaints",
    "read_tree",
    "read_value",
    "refusal",
]


@dataclass(frozen=True)
class Complaint:
    """One thing wrong with a file."""

    line: int
    text: str


def read_tree(path: Path) -> CommentedMap:
    """Return the tree of a workflow file, every node with its line.

    Raises
    ------
    WorkflowError
        when the file cannot be read, is not YAML, or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8 text"
        raise WorkflowError(
            f"{path}: cannot be read as a workflow ({why})",
            remedy="Give the path of a YAML file, such as workflows/quickstart.yaml.",
        ) from error
    try:
        tree = _parser().load(text)
    except (YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        why = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise WorkflowError(
            f"{path}: {where}not YAML ({why})", remedy="Correct the file at this line."
        ) from error
    if not isinstance(tree, CommentedMap):
        raise WorkflowError(
            f"{path}: a workflow is a mapping of step names to options, this is "
            f"{'empty' if tree is None else 'a ' + type(builtin(tree)).__name__}",
            remedy="Begin with a copy of workflows/quickstart.yaml.",
        )
    return tree


class _Constructor(RoundTripConstructor):
    """Leaves times as the text they were written as."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", RoundTripConstructor.construct_yaml_str)


def _parser() -> YAML:
    parser = YAML(typ="rt")
    parser.Constructor = _Constructor
    return parser


def plain_complaints(tree: CommentedMap) -> list[Complaint]:
    """Return what in a tree is neither mapping, list, text, number nor truth value."""
    found: list[Complaint] = []
    seen: set[int] = set()

    def visit(node: Any, line: int) -> None:
        if isinstance(node, CommentedMap | CommentedSeq):
            if id(node) in seen:
                found.append(Complaint(line, "aliases (*name) are not supported; repeat the block"))
                return
            seen.add(id(node))
            keys = node if isinstance(node, CommentedMap) else range(len(node))
            for key in keys:
                if isinstance(node, CommentedMap) and not isinstance(key, str):
                    found.append(Complaint(line, f"the key {key!r} is not a word"))
                    continue
                visit(node[key], line_of(node, (key,), line))
        elif not isinstance(node, str | int | float | bool | None):
            found.append(Complaint(line, f"{node!s:.60} is not a plain value"))

    visit(tree, 1)
    return found


def read_value(text: str) -> Any:
    """Return a value written in YAML on the command line, such as 3 or [64, 64].

    Raises
    ------
    WorkflowError
        when the text is not YAML.
    """
    try:
        value = _parser().load(text)
    except YAMLError as error:
        raise WorkflowError(
            f"{text!r} is not a YAML value", remedy="Quote it for the shell, as '[64, 64]'."
        ) from error
    return builtin(value)


def line_of(tree: Any, place: Iterable[Any], line: int = 1) -> int:
    """Return the line (from 1) of the innermost part of `place` that the tree has."""
    for part in place:
        try:
            mark = tree.lc.key(part) if isinstance(tree, CommentedMap) else tree.lc.item(part)
            line, tree = mark[0] + 1, tree[part]
        except (KeyError, IndexError, TypeError, AttributeError):
            break
    return line


def builtin(node: Any) -> Any:
    """Return a YAML tree as the types of `json`."""
    if isinstance(node, Mapping):
        return {str(key): builtin(value) for key, value in node.items()}
    if isinstance(node, list):
        return [builtin(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def refusal(path: Path | str, complaints: list[Complaint]) -> WorkflowError:
    """Return the error that tells every complaint about a file at once, in the order of lines."""
    ordered = sorted(complaints, key=lambda complaint: complaint.line)
    texts = [f"line {c.line}: {c.text}" if c.line else c.text for c in ordered]
    if len(texts) == 1:
        return WorkflowError(f"{path}: {texts[0]}", remedy="Nothing was run.")
    listed = "".join(f"\n  {text}" for text in texts)
    return WorkflowError(f"{path}: {len(texts)} problems:{listed}\n", remedy="Nothing was run.")
