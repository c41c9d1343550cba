"""Attribution methods, one a file: tensors in, tensors of the same shape out.

An explainer is a frozen dataclass whose fields are its options (the same words in Python, YAML and
on the command line). It knows neither the Sun nor files nor schedulers. Its name is the name of
its file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from solarxai.engine.targets import Target
from solarxai.errors import ContractError

__all__ = ["Attribution", "Explainer", "ExplainerWarning", "FeatureMap", "Passes", "Target"]


class ExplainerWarning(UserWarning):
    """A method answers, but its answer means less for this network than it does for others."""


class Passes(NamedTuple):
    """How many images went through the network, forward and backward, in one call."""

    forward: int
    backward: int


@dataclass(frozen=True, kw_only=True)
class FeatureMap:
    """An attribution at the resolution of the layer it was read from.

    Parameters
    ----------
    values
        (batch, 1, *cells), raw and signed.
    centres
        One 1-D tensor an axis: the input pixel (0-based, float) at the centre of each cell's
        receptive field.
    """

    values: Tensor
    centres: tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """What a method says of each input value.

    Parameters
    ----------
    values
        Raw and signed, of the input's shape (batch, channel, *space), float32.
    stderr
        Standard error of each value, same shape, or None for deterministic methods.
    completeness_error
        (batch,): sum of the values minus the score difference they should sum to, in units of the
        score, or None for methods without that axiom.
    passes
        Images sent forward and backward for the whole call.
    features
        The map at feature resolution, for methods that read a layer.
    """

    values: Tensor
    passes: Passes
    stderr: Tensor | None = None
    completeness_error: Tensor | None = None
    features: FeatureMap | None = None


@dataclass(frozen=True, kw_only=True)
class Explainer(ABC):
    """A method and its options.

    Parameters
    ----------
    batch_size
        Most images in one pass through the network.
    """

    units: ClassVar[str] = "logit"
    """Units of the values, where the scores are in logit."""

    batch_size: int = 32

    def __post_init__(self) -> None:
        for option in fields(self):
            value, least = getattr(self, option.name), option.metadata.get("minimum", 1)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if option.type == "int" and (not whole or value < least):
                raise ContractError(
                    f"{type(self).__name__}: {option.name} is {value!r}",
                    remedy=f"Give a whole number of {least} or more.",
                )

    def alone(self) -> Explainer:
        """Return the same method with every image in passes of its own.

        Convolutions sum in an order that depends on how many images are in a pass, so otherwise a
        map depends on the size of the batch by rounding (1e-7).
        """
        return replace(self, batch_size=1)

    @abstractmethod
    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        *,
        target: Target = "difference",
        baselines: Tensor | None = None,
    ) -> Attribution:
        """Return the attribution of `target` to the input `x` (batch, channel, *space)."""
