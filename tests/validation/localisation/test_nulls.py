"""Networks that know nothing."""

from __future__ import annotations

import numpy as np
import torch

from solarxai.explainers.gradient import Gradient
from solarxai.validation.localisation.nulls import random_weights, shuffle_weights

GRADIENT = {"gradient": Gradient()}


def test_shuffled_weights_are_the_same_numbers_in_another_order(classifier):
    network = classifier("convolutional").network
    before = {name: p.clone() for name, p in network.state_dict().items()}
    made = shuffle_weights(network, torch.randn(4, 1, 32, 32), seed=1)
    for name, parameter in made.named_parameters():
        assert torch.equal(parameter.flatten().sort().values, before[name].flatten().sort().values)
    assert not torch.equal(made.body[0].weight, before["body.0.weight"])
    assert all(torch.equal(p, before[name]) for name, p in network.state_dict().items())


def test_statistics_are_measured_anew_for_the_shuffled_weights(classifier):
    x = 5 + torch.randn(64, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    made = shuffle_weights(classifier("convolutional").network, x, seed=1)
    seen = made.body[0](x)
    assert torch.allclose(made.body[1].running_mean, seen.mean(dim=(0, 2, 3)), atol=1e-3)
    assert made.body[1].momentum == 0.1
    assert not made.training
    assert not made.body[1].training


def test_one_seed_gives_one_network(classifier):
    network, x = classifier("convolutional").network, torch.randn(4, 1, 32, 32)
    one, again, other = (shuffle_weights(network, x, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.body[0].weight, again.body[0].weight)
    assert not torch.equal(one.body[0].weight, other.body[0].weight)


def test_the_global_generator_is_left_alone(classifier):
    network = classifier("convolutional").network
    state = torch.random.get_rng_state()
    shuffle_weights(network, torch.zeros(2, 1, 32, 32), seed=1)
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_gradient_of_a_shuffled_network_is_at_hand_for_a_few_sunspots(spots, classifier):
    found = random_weights(spots, classifier("convolutional"), GRADIENT, GRADIENT, most=5)
    assert (spots["label"].values[found.rows] == "sunspot").all()
    assert found.maps["gradient"].shape == (5, 32, 32)
    assert np.isfinite(found.maps["gradient"]).all()


def test_a_method_unknown_to_the_library_has_no_null_and_says_so(spots, classifier):
    found = random_weights(spots, classifier("convolutional"), ["mine"], GRADIENT)
    assert found.maps == {}
    assert found.left_out == ({"method": "mine", "reason": "not a method of this library"},)


def test_a_network_without_weights_has_no_null(spots, classifier):
    found = random_weights(spots, classifier("rim"), GRADIENT, GRADIENT)
    assert found.left_out == ({"method": "gradient", "reason": "the network has no weights"},)


def test_without_sunspots_there_is_no_null(spots, classifier):
    pores = spots.isel(sample=spots["label"].values == "pore")
    found = random_weights(pores, classifier("convolutional"), GRADIENT, GRADIENT)
    assert found.left_out == ({"method": "gradient", "reason": "there are no sunspots"},)
