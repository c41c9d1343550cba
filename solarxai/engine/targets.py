"""Which number of a network's output is explained: a target as weights of its scores."""

from __future__ import annotations

import torch
from torch import Tensor

from solarxai.errors import ExplainerRefusal

__all__ = ["Target", "target_weights"]

Target = int | str | Tensor
"""A class index, one index a sample (a tensor), or "difference": the last minus the first logit of
a two-class network."""


def target_weights(target: Target, *, batch: int, classes: int) -> Tensor:
    """Return weights (batch, class) whose product with the scores, summed, is what is explained.

    Parameters
    ----------
    target
        A class index, an integer tensor (batch,) with one index a sample, or "difference".
    batch, classes
        Samples offered and outputs of the network.

    Raises
    ------
    ExplainerRefusal
        when "difference" is asked of a network that has not two outputs, an index is out of
        range, or the target is none of the three forms.
    """
    if isinstance(target, str):
        return _difference(target, batch, classes)
    indices = _indices(target, batch)
    if bool(((indices < 0) | (indices >= classes)).any()):
        raise ExplainerRefusal(
            f"target {indices.tolist()} is not among the outputs 0 to {classes - 1}",
            remedy="Give the index of an output of the network.",
        )
    return torch.nn.functional.one_hot(indices, classes).to(torch.float32)


def _difference(target: str, batch: int, classes: int) -> Tensor:
    if target != "difference":
        raise ExplainerRefusal(
            f"target {target!r} is not known",
            remedy='Give a class index, a tensor with one index a sample, or "difference".',
        )
    if classes != 2:
        raise ExplainerRefusal(
            f'target "difference" needs a network with 2 outputs; this one has {classes}',
            remedy=f"Give the index of an output, 0 to {classes - 1}.",
        )
    return torch.tensor([[-1.0, 1.0]]).expand(batch, 2)


def _indices(target: int | Tensor, batch: int) -> Tensor:
    if isinstance(target, int) and not isinstance(target, bool):
        return torch.full((batch,), target)
    whole = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64)
    if isinstance(target, Tensor) and target.dtype in whole and target.shape in ((), (batch,)):
        return target.detach().cpu().long().expand(batch)
    got = f"{target.dtype} {tuple(target.shape)}" if isinstance(target, Tensor) else repr(target)
    raise ExplainerRefusal(
        f"target {got} is neither a class index nor one index for each of {batch} samples",
        remedy=f"Give an integer, or an integer tensor of shape ({batch},).",
    )
