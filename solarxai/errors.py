"""Every error the library raises on purpose: what went wrong, where, and what to do about it."""

from __future__ import annotations

__all__ = [
    "CatalogError",
    "ContractError",
    "ExplainerRefusal",
    "IngestError",
    "QueryError",
    "SchemaError",
    "SolarxaiError",
    "StoreError",
    "SynthesisError",
    "TrainingError",
    "ValidationError",
    "WorkflowError",
]


class SolarxaiError(Exception):
    """A problem the user can mend.

    Parameters
    ----------
    what
        What is wrong and where: it names the file, the value and the valid range.
    remedy
        What to do, as an imperative.
    """

    def __init__(self, what: str, *, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what.rstrip('.')}. {self.remedy}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.remedy)


def _rebuild(kind: type[SolarxaiError], what: str, remedy: str) -> SolarxaiError:
    """Unpickle an error whose constructor takes a keyword: errors cross process borders."""
    return kind(what, remedy=remedy)


class SchemaError(SolarxaiError):
    """A dataset breaks the vocabulary of `solarxai.schema`."""


class CatalogError(SolarxaiError):
    """A catalog or one of its references cannot be used."""


class IngestError(SolarxaiError):
    """A file cannot become an Observation."""


class SynthesisError(SolarxaiError):
    """The synthetic Sun was asked for something it cannot draw."""


class ContractError(SolarxaiError):
    """A network and the data offered to it do not fit."""


class TrainingError(SolarxaiError):
    """A training set or its options cannot give a classifier."""


class ExplainerRefusal(SolarxaiError):
    """A method would answer wrongly for this model, so it does not answer."""


class StoreError(SolarxaiError):
    """A store cannot be opened, written or trusted."""


class QueryError(SolarxaiError):
    """A query cannot be answered."""


class ValidationError(SolarxaiError):
    """A validation could not run."""


class WorkflowError(SolarxaiError):
    """A workflow file is not a plan that can run."""
