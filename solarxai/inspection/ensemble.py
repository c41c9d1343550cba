"""One method over several models: the mean map, and how far the models differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from solarxai.engine.gradients import apart
from solarxai.engine.preparation import Prepared, Snapshot, prepare
from solarxai.engine.targets import Target
from solarxai.errors import ContractError, ExplainerRefusal
from solarxai.explainers import Attribution, Explainer, Passes
from solarxai.explainers._catalogue import make_explainer

__all__ = ["EnsembleAttribution", "explain_each", "explain_ensemble"]


@dataclass(frozen=True, kw_only=True, eq=False)
class EnsembleAttribution:
    """What a method says of each input value, over several models.

    Parameters
    ----------
    mean
        (batch, channel, *space) float32: the mean map.
    spread
        Standard deviation over the models, same shape: how far one model more would be from them.
    stderr
        Standard error of the mean, same shape: the spread over the root of the number of models.
    sampling
        The part of `stderr` that is due to the method's own sampling, same shape, or None for
        deterministic methods.
    completeness_error
        (batch,) mean over the models, or None for methods that have none.
    models
        Number of models.
    passes
        Images sent forward and backward through all of them.
    """

    mean: Tensor
    spread: Tensor
    stderr: Tensor
    sampling: Tensor | None
    completeness_error: Tensor | None
    models: int
    passes: Passes


def explain_ensemble(
    models: Iterable[nn.Module | Snapshot],
    x: Tensor,
    *,
    method: str,
    target: Target = "difference",
    baselines: Tensor | None = None,
    segments: Tensor | None = None,
    **options: Any,
) -> EnsembleAttribution:
    r"""Return the mean of a method's maps over models, with their spread.

    Parameters
    ----------
    models
        Two or more networks for the same task, such as those of several seeds or folds. They are
        read one at a time, so a generator may load them: memory is that of one model.
    x, method, target, baselines, segments
        As of `solarxai.explain`.
    **options
        The method's own.

    Raises
    ------
    ContractError
        when there are fewer than two models, or one cannot take the images.
    ExplainerRefusal
        when two models have different numbers of classes, or the method refuses one of them.
    WorkflowError
        when there is no such method or option.

    Notes
    -----
    The spread holds what the training leaves to chance and the method's own sampling: with a
    standard error :math:`\epsilon_m` of each map, :math:`\sqrt{\sum_m \epsilon_m^2} / n` of the
    standard error of the mean is sampling, which more samples make smaller; the rest is not. For
    that a stochastic method has another seed for each model, counted up from the one given: with
    the same draws all models would err alike, and not spread by it. The
    models of an ensemble that are alike in what they have wrong do not spread by that either.

    References
    ----------
    Lakshminarayanan, Pritzel & Blundell 2017, Simple and Scalable Predictive Uncertainty
    Estimation using Deep Ensembles, arXiv:1612.01474. Welford 1962, doi:10.2307/1266577.
    """
    explainer = make_explainer(method, **options)
    return explain_each(models, x, explainer, target=target, baselines=baselines, segments=segments)


def explain_each(
    models: Iterable[nn.Module | Snapshot],
    x: Tensor,
    explainer: Explainer,
    *,
    target: Target = "difference",
    baselines: Tensor | None = None,
    segments: Tensor | None = None,
) -> EnsembleAttribution:
    """Return what `explain_ensemble` does, for a method that is there already."""
    found = _Running()
    for number, model in enumerate(models):
        ready = model if isinstance(model, Snapshot) else Snapshot(model)
        prepared = _prepared(explainer, ready, x, number)
        found.check(prepared.classes, number)
        own = _seeded(explainer, number)
        made = own(ready, x, target=target, baselines=baselines, segments=segments)
        found.add(made, checks=prepared.passes)
    return found.result()


class _Running:
    """Mean and squares of the maps seen so far."""

    def __init__(self) -> None:
        self._count = self._forward = self._backward = 0
        self._mean = self._squares = self._variance = self._gap = torch.zeros(
            (), dtype=torch.float64
        )
        self._sampled = self._complete = True
        self._classes: int | None = None

    def check(self, classes: int, number: int) -> None:
        """Refuse a model with another number of classes than those before it."""
        if self._classes not in (None, classes):
            raise ExplainerRefusal(
                f"model {number} has {classes} classes where those before it have {self._classes}",
                remedy="Give models that were trained for the same classes.",
            )
        self._classes = classes

    def add(self, made: Attribution, *, checks: int) -> None:
        """Take a map in, which cost so many images more to check its model."""
        self._count += 1
        values = made.values.double()
        step = values - self._mean
        self._mean = self._mean + step / self._count
        self._squares = self._squares + step * (values - self._mean)
        self._sampled &= made.stderr is not None
        if made.stderr is not None:
            self._variance = self._variance + made.stderr.double().square()
        self._complete &= made.completeness_error is not None
        if made.completeness_error is not None:
            self._gap = self._gap + made.completeness_error.double()
        self._forward += made.passes.forward + checks
        self._backward += made.passes.backward + checks

    def result(self) -> EnsembleAttribution:
        """Return the summary."""
        if self._count < 2:
            raise ContractError(
                f"{self._count} models have no spread", remedy="Give two models or more."
            )
        spread = (self._squares / (self._count - 1)).sqrt()
        return EnsembleAttribution(
            mean=self._mean.float(),
            spread=spread.float(),
            stderr=(spread / self._count**0.5).float(),
            sampling=(self._variance.sqrt() / self._count).float() if self._sampled else None,
            completeness_error=(self._gap / self._count).float() if self._complete else None,
            models=self._count,
            passes=Passes(forward=self._forward, backward=self._backward),
        )


def _seeded(explainer: Explainer, number: int) -> Explainer:
    """Return a stochastic method with a seed of its own for a model; others as they are."""
    seed = getattr(explainer, "seed", None)
    return explainer if seed is None else replace(explainer, seed=seed + number)  # type: ignore[call-arg]


def _prepared(explainer: Explainer, model: Snapshot, x: Tensor, number: int) -> Prepared:
    try:
        with apart():
            return prepare(model, x.detach(), fold=explainer.may_fold())
    except RuntimeError as error:
        raise ContractError(
            f"model {number} cannot take images of shape {tuple(x.shape[1:])} ({error})",
            remedy="Give models that were trained for the same images.",
        ) from error
