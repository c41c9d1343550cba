"""Games: their worth from a network, and Shapley values by hand."""

from itertools import permutations

import networks
import numpy as np
import pytest
import torch
from torch import nn

from solarxai.engine.coalitions import (
    Coalitions,
    all_but_one,
    all_coalitions,
    shapley_shares,
    shapley_values,
)
from solarxai.engine.gradients import Stream
from solarxai.engine.players import divide
from solarxai.engine.preparation import prepare
from solarxai.errors import ExplainerRefusal


def game(model, image, fills, *, kind="pixels", n_players=4, batch_size=3):
    stream = Stream(prepare(model, image[None], fold=True), batch_size=batch_size)
    weight = torch.tensor([0.0, 1.0])
    players = divide(image, kind=kind, n_players=n_players)
    return Coalitions(stream, image, fills, weight, players), stream


def linear(pixels: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 2)).eval().requires_grad_(False)


def by_permutations(worth: np.ndarray) -> np.ndarray:
    """Return the mean gain over all orders, one by one."""
    players = len(worth).bit_length() - 1
    total, orders = np.zeros(players), list(permutations(range(players)))
    for order in orders:
        present = 0
        for player in order:
            total[player] += worth[present | 1 << player] - worth[present]
            present |= 1 << player
    return total / len(orders)


def test_two_players_share_what_they_make_together():
    """v(1) = 3, v(2) = 5, v(12) = 12: each its own and half of the 4 that only both make."""
    np.testing.assert_allclose(shapley_values(np.array([0.0, 3, 5, 12])), [5, 7])


def test_the_glove_game_gives_the_only_left_glove_two_thirds():
    present = all_coalitions(3)(np.arange(8))
    worth = np.minimum(present[:, 0], present[:, 1] | present[:, 2]).astype(float)
    np.testing.assert_allclose(shapley_values(worth), [2 / 3, 1 / 6, 1 / 6])


@pytest.mark.parametrize("players", [1, 2, 5, 6])
def test_values_are_the_mean_over_all_orders(players):
    worth = np.random.default_rng(players).standard_normal(2**players)
    np.testing.assert_allclose(shapley_values(worth), by_permutations(worth), atol=1e-12)


def test_shares_give_nothing_to_anybody_for_an_even_worth():
    np.testing.assert_allclose(shapley_shares(6).sum(axis=1), 0, atol=1e-12)


def test_coalitions_are_numbered_by_bits():
    assert all_coalitions(3)(np.array([0, 1, 6])).tolist() == [
        [False, False, False], [True, False, False], [False, True, True]
    ]  # fmt: skip
    assert all_but_one(3)(np.array([1])).tolist() == [[True, False, True]]


def test_the_worth_is_the_score_with_the_absent_filled():
    model, image, fill = linear(4), torch.randn(1, 2, 2), torch.randn(1, 2, 2)
    made, _ = game(model, image, fill[None])
    worth = made.values(16, all_coalitions(4))
    for number in range(16):
        keep = torch.tensor([number >> i & 1 for i in range(4)]).reshape(1, 2, 2)
        wanted = model(torch.where(keep == 1, image, fill)[None])[0, 1]
        assert worth[number] == pytest.approx(float(wanted), rel=1e-5, abs=1e-6)


def test_a_hidden_player_is_hidden_in_all_channels():
    model, image = linear(8), torch.randn(2, 2, 2)
    made, _ = game(model, image, torch.zeros(1, 2, 2, 2))
    empty, full = made.ends()
    assert empty == pytest.approx(float(model[1].bias[1]), rel=1e-5)
    assert full == pytest.approx(float(model(image[None])[0, 1]), rel=1e-5)


def test_with_several_fills_the_worth_is_the_mean_score():
    model, image, fills = (
        networks.residual().requires_grad_(False),
        networks.images(1)[0],
        networks.images(5, seed=2),
    )
    made, stream = game(model, image, fills, kind="grid")
    before = stream.forward
    empty, _ = made.ends()
    assert empty == pytest.approx(float(model(fills)[:, 1].mean()), rel=1e-4)
    assert stream.forward - before == 2 * 5


def test_no_more_coalitions_are_held_than_one_pass_needs():
    made, stream = game(linear(4), torch.randn(1, 2, 2), torch.zeros(1, 1, 2, 2), batch_size=5)
    before, asked = stream.forward, []

    def present(rows):
        asked.append(len(rows))
        return np.ones((len(rows), 4), dtype=bool)

    assert len(made.values(23, present)) == 23
    assert max(asked) <= 5
    assert stream.forward - before == sum(asked) == 23


def test_no_coalition_costs_no_pass():
    made, stream = game(linear(4), torch.randn(1, 2, 2), torch.zeros(1, 1, 2, 2))
    before = stream.forward
    assert len(made.values(0, all_coalitions(4))) == 0
    assert stream.forward == before


def test_scores_that_are_not_finite_are_refused():
    class Undefined(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            return self.head(1 / x.flatten(1))

    made, _ = game(Undefined().eval(), torch.ones(1, 2, 2), torch.zeros(1, 1, 2, 2))
    with pytest.raises(ExplainerRefusal, match="score of the network is not finite for masked"):
        made.ends()
