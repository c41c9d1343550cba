"""Attribution methods, one a file: tensors in, tensors of the same shape out.

An explainer is a frozen dataclass whose fields are its options (the same words in Python, YAML and
on the command line). It knows neither the Sun nor files nor schedulers. Its name is the name of
its file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

__all__ = ["Attribution", "Explainer", "FeatureMap", "Passes", "Target"]

Target = int | str | Tensor
"""A class index, one index a sample (a tensor), or "difference": the last minus the first logit of a two-class network."""


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

    batch_size: int = 32

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
