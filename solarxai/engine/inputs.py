"""What a caller gives beside the images: baselines and segments, checked."""

from __future__ import annotations

import torch
from torch import Tensor

from solarxai.errors import ContractError

__all__ = ["checked_baselines", "checked_segments"]


def checked_baselines(baselines: Tensor | None, x: Tensor) -> Tensor:
    """Return the baselines (baseline, channel, *space), detached, on the device of x.

    Raises
    ------
    ContractError
        when there are none, or they are not finite images of the kind of x.
    """
    if baselines is None:
        raise ContractError(
            "the method needs baselines and got none",
            remedy="Give training images as baselines=(baseline, channel, *space).",
        )
    if baselines.shape[1:] != x.shape[1:] or not len(baselines) or baselines.dtype != x.dtype:
        raise ContractError(
            f"baselines are {baselines.dtype} {tuple(baselines.shape)} for images of {x.dtype} "
            f"{tuple(x.shape)}",
            remedy="Give one baseline or more of the images' own shape and type.",
        )
    if not bool(torch.isfinite(baselines).all()):
        raise ContractError(
            "the baselines contain values that are not finite",
            remedy="Leave such images out.",
        )
    return baselines.detach().to(x.device)


def checked_segments(segments: Tensor | None, x: Tensor) -> Tensor | None:
    """Return the segments (batch, *space) as int64 on the device of x; None stays None.

    Raises
    ------
    ContractError
        when they are no integers or do not fit the images.
    """
    if segments is None:
        return None
    wanted = (len(x), *x.shape[2:])
    if segments.is_floating_point() or segments.is_complex() or tuple(segments.shape) != wanted:
        raise ContractError(
            f"segments are {segments.dtype} {tuple(segments.shape)} for images {tuple(x.shape)}",
            remedy=f"Give integers of shape {wanted}: the number of each pixel's segment.",
        )
    return segments.detach().to(device=x.device, dtype=torch.int64)
