"""Maps over several models: their mean and spread as numpy has them."""

import networks
import numpy as np
import pytest
import torch
from torch import nn

import solarxai
from solarxai.errors import ContractError, ExplainerRefusal, WorkflowError
from solarxai.inspection.ensemble import explain_ensemble

SEEDS = (0, 1, 2, 3)


def models():
    return [networks.residual(seed=seed) for seed in SEEDS]


def test_mean_spread_and_standard_error_are_those_of_the_maps():
    x = networks.images(3)
    maps = [solarxai.explain(m, x, method="gradient") for m in models()]
    stacked = np.stack([found.values.numpy() for found in maps]).astype(float)
    found = explain_ensemble(models(), x, method="gradient")
    np.testing.assert_allclose(found.mean, stacked.mean(axis=0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.spread, stacked.std(axis=0, ddof=1), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.stderr, found.spread / 2, rtol=1e-6)
    assert found.sampling is None
    assert found.models == 4
    assert found.passes == tuple(map(sum, zip(*(m.passes for m in maps), strict=True)))
    assert found.mean.dtype == found.spread.dtype == torch.float32


def test_models_that_hardly_differ_keep_their_spread():
    """The sum of squares less the square of the sum would be lost to rounding."""

    class Offset(nn.Module):
        def __init__(self, slope):
            super().__init__()
            self.slope = slope

        def forward(self, x):
            total = x.double().sum(dim=(1, 2, 3)) * self.slope
            return torch.stack([-total, total], dim=1).float()

    slopes = [1e3, 1e3 + 1e-3, 1e3 + 2e-3]
    found = explain_ensemble(
        (Offset(slope).eval() for slope in slopes), networks.images(1), method="gradient"
    )
    maps = torch.tensor(slopes).double() * 2
    np.testing.assert_allclose(found.spread, float(maps.std()), rtol=1e-3)


def test_the_standard_error_of_the_mean_is_calibrated_over_draws_of_models():
    x = networks.images(1)
    truth = explain_ensemble(
        (networks.residual(seed=1000 + s) for s in range(100)), x, method="gradient"
    ).mean
    ratios = []
    for draw in range(10):
        drawn = (networks.residual(seed=12 * draw + s) for s in range(12))
        found = explain_ensemble(drawn, x, method="gradient")
        ratios.append(((found.mean - truth) / found.stderr).square().mean())
    assert 0.8 < float(torch.stack(ratios).mean().sqrt()) < 1.3


def test_the_sampling_of_a_stochastic_method_is_told_apart():
    x, options = networks.images(2), {"method": "smoothgrad", "samples": 16}
    maps = [solarxai.explain(m, x, seed=5 + n, **options) for n, m in enumerate(models())]
    found = explain_ensemble(models(), x, seed=5, **options)
    wanted = torch.stack([m.stderr for m in maps]).square().sum(dim=0).sqrt() / 4
    torch.testing.assert_close(found.sampling, wanted)
    assert float(found.sampling.mean()) < float(found.stderr.mean())


def test_copies_of_one_model_spread_by_their_sampling_and_by_nothing_else():
    x, ready = networks.images(4), solarxai.Snapshot(networks.residual())
    found = explain_ensemble([ready] * 16, x, method="smoothgrad", samples=16)
    ratio = (found.stderr / found.sampling).square().mean().sqrt()
    assert 0.9 < float(ratio) < 1.1


def test_one_model_many_times_has_no_spread_but_its_sampling():
    ready = solarxai.Snapshot(networks.residual())
    found = explain_ensemble([ready] * 3, networks.images(2), method="gradient")
    assert float(found.spread.max()) == 0
    assert found.passes == (3 * 2 + 2, 3 * 2 + 2)


def test_models_may_come_one_at_a_time_and_are_left_alone():
    kept = models()
    found = explain_ensemble(iter(kept), networks.images(2), method="gradient", target=1)
    assert torch.equal(
        found.mean, explain_ensemble(kept, networks.images(2), method="gradient", target=1).mean
    )
    assert all(p.requires_grad and p.grad is None for m in kept for p in m.parameters())


def test_other_classes_are_refused():
    mixed = [networks.residual(), networks.residual(classes=3)]
    with pytest.raises(ExplainerRefusal, match=r"model 1 has 3 classes where those before it have"):
        explain_ensemble(mixed, networks.images(1), method="gradient", target=0)


def test_other_images_are_refused():
    with pytest.raises(ContractError, match=r"model 1 cannot take images of shape \(1, 16, 16\)"):
        explain_ensemble(
            [networks.residual(), networks.residual(axes=1)],
            networks.images(1),
            method="gradient",
        )


def test_a_single_model_is_refused():
    with pytest.raises(ContractError, match="1 models have no spread"):
        explain_ensemble(models()[:1], networks.images(1), method="gradient")


def test_a_model_in_training_mode_is_refused_and_not_run():
    model = networks.residual().train()
    kept = model.stem[1].running_mean.clone()
    with pytest.raises(ExplainerRefusal, match="training mode"):
        explain_ensemble([networks.residual(), model], networks.images(2), method="gradient")
    assert torch.equal(model.stem[1].running_mean, kept)


def test_an_unknown_method_is_named_before_anything_runs():
    with pytest.raises(WorkflowError, match="Did you mean 'gradient'"):
        explain_ensemble(models(), networks.images(1), method="gradiant")
