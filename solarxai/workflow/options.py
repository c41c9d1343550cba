"""The options of a pipeline or a cluster: keyword parameters of its signature, checked strictly."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from ruamel.yaml.comments import CommentedMap

from solarxai.registry import near_name
from solarxai.workflow.file import Complaint, line_of

__all__ = ["GIVEN", "located", "options_of"]

GIVEN = frozenset({"out", "cluster", "progress", "threads"})
"""Parameters of a pipeline that the run supplies; all others are options."""

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def options_of(run: Callable[..., Any], *, given: Collection[str] = GIVEN) -> type[BaseModel]:
    """Return the strict model of a function's options, made from its signature.

    Parameters
    ----------
    run
        The function.
    given
        Its parameters that are no options.
    """
    hints = get_type_hints(run, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(run).parameters.items():
        if name not in given:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (hints[name], default)
    return create_model("options", __config__=_STRICT, **fields)


def located(
    error: ValidationError, tree: CommentedMap, stem: tuple[str, ...], known: list[str]
) -> list[Complaint]:
    """Return what is wrong with the block at `stem` of a tree, each with its line."""
    found = []
    for item in error.errors():
        place = (*stem, *item["loc"])
        words = ".".join(str(part) for part in place)
        if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            text = f"{words}: unknown key. {_near(str(place[-1]), known, depth=len(item['loc']))}"
        else:
            text = f"{words}: {item['msg'].removeprefix('Value error, ')}"
            if item["type"] not in ("value_error", "missing"):
                text += f", not {item['input']!r:.60}"
        found.append(Complaint(line_of(tree, place), text))
    return found


def _near(word: str, known: list[str], *, depth: int) -> str:
    if depth > 1:
        return "Remove it"
    return near_name(word, known) or f"Known are {', '.join(sorted(known))}"
