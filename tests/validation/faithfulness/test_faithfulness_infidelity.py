from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from captum.attr import GradientShap
from captum.metrics import infidelity as captum_infidelity
from captum.metrics import sensitivity_max
from networks import images, residual
from torch import nn

from solarxai.classifier import Classifier, InputContract
from solarxai.explainers.expected_gradients import ExpectedGradients
from solarxai.explainers.gradient import Gradient
from solarxai.schema import mock_samples
from solarxai.validation.faithfulness.infidelity import (
    _nearby,
    infidelity,
    max_sensitivity,
    sensitivity_rows,
)


def margin(network):
    return lambda x: (lambda scores: scores[:, 1] - scores[:, 0])(network(x))


def masked(x, n, seed=0):
    """Return (image, n, ...) random masks of blocks, and what stands in their place."""
    blocks = np.random.default_rng(seed).random((len(x), n, 1, 4, 4)) < 0.5
    masks = torch.from_numpy(np.kron(blocks, np.ones((4, 4)))).float()
    return masks, x.mean(dim=(1, 2, 3), keepdim=True)


def both(network, x, maps, *, n=64):
    """Return the infidelity by captum and by us, of the same perturbations."""
    masks, fill = masked(x, n)
    score = margin(network)

    def perturb(inputs):
        mask = masks.flatten(0, 1)
        return mask, inputs - mask * (inputs - fill.repeat_interleave(n, dim=0))

    theirs = captum_infidelity(score, perturb, x, maps, n_perturb_samples=n, normalize=True)
    ours = []
    with torch.no_grad():
        for i in range(len(x)):
            change = score(x[i : i + 1]) - score(x[i] - masks[i] * (x[i] - fill[i]))
            foretold = (masks[i] * maps[i]).flatten(1).sum(dim=1)
            power = float(change.double().pow(2).mean())
            ours.append((infidelity(foretold.double().numpy(), change.double().numpy()), power))
    return theirs.double().numpy(), np.array(ours)


def occluded(network, x):
    """Return what hiding each block of four by four takes away, on its pixels."""
    maps, score = torch.zeros_like(x), margin(network)
    fill = x.mean(dim=(1, 2, 3), keepdim=True)
    with torch.no_grad():
        for y in range(0, 16, 4):
            for left in range(0, 16, 4):
                changed = x.clone()
                changed[..., y : y + 4, left : left + 4] = fill
                maps[..., y : y + 4, left : left + 4] = (score(x) - score(changed))[
                    :, None, None, None
                ] / 16
    return maps


def test_infidelity_is_that_of_captum_in_units_of_the_change():
    network, x = residual(), images(4)
    maps = occluded(network, x)
    theirs, ours = both(network, x, maps)
    assert (ours[:, 0] < 0.9).all()
    np.testing.assert_allclose(ours[:, 0] * ours[:, 1], theirs, rtol=1e-4)


def test_the_negative_of_a_map_foretells_nothing_which_captum_does_not_see():
    network, x = residual(), images(4)
    maps = occluded(network, x)
    theirs, ours = both(network, x, -maps)
    right, _ = both(network, x, maps)
    np.testing.assert_allclose(theirs, right, rtol=1e-5)
    np.testing.assert_allclose(ours[:, 0], 1)


def test_infidelity_by_hand():
    change = np.array([1.0, 2.0, 3.0])
    assert infidelity(5 * change, change) == pytest.approx(0, abs=1e-12)
    assert infidelity(-change, change) == 1
    assert infidelity(np.zeros(3), change) == 1
    # beta = 6/3 = 2: residuals 1, 0, -1 over 14
    assert infidelity(np.ones(3), change) == pytest.approx(2 / 14)
    assert np.isnan(infidelity(np.ones(3), np.zeros(3)))


def test_captum_gives_another_infidelity_when_the_same_seed_is_batched_otherwise():
    network, x = residual(), images(4)
    maps = occluded(network, x)

    def perturb(inputs):
        noise = 0.3 * torch.randn_like(inputs)
        return noise, inputs - noise

    found = []
    for batch in (None, 8):
        torch.manual_seed(0)
        options = {"n_perturb_samples": 10, "max_examples_per_batch": batch}
        found.append(captum_infidelity(margin(network), perturb, x, maps, **options))
    assert float((found[0] / found[1] - 1).abs().max()) > 0.01


def test_max_sensitivity_is_that_of_captum_on_the_same_neighbours():
    network, x = residual(), images(3)
    explainer = Gradient()

    def explain(inputs):
        if isinstance(inputs, tuple):  # as captum calls it, and as it wants its answer
            return (explain(inputs[0]),)
        return explainer(network, inputs).values.detach()

    def perturb(inputs):
        return torch.cat([_nearby(one, 0.1, 6, 3) for one in inputs[::6]])

    theirs = sensitivity_max(explain, x, perturb_func=perturb, n_perturb_samples=6)
    ours = max_sensitivity(explain, x, radius=0.1, n=6, seed=3)
    assert (ours > 0.01).all()
    np.testing.assert_allclose(ours, theirs.double().numpy(), rtol=1e-4)


def test_captum_calls_a_sampling_method_sensitive_to_no_change_at_all():
    network, x = residual(), images(2)
    baselines = images(10, seed=9)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    shap = GradientShap(margin(network))
    theirs = sensitivity_max(
        shap.attribute, x, perturb_radius=0.0, n_perturb_samples=4, baselines=baselines
    )
    explainer = ExpectedGradients(samples=20)

    def explain(inputs):
        return explainer(network, inputs, baselines=baselines).values

    ours = max_sensitivity(explain, x, radius=0.0, n=4)
    assert float(theirs.min()) > 0.1
    np.testing.assert_array_equal(ours, 0)


def test_captum_changes_a_network_in_training_mode_and_says_nothing():
    network, x = residual().train(), images(4)
    statistics = network.stem[1].running_mean.clone()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        captum_infidelity(
            margin(network), lambda inputs: (0.1 * inputs, 0.9 * inputs), x, torch.zeros_like(x)
        )
    assert not torch.equal(network.stem[1].running_mean, statistics)


def test_the_sensitivity_of_a_map_of_zeros_is_undefined():
    found = max_sensitivity(torch.zeros_like, images(2), radius=0.1)
    assert np.isnan(found).all()


def test_the_sensitivity_of_the_identity_is_the_greatest_neighbour():
    x = images(2)
    found = max_sensitivity(lambda inputs: inputs, x, radius=0.2, n=5, seed=1)
    draws = [(_nearby(one, 0.2, 5, 1) - one).flatten(1).norm(dim=1).max() / one.norm() for one in x]
    np.testing.assert_allclose(found, np.array(draws), rtol=1e-6)
    assert max(float((_nearby(one, 0.2, 5, 1) - one).abs().max()) for one in x) <= 0.2 + 1e-6


class Untrained(nn.Module):
    """A batch-normalised network of two scores."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.body(x).mean(dim=(2, 3)))


@pytest.fixture
def classifier():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Untrained().train()
    contract = InputContract(shape=(16, 16), scale_mm=0.5)
    return Classifier(network=network, contract=contract, architecture="tests:untrained")


def test_each_method_has_its_sensitivity_and_the_noise_of_its_own_seed(classifier):
    samples = mock_samples(16, size=16)
    methods = {"gradient": Gradient(), "expected_gradients": ExpectedGradients(samples=10)}
    baselines = classifier.tensor(samples["image"].values)
    seen = []
    rows = sensitivity_rows(
        samples, classifier, methods, baselines=baselines, most=8, n=2, n_bootstrap=20,
        progress=lambda *told: seen.append(told),
    )  # fmt: skip
    assert [(row["method"], row["group"]) for row in rows] == [
        (method, f"synthetic · {label}") for method in methods for label in ("pore", "sunspot")
    ]
    assert {row["structures"] for row in rows} == {4}
    noise = {row["method"]: row["noise"] for row in rows}
    assert noise["gradient"] == 0
    assert noise["expected_gradients"] > 0
    assert all(row["interval"].value > 0 for row in rows)
    assert seen == [(1, 2, "max-sensitivity"), (2, 2, "max-sensitivity")]
    assert classifier.network.training


def test_sensitivity_rows_are_the_same_twice(classifier):
    samples = mock_samples(8, size=16)
    options = {"n": 2, "n_bootstrap": 20}
    first, second = (
        sensitivity_rows(samples, classifier, {"gradient": Gradient()}, **options) for _ in range(2)
    )
    assert repr(first) == repr(second)
