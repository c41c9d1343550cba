"""The order in which an epoch takes its rows: classes in equal parts, shards a window at a time."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["balanced_order", "epoch_size", "windowed"]


def epoch_size(truth: npt.NDArray[np.bool_], most: int | None = None) -> int:
    """Return the rows of an epoch: as many as there are, or `most`, made even."""
    rows = len(truth) if most is None else most
    return 2 * math.ceil(rows / 2)


def balanced_order(
    truth: npt.NDArray[np.bool_], generator: torch.Generator, most: int | None = None
) -> Tensor:
    """Return rows in random order, as many of each class; the rarer class is repeated."""
    wanted = epoch_size(truth, most) // 2
    chosen = []
    for value in (False, True):
        rows = torch.from_numpy(np.flatnonzero(truth == value))
        rounds = math.ceil(wanted / len(rows))
        orders = [torch.randperm(len(rows), generator=generator) for _ in range(rounds)]
        chosen.append(rows[torch.cat(orders)[:wanted]])
    both = torch.cat(chosen)
    return both[torch.randperm(len(both), generator=generator)]


def windowed(
    order: Tensor,
    shard: npt.NDArray[np.int32],
    truth: npt.NDArray[np.bool_],
    window: int,
    generator: torch.Generator,
) -> Tensor:
    """Return the same rows, as often, sorted so that `window` shards at a time are needed.

    Parameters
    ----------
    order
        Rows in random order.
    shard, truth
        (row,) shard and class of each row that the order may name.
    window
        Most shards of a window. One that covers all leaves the order, and the generator, alone.
    generator
        Deals shards to windows.

    Notes
    -----
    Shards are ranked by the share of the second class among their rows in the order, and cut into
    strata of as many as there are windows; every window gets one shard of each stratum at random.
    So classes are mixed alike in all windows, as far as their shards allow it. Within a window
    rows stay in the order they had: random.
    """
    rows = order.numpy()
    shards, local = np.unique(shard[rows], return_inverse=True)
    windows = math.ceil(len(shards) / window)
    if windows == 1:
        return order
    share = np.bincount(local, weights=truth[rows]) / np.bincount(local)
    mixed = torch.randperm(len(shards), generator=generator).numpy()
    ranked = mixed[np.argsort(share[mixed], kind="stable")]
    window_of = np.empty(len(shards), dtype=np.int64)
    for first in range(0, len(shards), windows):
        stratum = ranked[first : first + windows]
        dealt = torch.randperm(windows, generator=generator).numpy()
        window_of[stratum] = dealt[: len(stratum)]
    return torch.from_numpy(rows[np.argsort(window_of[local], kind="stable")])
