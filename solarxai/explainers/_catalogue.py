"""The methods by name: what there is, and one function that runs any of it.

Names are those of the files, options the fields of the dataclasses, words their docstrings.
"""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import MISSING, Field, fields
from importlib import resources
from typing import Any

from torch import Tensor, nn

from solarxai import registry
from solarxai.engine.preparation import Snapshot
from solarxai.errors import WorkflowError
from solarxai.explainers import Attribution, Explainer, Target

__all__ = ["MethodList", "explain", "list_methods", "make_explainer"]

_PACKAGE = "solarxai.explainers"
_MEASURED = "measured.json"
_HOLDS = 1e-3
"""Largest violation of an axiom that is called none; sampling leaves ten times as much."""


class MethodList(list[dict[str, Any]]):
    """Methods as mappings with `name`, `description`, `options`, `references` and `measured`.

    An option is a mapping with `name`, `type`, `default` and `description`; `measured` holds the
    figures of `docs/methods.md`, or nothing for a method that was not measured. Printed, it is one
    line a method, or all that there is to say of a single one.
    """

    def __str__(self) -> str:
        if len(self) == 1:
            return _text(self[0])
        width = max((len(method["name"]) for method in self), default=0)
        return "\n".join(_line(method, width) for method in self)


def explain(
    model: nn.Module | Snapshot,
    x: Tensor,
    *,
    method: str,
    target: Target = "difference",
    baselines: Tensor | None = None,
    segments: Tensor | None = None,
    seed: int = 0,
    **options: Any,
) -> Attribution:
    """Return the attribution of a score to each input value, raw and signed, of the input's shape.

    Parameters
    ----------
    model
        Network in evaluation mode: (batch, channel, *space) to scores (batch, class). It is not
        changed. A `solarxai.Snapshot` of it saves preparing it again for every call.
    x
        (batch, channel, *space) float32.
    method
        A name of `list_methods`.
    target
        A class index, an integer tensor (batch,) with one index a sample, or "difference": the
        second minus the first score of a network with two.
    baselines
        (baseline, channel, *space), for methods that compare with a set of images.
    segments
        (batch, *space) integers, the segment of each pixel, for methods whose players are segments.
    seed
        Of stochastic methods; others do not use it.
    **options
        The method's own; see `list_methods`.

    Raises
    ------
    WorkflowError
        when there is no such method or option.
    ContractError
        when the model and the images do not fit, or an option is out of range.
    ExplainerRefusal
        when the method would answer wrongly for this model.

    Examples
    --------
    >>> import torch, solarxai
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)).eval()
    >>> solarxai.explain(model, torch.ones(1, 1, 2, 2), method="gradient").values.shape
    torch.Size([1, 1, 2, 2])
    """
    if "seed" in _options_of(method):
        options = {**options, "seed": seed}
    explainer = make_explainer(method, **options)
    return explainer(model, x, target=target, baselines=baselines, segments=segments)


def make_explainer(method: str, **options: Any) -> Explainer:
    """Return the explainer of that name with these options.

    Raises
    ------
    WorkflowError
        when there is no such method, or the method has no such option.
    """
    known = _options_of(method)
    for name in options:
        if name not in known:
            raise WorkflowError(
                f"{method} has no option {name!r}; it has {', '.join(known)}",
                remedy=registry.near_name(name, list(known)) or "Leave it out.",
            )
    made: Explainer = registry.load(_PACKAGE, method)(**options)
    return made


def list_methods(name: str | None = None) -> MethodList:
    """Return the methods with their descriptions, options and references.

    Parameters
    ----------
    name
        Only this method; None for all of them.

    Raises
    ------
    WorkflowError
        when there is no method of that name.
    """
    names = registry.names(_PACKAGE) if name is None else [name]
    return MethodList(_described(each) for each in names)


def _options_of(method: str) -> dict[str, Field[Any]]:
    kind: type[Explainer] = registry.load(_PACKAGE, method)
    return {field.name: field for field in fields(kind)}


def _described(method: str) -> dict[str, Any]:
    kind: type[Explainer] = registry.load(_PACKAGE, method)
    words: dict[str, str] = {}
    for ancestor in reversed(kind.__mro__[:-1]):
        words |= _parameters(_sections(ancestor).get("Parameters", ""))
    sections = _sections(kind)
    return {
        "name": method,
        "description": _one_line(sections[""]),
        "options": [_option(field, words[name]) for name, field in _options_of(method).items()],
        "references": _one_line(sections.get("References", "")),
        "measured": _measured().get(method, {}),
    }


def _option(field: Field[Any], words: str) -> dict[str, Any]:
    default = None if field.default is MISSING else field.default
    return {"name": field.name, "type": field.type, "default": default, "description": words}


def _sections(kind: type) -> dict[str, str]:
    """Return the sections of a class's own numpydoc docstring by title; its head by ""."""
    text = inspect.cleandoc(kind.__dict__.get("__doc__") or "")
    parts = re.split(r"^(\w[\w ]*)\n-{3,}$", text, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def _parameters(section: str) -> dict[str, str]:
    parts = re.split(r"^(\w+)(?: : .*)?\n", section.strip("\n"), flags=re.MULTILINE)
    return {name: _one_line(text) for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _measured() -> dict[str, Any]:
    """Return what `benchmarks/methods.py` wrote of the methods, by name."""
    file = resources.files(_PACKAGE) / _MEASURED
    return json.loads(file.read_text()) if file.is_file() else {}


def _line(method: dict[str, Any], width: int) -> str:
    return f"{method['name']:{width}}  {method['description']}"


def _text(method: dict[str, Any]) -> str:
    lines = [f"{method['name']}: {method['description']}"]
    lines += [f"  {o['name']} = {o['default']!r}: {o['description']}" for o in method["options"]]
    lines += [f"  References: {method['references']}"]
    return "\n".join([*lines, *_told(method["measured"])])


def _told(measured: dict[str, Any]) -> list[str]:
    """Return the lines of what was measured of a method."""
    if not measured:
        return []
    oracles = "; ".join(f"{o['oracle']} ({o['difference']})" for o in measured["oracles"])
    limit = _HOLDS * (10 if measured["stochastic"] else 1)
    kept = [n for n, found in measured["axioms"].items() if found is not None and found <= limit]
    return [
        f"  Agrees with: {oracles or 'no oracle'}",
        f"  Keeps: {', '.join(kept) or 'none of the axioms'}",
        f"  Passes an image: {measured['forward']:g} forward, {measured['backward']:g} backward",
    ]
