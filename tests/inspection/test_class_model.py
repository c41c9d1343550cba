"""Class models against the maximum that a linear score has by hand."""

import networks
import pytest
import torch
from torch import nn

from solarxai.errors import ContractError, ExplainerRefusal
from solarxai.inspection.class_model import class_model


def linear(shape=(1, 6, 6), seed=0):
    """Return a network whose score difference is weights · image, and these weights."""
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(torch.Size(shape).numel(), 2)
    layer.weight.data = torch.randn(layer.weight.shape, generator=generator)
    weights = (layer.weight[1] - layer.weight[0]).detach().reshape(1, *shape)
    return nn.Sequential(nn.Flatten(), layer).eval(), weights


def roughness(image):
    return sum(float(image.diff(dim=axis).abs().sum()) for axis in range(2, image.ndim))


@pytest.mark.parametrize("shape", [(1, 6, 6), (2, 10), (3, 4, 5)])
def test_a_linear_score_is_highest_at_its_weights_over_twice_the_penalty(shape):
    model, weights = linear(shape)
    found = class_model(model, shape, l2=0.5, steps=400)
    torch.testing.assert_close(found.image, weights, rtol=1e-3, atol=1e-3)
    best = float(weights.square().sum()) / 2
    offset = float(model(torch.zeros(1, *shape)).detach() @ torch.tensor([-1.0, 1.0]))
    assert float(found.objectives[-1]) == pytest.approx(best + offset, rel=1e-4)


def test_one_class_is_climbed_alone():
    model, _ = linear()
    found = class_model(model, (1, 6, 6), target=0, l2=0.5, steps=400)
    wanted = model[1].weight[0].detach().reshape(1, 1, 6, 6)
    torch.testing.assert_close(found.image, wanted, rtol=1e-3, atol=1e-3)


def test_total_variation_makes_steps_where_squares_leave_a_slope():
    """Two pixels, weights 2 and -1: with μ between, the maximum of w·I − λI² − μ|ΔI| by hand."""
    model, _ = linear((1, 1, 2))
    layer = model[1]
    layer.weight.data = torch.tensor([[0.0, 0.0], [2.0, -1.0]])
    layer.bias.data.zero_()
    for mu, wanted in ((0.5, [1.5, -0.5]), (3.0, [0.5, 0.5])):
        found = class_model(model, (1, 1, 2), l2=0.5, total_variation=mu, steps=2000)
        torch.testing.assert_close(found.image.flatten(), torch.tensor(wanted), rtol=0, atol=0.02)


def test_a_network_ends_smoother_under_total_variation_and_higher_than_it_began():
    model = networks.residual()
    plain, smooth = (
        class_model(model, (1, 16, 16), total_variation=mu, steps=60) for mu in (0.0, 0.02)
    )
    assert roughness(smooth.image) < 0.8 * roughness(plain.image)
    for found in (plain, smooth):
        assert found.image.shape == (1, 1, 16, 16)
        assert found.scores.shape == found.objectives.shape == (61,)
        assert float(found.objectives[-1]) > float(found.objectives[0])
        with torch.no_grad():
            score = float(model(found.image) @ torch.tensor([-1.0, 1.0]))
        assert float(found.scores[-1]) == pytest.approx(score, rel=1e-4)
    assert plain.passes == (2 + 61, 2 + 60)


def test_spectra_have_class_models_too():
    found = class_model(networks.residual(axes=1, classes=3), (1, 32), target=2, steps=5)
    assert found.image.shape == (1, 1, 32)


def test_the_seed_is_where_it_starts_and_all_there_is_to_chance():
    model = networks.residual()
    first, again, other = (
        class_model(model, (1, 16, 16), steps=5, seed=seed).image for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_start_may_be_given_and_is_not_changed():
    start = torch.full((1, 1, 6, 6), 3.0)
    model, _ = linear()
    found = class_model(model, (1, 6, 6), start=start, steps=1, step_size=0.0)
    assert torch.equal(found.image, start)
    assert torch.equal(start, torch.full((1, 1, 6, 6), 3.0))
    assert not start.requires_grad


def test_the_network_and_the_random_state_are_left_alone():
    model = networks.residual()
    state = torch.random.get_rng_state()
    class_model(model, (1, 16, 16), steps=2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"l2": -1.0}, "l2 is -1.0"),
        ({"total_variation": float("nan")}, "total_variation is nan"),
        ({"steps": 0}, "0 steps climb nothing"),
        ({"start": torch.zeros(1, 1, 5, 6)}, r"start is torch.float32 \(1, 1, 5, 6\)"),
    ],
)
def test_options_that_climb_nowhere_are_refused(options, told):
    with pytest.raises(ContractError, match=told):
        class_model(networks.residual(), (1, 16, 16), **options)


def test_a_score_that_climbs_to_infinity_is_refused():
    class Steep(nn.Module):
        def forward(self, x):
            return torch.exp(x.sum(dim=(1, 2, 3)))[:, None] * torch.tensor([[-1.0, 1.0]])

    with pytest.raises(ExplainerRefusal, match="score of the network is not finite"):
        class_model(Steep().eval(), (1, 2, 2), l2=0.0, step_size=10.0)


def test_a_class_that_is_not_there_is_refused():
    with pytest.raises(ExplainerRefusal, match="not among the outputs"):
        class_model(networks.residual(), (1, 16, 16), target=4)
