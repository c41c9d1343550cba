"""The network that the engine runs: a copy, made fast, and checked against the original."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from solarxai.engine.convolutions import speed_up_convolutions
from solarxai.engine.overwriting import overwriting
from solarxai.engine.seeds import probe_generator
from solarxai.engine.tracing import ShapeRecorder, Traced, fold_batch_norm, trace
from solarxai.errors import ContractError, ExplainerRefusal

__all__ = ["Prepared", "Snapshot", "prepare"]

_SCORE_TOLERANCE = 1e-4
"""Largest relative difference of a score between the copy and the original (float32 rounding)."""

_GRADIENT_TOLERANCE = 1e-2
"""The same for the norm of the gradient's difference: a ReLU whose input is zero to rounding may
switch, which a score does not notice and a gradient does."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A private copy of a network, in evaluation mode, whose parameters take no gradient.

    Parameters
    ----------
    network
        What to run: never the caller's own module.
    classes
        Number of its outputs.
    form
        "folded", "traced" or "copy".
    memory_format
        The layout its input should have.
    traced
        The graph of the network, or None where it is a plain copy.
    reason
        Why it is not in the fastest form, or an empty string.
    passes
        Images that the check sent forward, and as many backward.
    memo
        What was made of this network and may be used again, by whoever made it.
    """

    network: nn.Module
    classes: int
    form: str
    memory_format: torch.memory_format
    traced: Traced | None
    reason: str
    passes: int
    memo: dict[Any, Any] = field(default_factory=dict)


class Snapshot:
    """A network as it is now, prepared once for many calls of any method.

    Parameters
    ----------
    model
        Network in evaluation mode: (batch, channel, *space) to (batch, class). It is copied: what
        happens to it later does not reach the snapshot.

    Raises
    ------
    ExplainerRefusal
        when the model or a part of it is in training mode, normalises with the statistics of the
        batch, or cannot be copied.

    Examples
    --------
    >>> import solarxai, torch
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)).eval()
    >>> ready = solarxai.Snapshot(model)
    >>> x = torch.ones(1, 1, 2, 2)
    >>> maps = [solarxai.explain(ready, x, method="gradient", target=k).values for k in (0, 1)]
    """

    def __init__(self, model: nn.Module) -> None:
        _check_mode(model)
        self._original = _copy(model)
        self._forms: dict[tuple[Any, ...], Prepared] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Return the scores of x, as the network gives them."""
        scores: Tensor = self._original(x)
        return scores

    def prepared(self, x: Tensor, *, fold: bool = True) -> Prepared:
        """Return the form for images like x, made and checked when it is first asked for."""
        key = (tuple(x.shape[1:]), x.dtype, x.device, fold)
        if key in self._forms:
            return replace(self._forms[key], passes=0)
        self._forms[key] = _fastest(self._original, x, fold=fold)
        return self._forms[key]


@dataclass(frozen=True)
class _Answer:
    """Scores (1, class) of the probe, and the gradient of a fixed mixture of them."""

    scores: Tensor
    gradient: Tensor


def prepare(model: nn.Module | Snapshot, x: Tensor, *, fold: bool = True) -> Prepared:
    """Return the fastest copy of a network that gives its scores and gradient on a probe.

    Parameters
    ----------
    model
        Network in evaluation mode: (batch, channel, *space) to (batch, class). It is not changed.
        A `Snapshot` of one saves the copy, and the checks that it has passed.
    x
        The images to explain, for their shape, type and device.
    fold
        Whether batch norm may be folded into convolutions, which hides the outputs of both.

    Raises
    ------
    ContractError
        when x is not a finite floating-point tensor (batch, channel, *space).
    ExplainerRefusal
        when the model or a part of it is in training mode, normalises with the statistics of the
        batch, cannot be copied, answers twice differently, or does not return (batch, class).

    Notes
    -----
    The probe is one image of fixed normal noise, so the form depends on the model and the image's
    shape alone. Hooks run on the probe; where they change no answer, they are left out of the copy.
    """
    _check_input(x)
    snapshot = model if isinstance(model, Snapshot) else Snapshot(model)
    return snapshot.prepared(x, fold=fold)


def _fastest(original: nn.Module, x: Tensor, *, fold: bool) -> Prepared:
    probe = torch.from_numpy(probe_generator().standard_normal((1, *x.shape[1:]))).to(x)
    wanted = _answer(original, probe)
    if not bool(torch.isfinite(wanted.scores).all() & torch.isfinite(wanted.gradient).all()):
        return _plain(original, wanted, passes=1, reason="its answer to a probe is not finite")
    passes, reasons = 1, list[str]()
    for form in ("folded", "traced") if fold else ("traced",):
        layout = _layout(x, form)
        try:
            traced = _traced(original, form, layout)
            recorder = ShapeRecorder(traced.graph)
            answer = _answer(recorder.run, probe.contiguous(memory_format=layout))
            passes += 1
            reason = _disagreement(answer, wanted)
        except Exception as error:  # torch.fx and the user's own code raise a dozen types
            reason = f"{type(error).__name__}: {error}"
        if not reason:
            return Prepared(
                network=overwriting(traced.graph) if form == "folded" else traced.graph,
                classes=wanted.scores.shape[1],
                form=form,
                memory_format=layout,
                traced=replace(traced, shapes=recorder.shapes),
                reason="; ".join(reasons),
                passes=passes,
            )
        reasons.append(f"{form}: {reason}")
    if _disagreement(_answer(original, probe), wanted):
        raise ExplainerRefusal(
            "the network gives two answers to one image in evaluation mode",
            remedy="Remove what is random in its forward method.",
        )
    return _plain(original, wanted, passes=passes + 1, reason="; ".join(reasons))


def _plain(original: nn.Module, wanted: _Answer, *, passes: int, reason: str) -> Prepared:
    return Prepared(
        network=original,
        classes=wanted.scores.shape[1],
        form="copy",
        memory_format=torch.contiguous_format,
        traced=None,
        reason=reason,
        passes=passes,
    )


def _check_input(x: Tensor) -> None:
    if x.ndim < 3 or not x.is_floating_point() or 0 in x.shape:
        raise ContractError(
            f"the images are {x.dtype} {tuple(x.shape)}",
            remedy="Offer a floating-point tensor (batch, channel, *space) of one image or more.",
        )
    if not bool(torch.isfinite(x.sum())) and not bool(torch.isfinite(x).all()):
        raise ContractError(
            "the images contain values that are not finite",
            remedy="Mask or fill such pixels before explaining.",
        )


def _check_mode(model: nn.Module) -> None:
    training = [name or "the network" for name, m in model.named_modules() if m.training]
    if training:
        raise ExplainerRefusal(
            f"{training[0]} is in training mode",
            remedy="Call model.eval() first: batch norm and dropout answer otherwise in training.",
        )
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and module.running_mean is None:
            raise ExplainerRefusal(
                f"{name} normalises with the statistics of the batch, so an image's score depends "
                "on its neighbours",
                remedy="Train it with track_running_stats=True.",
            )


def _copy(model: nn.Module) -> nn.Module:
    try:
        made = copy.deepcopy(model)
    except Exception as error:  # whatever an attribute of the user's class raises
        raise ExplainerRefusal(
            f"the network cannot be copied ({type(error).__name__}: {error})",
            remedy="Detach the tensors it keeps as attributes.",
        ) from error
    for module in made.modules():
        if getattr(module, "inplace", False):
            setattr(module, "inplace", False)  # noqa: B010
    return made.requires_grad_(False)


def _layout(x: Tensor, form: str) -> torch.memory_format:
    return torch.channels_last if form == "folded" and x.ndim == 4 else torch.contiguous_format


def _traced(original: nn.Module, form: str, layout: torch.memory_format) -> Traced:
    bare = copy.deepcopy(original)
    for module in bare.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks):
            hooks.clear()
        module._backward_pre_hooks.clear()
    traced = trace(bare)
    graph = (
        speed_up_convolutions(fold_batch_norm(traced.graph)) if form == "folded" else traced.graph
    )
    graph.requires_grad_(False)
    made: fx.GraphModule = graph.to(memory_format=layout)  # type: ignore[call-overload]
    return replace(traced, graph=made)


def _answer(network: Callable[[Tensor], Tensor], probe: Tensor) -> _Answer:
    leaf = probe.detach().requires_grad_()
    scores = network(leaf.clone())
    if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != 1:
        got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ExplainerRefusal(
            f"the network returns {got} for one image, not (1, class)",
            remedy="Wrap it so that it returns the scores of the classes alone.",
        )
    if not scores.requires_grad:
        raise ExplainerRefusal(
            "the scores do not depend on the image in a way that has a gradient",
            remedy="Remove what detaches them, such as torch.no_grad in its forward method.",
        )
    mixture = torch.linspace(1, 2, scores.shape[1]).to(scores)
    (gradient,) = torch.autograd.grad((scores * mixture).sum(), leaf)
    return _Answer(scores.detach(), gradient)


def _disagreement(got: _Answer, wanted: _Answer) -> str:
    score = _relative(got.scores, wanted.scores)
    gradient = _relative(got.gradient, wanted.gradient)
    if score <= _SCORE_TOLERANCE and gradient <= _GRADIENT_TOLERANCE:
        return ""
    return f"on a probe its scores differ by {score:.1e} and its gradient by {gradient:.1e}"


def _relative(got: Tensor, wanted: Tensor) -> float:
    scale = float(wanted.norm())
    return float((got - wanted).norm()) / scale if scale else float(got.norm())
