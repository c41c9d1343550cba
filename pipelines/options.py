"""Options of a pipeline taken over from the library functions it calls, stated once."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar, get_type_hints

import pydantic

from solarxai.errors import WorkflowError

__all__ = ["checked", "with_options_of"]

Run = TypeVar("Run", bound=Callable[..., Any])


def with_options_of(
    function: Callable[..., Any], *, without: Collection[str]
) -> Callable[[Run], Run]:
    """Return a decorator: in place of `**options`, the keyword parameters of `function`.

    Parameters
    ----------
    function
        Its keyword-only parameters, their types and defaults become those of the pipeline.
    without
        Parameters that the pipeline supplies itself.
    """
    hints = get_type_hints(function, include_extras=True)
    taken = [
        parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in without
    ]

    def decorate(run: Run) -> Run:
        own = inspect.signature(run)
        kept = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        whole = own.replace(parameters=[*kept, *taken])

        @functools.wraps(run)
        def filled(**given: Any) -> Any:
            bound = whole.bind(**given)
            bound.apply_defaults()
            return run(**bound.arguments)

        filled.__signature__ = whole  # type: ignore[attr-defined]
        filled.__annotations__ = {p.name: p.annotation for p in whole.parameters.values()}
        return filled  # type: ignore[return-value]

    return decorate


def checked(
    function: Callable[..., Any], given: Mapping[str, Any], *, without: Collection[str]
) -> dict[str, Any]:
    """Return keyword parameters of a function as a workflow file writes them, their types checked.

    Parameters
    ----------
    function
        Its keyword-only parameters are the options.
    given
        Names and plain values; a mapping stands for a dataclass.
    without
        Parameters that the pipeline supplies itself.

    Raises
    ------
    WorkflowError
        naming every unknown option and every value of a wrong type at once.
    """
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints[name], parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in without
    }
    strict = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    model = pydantic.create_model("options", __config__=strict, **fields)
    try:
        made = model.model_validate_json(json.dumps(dict(given)))
    except pydantic.ValidationError as error:
        told = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise WorkflowError(
            f"{function.__name__}: {'; '.join(told)}",
            remedy=f"Its options are {', '.join(sorted(fields))}.",
        ) from error
    return {name: getattr(made, name) for name in given}
