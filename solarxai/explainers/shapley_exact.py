"""Exact Shapley values of up to 16 players."""

from __future__ import annotations

from dataclasses import dataclass

from solarxai.engine.coalitions import Coalitions, all_coalitions, shapley_values
from solarxai.errors import ExplainerRefusal
from solarxai.explainers._players import Hiding, Worths

__all__ = ["ShapleyExact"]

_MOST = 16


@dataclass(frozen=True, kw_only=True)
class ShapleyExact(Hiding):
    r"""The mean change of the score when a player joins the others, over all orders, exactly.

    Parameters
    ----------
    n_players
        Most superpixels or blocks; 2 to this power are the images sent forward.

    Notes
    -----
    With v(S) the score when the players in S are present and the others hidden,

    .. math:: \phi_i = \sum_{S \not\ni i} \frac{|S|! \, (n - |S| - 1)!}{n!}
              \big(v(S \cup i) - v(S)\big),

    whose sum is v(all) − v(∅). A player's value stands on the map divided evenly among its pixels.

    References
    ----------
    Shapley 1953, A Value for n-Person Games, doi:10.1515/9781400881970-018.
    """

    n_players: int = 8

    def solve(self, game: Coalitions) -> Worths:
        """Return the Shapley values of one image."""
        number = game.players.number
        if number > _MOST:
            raise ExplainerRefusal(
                f"an image has {number} players, whose 2^{number} coalitions are too many",
                remedy=f"Give {_MOST} players or fewer, or use shapley_sampling or kernel_shap.",
            )
        worth = game.values(2**number, all_coalitions(number))
        return Worths(shapley_values(worth), total=float(worth[-1] - worth[0]))
