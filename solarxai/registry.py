"""Find things by folder, and make them of options.

A file in a package is a method, an instrument or a model of that name: it lists the one thing it
offers first in `__all__`. Adding one is adding a file. The fields of a dataclass are its options.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import sys
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_type_hints

import pydantic

from solarxai.errors import SolarxaiError, WorkflowError

__all__ = ["load", "make", "names", "near_name"]

Made = TypeVar("Made")


def names(package: str) -> list[str]:
    """Return the sorted names of the public modules of a package, such as "solarxai.explainers"."""
    path = importlib.import_module(package).__path__
    return sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_"))


def load(package: str, name: str, *, error: type[SolarxaiError] = WorkflowError) -> Any:
    """Return what the module `name` of `package` offers: the first entry of its `__all__`.

    Raises
    ------
    SolarxaiError
        (of type `error`) when the package has no module of that name.
    """
    # A module in use was found by its name before; folders of a network file system are slow.
    public = name.isidentifier() and not name.startswith("_")
    module = sys.modules.get(f"{package}.{name}") if public else None
    if module is None:
        known = names(package)
        if name not in known:
            noun = package.rpartition(".")[2]
            raise error(
                f"{name!r} is not one of {noun}: {', '.join(known)}",
                remedy=near_name(name, known) or "Choose one of these names.",
            )
        module = importlib.import_module(f"{package}.{name}")
    return getattr(module, module.__all__[0])


def near_name(word: str, known: list[str]) -> str:
    """Return "Did you mean 'x'?" for the nearest known name, or an empty string."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean {near[0]!r}?" if near else ""


def make(kind: type[Made], given: Mapping[str, Any], *, name: str) -> Made:
    """Return a dataclass made of options: no unknown ones, no "3" for 3, no true for 1.

    Parameters
    ----------
    kind
        A dataclass.
    given
        Its fields, as a workflow file writes them: a list stands for a tuple.
    name
        What messages call it.

    Raises
    ------
    WorkflowError
        naming every unknown or missing field and every value of a wrong type at once.
    SolarxaiError
        of the dataclass, when a value is out of range.
    """
    hints = get_type_hints(kind)
    own = [f for f in fields(kind) if f.init]  # type: ignore[arg-type]
    needed = [f.name for f in own if f.default is MISSING and f.default_factory is MISSING]
    names = [f.name for f in own]
    model = pydantic.create_model(
        "Fields",
        __config__=pydantic.ConfigDict(
            strict=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False
        ),
        **{field: (hints[field], ... if field in needed else None) for field in names},
    )  # type: ignore[call-overload]
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    try:
        model(**plain)
    except pydantic.ValidationError as error:
        known = sorted(names)
        raise WorkflowError(
            f"{name}: " + "; ".join(_complaint(e, known) for e in error.errors()),
            remedy=f"Its fields are {', '.join(known)}.",
        ) from error
    return kind(**plain)


def _complaint(error: Any, known: list[str]) -> str:
    field = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown field {field!r} {near_name(field, known)}".rstrip()
    if error["type"] == "missing":
        return f"{field} is missing"
    return f"{field} = {error['input']!r}: {error['msg']}"
