"""The loader gives every row of every batch, in order, from memory and from shards alike."""

import gc
import os
import signal
import tracemalloc
import weakref
from contextlib import contextmanager

import block_folders
import numpy as np
import pytest
import torch
from test_training import divided

from solarxai.errors import IngestError, TrainingError
from solarxai.schema import mock_samples
from solarxai.training import loading, train
from solarxai.training.loading import Loader
from solarxai.training.order import balanced_order, windowed
from solarxai.training.shards import BlockFolder, Shard, ShardedImages, ShardedSamples


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Return images in twelve shards and in memory; the first pixel of each is its number."""
    folder = tmp_path_factory.mktemp("shards")
    shards, whole = [], np.random.default_rng(0).random((180, 8, 8), dtype=np.float32)
    whole[:, 0, 0] = np.arange(180)
    for number in range(12):
        whole[number::12].tofile(folder / f"{number}")
        shards.append(Shard(path=folder / f"{number}", offset=0, shape=(15, 8, 8)))
    rows = np.arange(180)
    sharded = ShardedImages(
        shards=tuple(shards), shard=(rows % 12).astype(np.int32), place=rows // 12, space=(8, 8)
    )
    return sharded, whole


def batches(images, window, seed=0):
    truth = np.arange(len(images)) % 5 == 0
    generator = torch.Generator().manual_seed(seed)
    order = balanced_order(truth, generator)
    if window:
        order = windowed(order, images.shard, truth, window, generator)
    return torch.tensor_split(order, 17)


@pytest.mark.parametrize("readers", [0, 2])
@pytest.mark.parametrize("window", [None, 1, 5])
def test_batches_hold_their_rows_in_order_whatever_reads_them(images, window, readers):
    sharded, whole = images
    with Loader(sharded, window=window, readers=readers) as loader:
        for epoch in range(2):
            wanted = batches(sharded, window, epoch)
            found = list(loader.batches(wanted))
            assert [len(one) for one in found] == [len(one) for one in wanted]
            for rows, batch in zip(wanted, found, strict=True):
                assert torch.equal(batch, torch.from_numpy(whole[rows.numpy()])[:, None])


def test_each_row_of_an_epoch_is_seen_as_often_as_the_order_says(images):
    sharded, _ = images
    wanted = batches(sharded, 3)
    with Loader(sharded, window=3, readers=0) as loader:
        seen = torch.cat([batch[:, 0, 0, 0] for batch in loader.batches(wanted)]).long()
    assert torch.equal(torch.bincount(seen), torch.bincount(torch.cat(wanted)))
    assert torch.bincount(seen).max() > 1


def test_an_epoch_begun_before_is_gone_on_with_from_any_batch(images):
    sharded, whole = images
    wanted = batches(sharded, 4)
    with Loader(sharded, window=4, readers=0) as loader:
        for start in range(len(wanted) + 1):
            found = list(loader.batches(wanted[start:]))
            assert len(found) == len(wanted) - start
            for rows, batch in zip(wanted[start:], found, strict=True):
                np.testing.assert_array_equal(batch[:, 0], whole[rows.numpy()])


def test_a_process_of_several_reads_its_rows_alone(images, monkeypatch):
    sharded, _ = images
    read = []
    monkeypatch.setattr(
        ShardedImages, "read", lambda self, shard, places: read.append(len(places)) or
        np.zeros((len(places), 8, 8), np.float32),
    )  # fmt: skip
    mine = [batch[: len(batch) // 2] for batch in batches(sharded, 3)]
    with Loader(sharded, window=3, readers=0) as loader:
        list(loader.batches(mine))
    assert sum(read) == len(torch.cat(mine).unique())


@pytest.mark.parametrize("window", [1, 3, 6])
def test_each_shard_is_read_once_and_no_more_than_the_window_are_at_hand(
    images, window, monkeypatch
):
    sharded, _ = images
    arrived, most, taken = [], 0, loading._next

    def counted(arriving):
        nonlocal most
        found = taken(arriving)
        arrived.append(weakref.ref(found))
        most = max(most, sum(one() is not None for one in arrived))
        return found

    monkeypatch.setattr(loading, "_next", counted)
    with Loader(sharded, window=window, readers=0) as loader:
        for _ in loader.batches(batches(sharded, window)):
            pass
    assert len(arrived) == 12
    assert most <= window


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Return 40 MB of images in forty blocks that repeat one another, unread."""
    path = tmp_path_factory.mktemp("archive") / "archive"
    count, size = 40, 64
    block = np.random.default_rng(0).random((size, 64, 64), dtype=np.float32).tobytes()
    path.write_bytes(block * count)
    shards = tuple(
        Shard(path=path, offset=i * len(block), shape=(size, 64, 64)) for i in range(count)
    )
    rows = np.arange(count * size)
    images = ShardedImages(
        shards=shards, shard=(rows % count).astype(np.int32), place=rows // count, space=(64, 64)
    )
    return images, BlockFolder(columns=None, shards=shards, space=(64, 64), wavelength=None)


def test_an_archive_much_larger_than_the_window_is_read_within_the_bound(archive):
    images, opened = archive
    wanted = batches(images, 4)
    with traced() as peak, Loader(images, window=4, readers=0) as loader:
        seen = sum(len(batch) for batch in loader.batches(wanted))
    assert seen == len(torch.cat(wanted))
    plan, put_together = 8 * 16 * seen, 4 * 2**20
    assert peak() - plan - put_together < opened.bound(4, 0) < images.nbytes / 7


def test_a_training_on_it_stays_within_the_bound_and_the_passes_in_order(archive):
    images, opened = archive
    columns = block_folders.sided(mock_samples(len(images), size=8))
    nothing = np.broadcast_to(np.float32(0), images.shape)
    names = ("image", "segmentation", "central")
    columns = columns.drop_vars(names).assign(image=(("sample", "y", "x"), nothing))
    samples = ShardedSamples(columns=columns, images=images)
    options = {"model_options": {"width": 2}, "n_bootstrap": 2, "batch_size": 256, "epochs": 1}
    train(divided(40, size=16), **options)  # what torch imports only then is no image
    with traced() as peak:
        made = train(samples, window=4, samples_an_epoch=1024, **options)
    assert made.classifier.notes["window"] == 4
    put_together, passes, spare = 4 * 2**20, 6 * 2**20, 3 * 2**20
    assert peak() < opened.bound(4, 0) + put_together + passes + spare < images.nbytes / 2


@contextmanager
def traced():
    """Give what tells the most bytes of numpy arrays and Python objects since it was entered."""
    gc.collect()
    tracemalloc.start()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        yield lambda: found[0]
    finally:
        found = [tracemalloc.get_traced_memory()[1] - before]
        tracemalloc.stop()


def test_an_error_of_a_reader_comes_back_as_it_was(images):
    sharded, _ = images
    gone = Shard(path=sharded.shards[0].path.with_name("gone"), offset=0, shape=(15, 8, 8))
    spoilt = ShardedImages(
        shards=(gone, *sharded.shards[1:]), shard=sharded.shard, place=sharded.place, space=(8, 8)
    )
    for readers in (0, 1):
        with Loader(spoilt, window=None, readers=readers) as loader:
            given = loader.batches(batches(spoilt, None))
            with pytest.raises(IngestError, match="gone: its images cannot be read"):
                list(given)


def test_a_reader_that_is_killed_is_told(images, monkeypatch):
    sharded, _ = images

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(ShardedImages, "read", die)
    with Loader(sharded, window=None, readers=1) as loader:
        given = loader.batches(batches(sharded, None))
        with pytest.raises(TrainingError, match="a process that reads samples is gone"):
            list(given)


def test_fewer_readers_than_none_are_refused(images):
    with pytest.raises(TrainingError, match="readers -1 is out of range"):
        Loader(images[0], window=None, readers=-1)


def test_the_default_generator_of_torch_is_left_alone(images):
    sharded, _ = images
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with Loader(sharded, window=None, readers=0) as loader:
        list(loader.batches(batches(sharded, None)))
    assert torch.equal(torch.get_rng_state(), before)
