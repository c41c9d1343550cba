"""The game of an image: what a network says of it when only some of its players are present."""

from __future__ import annotations

from collections.abc import Callable
from math import factorial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from solarxai.engine.gradients import Stream, check_finite
from solarxai.engine.masking import Masking
from solarxai.engine.players import Players

__all__ = ["Coalitions", "all_but_one", "all_coalitions", "shapley_shares", "shapley_values"]

Rows = npt.NDArray[np.intp]
Present = npt.NDArray[np.bool_]


class Coalitions:
    """Asks for the worth v(S) of coalitions: the score with the absent players hidden.

    Parameters
    ----------
    stream
        The network; it counts the passes.
    image
        (channel, *space).
    fills
        (fill, channel, *space): what stands where a player is absent; of several, the mean of the
        scores is the worth.
    weight
        (class,) of `target_weights`.
    players
        Of the image.
    """

    def __init__(
        self, stream: Stream, image: Tensor, fills: Tensor, weight: Tensor, players: Players
    ) -> None:
        self.image = image
        self.players = players
        self._part = stream.batch_size
        self._masked = [Masking(stream, image, fill, weight) for fill in fills]

    def ends(self) -> tuple[float, float]:
        """Return v(∅) and v(all)."""
        both = np.repeat([[False], [True]], self.players.number, axis=1)
        empty, full = self.values(2, lambda rows: both[rows])
        return float(empty), float(full)

    def values(self, number: int, present: Callable[[Rows], Present]) -> npt.NDArray[np.float64]:
        """Return the worth of each of `number` coalitions, in parts that fit one pass.

        Parameters
        ----------
        number
            How many there are.
        present
            Gives for some of their numbers, 0 to `number` − 1, who is present: (row, player).
            So no more coalitions are held than one pass needs.

        Raises
        ------
        ExplainerRefusal
            when a score is not finite.
        """
        parts = np.array_split(np.arange(number), max(1, -(-number // self._part)))
        found = [self._worth(present(rows)) for rows in parts if len(rows)]
        return np.concatenate([np.zeros(0), *found])

    def _worth(self, present: Present) -> npt.NDArray[np.float64]:
        keep = self.players.masks(present)
        scores = torch.stack([masked.scores(keep) for masked in self._masked], dim=1)
        check_finite(scores, what="score", whose="masked images")
        worth: npt.NDArray[np.float64] = scores.mean(dim=1).numpy()
        return worth


def all_coalitions(players: int) -> Callable[[Rows], Present]:
    """Return who is present in coalition number c: player i where bit i of c is set."""
    return lambda rows: (rows[:, None] >> np.arange(players)) & 1 == 1


def all_but_one(players: int) -> Callable[[Rows], Present]:
    """Return who is present in coalition number c: everybody but player c."""
    return lambda rows: rows[:, None] != np.arange(players)


def shapley_values(worth: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    r"""Return the Shapley values (player,) of the worth (2^player,) of all coalitions.

    Parameters
    ----------
    worth
        In the order of `all_coalitions`.

    Notes
    -----
    .. math:: \phi_i = \sum_{S \not\ni i} \frac{|S|! \, (n - |S| - 1)!}{n!}
              \big(v(S \cup i) - v(S)\big).

    References
    ----------
    Shapley 1953, A Value for n-Person Games, doi:10.1515/9781400881970-018.
    """
    return shapley_shares(len(worth).bit_length() - 1) @ worth


def shapley_shares(players: int) -> npt.NDArray[np.float64]:
    """Return by how much each coalition's worth counts for each player, (player, 2^player).

    A coalition counts for its members and against the others; the product with the worth of all
    coalitions is `shapley_values`.
    """
    numbers = np.arange(2**players)
    sizes = np.bitwise_count(numbers).astype(np.intp)
    joining = np.array([_share(size, players) for size in range(players)])
    member = all_coalitions(players)(numbers).T
    gained = joining[np.maximum(sizes - 1, 0)]
    lost = joining[np.minimum(sizes, players - 1)]
    return np.where(member, gained, -lost)


def _share(size: int, players: int) -> float:
    return factorial(size) * factorial(players - size - 1) / factorial(players)
