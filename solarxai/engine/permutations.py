"""Players that join one by one, in random orders and the same orders reversed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["draw_walks", "gains", "present_along"]

Ranks = npt.NDArray[np.intp]


def draw_walks(generator: np.random.Generator, *, players: int, pairs: int) -> Ranks:
    """Return when each player joins, (2·pair, player): rows 2j and 2j + 1 are each other reversed.

    References
    ----------
    Castro, Gómez & Tejada 2009, doi:10.1016/j.cor.2008.04.004 (orders).
    Mitchell et al. 2022, Sampling Permutations for Shapley Value Estimation, JMLR 23, 43
    (reversed orders).
    """
    forth = generator.random((pairs, players)).argsort(axis=1)
    both = np.stack([forth, players - 1 - forth], axis=1)
    return both.reshape(2 * pairs, players)


def present_along(ranks: Ranks, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Return who is present (row, player) at the inner steps of the walks, all walks in a row.

    Parameters
    ----------
    ranks
        (walk, player) of `draw_walks`. A walk has player − 1 inner steps: with 1 to player − 1
        players present.
    rows
        Numbers of steps, 0 to walk·(player − 1) − 1.
    """
    walk, step = np.divmod(rows, ranks.shape[1] - 1)
    present: npt.NDArray[np.bool_] = ranks[walk] <= step[:, None]
    return present


def gains(
    ranks: Ranks,
    inner: npt.NDArray[np.float64],
    *,
    empty: npt.NDArray[np.float64] | float,
    full: float,
) -> npt.NDArray[np.float64]:
    """Return what the worth gained when each player joined, (walk, player).

    Parameters
    ----------
    ranks
        (walk, player) of `draw_walks`.
    inner
        Worth at all inner steps, in the order of `present_along`.
    empty, full
        Worth of nobody (one number, or one a walk) and of everybody; the gains of a walk sum to
        their difference.
    """
    walks, players = ranks.shape
    ends = [np.broadcast_to(end, walks)[:, None] for end in (np.asarray(empty), np.asarray(full))]
    levels = np.concatenate([ends[0], inner.reshape(walks, players - 1), ends[1]], axis=1)
    return np.take_along_axis(np.diff(levels, axis=1), ranks, axis=1)
