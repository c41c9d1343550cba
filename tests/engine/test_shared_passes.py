"""Computations that share passes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from solarxai.engine.shared_passes import answered_together


def asking(wishes):
    """Ask for points in turn, and return everything heard."""
    heard = []
    for wish in wishes:
        scores, gradients = yield torch.tensor(wish)
        heard.append((scores.tolist(), gradients.tolist()))
    return heard


@given(
    wishes=st.lists(
        st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=4), min_size=1, max_size=3),
        max_size=6,
    ),
    most=st.integers(4, 9),
)
def test_everyone_hears_of_their_own_points_and_no_pass_is_too_large(wishes, most):
    passes = []

    def ask(points):
        passes.append(len(points))
        return points * 2, points * 3

    found = dict(answered_together([asking(one) for one in wishes], ask, most=most))
    assert found == {
        number: [([2 * p for p in points], [3 * p for p in points]) for points in one]
        for number, one in enumerate(wishes)
    }
    assert all(size <= most for size in passes)
    assert sum(passes) == sum(len(points) for one in wishes for points in one)


def test_small_wishes_share_a_pass_and_no_more_are_begun_than_fit():
    begun, passes = [], []

    def computation(number):
        begun.append(number)
        yield torch.zeros(3)
        return number

    def ask(points):
        passes.append((len(points), len(begun)))
        return points, points

    list(answered_together(map(computation, range(7)), ask, most=10))
    assert passes == [(9, 3), (9, 6), (3, 7)]


@pytest.mark.parametrize("most", [4, 32])
def test_nothing_is_asked_for_nobody(most):
    def ask(points):
        raise AssertionError(points)

    assert list(answered_together([], ask, most=most)) == []
