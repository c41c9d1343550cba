"""Integrals of the gradient along paths in the space of images, streamed.

Whatever the path, the integral of gradient times displacement sums to the score at its end less
that at its start.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from solarxai.engine.gradients import Stream
from solarxai.engine.quadrature import Rule
from solarxai.errors import ContractError

__all__ = ["Path", "integrate_lines", "integrate_path", "integrate_points", "line_contributions"]

Path = Callable[[Tensor], Tensor]
"""From positions (point,) float64, 0 at the start and 1 at the end, to points (point, channel,
*space)."""


def line_contributions(
    stream: Stream, weight: Tensor, starts: Tensor, ends: Tensor, alphas: Tensor
) -> Tensor:
    """Return (end − start)·gradient at one place of each line, (line, channel, *space).

    Parameters
    ----------
    stream
        The network.
    weight
        (class,) of `target_weights`.
    starts, ends
        (line, channel, *space), or one of them (channel, *space) for all lines.
    alphas
        (line,): the place, 0 at the start and 1 at the end; at most `batch_size` of them, which
        go through the network in one pass.
    """
    way = ends - starts
    points = torch.addcmul(starts, alphas.to(way).view(-1, *[1] * (way.ndim - 1)), way)
    return stream.gradient(points, weight.expand(len(alphas), -1)) * way


def integrate_lines(
    stream: Stream, weight: Tensor, starts: Tensor, ends: Tensor, rule: Rule
) -> Tensor:
    """Return the integral along straight lines, summed over the lines, (channel, *space) float64.

    Parameters
    ----------
    stream
        The network; every pass is filled, with places of several lines where one has too few.
    weight
        (class,) of `target_weights`.
    starts, ends
        (line, channel, *space).
    rule
        Of `quadrature`.
    """
    lines = torch.arange(len(starts), device=starts.device).repeat_interleave(len(rule.weights))
    places = torch.from_numpy(rule.positions).to(starts.device).repeat(len(starts))
    shares = torch.from_numpy(rule.weights).to(starts.device).repeat(len(starts))
    total = torch.zeros_like(starts[0], dtype=torch.float64)
    for part in zip(*map(stream.parts, (lines, places, shares)), strict=True):
        line, alphas, share = part
        found = line_contributions(stream, weight, starts[line], ends[line], alphas)
        total += torch.tensordot(share, found.double(), dims=1)
    return total


def integrate_path(stream: Stream, weight: Tensor, path: Path, *, steps: int) -> Tensor:
    r"""Return the integral along any path, (channel, *space) float64.

    Parameters
    ----------
    stream
        The network.
    weight
        (class,) of `target_weights`.
    path
        The path; it is asked for at most `batch_size` + 1 points at a time.
    steps
        Chords that stand for the path: one gradient each, at its middle.

    Raises
    ------
    ContractError
        when the path does not give one finite point a position.

    Notes
    -----
    With points :math:`z_k` at even positions,

    .. math:: \sum_k (z_{k+1} - z_k) \, \nabla f\big(\tfrac{1}{2}(z_k + z_{k+1})\big),

    which needs no derivative of the path and does not depend on how fast it is run through, but
    for where the points lie.

    Examples
    --------
    >>> import torch
    >>> from solarxai.engine.gradients import Stream
    >>> from solarxai.engine.preparation import prepare
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)).eval()
    >>> image = torch.ones(1, 2, 2)
    >>> stream = Stream(prepare(model, image[None]), batch_size=32)
    >>> arc = lambda alpha: torch.sin(alpha.view(-1, 1, 1, 1) * torch.pi / 2).float() * image
    >>> integrate_path(stream, torch.tensor([0.0, 1.0]), arc, steps=8).shape
    torch.Size([1, 2, 2])
    """
    positions = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    total = torch.zeros((), dtype=torch.float64)
    for chords in stream.parts(torch.arange(steps)):
        points = path(positions[int(chords[0]) : int(chords[-1]) + 2])
        _check_points(points, len(chords) + 1)
        found = _chord_contributions(stream, weight, points)
        total = total.to(points.device) + found.sum(dim=0, dtype=torch.float64)
    return total


def integrate_points(stream: Stream, weight: Tensor, points: Tensor) -> Tensor:
    """Return the integral along the chords between points (point, channel, *space), float64.

    Raises
    ------
    ContractError
        when there are fewer than two points, or they are not finite.
    """
    if len(points) < 2:
        raise ContractError(
            f"a path of {len(points)} points leads nowhere", remedy="Give two points or more."
        )
    steps = len(points) - 1

    def path(alpha: Tensor) -> Tensor:
        return points[(alpha * steps).round().long().to(points.device)]

    return integrate_path(stream, weight, path, steps=steps)


def _chord_contributions(stream: Stream, weight: Tensor, points: Tensor) -> Tensor:
    halves = torch.full((len(points) - 1,), 0.5)
    return line_contributions(stream, weight, points[:-1], points[1:], halves)


def _check_points(points: Tensor, wanted: int) -> None:
    if len(points) != wanted or not bool(torch.isfinite(points).all()):
        raise ContractError(
            f"the path gave {tuple(points.shape)} for {wanted} positions, or values that are not "
            "finite",
            remedy="Return one finite image (channel, *space) for each position.",
        )
