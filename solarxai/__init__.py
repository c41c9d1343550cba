"""Saliency maps for solar-physics networks: with coordinates, error bars, and a verdict."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from solarxai.engine.preparation import Snapshot
    from solarxai.explainers._catalogue import explain, list_methods
    from solarxai.query import open_store
    from solarxai.validation import validate

__all__ = ["Snapshot", "explain", "list_methods", "open_store", "validate"]

_HOMES = {
    "Snapshot": "solarxai.engine.preparation",
    "explain": "solarxai.explainers._catalogue",
    "list_methods": "solarxai.explainers._catalogue",
    "open_store": "solarxai.query",
    "validate": "solarxai.validation",
}


def __getattr__(name: str) -> Any:
    """Return a public function, imported when it is first asked for: torch takes seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module 'solarxai' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
