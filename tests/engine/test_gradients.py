"""Streaming changes nothing but the memory."""

import networks
import pytest
import torch

from solarxai.engine.gradients import Stream, apart, check_finite
from solarxai.engine.preparation import prepare
from solarxai.errors import ExplainerRefusal


def test_parts_are_few_and_even():
    x = networks.images(10)
    stream = Stream(prepare(networks.residual(), x), batch_size=4)
    assert [len(part) for part in stream.parts(x)] == [4, 3, 3]


def test_scores_in_parts_are_those_of_the_network_and_are_counted():
    model, x = networks.residual(), networks.images(7)
    stream = Stream(prepare(model, x), batch_size=3)
    torch.testing.assert_close(stream.scores(x), model(x), rtol=1e-5, atol=1e-5)
    assert (stream.forward, stream.backward) == (2 + 7, 2)


def test_the_gradient_is_that_of_the_weighted_scores():
    model, x = networks.residual(classes=3), networks.images(2)
    weights = torch.tensor([[1.0, 0, -2], [0, 3, 0]])
    stream = Stream(prepare(model, x), batch_size=4)
    leaf = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad((model(leaf) * weights).sum(), leaf)
    torch.testing.assert_close(stream.gradient(x, weights), wanted, rtol=1e-4, atol=1e-5)
    assert stream.backward == 4


def test_what_a_network_does_to_global_state_stays_inside():
    state = torch.random.get_rng_state()
    with torch.no_grad(), apart():
        torch.rand(3)
        assert torch.is_grad_enabled()
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_gradient_that_is_not_finite_is_refused_by_image():
    values = torch.zeros(3, 1, 2)
    assert check_finite(values) is values
    values[1] = torch.inf
    with pytest.raises(ExplainerRefusal, match=r"images \[1\].*infinite weights"):
        check_finite(values)
