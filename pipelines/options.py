"""Options of a pipeline taken over from the library function it schedules, stated once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any, TypeVar, get_type_hints

__all__ = ["with_options_of"]

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
