"""Attribution methods, one a file: tensors in, tensors of the same shape out.

An explainer is a frozen dataclass whose fields are its options (the same words in Python, YAML and
on the command line). It knows neither the Sun nor files nor schedulers. Its name is the name of
its file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from solarxai.engine.gradients import Stream, apart, check_finite
from solarxai.engine.inputs import checked_baselines, checked_segments
from solarxai.engine.preparation import Prepared, Snapshot, prepare
from solarxai.engine.targets import Target, target_weights
from solarxai.errors import ContractError

__all__ = [
    "Attribution",
    "Explainer",
    "ExplainerWarning",
    "FeatureMap",
    "Passes",
    "Problem",
    "Target",
]


PRECISIONS = ("float32", "bfloat16")


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
        Images sent forward and backward for the whole call, filled in by `Explainer`.
    features
        The map at feature resolution, for methods that read a layer.
    """

    values: Tensor
    passes: Passes = field(default=Passes(0, 0))
    stderr: Tensor | None = None
    completeness_error: Tensor | None = None
    features: FeatureMap | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """What one call has to explain, checked and made ready.

    Parameters
    ----------
    x
        (batch, channel, *space), detached.
    stream
        The network, prepared; it counts the passes.
    weights
        (batch, class): the explained score is the sum of scores times weights.
    baselines
        (baseline, channel, *space), or None where the method does not ask for any.
    segments
        (batch, *space) int64: the segment of each pixel, or None where none were given.
    """

    x: Tensor
    stream: Stream
    weights: Tensor
    baselines: Tensor | None
    segments: Tensor | None

    @property
    def prepared(self) -> Prepared:
        """The network."""
        return self.stream.prepared

    @property
    def passes(self) -> Passes:
        """Images sent so far."""
        return Passes(forward=self.stream.forward, backward=self.stream.backward)

    def parts(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images and their weights in parts that fit one pass."""
        yield from zip(self.stream.parts(self.x), self.stream.parts(self.weights), strict=True)

    def given_baselines(self) -> Tensor:
        """Return the baselines of a method that asks for them."""
        if self.baselines is None:
            raise ValueError("the method does not say that it uses baselines")
        return self.baselines


@dataclass(frozen=True, kw_only=True)
class Explainer(ABC):
    """A method and its options.

    Parameters
    ----------
    batch_size
        Most images in one pass through the network.
    precision
        "float32", or "bfloat16" inside the network: faster where the processor has it, with errors
        of some 10 % of one gradient (`docs/explainers.md`).
    compiled
        Whether `torch.compile` makes the network first: seconds to minutes, once a call.
    """

    units: ClassVar[str] = "logit"
    """Units of the values, where the scores are in logit."""

    uses_baselines: ClassVar[bool] = False
    """Whether a call needs `baselines`."""

    takes_baselines: ClassVar[bool] = False
    """Whether a call that does not need `baselines` uses them where they are given."""

    signed: ClassVar[bool] = True
    """Whether values may be negative: a square or a length never is."""

    linear: ClassVar[bool] = False
    """Whether the map of a sum of scores is the sum of their maps, to rounding."""

    folds: ClassVar[bool] = True
    """Whether batch norm may be folded into convolutions, which hides the outputs of both."""

    precisions: ClassVar[tuple[str, ...]] = PRECISIONS
    """Precisions that the method bears."""

    batch_size: int = 32
    precision: str = "float32"
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.precision not in self.precisions:
            raise ContractError(
                f"{type(self).__name__}: precision is {self.precision!r}",
                remedy=f"Choose one of {', '.join(self.precisions)}.",
            )
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

    def __call__(
        self,
        model: nn.Module | Snapshot,
        x: Tensor,
        *,
        target: Target = "difference",
        baselines: Tensor | None = None,
        segments: Tensor | None = None,
    ) -> Attribution:
        """Return the attribution of `target` to the input.

        Parameters
        ----------
        model
            Network in evaluation mode: (batch, channel, *space) to scores (batch, class). It is
            not changed. A `Snapshot` of one saves the time to prepare it.
        x
            (batch, channel, *space) float32.
        target
            A class index, one a sample, or "difference"; see `solarxai.explain`.
        baselines
            (baseline, channel, *space), for methods that compare with a set of images.
        segments
            (batch, *space) integers: the segment of each pixel, for methods whose players are
            segments.

        Raises
        ------
        ContractError
            when x is not a finite floating-point tensor (batch, channel, *space), or baselines or
            segments are missing or do not fit.
        ExplainerRefusal
            when the method would answer wrongly for this model.
        """
        x = x.detach()
        with apart():
            prepared = prepare(model, x, fold=self.may_fold())
            problem = Problem(
                x=x,
                stream=Stream(
                    prepared,
                    batch_size=self.batch_size,
                    precision=self.precision,
                    compiled=self.compiled,
                ),
                weights=target_weights(target, batch=len(x), classes=prepared.classes),
                baselines=self._checked(baselines, x),
                segments=checked_segments(segments, x),
            )
            found = self.attribute(problem)
        check_finite(found.values)
        return replace(found, values=found.values.contiguous(), passes=problem.passes)

    def _checked(self, baselines: Tensor | None, x: Tensor) -> Tensor | None:
        given = self.takes_baselines and baselines is not None
        return checked_baselines(baselines, x) if self.uses_baselines or given else None

    def may_fold(self) -> bool:
        """Return whether batch norm may be folded for the options given."""
        return self.folds

    @abstractmethod
    def attribute(self, problem: Problem) -> Attribution:
        """Return the attribution; the caller checks that it is finite and counts the passes."""
