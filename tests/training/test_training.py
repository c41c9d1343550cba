"""Training: what it refuses, what it returns, and that it can be repeated bit by bit."""

import json

import numpy as np
import pytest
import torch
import xarray as xr

from solarxai.classifier import Classifier
from solarxai.errors import TrainingError
from solarxai.schema import mock_samples
from solarxai.training import fit as training
from solarxai.training.augmentation import Augmentation
from solarxai.training.order import balanced_order

SMALL = {
    "model_options": {"width": 4}, "epochs": 2, "batch_size": 16, "n_bootstrap": 20
}  # fmt: skip


def divided(n=60, *, size=32, seed=0):
    """Return mock samples, three regions in five to train, one to validate, one to test."""
    samples = mock_samples(n, size=size, seed=seed)
    number = [int(region.split()[1]) for region in samples["region"].values]
    sides = np.array(["train", "train", "train", "validation", "test"], dtype=object)
    return samples.assign_coords(split=("sample", sides[np.array(number) % 5]))


@pytest.fixture(scope="module")
def samples():
    return divided()


@pytest.fixture(scope="module")
def learnt(samples, tmp_path_factory):
    """Return a training to the end, and the folder of its epochs."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("run") / "epochs"
    options = SMALL | {"epochs": 14, "model_options": {"width": 8}}
    return training.train(samples, keep_epochs=folder, **options), folder


def test_it_learns_the_penumbra_of_the_mock_spots(learnt):
    trained, _ = learnt
    assert trained.metrics["test"].scores["accuracy"].value == 1
    assert trained.metrics["validation"].scores["tss"].value == 1
    assert trained.metrics["test"].scores["accuracy"].low < 1


def test_the_kept_classifier_is_that_of_the_lowest_validation_loss(learnt, samples):
    trained, folder = learnt
    losses = [epoch.validation_loss for epoch in trained.history]
    assert trained.best_epoch == 1 + int(np.argmin(losses))
    kept = Classifier.load(folder / f"epoch-{trained.best_epoch:03d}.safetensors")
    assert kept.hash == trained.classifier.hash
    part = samples.isel(sample=samples["split"].values == "validation")
    margin = trained.classifier.margins(part["image"].values).astype(float)
    spot = part["label"].values == "sunspot"
    surprise = np.log1p(np.exp(np.where(spot, -margin, margin)))
    balanced = (surprise[spot].mean() + surprise[~spot].mean()) / 2
    assert balanced == pytest.approx(min(losses), rel=1e-3, abs=1e-7)


def test_every_epoch_is_kept_from_before_the_first_on(learnt):
    trained, folder = learnt
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"epoch-{n:03d}.safetensors" for n in range(len(trained.history) + 1)]
    hashes = {Classifier.load(folder / name).hash for name in names}
    assert len(hashes) == len(names)
    assert Classifier.load(folder / "epoch-003.safetensors").notes == {"epoch": 3}


def test_the_contract_is_normalised_by_the_training_split_alone(learnt, samples):
    trained, _ = learnt
    images = samples["image"].values[samples["split"].values == "train"].astype(float)
    contract = trained.classifier.contract
    assert contract.offset == pytest.approx(images.mean())
    assert contract.scale == pytest.approx(images.std())
    assert (contract.shape, contract.scale_mm) == ((32, 32), 0.5)
    assert contract.classes == ("pore", "sunspot")


def test_the_checkpoint_comes_back_with_the_same_margins(learnt, samples, tmp_path):
    trained, _ = learnt
    trained.classifier.save(tmp_path / "classifier.safetensors")
    again = Classifier.load(tmp_path / "classifier.safetensors")
    images = samples["image"].values
    np.testing.assert_array_equal(again.margins(images), trained.classifier.margins(images))
    assert again.hash == trained.classifier.hash


def test_the_record_is_json_and_counts_every_sample(learnt):
    trained, _ = learnt
    record = json.loads(json.dumps(trained.record(), allow_nan=False))
    assert record["classifier"] == trained.classifier.hash
    assert record["counts"] == {
        "test": {"pore": 6, "sunspot": 6},
        "train": {"pore": 18, "sunspot": 18},
        "validation": {"pore": 6, "sunspot": 6},
    }
    assert set(record["shortcuts"]) == {"area_mm2", "minimum_intensity", "integrated_deficit_mm2"}
    assert len(record["history"]) == len(trained.history)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_bytes(samples, threads):
    options = SMALL | {"epochs": 3 - threads, "threads": threads}
    first, again = (training.train(samples, **options) for _ in range(2))
    assert first.classifier.to_bytes() == again.classifier.to_bytes()
    assert first.record() == again.record()


def test_another_seed_gives_another_network(samples):
    first, other = (training.train(samples, seed=seed, **SMALL) for seed in (0, 1))
    assert first.classifier.hash != other.classifier.hash


def test_torch_is_left_as_it_was_even_after_a_failure(samples):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    options = SMALL | {"epochs": 1, "threads": 2}
    training.train(samples, **options)
    with pytest.raises(TrainingError, match="the training loss is not finite"):
        training.train(samples, learning_rate=1e30, **options)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == 1
    assert not torch.are_deterministic_algorithms_enabled()


def test_training_leaves_the_samples_alone(samples):
    before = samples.copy(deep=True)
    training.train(samples, **SMALL)
    assert samples.identical(before)


def test_training_stops_when_validation_no_longer_improves(samples):
    trained = training.train(
        samples, **(SMALL | {"epochs": 40, "model_options": {"width": 8}}), patience=2
    )
    assert len(trained.history) == trained.best_epoch + 2 < 40


def test_progress_hears_of_every_epoch(samples):
    heard = []
    training.train(samples, progress=lambda *told: heard.append(told), **SMALL)
    assert [told[:2] for told in heard] == [(1, 2), (2, 2)]
    assert "validation loss" in heard[0][2]


def test_excluded_samples_are_counted_and_change_nothing(samples):
    extra = divided(80).isel(sample=slice(60, 80))
    extra["label"].values[:] = "ambiguous"
    extra["split"].values[:] = "excluded"
    extra["image"].values[0, 0, 0] = np.nan
    more = xr.concat([samples, extra], "sample")
    plain, with_extra = (training.train(given, **SMALL) for given in (samples, more))
    assert plain.classifier.hash == with_extra.classifier.hash
    assert with_extra.counts["excluded"] == {"ambiguous": 20}


def test_classes_take_equal_parts_in_an_epoch():
    truth = np.array([True] * 5 + [False] * 25)
    order = balanced_order(truth, torch.Generator().manual_seed(0)).numpy()
    assert truth[order].sum() == (~truth[order]).sum() == 15
    _, times = np.unique(order[truth[order]], return_counts=True)
    assert times.tolist() == [3] * 5
    assert len(set(order[~truth[order]].tolist())) == 15


def spoilt(how):
    samples = divided()
    split, label, image = (samples[name].values for name in ("split", "label", "image"))
    if how == "leak":
        split[0] = "test"
    elif how == "one class":
        label[split == "train"] = "pore"
    elif how == "few":
        split[(split == "train") & (np.arange(60) > 20)] = "excluded"
    elif how == "empty test":
        split[split == "test"] = "excluded"
    elif how == "nan":
        image[1, 2, 3] = np.nan
    elif how == "nan area":
        samples["area_mm2"].values[1] = np.nan
    elif how == "ambiguous":
        label[0] = "ambiguous"
    elif how == "flat":
        image[:] = 1
    elif how == "no split":
        return samples.drop_vars("split")
    return samples


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no split", "no column 'split'"),
        ("leak", "regions stand on two sides"),
        ("one class", r"split 'train' has \{'pore': 36, 'sunspot': 0\}; at least 8"),
        ("few", r"split 'train' has .* at least 8 of each class"),
        ("empty test", r"split 'test' has \{'pore': 0, 'sunspot': 0\}; at least 1"),
        ("nan", "1 values of 'image' are not finite"),
        ("nan area", "1 values of 'area_mm2' are not finite"),
        ("ambiguous", "samples labelled ambiguous stand in a split"),
        ("flat", "every pixel of the training images has the same value"),
    ],
)
def test_samples_that_cannot_train_are_refused(how, message):
    with pytest.raises(TrainingError, match=message):
        training.train(spoilt(how), **SMALL)


def test_another_plate_scale_than_the_samples_is_refused(samples):
    with pytest.raises(TrainingError, match=r"samples have 0.4 Mm per pixel.*to have 0.5"):
        training.train(samples.assign_attrs(scale_mm=0.4), **SMALL)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0}, {"patience": 0}, {"threads": 0}, {"batch_size": 1}, {"learning_rate": 0.0},
        {"weight_decay": -1.0}, {"label_smoothing": 1.0},
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(samples, wrong):
    with pytest.raises(TrainingError, match="is out of range"):
        training.train(samples, **(SMALL | wrong))


def test_an_unknown_model_or_option_is_refused(samples):
    with pytest.raises(TrainingError, match="Did you mean 'residual_cnn'"):
        training.train(samples, model="residual_cn", **SMALL)
    with pytest.raises(TrainingError, match=r"cannot be built with options \{'widht': 4\}"):
        training.train(samples, **(SMALL | {"model_options": {"widht": 4}}))


def test_augmentation_is_an_option_and_is_kept_in_the_notes(samples):
    plain = Augmentation(warp=0, blur_px=0)
    trained = training.train(samples, augment=plain, **SMALL)
    assert trained.classifier.notes["augment"]["warp"] == 0
    assert trained.classifier.hash != training.train(samples, **SMALL).classifier.hash
