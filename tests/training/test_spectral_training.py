"""Training on spectra and spectrograms: what is learnt, repeated, refused; and ensembles."""

import json
import subprocess
import sys

import gaussian_spectra
import numpy as np
import pytest
import torch

from solarxai import registry
from solarxai.classifier import Classifier
from solarxai.errors import TrainingError
from solarxai.training import fit as training
from solarxai.training.augmentation import Augmentation, SpectralAugmentation
from solarxai.training.order import balanced_order
from solarxai.training.parts import Part

QUICK = {"epochs": 1, "n_bootstrap": 5, "model": "published_cnn"}
PUBLISHED = {
    "model": "published_cnn", "normalise": "none", "schedule": "constant", "batch_size": 64,
    "weight_decay": 0.0, "label_smoothing": 0.0, "learning_rate": 1e-2, "n_bootstrap": 20,
}  # fmt: skip
COLUMNS = {"peak", "feature_width"}


@pytest.fixture(scope="module")
def spectra():
    torch.set_num_threads(1)
    return gaussian_spectra.spectra()


@pytest.fixture(scope="module")
def learnt(spectra):
    options = {"width": 8}
    return training.train(spectra, model_options=options, epochs=8, n_bootstrap=20)


def test_it_learns_the_width_of_a_line_in_regions_it_has_not_seen(learnt):
    assert set(learnt.metrics["test"]) == {"spectrum", "slit_position", "raster", "observation"}
    assert learnt.metrics["test"]["spectrum"].scores["accuracy"].value > 0.9
    assert learnt.metrics["test"]["observation"].scores["tss"].value == 1
    assert learnt.metrics["test"].scores == learnt.metrics["test"]["spectrum"].scores


def test_the_contract_is_that_of_spectra(learnt, spectra):
    contract = learnt.classifier.contract
    assert (contract.shape, contract.scale_mm) == ((64,), None)
    assert contract.classes == ("active", "preflare")
    np.testing.assert_allclose(contract.wavelengths, spectra["wavelength"].values)
    assert learnt.classifier.options == {"classes": 2, "axes": 1, "width": 8}
    images = spectra["image"].values[spectra["split"].values == "train"].astype(float)
    assert contract.offset == pytest.approx(images.mean())
    assert contract.scale == pytest.approx(images.std())


def test_the_checkpoint_of_spectra_comes_back(learnt, spectra, tmp_path):
    learnt.classifier.save(tmp_path / "c.safetensors")
    again = Classifier.load(tmp_path / "c.safetensors")
    assert (again.hash, again.contract) == (learnt.classifier.hash, learnt.classifier.contract)
    images = spectra["image"].values[:5]
    np.testing.assert_array_equal(again.margins(images), learnt.classifier.margins(images))


def test_the_record_is_json_with_levels_thresholds_and_what_shortcuts_left_out(learnt):
    record = json.loads(json.dumps(learnt.record(), allow_nan=False))
    level = record["metrics"]["test"]["raster"]
    assert set(level["at_threshold"]) == {"accuracy", "tss", "hss"}
    assert isinstance(level["threshold"], float)
    assert set(record["shortcuts"]) == COLUMNS == set(record["shortcut_rows_left_out"])
    assert "member" not in record["history"][0]


def test_a_feature_that_gives_the_label_away_is_convicted_and_brightness_is_not(learnt):
    assert learnt.shortcuts["feature_width"]["accuracy"].value > 0.95
    assert abs(learnt.shortcuts["peak"]["roc_auc"].value - 0.5) < 0.2


def test_rows_without_a_feature_are_left_out_and_counted(spectra):
    spoilt = spectra.copy(deep=True)
    used = np.flatnonzero(spoilt["split"].values != "validation")[:7]
    spoilt["feature_width"].values[used] = np.nan
    spoilt = spoilt.assign_coords(feature_none=("sample", np.full(len(spoilt["label"]), np.nan)))
    found = training.train(spoilt, **QUICK)
    sides = np.isin(spoilt["split"].values, ("train", "test"))
    assert found.shortcut_rows_left_out == {
        "peak": 0, "feature_width": 7, "feature_none": int(sides.sum())
    }  # fmt: skip
    assert set(found.shortcuts) == COLUMNS


def test_the_published_recipe_learns_too_and_is_not_normalised(spectra):
    found = training.train(spectra, epochs=25, patience=25, **PUBLISHED)
    assert found.metrics["test"]["spectrum"].scores["accuracy"].value > 0.9
    contract = found.classifier.contract
    assert (contract.offset, contract.scale) == (0.0, 1.0)
    assert {epoch.learning_rate for epoch in found.history} == {1e-2}
    assert found.classifier.options == {"classes": 2, "length": 64}
    notes = found.classifier.notes
    assert (notes["schedule"], notes["normalise"]) == ("constant", "none")


def test_a_model_gets_only_the_options_that_it_has(spectra, monkeypatch):
    monkeypatch.setattr(registry, "load", lambda *_, **__: gaussian_spectra.Tiny)
    found = training.train(spectra, **(QUICK | {"epochs": 20}), batch_size=64, learning_rate=1e-2)
    assert found.classifier.options == {"classes": 2, "length": 64}
    assert found.classifier.architecture == "gaussian_spectra:Tiny"
    assert found.metrics["test"]["spectrum"].scores["accuracy"].value > 0.9


def test_the_same_seed_gives_the_same_bytes_of_spectra(spectra):
    options = QUICK | {"samples_an_epoch": 64, "validation_samples": 30}
    first, again = (training.train(spectra, **options) for _ in range(2))
    assert first.classifier.to_bytes() == again.classifier.to_bytes()
    assert first.record() == again.record()
    other = training.train(spectra, seed=1, **options)
    assert other.classifier.hash != first.classifier.hash


def test_spectrograms_are_learnt_although_slit_positions_are_missing():
    samples = gaussian_spectra.spectrograms()
    found = training.train(samples, model_options={"width": 8}, epochs=15, n_bootstrap=10)
    assert set(found.metrics["test"]) == {"spectrogram", "raster", "observation"}
    assert found.metrics["test"].scores["accuracy"].value > 0.9
    contract = found.classifier.contract
    assert (contract.shape, contract.fills_rows) == ((6, 64), True)
    images = samples["image"].values[samples["split"].values == "train"].astype(float)
    assert contract.offset == pytest.approx(np.nanmean(images))
    assert contract.scale == pytest.approx(np.nanstd(images))
    assert found.classifier.options["axes"] == 2
    assert found.shortcuts["feature_width"]["accuracy"].value > 0.9


def test_excluded_spectra_change_nothing(spectra):
    extra = spectra.isel(sample=slice(0, 3)).copy(deep=True)
    extra["label"].values[:] = "ambiguous"
    extra["split"].values[:] = "excluded"
    extra["image"].values[0, 0] = np.nan
    more = type(spectra)(
        {"image": (("sample", "wavelength"), np.concatenate([spectra["image"], extra["image"]]))},
        coords={"wavelength": spectra["wavelength"]}
        | {
            str(name): ("sample", np.concatenate([spectra[name].values, extra[name].values]))
            for name in spectra.coords
            if name != "wavelength"
        },
    )
    plain, with_extra = (training.train(given, **QUICK) for given in (spectra, more))
    assert plain.classifier.hash == with_extra.classifier.hash
    assert with_extra.counts["excluded"] == {"ambiguous": 3}


def test_an_epoch_is_as_long_as_told_and_balanced():
    truth = np.array([True] * 50 + [False] * 950)
    generator = torch.Generator().manual_seed(0)
    first, second = (balanced_order(truth, generator, 41).numpy() for _ in range(2))
    assert len(first) == 42
    assert truth[first].sum() == 21
    assert set(first.tolist()) != set(second.tolist())


def test_validation_rows_are_drawn_by_seed_and_class_not_by_order():
    truth = np.arange(1000) % 10 == 0
    images = np.arange(1000, dtype=np.float32)[:, None]
    part = Part(images=images, truth=truth, regions=np.zeros(1000))
    drawn = part.drawn(60, 0)
    assert (len(drawn.truth), int(drawn.truth.sum())) == (60, 30)
    assert drawn.images[:, 0].min() < 300 < 700 < drawn.images[:, 0].max()
    np.testing.assert_array_equal(drawn.images, part.drawn(60, 0).images)
    assert set(drawn.images[:, 0]) != set(part.drawn(60, 1).images[:, 0])
    assert part.drawn(None, 0) is part.drawn(1000, 0) is part
    assert int(part.drawn(400, 0).truth.sum()) == 100


def test_an_attribution_prior_trains_on_spectra_and_spectrograms(spectra):
    plain = training.train(spectra, **QUICK)
    prior = training.train(spectra, attribution_prior=0.1, **QUICK)
    assert prior.classifier.hash != plain.classifier.hash
    small = gaussian_spectra.spectrograms(exposures=4, slits=3)
    options = {"model_options": {"width": 2}, "epochs": 1, "n_bootstrap": 5}
    first, again = (training.train(small, attribution_prior=0.1, **options) for _ in range(2))
    assert first.classifier.hash == again.classifier.hash


@pytest.fixture(scope="module")
def three(spectra):
    heard = []
    found = training.train(
        spectra, members=3, progress=lambda *told: heard.append(told), **(QUICK | {"epochs": 2})
    )
    return found, heard


def test_members_are_those_trained_alone_with_the_next_seeds(three, spectra):
    found, _ = three
    images = spectra["image"].values
    alone = [training.train(spectra, seed=i, **(QUICK | {"epochs": 2})) for i in range(3)]
    margins = [one.classifier.margins(images) for one in alone]
    np.testing.assert_allclose(
        found.classifier.margins(images), np.mean(margins, axis=0), rtol=1e-4, atol=1e-6
    )
    assert found.best_epochs == tuple(one.best_epoch for one in alone)
    assert len({one.classifier.hash for one in alone}) == 3
    for member, one in zip(found.classifier.network.members, alone, strict=True):
        weights = one.classifier.network.state_dict()
        assert all(torch.equal(t, weights[name]) for name, t in member.state_dict().items())


def test_history_keeps_every_member_and_so_does_the_record(three):
    found, _ = three
    assert [(e.member, e.number) for e in found.history] == [
        (0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2)
    ]  # fmt: skip
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert record["best_epochs"] == list(found.best_epochs)
    assert "best_epoch" not in record
    assert record["history"][-1]["member"] == 2
    assert found.classifier.notes["epochs"] == list(found.best_epochs)


def test_progress_counts_the_epochs_of_all_members(three):
    _, heard = three
    assert [told[:2] for told in heard] == [(i, 6) for i in range(1, 7)]
    assert heard[-1][2].startswith("member 3: loss")


def test_an_ensemble_is_one_checkpoint(three, spectra, tmp_path):
    found, _ = three
    found.classifier.save(tmp_path / "c.safetensors")
    again = Classifier.load(tmp_path / "c.safetensors")
    assert again.hash == found.classifier.hash
    assert len(again.network.members) == 3
    images = spectra["image"].values[:9]
    np.testing.assert_array_equal(again.margins(images), found.classifier.margins(images))


def test_what_cannot_be_an_ensemble_is_refused(spectra, tmp_path):
    with pytest.raises(TrainingError, match="the epochs of 2 members cannot be kept"):
        training.train(spectra, members=2, keep_epochs=tmp_path, **QUICK)
    with pytest.raises(TrainingError, match="members 0 is out of range"):
        training.train(spectra, members=0, **QUICK)
    with pytest.raises(TrainingError, match="trained member by member"):
        training.train(spectra, **(QUICK | {"model": "ensemble"}))


def spoilt(how):
    samples = gaussian_spectra.spectra(exposures=4, slits=4)
    image, label, split = (samples[name].values for name in ("image", "label", "split"))
    if how == "nan":
        image[0, 3] = np.nan
    elif how == "infinite":
        image[0, 3] = np.inf
    elif how == "flat":
        image[:] = 1
    elif how == "pore":
        label[0] = "pore"
    elif how == "one class":
        label[split == "train"] = "active"
    elif how == "no slit":
        return samples.drop_vars("slit")
    elif how == "no wavelength":
        return samples.drop_vars("wavelength")
    elif how == "uneven":
        return samples.assign_coords(wavelength=samples["wavelength"] ** 40)
    elif how == "backwards":
        return samples.assign_coords(wavelength=samples["wavelength"].values[::-1])
    elif how == "turned":
        return samples.rename(wavelength="frequency")
    return samples


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("nan", "1 values of 'image' are not finite"),
        ("infinite", "1 values of 'image' are not finite"),
        ("flat", "has the same value"),
        ("pore", "samples labelled pore stand in a split.*Only active and preflare"),
        ("one class", r"split 'train' has .*'preflare': 0\}"),
        ("no slit", "the spectrum samples have no column 'slit'"),
        ("no wavelength", "no column 'wavelength'"),
        ("uneven", "the 64 wavelengths are not evenly spaced"),
        ("backwards", "not evenly spaced and increasing"),
        ("turned", r"the image of the samples stands on \('sample', 'frequency'\)"),
    ],
)
def test_spectra_that_cannot_train_are_refused(how, message):
    with pytest.raises(TrainingError, match=message):
        training.train(spoilt(how), **QUICK)


@pytest.mark.parametrize(
    ("rows", "value", "message"),
    [
        ((0, 0, slice(0, 9)), np.nan, "1 spectra of the spectrograms are finite only in part"),
        ((0, 0, 5), np.inf, "1 spectra of the spectrograms are finite only in part"),
        ((0,), np.nan, "1 spectrograms hold no spectrum"),
    ],
)
def test_spectrograms_that_cannot_train_are_refused(rows, value, message):
    samples = gaussian_spectra.spectrograms(exposures=4, slits=4)
    samples["image"].values[0, 0] = 0.5
    samples["image"].values[rows] = value
    with pytest.raises(TrainingError, match=message):
        training.train(samples, epochs=1, n_bootstrap=5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"augment": Augmentation()}, "a spectrum cannot be changed by Augmentation"),
        ({"normalise": "each"}, "normalise is 'each'"),
        ({"schedule": "cosine"}, "schedule 'cosine'.* is out of range"),
        ({"samples_an_epoch": 1}, "samples_an_epoch 1 .* is out of range"),
        ({"validation_samples": 0}, "validation_samples 0 is out of range"),
        ({"model": "residual_cnn", "model_options": {"axes": 2}}, r"does not take samples of \(64"),
        ({"model_options": {"length": 100}}, r"does not take samples of \(64"),
    ],
)
def test_options_that_do_not_belong_to_spectra_are_refused(spectra, wrong, message):
    with pytest.raises(TrainingError, match=message):
        training.train(spectra, **(QUICK | wrong))


def test_patches_cannot_be_changed_like_spectra():
    from test_training import SMALL, divided

    with pytest.raises(TrainingError, match="a patch cannot be changed by SpectralAugmentation"):
        training.train(divided(), augment=SpectralAugmentation(), **SMALL)


def test_a_network_of_eight_channels_learns_from_wide_spectrograms():
    """Laid out as small images are, torch 2.13 frees memory twice here: hence another process."""
    code = (
        "from solarxai.schema import mock_spectrograms; from solarxai import splits, training;"
        "s = mock_spectrograms(48, slits=60);"
        "s = splits.split(s, fractions=(0.34, 0.33, 0.33));"
        "training.train(s, model_options={'width': 8}, epochs=3, batch_size=16, n_bootstrap=2);"
        "print('learnt')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip().endswith("learnt"), done.stderr[-500:]
