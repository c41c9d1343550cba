"""A training that was stopped goes on where it was, to the bit, and never with another's state."""

import block_folders
import gaussian_spectra
import pytest
import torch
from test_training import divided
from torch import nn

from solarxai import registry
from solarxai.provenance import file_hash
from solarxai.training import train
from solarxai.training.checkpoints import Checkpointing
from solarxai.training.shards import BlockFolder, ShardedSamples

TINY = {"epochs": 2, "batch_size": 8, "n_bootstrap": 5, "model_options": {"width": 2}}


class Stopped(Exception):
    """The training was stopped on purpose."""


class Stop:
    """Stops a training after so many steps, its state written at some of them."""

    def __init__(self, folder, *, after=None, every=1):
        self.told, self.steps = [], 0
        self._after, self._every = after, every
        self.where = Checkpointing(
            path=folder / "training.checkpoint", due=self.due, say=self.told.append
        )

    def due(self):
        self.steps += 1
        if self._after is not None and self.steps > self._after:
            raise Stopped
        return self.steps % self._every == 0


def result(trained):
    return trained.classifier.to_bytes(), trained.record()


def stopped_and_gone_on_with(folder, samples, after, *, every=1, **options):
    """Return a training stopped after so many steps and gone on with, and what it told."""
    first, second = Stop(folder, after=after, every=every), Stop(folder, every=every)
    with pytest.raises(Stopped):
        train(samples, checkpointing=first.where, **options)
    made = train(samples, checkpointing=second.where, **options)
    assert not second.where.path.exists()
    return made, second.told


@pytest.fixture(scope="module")
def samples():
    torch.set_num_threads(1)
    return divided(40, size=16)


def test_stopped_after_any_step_it_goes_on_to_the_same_bits(samples, tmp_path):
    whole = Stop(tmp_path)
    expected = result(train(samples, checkpointing=whole.where, **TINY))
    assert expected == result(train(samples, **TINY))
    assert whole.steps == 2 * 3 + 2
    told = []
    for after in range(1, whole.steps):
        made, said = stopped_and_gone_on_with(tmp_path, samples, after, **TINY)
        assert result(made) == expected
        told += said
    assert told == [
        "resumed at epoch 1, batch 2 of 3", "resumed at epoch 1, batch 3 of 3",
        "resumed at the end of epoch 1", "resumed at epoch 2, batch 1 of 3",
        "resumed at epoch 2, batch 2 of 3", "resumed at epoch 2, batch 3 of 3",
        "resumed at the end of epoch 2",
    ]  # fmt: skip


def test_a_state_written_now_and_then_gives_the_same_bits(samples, tmp_path):
    expected = result(train(samples, **TINY))
    made, told = stopped_and_gone_on_with(tmp_path, samples, 5, every=3, **TINY)
    assert result(made) == expected
    assert told == ["resumed at the end of epoch 1"]


def test_stopped_again_and_again_it_still_comes_to_the_same_bits(samples, tmp_path):
    expected = result(train(samples, **TINY))
    stops = 0
    while True:
        try:
            made = train(samples, checkpointing=Stop(tmp_path, after=1).where, **TINY)
            break
        except Stopped:
            stops += 1
    assert result(made) == expected
    assert stops == 7


@pytest.mark.parametrize("after", [2, 8, 9, 13, 15])
def test_finished_members_of_an_ensemble_are_not_trained_again(samples, tmp_path, after):
    options = {**TINY, "members": 2}
    expected = result(train(samples, **options))
    first, second = Stop(tmp_path, after=after), Stop(tmp_path)
    with pytest.raises(Stopped):
        train(samples, checkpointing=first.where, **options)
    made = train(samples, checkpointing=second.where, **options)
    assert result(made) == expected
    assert second.steps == 16 - after


def test_spectra_with_a_schedule_of_their_own_and_a_prior_go_on_too(tmp_path):
    spectra = gaussian_spectra.spectra(exposures=4)
    options = {
        "model": "published_cnn", "schedule": "constant", "epochs": 2, "n_bootstrap": 5,
        "samples_an_epoch": 64, "validation_samples": 20, "attribution_prior": 0.01,
        "patience": 1,
    }  # fmt: skip
    expected = result(train(spectra, **options))
    for after in (1, 3, 4):
        made, _ = stopped_and_gone_on_with(tmp_path, spectra, after, **options)
        assert result(made) == expected


class Dropping(nn.Module):
    """A network that draws from the generator of torch while it learns."""

    def __init__(self, *, classes=2):
        super().__init__()
        self.layers = nn.Sequential(
            nn.AvgPool2d(4), nn.Flatten(), nn.Linear(16, 8), nn.Dropout(0.3), nn.Linear(8, classes)
        )

    def forward(self, x):
        return self.layers(x)


def test_dropout_goes_on_with_the_draws_it_would_have_had(samples, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "load", lambda *_, **__: Dropping)
    options = {**TINY, "model_options": {}}
    expected = result(train(samples, **options))
    for after in (1, 4, 6):
        made, _ = stopped_and_gone_on_with(tmp_path, samples, after, **options)
        assert result(made) == expected


def test_images_in_shards_go_on_in_the_same_window(tmp_path):
    folder = block_folders.patches(tmp_path / "samples", n=48, count=4)
    opened = BlockFolder.open(folder)
    shown = opened.shown(opened.columns, spectra=False)
    sharded = ShardedSamples(columns=block_folders.sided(shown.columns), images=shown.images)
    options = {**TINY, "window": 2, "epochs": 1}
    expected = result(train(sharded, **options))
    for after in (1, 3):
        made, _ = stopped_and_gone_on_with(tmp_path, sharded, after, **options)
        assert result(made) == expected


@pytest.mark.parametrize("change", ["option", "samples", "model"])
def test_a_state_of_another_training_is_not_gone_on_with(samples, tmp_path, change):
    with pytest.raises(Stopped):
        train(samples, checkpointing=Stop(tmp_path, after=4).where, **TINY)
    options = dict(TINY)
    if change == "option":
        options["label_smoothing"] = 0.1
    elif change == "model":
        options["model_options"] = {"width": 3}
    else:
        samples = samples.copy(deep=True)
        samples["image"].values[0, 0, 0] += 0.01
    again = Stop(tmp_path)
    made = train(samples, checkpointing=again.where, **options)
    assert result(made) == result(train(samples, **options))
    assert again.told == [
        "training.checkpoint is of another training (other options, samples, code or versions): "
        "training starts anew"
    ]
    assert again.steps == 8


def test_a_damaged_state_is_not_gone_on_with(samples, tmp_path):
    with pytest.raises(Stopped):
        train(samples, checkpointing=Stop(tmp_path, after=4).where, **TINY)
    path = tmp_path / "training.checkpoint"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    again = Stop(tmp_path)
    made = train(samples, checkpointing=again.where, **TINY)
    assert again.told == ["training.checkpoint is damaged: training starts anew"]
    assert result(made) == result(train(samples, **TINY))


def test_kept_epochs_are_whole_after_going_on(samples, tmp_path):
    known, folder = tmp_path / "known", tmp_path / "epochs"
    train(samples, keep_epochs=known, **TINY)
    with pytest.raises(Stopped):
        train(samples, keep_epochs=folder, checkpointing=Stop(tmp_path, after=5).where, **TINY)
    train(samples, keep_epochs=folder, checkpointing=Stop(tmp_path).where, **TINY)
    names = sorted(path.name for path in known.iterdir())
    assert names == sorted(path.name for path in folder.iterdir()) != []
    assert all(file_hash(known / name) == file_hash(folder / name) for name in names)
