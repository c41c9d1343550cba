"""A path that moves first the values to which the score reacts least."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["advance"]


def advance(
    places: Tensor,
    slopes: Tensor,
    lengths: Tensor,
    *,
    alpha: float,
    max_distance: float,
    fraction: float,
) -> Tensor:
    """Return where each value stands when the whole has gone the part `alpha` of its way.

    Parameters
    ----------
    places
        (value,) float64: part of its way that each value has gone, 0 to 1.
    slopes
        (value,): how strongly the score reacts to each, not negative.
    lengths
        (value,) float64: length of each value's way, not negative.
    alpha
        Part of the summed lengths to have gone, not less than now.
    max_distance
        No value may be further than this behind or ahead of `alpha`.
    fraction
        Part of the values that move together: the flattest first, as far as they may, then the
        next, until the sum is reached; the last ones go an equal part of what is left to them.

    References
    ----------
    Kapishnikov et al. 2021, Guided Integrated Gradients, arXiv:2106.09788.
    """
    if alpha >= 1:
        return torch.ones_like(places)
    high = min(alpha + max_distance, 1.0)
    places = places.clamp_min(max(alpha - max_distance, 0.0))
    needed = alpha * lengths.sum() - (places * lengths).sum()
    room = (high - places).clamp_min(0) * lengths
    order = torch.where(room > 0, slopes, torch.inf).argsort(stable=True)
    chunk = int(fraction * (len(places) - 1)) + 1
    shares = _shares(room[order], needed, chunk)
    moved = torch.empty_like(places)
    moved[order] = places[order] + shares * (high - places[order]).clamp_min(0)
    return moved


def _shares(room: Tensor, needed: Tensor, chunk: int) -> Tensor:
    """Return the part of its room that each value uses, chunk after chunk."""
    padded = pad(room, (0, -len(room) % chunk)).view(-1, chunk)
    capacity = padded.sum(dim=1)
    before = capacity.cumsum(dim=0) - capacity
    used = torch.where(capacity > 0, (needed - before) / capacity, 0.0).clamp(0, 1)
    return used.repeat_interleave(chunk)[: len(room)]
