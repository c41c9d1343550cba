"""The image that a class scores highest, found by climbing its score: a class model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from solarxai.engine.gradients import Stream, apart, check_finite
from solarxai.engine.preparation import Snapshot, prepare
from solarxai.engine.targets import Target, target_weights
from solarxai.errors import ContractError
from solarxai.explainers import Passes

__all__ = ["ClassModel", "class_model"]

_SMOOTHING = 1e-6
"""Square of the difference, relative to the step, below which total variation is rounded off."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassModel:
    """An image made to be scored highly, and how its score rose.

    Parameters
    ----------
    image
        (1, channel, *space), in units of the network's input: of normalised intensity where the
        network was trained on such.
    scores
        (step + 1,) float64: the explained score of the start and after each step.
    objectives
        (step + 1,) float64: the same less the penalties.
    passes
        Images sent forward and backward.
    """

    image: Tensor
    scores: Tensor
    objectives: Tensor
    passes: Passes


def class_model(
    model: nn.Module | Snapshot,
    shape: Sequence[int],
    *,
    target: Target = "difference",
    l2: float = 0.01,
    total_variation: float = 0.0,
    steps: int = 200,
    step_size: float = 0.1,
    noise: float = 0.01,
    seed: int = 0,
    start: Tensor | None = None,
) -> ClassModel:
    r"""Return the image that maximises a score less penalties, by gradient ascent.

    Parameters
    ----------
    model
        Network in evaluation mode: (batch, channel, *space) to scores (batch, class). It is not
        changed.
    shape
        (channel, *space) of the image.
    target
        A class index or "difference"; see `solarxai.explain`.
    l2
        Weight λ of the sum of squares.
    total_variation
        Weight μ of the sum of absolute differences of neighbours along each axis.
    steps
        Steps of the ascent, each one forward and one backward pass.
    step_size
        Size of the first steps in units of the input; it falls to zero as a half cosine.
    noise
        Standard deviation of the normal noise that the ascent starts from, where no start is given.
    seed
        Of this noise.
    start
        (1, channel, *space) to start from, such as the mean of the training images.

    Raises
    ------
    ContractError
        when an option is negative or not finite, there is no step, the score climbs to infinity,
        or start does not fit the shape.
    ExplainerRefusal
        when the network cannot be run, or the target is none of its outputs.

    Notes
    -----
    .. math:: \max_I \; S(I) - \lambda \lVert I \rVert_2^2 - \mu \sum_{i \sim j} |I_i - I_j|

    by the steps of Adam, so that the step does not depend on the scale of the score. A class model
    is one local maximum of a score, not an image of the class: start it from several seeds. Without
    penalties most networks have no maximum at all.

    References
    ----------
    Simonyan, Vedaldi & Zisserman 2014, Deep Inside Convolutional Networks, arXiv:1312.6034,
    equation 1. Mahendran & Vedaldi 2015, arXiv:1412.0035 (total variation). Kingma & Ba 2015,
    arXiv:1412.6980 (Adam).
    """
    _check_options(l2=l2, total_variation=total_variation, noise=noise, step_size=step_size)
    if steps < 1:
        raise ContractError(f"{steps} steps climb nothing", remedy="Take 1 step or more.")
    first = _noise(shape, noise, seed) if start is None else _checked(start, shape)
    with apart():
        stream = Stream(prepare(model, first), batch_size=1)
        weights = target_weights(target, batch=1, classes=stream.prepared.classes)
        climb = _Climb(stream, weights, l2, total_variation)
        image, scores, objectives = climb.ascend(first, steps, step_size)
    return ClassModel(
        image=image,
        scores=scores,
        objectives=objectives,
        passes=Passes(forward=stream.forward, backward=stream.backward),
    )


@dataclass(frozen=True)
class _Climb:
    """The way up: a score, and the penalties taken off it."""

    stream: Stream
    weights: Tensor
    l2: float
    total_variation: float

    def ascend(self, first: Tensor, steps: int, step_size: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return the last image, and the score and the objective of every image on the way."""
        image = first.detach().double().requires_grad_()
        optimiser = torch.optim.Adam([image], lr=step_size)
        history = []
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = step_size * math.cos(step / steps * math.pi / 2) ** 2
            score, slope = self.slope(image.detach().to(first))
            penalty, pull = self.penalty(image)
            history.append((score, score - penalty))
            image.grad = pull - slope.double()
            optimiser.step()
        last = image.detach().to(first)
        score = float((self.stream.scores(last).cpu() * self.weights).sum())
        history.append((score, score - self.penalty(image)[0]))
        check_finite(torch.tensor(history), what="score", whose="steps")
        scores, objectives = torch.tensor(history, dtype=torch.float64).T
        return last, scores.contiguous(), objectives.contiguous()

    def slope(self, image: Tensor) -> tuple[float, Tensor]:
        """Return the score of an image and its gradient, in one pass forward and one backward."""
        with torch.enable_grad():
            leaf = image.requires_grad_()
            score = (self.stream.run(leaf) * self.weights.to(leaf)).sum()
            (gradient,) = torch.autograd.grad(score, leaf)
        self.stream.backward += 1
        return float(score.detach()), gradient

    def penalty(self, image: Tensor) -> tuple[float, Tensor]:
        """Return the penalties of an image and their gradient."""
        loss = self.l2 * image.square().sum() + self.total_variation * _roughness(image)
        (gradient,) = torch.autograd.grad(loss, image)
        return float(loss.detach()), gradient


def _roughness(image: Tensor) -> Tensor:
    """Return the sum of absolute differences of neighbours, smooth where they are near zero."""
    found = image.new_zeros(())
    for axis in range(2, image.ndim):
        step = image.diff(dim=axis)
        found = found + ((step.square() + _SMOOTHING).sqrt() - _SMOOTHING**0.5).sum()
    return found


def _noise(shape: Sequence[int], noise: float, seed: int) -> Tensor:
    drawn = np.random.default_rng(seed).standard_normal((1, *shape))
    return torch.from_numpy(drawn * noise).float()


def _checked(start: Tensor, shape: Sequence[int]) -> Tensor:
    if tuple(start.shape) != (1, *shape) or not start.is_floating_point():
        raise ContractError(
            f"the start is {start.dtype} {tuple(start.shape)} for an image {tuple(shape)}",
            remedy=f"Give a floating-point tensor {(1, *shape)}.",
        )
    return start


def _check_options(**options: float) -> None:
    for name, value in options.items():
        if not (math.isfinite(value) and value >= 0):
            raise ContractError(
                f"class_model: {name} is {value!r}", remedy="Give a finite number of 0 or more."
            )
