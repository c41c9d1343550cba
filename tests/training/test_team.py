"""Processes that train together do what one process does, to rounding, and always the same."""

import functools

import block_folders
import gaussian_spectra
import numpy as np
import pytest
import teams
import torch
from test_checkpoints import TINY, Stop, Stopped, result
from test_training import divided
from torch import nn

from solarxai.errors import TrainingError
from solarxai.models.residual_cnn import ResidualCNN
from solarxai.training import train
from solarxai.training.shards import BlockFolder, ShardedSamples
from solarxai.training.team import Team


@pytest.fixture(autouse=True)
def _loopback(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def samples():
    return divided(40, size=16)


def learnt(samples, team, **options):
    """Return the bytes, the record and the weights of a training."""
    made = train(samples, team=team, **options)
    weights = {name: t.numpy() for name, t in made.classifier.network.state_dict().items()}
    return *result(made), weights


def by(size, samples, folder, **options):
    """Return what the first of so many processes learns."""
    if size == 1:
        return learnt(samples, None, **options)
    found = teams.together(functools.partial(learnt, samples, **options), size=size, folder=folder)
    assert [state for state, _ in found] == ["made"] * size, found
    for _, (_, _, weights) in found[1:]:
        for name, values in weights.items():
            np.testing.assert_array_equal(values, found[0][1][2][name])
    return found[0][1]


ROUNDING = 2e-5
"""How far apart trainings may end that differ by the order of float32 sums: measured are 5e-6 of
the way. That the sums are the same is tested in double precision, to 1e-9."""

STEEP = {"learning_rate": 0.1}
"""Steps that are long beside the last bits of the weights, 6e-8 of them."""


def descend_plainly(monkeypatch):
    """Take steps along the gradient itself: AdamW divides it by its size, which hides a factor."""

    def plain(parameters, rate, weight_decay):
        return torch.optim.SGD(parameters, rate)

    monkeypatch.setattr(torch.optim, "AdamW", plain)


def moved(one, other, start):
    """Return how far two trainings are apart, as a part of the way they came."""
    apart = way = 0.0
    for name, values in one.items():
        if values.dtype.kind == "f":
            apart += float(((values.astype(float) - other[name]) ** 2).sum())
            way += float(((values.astype(float) - start[name]) ** 2).sum())
    return (apart / way) ** 0.5


@pytest.mark.parametrize(("size", "batch_size"), [(2, 9), (3, 8)])
def test_processes_learn_what_one_learns_from_the_same_batches(
    samples, tmp_path, monkeypatch, size, batch_size
):
    descend_plainly(monkeypatch)
    options = {**TINY, **STEEP, "batch_size": batch_size, "patience": 2}
    alone = by(1, samples, tmp_path, **options)
    several = by(size, samples, tmp_path, **options)
    start = by(1, samples, tmp_path, **(options | {"learning_rate": 1e-12}))
    assert moved(alone[2], several[2], start[2]) < ROUNDING
    for one, other in zip(alone[1]["history"], several[1]["history"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert one["validation_loss"] == pytest.approx(other["validation_loss"], rel=1e-4)


def test_spectra_are_learnt_together_too(tmp_path, monkeypatch):
    descend_plainly(monkeypatch)
    spectra = gaussian_spectra.spectra(exposures=4)
    options = {
        "model": "published_cnn",
        "epochs": 1,
        "n_bootstrap": 5,
        "samples_an_epoch": 66,
        **STEEP,
    }
    alone, several = (by(size, spectra, tmp_path, **options) for size in (1, 2))
    start = by(1, spectra, tmp_path, **(options | {"learning_rate": 1e-12}))
    assert moved(alone[2], several[2], start[2]) < ROUNDING


def test_the_same_number_of_processes_gives_the_same_bits(samples, tmp_path):
    first, again = (by(2, samples, tmp_path, **TINY) for _ in range(2))
    assert first[:2] == again[:2]
    assert rb"\"processes\": 2" in first[0]
    assert first[0] != by(1, samples, tmp_path, **TINY)[0]


def stop_and_go_on(samples, folder, after, team):
    stop = Stop(folder, after=after)
    return learnt(samples, team, checkpointing=stop.where, **TINY), stop.told


@pytest.mark.parametrize("after", [2, 4])
def test_two_processes_that_were_stopped_go_on_to_the_same_bits(samples, tmp_path, after):
    expected = by(2, samples, tmp_path, **TINY)
    first, second = (
        functools.partial(stop_and_go_on, samples, tmp_path, number) for number in (after, None)
    )
    found = teams.together(first, size=2, folder=tmp_path)
    assert found[0][0] == "failed"
    assert Stopped.__name__ in found[0][1]
    assert found[1][0] == "failed"
    (state, (made, told)), _ = teams.together(second, size=2, folder=tmp_path)
    assert state == "made"
    assert made[:2] == expected[:2]
    assert told == [f"resumed at epoch {'12'[after > 3]}, batch {after % 4 + 1} of 3"]


def test_shards_are_learnt_from_together(tmp_path, monkeypatch):
    descend_plainly(monkeypatch)
    opened = BlockFolder.open(block_folders.patches(tmp_path / "samples", n=48, count=4))
    shown = opened.shown(opened.columns, spectra=False)
    sharded = ShardedSamples(columns=block_folders.sided(shown.columns), images=shown.images)
    options = {**TINY, **STEEP, "window": 2, "epochs": 1}
    alone, several = (by(size, sharded, tmp_path, **options) for size in (1, 2))
    start = by(1, sharded, tmp_path, **(options | {"learning_rate": 1e-12}))
    assert moved(alone[2], several[2], start[2]) < ROUNDING


def gradients(x, truth, team):
    """Return gradients and statistics of a network in double precision, of this part of x."""
    torch.manual_seed(0)
    network = ResidualCNN(width=2).double().train()
    mine = team.part(len(x))
    with team.together(network) as call:
        loss = nn.functional.cross_entropy(call(x[mine]), truth[mine], reduction="sum")
        torch.autograd.backward(loss * team.size / len(x))
        found = {name: p.grad.numpy().copy() for name, p in network.named_parameters()}
    return found | {name: b.numpy().copy() for name, b in network.named_buffers()}


def test_gradients_and_statistics_are_those_of_the_whole_batch(tmp_path):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn((7, 1, 16, 16), generator=generator, dtype=torch.float64)
    truth = torch.arange(7) % 2
    alone = gradients(x, truth, Team())
    found = teams.together(functools.partial(gradients, x, truth), size=3, folder=tmp_path)
    for state, several in found:
        assert state == "made", several
        assert set(several) == set(alone)
        for name, values in alone.items():
            np.testing.assert_allclose(several[name], values, rtol=1e-9, atol=1e-12)


def test_a_network_is_left_with_its_own_batch_norms(tmp_path):
    def kinds(team):
        network = ResidualCNN(width=2)
        with team.together(network):
            during = sorted({type(module).__name__ for module in network.modules()})
        after = sorted({type(module).__name__ for module in network.modules()})
        return during, after

    (_, (during, after)), _ = teams.together(kinds, size=2, folder=tmp_path)
    assert "BatchNorm2d" in after
    assert "BatchNorm2d" not in during


def test_a_batch_is_shared_in_runs_that_differ_by_one_row():
    parts = [Team(rank=rank, size=3).part(8) for rank in range(3)]
    assert [list(range(8))[part] for part in parts] == [[0, 1, 2], [3, 4, 5], [6, 7]]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rank": 2, "size": 2}, "rank 2 is not one of 2 processes"),
        ({"device": "cuda:99"}, "device cuda:99 was asked for, and this machine has"),
    ],
)
def test_places_and_devices_that_are_not_there_are_refused(wrong, message):
    with pytest.raises(TrainingError, match=message):
        Team(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"team": Team(size=5)}, "processes 5 with batch_size 8"),
        ({"team": Team(size=2), "attribution_prior": 0.1}, "cannot be shared among 2 processes"),
        ({"window": 0}, "window 0"),
    ],
)
def test_trainings_that_cannot_be_shared_are_refused(samples, wrong, message):
    with pytest.raises(TrainingError, match=message):
        train(samples, **TINY, **wrong)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_learns_what_the_cpu_learns(samples, tmp_path, monkeypatch):
    descend_plainly(monkeypatch)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    alone = by(1, samples, tmp_path, **TINY)
    there = by(1, samples, tmp_path, device="cuda", **TINY)
    start = by(1, samples, tmp_path, **(TINY | {"learning_rate": 1e-12}))
    assert moved(alone[2], there[2], start[2]) < 1e-3
    again = by(1, samples, tmp_path, device="cuda", **TINY)
    assert there[0] == again[0]
