"""Samples whose images stay in a store train to the bits of those in the blocks of a run."""

import block_folders
import numpy as np
import pytest
import torch
from test_checkpoints import TINY, result, stopped_and_gone_on_with

from solarxai import blocks
from solarxai.errors import IngestError, StoreError
from solarxai.schema import mock_samples, mock_spectrograms
from solarxai.spectrograms import flatten
from solarxai.store import create_store
from solarxai.training import train
from solarxai.training.loading import Loader
from solarxai.training.order import balanced_order, windowed
from solarxai.training.shards import BlockFolder, ShardedSamples, samples_hash
from solarxai.training.stored import contents, open_stored

WRONG = np.array(["test"], dtype=object)


def kept(path, samples, *, run="one", shard_size=7, shards=None):
    """Return a store that holds the samples, with a split that no training may believe."""
    wrong = samples.assign_coords(split=("sample", np.repeat(WRONG, samples.sizes["sample"])))
    image = wrong["image"]
    segment = create_store(path).begin(
        wrong, ["gradient"], run_key=run, provenance={}, shard_size=shard_size
    )
    for shard in segment.missing() if shards is None else shards:
        rows = segment.rows(shard)
        label = ("sample", wrong["label"].values[rows])
        maps = wrong.isel(sample=rows).assign(gradient=image[rows], predicted=label)
        segment.write(shard, maps.assign(score=("sample", np.zeros(len(maps["time"])))))
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return the blocks and the stores of patches and of spectrograms."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("folders")
    made = {}
    for kind in ("patches", "spectrograms"):
        folder = getattr(block_folders, kind)(root / kind / "samples")
        made[kind] = folder, kept(root / kind / "store", blocks.open_samples(folder))
    return made


def shown(opened, *, spectra=False):
    samples = opened.shown(opened.columns, spectra=spectra)
    return ShardedSamples(columns=block_folders.sided(samples.columns), images=samples.images)


CASES = [("patches", False), ("spectrograms", False), ("spectrograms", True)]


@pytest.mark.parametrize(("kind", "spectra"), CASES)
def test_samples_are_those_of_the_blocks(folders, kind, spectra):
    folder, store = folders[kind]
    theirs = shown(BlockFolder.open(folder), spectra=spectra)
    ours = shown(open_stored(store), spectra=spectra)
    np.testing.assert_array_equal(ours.images[:], theirs.images[:])
    rows = np.random.default_rng(0).integers(0, len(ours.images), 50)
    np.testing.assert_array_equal(ours.images[rows], theirs.images[rows])
    assert set(ours.columns.variables) == set(theirs.columns.variables)
    for name in set(ours.columns.variables) - {"image"}:
        np.testing.assert_array_equal(ours.columns[name].values, theirs.columns[name].values)
        assert ours.columns[name].dims == theirs.columns[name].dims
    assert samples_hash(ours) == samples_hash(theirs)


def test_sizes_and_bound_are_those_of_the_shards(folders):
    _, store = folders["patches"]
    opened = open_stored(store)
    shard = 7 * 16 * 16 * 4
    assert (len(opened.shards), opened.largest) == (9, shard)
    assert opened.nbytes == 60 * 16 * 16 * 4
    assert opened.bound(2, 1) == (2 + 2 + 1) * shard
    assert "split" not in opened.columns
    assert opened.columns["image"].shape == (60, 1, 1)


@pytest.mark.parametrize(("kind", "spectra"), CASES)
def test_a_window_of_all_gives_the_same_bits(folders, kind, spectra):
    folder, store = folders[kind]
    options = {**TINY, "epochs": 1, "window": 99}
    theirs = train(shown(BlockFolder.open(folder), spectra=spectra), **options)
    ours = train(shown(open_stored(store), spectra=spectra), readers=1, **options)
    assert result(ours) == result(theirs)


@pytest.mark.parametrize("readers", [0, 1])
def test_a_smaller_window_gives_every_row_of_an_epoch_as_often_as_its_order(folders, readers):
    samples = shown(open_stored(folders["patches"][1]))
    truth = samples.columns["label"].values == "sunspot"
    generator = torch.Generator().manual_seed(0)
    order = windowed(
        balanced_order(truth, generator), samples.images.shard, truth, 2, generator
    )  # fmt: skip
    whole = torch.from_numpy(samples.images[:])
    with Loader(samples.images, window=2, readers=readers) as loader:
        for rows, batch in zip(order.split(8), loader.batches(order.split(8)), strict=True):
            assert torch.equal(batch[:, 0], whole[rows])
    assert torch.bincount(order, minlength=60).min() == 1


def test_a_stopped_training_goes_on_to_the_same_bits_in_its_window(folders, tmp_path):
    samples, options = shown(open_stored(folders["patches"][1])), {**TINY, "window": 2}
    expected = train(samples, **options)
    assert expected.classifier.notes["window"] == 2
    made, told = stopped_and_gone_on_with(tmp_path, samples, 3, **options)
    assert result(made) == result(expected)
    assert told[0].startswith("resumed at epoch 1")


@pytest.mark.parametrize("readers", [0, 1])
def test_a_flipped_bit_in_an_image_is_refused_by_the_name_of_its_shard(tmp_path, readers):
    store = kept(tmp_path / "store", mock_samples(60, size=16))
    samples = shown(open_stored(store))
    (path,) = store.glob("segments/one/image/c.3.*")
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(bytes(data))
    rows = [torch.from_numpy(np.flatnonzero(samples.images.shard == n)) for n in (2, 3)]
    told = r"shard 3: .*segments/one: image is damaged \(c\.3\.0\.0\)"
    with Loader(samples.images, window=1, readers=readers) as loader:
        assert len(list(loader.batches(rows[:1]))) == 1
        with pytest.raises(StoreError, match=told):
            list(loader.batches(rows))
    path.unlink()
    with pytest.raises(StoreError, match=r"shard 3: .*image/c\.3\.0\.0 is missing"):
        samples.images[:]


def test_a_sample_of_two_segments_is_taken_once(folders, tmp_path):
    folder, _ = folders["patches"]
    samples = blocks.open_samples(folder)
    store = kept(tmp_path / "store", samples.isel(sample=slice(0, 40)), run="early")
    kept(store, samples.isel(sample=slice(21, 60)), run="late", shard_size=4)
    opened = open_stored(store)
    assert sorted(opened.columns["sample_id"].values) == sorted(samples["sample_id"].values)
    ours, theirs = shown(opened), shown(BlockFolder.open(folder))
    assert samples_hash(ours) == samples_hash(theirs)
    assert {shard.segment.run for shard in opened.shards} == {"early", "late"}
    assert len(opened.shards) == 6 + 6
    assert set(opened.columns["shard"].values.tolist()) == set(range(12))


def test_one_name_for_two_samples_is_refused(folders, tmp_path):
    samples = blocks.open_samples(folders["patches"][0])
    store = kept(tmp_path / "store", samples)
    area = samples["area_mm2"].values.copy()
    area[9] *= 2
    kept(store, samples.assign_coords(area_mm2=("sample", area)), run="other")
    told = rf"store: the sample {samples['sample_id'].values[9]} stands in several .*'area_mm2'"
    with pytest.raises(StoreError, match=told):
        open_stored(store)


def test_columns_that_a_segment_lacks_are_left_out_of_all(tmp_path):
    samples = mock_samples(60, size=16)
    more = samples.isel(sample=slice(30, 60))
    store = kept(tmp_path / "store", samples.isel(sample=slice(0, 30)))
    kept(store, more.assign_coords(extra=("sample", np.arange(30.0))), run="more")
    opened = open_stored(store)
    assert opened.columns.sizes["sample"] == 60
    assert "extra" not in opened.columns


def test_rows_that_are_not_ledgered_are_not_taken_and_change_what_a_store_contains(tmp_path):
    samples = mock_samples(60, size=16)
    store = kept(tmp_path / "store", samples, shards=[0, 3, 8])
    opened = open_stored(store)
    wanted = samples["sample_id"].values[[*range(7), *range(21, 28), *range(56, 60)]]
    assert sorted(opened.columns["sample_id"].values) == sorted(wanted)
    by_name = dict(zip(samples["sample_id"].values, samples["image"].values, strict=True))
    ours = shown(opened)
    for name, image in zip(ours.columns["sample_id"].values, ours.images[:], strict=True):
        np.testing.assert_array_equal(image, by_name[name])
    before = contents(store)
    assert contents(store) == before
    (store / "segments" / "one" / "ledger" / "000003.json").unlink()
    assert contents(store) != before
    assert open_stored(store).columns.sizes["sample"] == 11


def test_stores_that_cannot_train_are_refused(tmp_path):
    with pytest.raises(StoreError, match=r"none: no such folder\. Give the path of a store"):
        open_stored(tmp_path / "none")
    (tmp_path / "other").mkdir()
    with pytest.raises(StoreError, match="other: not a store"):
        open_stored(tmp_path / "other")
    create_store(tmp_path / "empty")
    with pytest.raises(StoreError, match=r"empty: no shard of this store .* `split: all`"):
        open_stored(tmp_path / "empty")
    samples = mock_samples(60, size=16)
    kept(tmp_path / "begun", samples, shards=[])
    with pytest.raises(StoreError, match="begun: no shard of this store is written yet"):
        open_stored(tmp_path / "begun")
    pores = samples.isel(sample=np.flatnonzero(samples["label"].values == "pore"))
    kept(tmp_path / "pores", pores)
    with pytest.raises(StoreError, match=r"pores: of the classes pore and .* have pore\. Attr"):
        open_stored(tmp_path / "pores")


def test_a_store_without_images_is_refused(tmp_path):
    store = kept(tmp_path / "store", mock_samples(20, size=16))
    path = store / "segments" / "one" / "zarr.json"
    path.write_text(path.read_text().replace('"image",', ""))
    with pytest.raises(StoreError, match="store: the segment one keeps no `image` to learn from"):
        open_stored(store)


def test_segments_that_cannot_stand_together_are_refused(tmp_path):
    store = kept(tmp_path / "sizes", mock_samples(20, size=16))
    kept(store, mock_samples(40, size=24, seed=1).isel(sample=slice(20, 40)), run="two")
    with pytest.raises(IngestError, match=r"sizes: images differ in sizes .*\(16, 16\), \(24, 24"):
        open_stored(store)
    store = kept(tmp_path / "kinds", mock_samples(20, size=16))
    kept(store, mock_spectrograms(20, slits=4, length=64), run="two")
    with pytest.raises(StoreError, match="kinds: "):
        open_stored(store)


def test_a_store_of_single_spectra_trains_too(folders, tmp_path):
    spectra = flatten(blocks.open_samples(folders["spectrograms"][0]))
    opened = open_stored(kept(tmp_path / "store", spectra, shard_size=50))
    theirs = shown(open_stored(folders["spectrograms"][1]), spectra=True)
    assert samples_hash(shown(opened)) == samples_hash(theirs)
