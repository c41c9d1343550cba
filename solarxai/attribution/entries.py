"""Explainers as a workflow lists them: {method: name, **fields}, checked strictly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from solarxai import registry
from solarxai.errors import SolarxaiError, WorkflowError
from solarxai.explainers import Explainer
from solarxai.schema import MEASUREMENTS

__all__ = ["parse_explainers"]

_TAKEN = frozenset(
    {
        "score",
        "spectrum_score",
        "predicted",
        "image",
        "quality",
        "peak",
        "segmentation",
        "central",
        "time",
        "sample_id",
        "label",
    }
    | {"label_source", "region", "origin", "instrument", "observation", "split", "header", "run"}
    | set(MEASUREMENTS)
)
_TAKEN_ENDS = ("_stderr", "_completeness_error", "_spread")


def parse_explainers(entries: Sequence[Mapping[str, Any]]) -> dict[str, Explainer]:
    """Return the explainers of {method: name, **fields} by the name of their map.

    Parameters
    ----------
    entries
        Each names a file of `solarxai.explainers` as `method` and any fields of its dataclass;
        `name` names the map where the same method stands twice.

    Raises
    ------
    WorkflowError
        naming every unknown method, unknown field, wrong type and repeated name at once.
    """
    made: dict[str, Explainer] = {}
    complaints: list[str] = []
    for place, entry in enumerate(entries):
        try:
            name, explainer = _parse_one(entry)
            _check_name(name, made)
            made[name] = explainer
        except SolarxaiError as error:
            complaints.append(f"explainers[{place}]: {error.what.rstrip('.')}. {error.remedy}")
    if not entries:
        complaints.append("explainers: none is given")
    if complaints:
        raise WorkflowError(
            " ".join(complaints), remedy="`solarxai methods` lists methods and their fields."
        )
    return made


def _parse_one(entry: Mapping[str, Any]) -> tuple[str, Explainer]:
    given = dict(entry)
    method = given.pop("method", None)
    if not isinstance(method, str):
        raise WorkflowError(
            f"{dict(entry)} names no method", remedy="Write {method: gradient}, for example."
        )
    name = given.pop("name", method)
    kind = registry.load("solarxai.explainers", method)
    return name, registry.make(kind, given, name=method)


def _check_name(name: Any, made: Mapping[str, Explainer]) -> None:
    sound = isinstance(name, str) and name.isidentifier() and not name.startswith("_")
    if not sound or name in _TAKEN or name.endswith(_TAKEN_ENDS):
        raise WorkflowError(
            f"{name!r} cannot name a map",
            remedy="Use letters, digits and underscores, and no name of a column.",
        )
    if name in made:
        raise WorkflowError(
            f"{name!r} names two maps", remedy="Give one of the entries another `name`."
        )
