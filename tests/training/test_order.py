"""The order of an epoch: classes in equal parts, rows as often, a window of shards at a time."""

import itertools

import numpy as np
import pytest
import torch

from solarxai.training.order import balanced_order, epoch_size, windowed


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def archive():
    """Return the shard and the class of 40 shards of 12 rows, each of nearly one class."""
    rng = np.random.default_rng(0)
    shard = np.repeat(np.arange(40, dtype=np.int32), 12)
    truth = rng.random(480) < np.where(shard % 2, 0.9, 0.1)
    return shard, truth


def visits(order, shard):
    """Return the shards in the order in which they are first needed, and when each ends."""
    seen = shard[order.numpy()]
    first = {s: int(np.flatnonzero(seen == s)[0]) for s in set(seen.tolist())}
    last = {s: int(np.flatnonzero(seen == s)[-1]) for s in set(seen.tolist())}
    return first, last


@pytest.mark.parametrize("window", [1, 3, 8, 39])
def test_a_window_changes_when_rows_are_seen_and_not_how_often(archive, window):
    shard, truth = archive
    plain = balanced_order(truth, generator())
    order = windowed(plain, shard, truth, window, generator())
    assert torch.equal(order.sort().values, plain.sort().values)
    assert not torch.equal(order, plain)


@pytest.mark.parametrize("window", [1, 3, 8, 39])
def test_no_more_shards_than_the_window_are_open_at_any_row(archive, window):
    shard, truth = archive
    order = windowed(balanced_order(truth, generator()), shard, truth, window, generator(1))
    first, last = visits(order, shard)
    most = max(sum(first[s] <= i <= last[s] for s in first) for i in range(0, len(order), 5))
    assert most <= window


def test_a_window_that_covers_all_leaves_order_and_generator_alone(archive):
    shard, truth = archive
    plain = balanced_order(truth, generator())
    mine = generator(5)
    before = mine.get_state()
    assert torch.equal(windowed(plain, shard, truth, 40, mine), plain)
    assert torch.equal(mine.get_state(), before)


def test_windows_have_the_classes_in_like_shares_although_shards_have_not(archive):
    shard, truth = archive
    order = windowed(balanced_order(truth, generator()), shard, truth, 8, generator(2)).numpy()
    shares = [truth[part].mean() for part in np.array_split(order, 5)]
    assert np.abs(np.array(shares) - 0.5).max() < 0.1


def test_the_same_seed_gives_the_same_order_and_another_another(archive):
    shard, truth = archive
    plain = balanced_order(truth, generator())
    one, again, other = (windowed(plain, shard, truth, 4, generator(s)) for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_every_shard_is_needed_in_one_run_of_rows_between_windows(archive):
    shard, truth = archive
    order = windowed(balanced_order(truth, generator()), shard, truth, 4, generator(3))
    first, last = visits(order, shard)
    starts = sorted(first.values())
    groups = [starts[i : i + 4] for i in range(0, 40, 4)]
    assert all(max(a) < min(b) for a, b in itertools.pairwise(groups))
    ends = sorted(last.values())
    assert all(ends[4 * k + 3] < starts[4 * (k + 1)] for k in range(9))


def test_an_epoch_has_an_even_number_of_rows():
    assert epoch_size(np.zeros(7, bool)) == 8
    assert epoch_size(np.zeros(7, bool), 4) == 4
