"""Networks that forget: layer by layer, or one layer alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from forgetful_networks import (
    SIZE,
    Backwards,
    Bare,
    Constant,
    Plain,
    Unsteady,
    residual,
    seeded,
    tensors,
)
from torch import nn

from solarxai.errors import ValidationError
from solarxai.models.ensemble import Ensemble
from solarxai.models.residual_cnn import ResidualCNN
from solarxai.models.vision_transformer import VisionTransformer
from solarxai.schema import mock_samples
from solarxai.validation.randomisation.weights import (
    RandomNetworks,
    cascade,
    independent,
)


def test_layers_stand_in_the_order_of_calls_with_their_norms():
    found = RandomNetworks(seeded(Backwards), statistics="reset").layers
    assert [layer.name for layer in found] == ["body", "head"]
    assert sorted(found[0].norms) == ["late_norm", "norm"]
    assert set(found[0].fixed) == {
        "norm.weight", "norm.bias", "late_norm.weight", "late_norm.bias"
    }  # fmt: skip
    assert set(found[0].drawn) == {"body.weight", "body.bias"}


def test_the_cascade_forgets_one_layer_more_each_time_from_the_top():
    classifier = residual()
    before = tensors(classifier)
    stages = list(cascade(classifier, statistics="reset", seed=3))
    assert stages[0].layer == "head"
    assert stages[-1].layer == "stem.0"
    for count, stage in enumerate(stages, start=1):
        assert len(stage.layers) == count
        now = stage.classifier.network.state_dict()
        changed = {
            name.rpartition(".")[0] for name in now if not torch.equal(now[name], before[name])
        }
        assert changed == set(stage.layers)
    upwards = cascade(classifier, statistics="reset", order="bottom", seed=3)
    assert next(upwards).layer == "stem.0"


def test_a_layer_alone_forgets_in_the_independent_test():
    classifier = residual()
    before = tensors(classifier)
    for stage in independent(classifier, statistics="reset"):
        now = stage.classifier.network.state_dict()
        changed = {
            name.rpartition(".")[0] for name in now if not torch.equal(now[name], before[name])
        }
        assert changed == {stage.layer}


def test_weights_come_from_the_networks_own_initialiser():
    full = RandomNetworks(residual(width=16), statistics="reset").full().classifier.network
    kernel = full.stages[2][0].second[0].weight
    he = math.sqrt(2 / (64 * 9))
    assert float(kernel.detach().std()) == pytest.approx(he, rel=0.05)
    plain = nn.Conv2d(64, 64, 3).weight.detach()
    assert float(plain.std()) < 0.6 * he


def test_layers_of_one_shape_are_drawn_apart():
    full = RandomNetworks(residual(depth=2), statistics="reset").full().classifier.network
    block = full.stages[0]
    kernels = [block[0].first[0], block[0].second[0], block[1].first[0], block[1].second[0]]
    for i, one in enumerate(kernels):
        for other in kernels[i + 1 :]:
            related = np.corrcoef(one.weight.flatten().detach(), other.weight.flatten().detach())
            assert abs(related[0, 1]) < 0.3


def test_one_seed_gives_one_network_and_leaves_generator_and_original_alone():
    classifier = residual()
    before, state = classifier.hash, torch.random.get_rng_state()
    images = mock_samples(8, size=SIZE)["image"].values
    one, again, other = (
        RandomNetworks(classifier, seed=seed, images=images).full().classifier.hash
        for seed in (1, 1, 2)
    )
    assert one == again
    assert one != other
    assert classifier.hash == before
    assert torch.equal(state, torch.random.get_rng_state())
    assert not classifier.network.training


def test_a_network_that_cannot_be_built_again_is_drawn_by_its_modules():
    classifier = seeded(Plain, architecture="tests:gone")
    full = RandomNetworks(classifier).full().classifier.network
    assert not torch.equal(full.body[0].weight, classifier.network.body[0].weight)
    assert float(full.body[2].weight.detach().abs().max()) <= 1 / math.sqrt(8 * 9)


def test_a_tensor_without_initialiser_is_refused_by_name():
    with pytest.raises(ValidationError, match=r"\['weight'\] has no reset_parameters"):
        RandomNetworks(seeded(Bare, architecture="tests:gone"))
    assert RandomNetworks(seeded(Bare)).layers[0].name == "(network)"


def test_a_network_that_draws_nothing_is_refused():
    with pytest.raises(ValidationError, match="draws no tensor at random"):
        RandomNetworks(seeded(Constant))


def test_an_initialiser_that_does_not_follow_the_seed_is_refused():
    with pytest.raises(ValidationError, match=r"one seed gives \['head.weight'\] two values"):
        RandomNetworks(seeded(Unsteady))


def test_statistics_are_measured_for_the_weights_that_are_there():
    classifier = residual()
    images = mock_samples(16, size=SIZE)["image"].values
    full = RandomNetworks(classifier, images=images).full().classifier.network
    seen = full.stem[0](classifier.tensor(images))
    assert torch.allclose(full.stem[1].running_mean, seen.mean(dim=(0, 2, 3)), atol=1e-5)
    assert full.stem[1].momentum == 0.1
    assert not any(module.training for module in full.modules())


def test_statistics_below_the_forgotten_layers_stay_as_trained():
    classifier = residual()
    for module in classifier.network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.running_mean, 0.7)
    images = mock_samples(16, size=SIZE)["image"].values
    made = {stage.layer: stage for stage in independent(classifier, images=images)}
    network = made["stages.1.0.second.0"].classifier.network
    assert (network.stem[1].running_mean == 0.7).all()
    assert (network.stages[1][0].second[1].running_mean != 0.7).all()
    assert (network.stages[2][0].first[1].running_mean != 0.7).all()
    reset = {stage.layer: stage for stage in independent(classifier, statistics="reset")}
    network = reset["stages.1.0.second.0"].classifier.network
    assert (network.stages[1][0].second[1].running_mean == 0).all()
    assert (network.stages[2][0].first[1].running_mean == 0.7).all()


def test_statistics_that_cannot_be_measured_are_refused():
    with pytest.raises(ValidationError, match="cannot be measured without images"):
        RandomNetworks(residual())
    with pytest.raises(ValidationError, match="statistics 'fold' are unknown"):
        RandomNetworks(residual(), statistics="fold")


def test_each_member_of_an_ensemble_forgets_the_same_layer_in_its_own_way():
    path = f"{ResidualCNN.__module__}:{ResidualCNN.__qualname__}"
    options = {"architecture": path, "members": 2, "options": {"width": 4}}
    classifier = seeded(Ensemble, options=options)
    before = classifier.network.members
    stage = next(cascade(classifier, statistics="reset"))
    assert stage.layer == "head"
    now = stage.classifier.network.members
    for old, new in zip(before, now, strict=True):
        assert not torch.equal(old.head.weight, new.head.weight)
        assert torch.equal(old.stem[0].weight, new.stem[0].weight)
    assert not torch.equal(now[0].head.weight, now[1].head.weight)


def test_a_transformer_forgets_its_position_embedding_last():
    classifier = seeded(VisionTransformer, options={"width": 8, "depth": 1, "heads": 2})
    layers = [stage.layer for stage in cascade(classifier)]
    assert layers[0] == "head"
    assert layers[-1] == "(network)"
    assert "blocks.0.attention.query" in layers
