"""Random orders, forth and back."""

import numpy as np

from solarxai.engine.permutations import draw_walks, gains, present_along


def test_every_second_order_is_the_one_before_reversed():
    walks = draw_walks(np.random.default_rng(0), players=7, pairs=5)
    assert np.sort(walks, axis=1).tolist() == [list(range(7))] * 10
    np.testing.assert_array_equal(walks[0::2] + walks[1::2], 6)


def test_players_join_one_by_one():
    ranks = np.array([[2, 0, 1], [0, 2, 1]])
    assert present_along(ranks, np.arange(4)).astype(int).tolist() == [
        [0, 1, 0], [0, 1, 1], [1, 0, 0], [1, 0, 1]
    ]  # fmt: skip


def test_a_player_gains_what_its_joining_adds():
    ranks = np.array([[2, 0, 1], [0, 2, 1]])
    found = gains(ranks, np.array([3.0, 4, 7, 9]), empty=np.array([1.0, 0]), full=10.0)
    assert found.tolist() == [[6, 2, 1], [7, 1, 2]]


def test_all_players_are_equally_often_at_each_place():
    walks = draw_walks(np.random.default_rng(1), players=4, pairs=4000)
    for player in range(4):
        share = np.bincount(walks[:, player]) / len(walks)
        np.testing.assert_allclose(share, 0.25, atol=0.02)


def test_a_single_player_has_no_inner_step():
    walks = draw_walks(np.random.default_rng(0), players=1, pairs=2)
    assert gains(walks, np.zeros(0), empty=1.0, full=3.0).tolist() == [[2.0]] * 4
