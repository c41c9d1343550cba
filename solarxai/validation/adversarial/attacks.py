"""Perturbations within an L-infinity ball that change the call of a network of two classes.

Two formulas of a few lines each; libraries of attacks bring a second way to hold a model and its
input range, and none of them bounds an intensity in units of the quiet Sun.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from solarxai.classifier import InputContract
from solarxai.errors import ValidationError

__all__ = [
    "Ball",
    "climb",
    "fast_gradient_sign",
    "margins",
    "projected_gradient",
    "random_signs",
]

Objective = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Ball:
    """All images that nowhere differ from given ones by more than a radius, and are nowhere dark.

    Parameters
    ----------
    x
        (image, 1, *space), as the network takes them.
    radius
        In units of the network's input.
    floor
        What no image may be below: intensity zero.

    Raises
    ------
    ValidationError
        when the radius is not positive.
    """

    x: Tensor
    radius: float
    floor: float = -torch.inf

    def __post_init__(self) -> None:
        if not 0 < self.radius < torch.inf:
            raise ValidationError(
                f"a perturbation of amplitude {self.radius:g} was asked for",
                remedy="Give amplitudes above 0, as fractions of the quiet-Sun intensity.",
            )

    @classmethod
    def of(cls, x: Tensor, contract: InputContract, *, amplitude: float) -> Ball:
        """Return the ball of an amplitude in units of the quiet-Sun intensity."""
        dark = -contract.offset / contract.scale
        return cls(x=x, radius=amplitude / contract.scale, floor=dark)

    def nearest(self, there: Tensor) -> Tensor:
        """Return the image of the ball nearest to each of `there`; dark pixels stay as they are."""
        lowest = torch.maximum(self.x - self.radius, self.x.clamp_max(self.floor))
        return torch.minimum(torch.maximum(there, lowest), self.x + self.radius)

    def draw(self, seed: int) -> Tensor:
        """Return images drawn evenly from the ball."""
        away = 2 * torch.rand(self.x.shape, generator=_generator(seed), dtype=self.x.dtype) - 1
        return self.nearest(self.x + self.radius * away)


def random_signs(ball: Ball, *, seed: int = 0) -> Tensor:
    """Return the images with every pixel brighter or darker by the radius, at random.

    The control of an attack: as large in L-infinity, and in L2 as a fast gradient sign.
    """
    signs = torch.randint(0, 2, ball.x.shape, generator=_generator(seed), dtype=ball.x.dtype)
    return ball.nearest(ball.x + ball.radius * (2 * signs - 1))


def fast_gradient_sign(network: nn.Module, ball: Ball) -> Tensor:
    """Return x − ε·s·sign(∇m): one step that lowers the margin m of the class called, s its sign.

    References
    ----------
    Goodfellow, Shlens & Szegedy 2015, arXiv:1412.6572, section 4. Of two classes the cross entropy
    falls with s·m alone, so the sign of its gradient is −s·sign(∇m).
    """
    return climb(_away_from_call(network, ball.x), ball, steps=1, step=1.0)


def projected_gradient(network: nn.Module, ball: Ball, *, steps: int = 20, seed: int = 0) -> Tensor:
    """Return the images after steps of sign(∇) that lower the margin of the class called.

    Each step of 2.5·ε/steps is followed by the projection onto the ball; the start is drawn from
    the ball.

    References
    ----------
    Madry et al. 2018, arXiv:1706.06083, equation 2 and section 4.
    """
    away = _away_from_call(network, ball.x)
    return climb(away, ball, steps=steps, step=2.5 / steps, start=ball.draw(seed))


def climb(
    objective: Objective,
    ball: Ball,
    *,
    steps: int,
    step: float,
    start: Tensor | None = None,
    momentum: float = 0.0,
    anneal: bool = False,
) -> Tensor:
    """Return images of the ball after steps of the sign of an objective's gradient.

    Parameters
    ----------
    objective
        From images (image, 1, *space) to what is to rise, (image,).
    ball
        Where images may go; all of them go through the network together.
    steps, step
        Number of steps, and the size of each in units of the radius.
    start
        Images to begin with; the middle of the ball if None.
    momentum
        Part of the gradients before, each divided by its mean size, that is added to the next.
    anneal
        Whether steps shrink evenly to nothing.

    References
    ----------
    Momentum: Dong et al. 2018, arXiv:1710.06081, equations 6 and 7.
    """
    there = ball.x if start is None else start
    gathered = torch.zeros_like(there)
    for number in range(steps):
        gathered = momentum * gathered + _slope(objective, there)
        size = ball.radius * step * (1 - number / steps if anneal else 1)
        there = ball.nearest(there + size * gathered.sign())
    return there


def margins(network: nn.Module, x: Tensor) -> Tensor:
    """Return the score of the second class less that of the first, (image,).

    Raises
    ------
    ValidationError
        when the network has not two outputs.
    """
    scores: Tensor = network(x)
    if scores.shape[1:] != (2,):
        raise ValidationError(
            f"an attack was asked for on a network with {scores.shape[1]} outputs",
            remedy="Give a network of two classes.",
        )
    return scores[:, 1] - scores[:, 0]


def _away_from_call(network: nn.Module, x: Tensor) -> Objective:
    with torch.no_grad():
        call = margins(network, x).sign()
    return lambda there: -call * margins(network, there)


def _slope(objective: Objective, there: Tensor) -> Tensor:
    """Return the gradient of an objective, of mean size 1 for every image."""
    with torch.enable_grad():
        leaf = there.detach().requires_grad_()
        (slope,) = torch.autograd.grad(objective(leaf).sum(), leaf)
    size = slope.abs().mean(dim=tuple(range(1, slope.ndim)), keepdim=True)
    return slope / size.clamp_min(torch.finfo(slope.dtype).tiny)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
