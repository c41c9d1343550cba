"""Find things by folder: a file in a package is a method, an instrument or a model of that name.

Each such file lists the one thing it offers first in `__all__`. Adding one is adding a file.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from typing import Any

from solarxai.errors import SolarxaiError, WorkflowError

__all__ = ["load", "names", "near_name"]


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
